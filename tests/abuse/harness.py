"""A real agent to abuse: starts it, sends it deliveries, counts what it kept, reads its memory. Loopback only."""

import hashlib
import hmac
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

SECRET = "abuse-secret-that-guards-nothing"
# Answers are waited for so long; the agent's own limits are 10 s for a head and 30 s for a body.
PATIENCE = 60


class Skipped(Exception):
    """Why a scenario cannot run here."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def signature(body):
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def head(number, body, more=""):
    return (
        f"POST /webhook/github HTTP/1.1\r\nhost: abuse\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"x-github-event: pull_request\r\nx-github-delivery: {number}\r\nx-hub-signature-256: {signature(body)}\r\n{more}\r\n"
    ).encode()


def pull_request(number):
    return json.dumps({
        "action": "opened", "number": number,
        "pull_request": {"number": number, "title": "Abuse", "html_url": f"https://github.com/acme/shop/pull/{number}"},
        "repository": {"full_name": "acme/shop", "html_url": "https://github.com/acme/shop"},
        "sender": {"login": "octocat"},
    }).encode()


class Agent:
    """A running agent in a folder of its own."""

    def __init__(self, binary, config="", data=None, before=(), environment=None, open_files=None, webhooks="", host="127.0.0.1"):
        self.binary = os.path.abspath(binary)
        self.dir = tempfile.mkdtemp(prefix="hookhand-abuse-")
        self.data = data or os.path.join(self.dir, "data")
        self.port = free_port()
        self.before, self.environment, self.open_files = list(before), environment or {}, open_files
        with open(os.path.join(self.dir, "config.yaml"), "w") as f:
            f.write(
                f"data_dir: {self.data}\nwebhooks:\n  host: {host}\n  port: {self.port}\n"
                f"  handlers: {{ github: {{ secret: {SECRET} }} }}\n{webhooks or '  rate_limit: { enabled: false }'}\n"
                f"dashboard: {{ port: 0 }}\n{config}"
            )
        self.acknowledged = {}
        self.number = int(time.time() * 1000) % 1_000_000_000 * 1000
        self.start()

    def start(self):
        def limit():
            if self.open_files:
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.open_files, hard))

        env = {"PATH": os.environ["PATH"], "NO_COLOR": "1", **self.environment}
        self.log = open(os.path.join(self.dir, "output"), "ab")
        self.process = subprocess.Popen(
            [*self.before, self.binary, "--webhooks"], cwd=self.dir, env=env, stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, preexec_fn=limit,
        )
        deadline = time.monotonic() + PATIENCE
        while self.health() != 200:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the agent does not start: {open(self.log.name).read()[-2000:]}")
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def connect(self, source=None, timeout=PATIENCE, address="127.0.0.1"):
        s = socket.socket()
        s.settimeout(timeout)
        if source:
            s.bind((source, 0))
        s.connect((address, self.port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def health(self):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            c.request("GET", "/health")
            return c.getresponse().status
        except OSError:
            return None

    def send(self, raw, timeout=PATIENCE):
        """The status and body that raw bytes are answered with; 'closed' or 'timeout' without an answer."""
        try:
            with self.connect(timeout=timeout) as s:
                try:
                    s.sendall(raw)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # The answer may have come before all was sent.
                return read_answer(s)
        except socket.timeout:
            return "timeout", b""
        except OSError:
            return "closed", b""

    def deliver(self, body=None, more="", timeout=PATIENCE):
        """Sends a delivery nobody sent before: status, seconds; what is acknowledged is noted."""
        self.number += 1
        number, body = self.number, body if body is not None else pull_request(self.number % 100_000)
        begun = time.monotonic()
        status, answer = self.send(head(number, body, more) + body, timeout)
        took = time.monotonic() - begun
        if status == 200:
            self.acknowledged[str(number)] = json.loads(answer)["event_id"]
        return status, took

    def memory(self):
        """MiB of memory, as VmRSS."""
        with open(f"/proc/{self.pid()}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024

    def pid(self):
        """The agent's own id, beneath what it was started with."""
        if not self.before:
            return self.process.pid
        children = open(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read().split()
        return int(children[0]) if children else self.process.pid

    def sql(self, statement):
        out = subprocess.run(
            [self.binary, "sql", "--json", "--limit", "1000000", statement], cwd=self.dir, capture_output=True, check=True, env={"PATH": os.environ["PATH"]}
        )
        return json.loads(out.stdout)

    def kept(self):
        """How many acknowledged deliveries are in the ledger under the id that was answered, of how many."""
        rows = self.sql("SELECT delivery_id, id FROM events WHERE delivery_id IS NOT NULL")
        ids = {row["delivery_id"]: row["id"] for row in rows}
        good = sum(1 for number, event in self.acknowledged.items() if ids.get(number) == event)
        return f"{good} of {len(self.acknowledged)}", good == len(self.acknowledged)

    def settled(self, timeout=PATIENCE):
        """Waits until the queue is empty; whether it is."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.sql("SELECT count(*) AS n FROM jobs")[0]["n"] == 0:
                return True
            time.sleep(0.1)
        return False


def read_answer(s):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            return "closed", b""
        data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    status = int(top[9:12])
    length = next((int(l.split(b":")[1]) for l in top.split(b"\r\n") if l.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        piece = s.recv(65536)
        if not piece:
            break
        body += piece
    return status, body


class Honest:
    """A sender that means well, beside the abuse: one delivery every so often, until stopped."""

    def __init__(self, agent, every=0.25):
        self.agent, self.every, self.answers = agent, every, []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stop.is_set():
            self.answers.append(self.agent.deliver())
            self.stop.wait(self.every)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def good(self):
        return all(status == 200 for status, _ in self.answers)

    def told(self):
        times = sorted(took for _, took in self.answers)
        bad = [status for status, _ in self.answers if status != 200]
        answers = f"{len(times) - len(bad)} of {len(times)} deliveries beside it answered 200"
        if bad:
            answers += f" (others: {', '.join(map(str, sorted(set(bad), key=str)))})"
        return f"{answers}, middle {times[len(times) // 2] * 1000:.0f} ms, slowest {times[-1] * 1000:.0f} ms"
