#!/usr/bin/env python3
"""Talks with `agent chat` on a real terminal (a pseudo terminal), over a model that streams slowly and writes what terminals obey.

  tests/interop/terminal.py [path of the agent's binary]

Standard library only. Exits 1 with what was on the screen when something is not as it should be.
"""

import http.server
import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE_SECONDS = 60
RED = "\x1b[31m"


class Model(http.server.BaseHTTPRequestHandler):
    """OpenAI's streaming face: words one by one, which wait for `go_on` after the eighth where the question says so."""

    go_on = threading.Event()

    def log_message(self, *_):
        pass

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = json.dumps(question["messages"][-1])
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        try:
            for number in range(12):
                if number == 8 and "slowly" in said:
                    Model.go_on.wait(PATIENCE_SECONDS)
                self.part({"content": f"**word{number}** of `code` {RED}red "}, None)
            self.part({"content": "the end"}, None)
            self.part({}, "stop")
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            pass  # Whoever asked is gone, as after Ctrl-C.

    def part(self, delta, finish):
        chunk = {"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, agent, folder, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.environ.update({"TERM": "xterm-256color", **environment})
            os.execv(agent, [agent, "chat"])
        self.screen = ""
        self.seen = 0

    def types(self, keys):
        self.seen = len(self.screen)
        os.write(self.fd, keys.encode())

    def shows(self, text):
        """Waits until `text` is shown after the last keys."""
        until = time.monotonic() + PATIENCE_SECONDS
        while text not in self.screen[self.seen:]:
            if time.monotonic() > until or not self.read():
                fail(f"{text!r} is not shown", self.screen)
        return self.screen[self.seen:]

    def answers(self, text):
        """Waits until `text` is shown after the last keys, and then the prompt."""
        until = time.monotonic() + PATIENCE_SECONDS
        while "> " not in self.shows(text).split(text, 1)[1]:
            if time.monotonic() > until or not self.read():
                fail(f"there is no prompt after {text!r}", self.screen)
        return self.screen[self.seen:]

    def read(self):
        ready, _, _ = select.select([self.fd], [], [], 0.2)
        if not ready:
            return True
        try:
            got = os.read(self.fd, 65536)
        except OSError:
            return False
        self.screen += got.decode(errors="replace")
        return bool(got)

    def ends(self):
        """Waits for its end and gives the exit code."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            self.read()
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, 9)
        fail("it does not end", self.screen)


def fail(what, screen):
    print(f"terminal: {what}; the screen was:\n{screen.replace(chr(27), '<ESC>')}", file=sys.stderr)
    sys.exit(1)


def talk(agent, folder, how):
    terminal = Terminal(agent, folder, {})
    terminal.shows("> ")
    terminal.types("tell me\r")
    answer = terminal.answers("the end")
    if RED in answer:
        fail("the terminal obeyed the model", terminal.screen)
    if "\x1b[1mword0" not in answer:
        fail("marks are not dressed", terminal.screen)
    terminal.types("tell me slowly\r")
    terminal.shows("word7")
    terminal.types("\x03")
    terminal.answers("Stopped.")
    Model.go_on.set()
    terminal.types("/status\r")
    terminal.answers("Queue: empty")
    terminal.types("\x1b[A\x1b[A\x1b[A\r")
    terminal.answers("the end")
    terminal.types("half a line\x03")
    terminal.answers("Ctrl-C once more leaves")
    terminal.types("\x04")
    code = terminal.ends()
    if code != 0:
        fail(f"it ended with {code}", terminal.screen)
    terminal = Terminal(agent, folder, {"NO_COLOR": "1", "TERM": "dumb"})
    terminal.shows("> ")
    terminal.types("again\r")
    if "\x1b[1m" in terminal.answers("the end"):
        fail("there is colour in spite of NO_COLOR", terminal.screen)
    terminal.types("/quit\r")
    if terminal.ends() != 0:
        fail("/quit is a failure", terminal.screen)
    print(f"ok  {how}")


def main():
    agent = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else "target/debug/agent")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.yaml"), "w") as file:
            file.write(
                "webhooks: { port: 0 }\ndashboard: { port: 0 }\nmodel:\n  { provider: fake, name: m, price: { input: 0, output: 0 }, "
                f'base_url: "http://127.0.0.1:{server.server_port}/v1" }}\n'
            )
        talk(agent, folder, "alone")
        Model.go_on.clear()
        # What the agent of the first talk left, so that this one's is waited for.
        os.remove(os.path.join(folder, "data/agent.json"))
        running = subprocess.Popen([agent], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + PATIENCE_SECONDS
            while not os.path.exists(os.path.join(folder, "data/agent.json")) and time.monotonic() < until:
                time.sleep(0.1)
            talk(agent, folder, "over a running agent")
        finally:
            running.terminate()
            running.wait()


main()
