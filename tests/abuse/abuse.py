#!/usr/bin/env python3
"""Abuses a real agent over loopback and says what it answered, kept and held: tests/abuse/abuse.py AGENT [SCENARIO…].

Each scenario starts an agent of its own and ends within minutes. It prints a row of a Markdown table and exits 1 when a
scenario broke a promise. Those that need what is not here (root for a small disk, strace, libfaketime) say so and are skipped.
"""

import glob
import json
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

from bot_api import BotApi
from harness import Agent, Honest, Skipped, head, read_answer

SLOW = 10_000
CLIENTS = 1_000_000


def row(agent, before, peak, answered, good, held=True):
    """One line of the table: what was answered, what was kept, memory before, at the worst and after."""
    kept, whole = agent.kept()
    return answered, kept, f"{before:.0f} / {peak:.0f} / {agent.memory():.0f} MiB", good and whole and held


class Peak:
    """The most memory the agent had while this ran."""

    def __init__(self, agent):
        self.agent, self.most, self.stop = agent, agent.memory(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stop.wait(0.1):
            try:
                self.most = max(self.most, self.agent.memory())
            except (OSError, StopIteration):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def open_slowly(agent, count, source=None, address="127.0.0.1"):
    """Connections that have sent half a head."""
    opened = []
    for _ in range(count):
        s = socket.socket()
        s.setblocking(False)
        if source:
            s.bind((source, 0))
        try:
            s.connect((address, agent.port))
        except BlockingIOError:
            pass
        opened.append(s)
    time.sleep(1)
    for s in opened:
        try:
            s.send(b"POST /webhook/github HTTP/1.1\r\nhost: abuse\r\n")
        except OSError:
            pass
    return opened


def trickle(opened, seconds):
    """A byte of a header on each of them, again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for s in opened:
            try:
                s.send(b"x")
            except OSError:
                pass
        time.sleep(1)


def slow(agent, seconds, **where):
    """Slow connections for so long; then they are gone, and an honest delivery must be answered at once."""
    agent.deliver()
    before = agent.memory()
    with Peak(agent) as peak, Honest(agent) as honest:
        opened = open_slowly(agent, SLOW, **where)
        trickle(opened, seconds)
        for s in opened:
            s.close()
        time.sleep(2)
    status, took = agent.deliver()
    return row(agent, before, peak.most, f"{honest.told()}; afterwards {status} in {took * 1000:.0f} ms",
               honest.good() and status == 200 and took < 1)


def slow_one_address(binary):
    """10 000 slow connections from one address that is not loopback (capped at 512)"""
    address = own_address()
    with Agent(binary, host="0.0.0.0") as agent:
        return slow(agent, 20, source=address, address=address)


def slow_everywhere(binary):
    """10 000 slow connections from as many clients (loopback is not capped by client), a byte a second each"""
    with Agent(binary) as agent:
        return slow(agent, 20)


def slow_few_files(binary):
    """The same under `ulimit -n 1024`, as many shells have it"""
    with Agent(binary, open_files=1024) as agent:
        return slow(agent, 20)


def own_address():
    """An address of this machine that is not loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError as error:
            raise Skipped("this machine has no address but loopback") from error
        return s.getsockname()[0]


def connection_flood(binary):
    """Connections opened and dropped as fast as four threads can, 10 s"""
    with Agent(binary) as agent:
        agent.deliver()
        before, count, end = agent.memory(), [0] * 4, time.monotonic() + 10

        def flood(index):
            while time.monotonic() < end:
                try:
                    s = agent.connect(timeout=5)
                    # Reset at once instead of waiting in TIME_WAIT, so that ports do not run out.
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    if count[index] % 2:
                        s.send(b"GET / HT")
                    s.close()
                    count[index] += 1
                except OSError:
                    pass

        with Peak(agent) as peak, Honest(agent) as honest:
            threads = [threading.Thread(target=flood, args=(i,)) for i in range(4)]
            [t.start() for t in threads]
            [t.join() for t in threads]
        return row(agent, before, peak.most, f"{sum(count)} connections; {honest.told()}", honest.good())


def header_flood(binary):
    """Heads of 10 000 lines, of one line of 8 MiB, and without an end; 50 of each"""
    with Agent(binary) as agent:
        agent.deliver()
        before, answers = agent.memory(), []
        start = b"POST /webhook/github HTTP/1.1\r\nhost: abuse\r\n"
        many = start + b"".join(b"x-%d: y\r\n" % i for i in range(10_000)) + b"\r\n"
        long = start + b"x: " + b"y" * (8 << 20) + b"\r\n\r\n"
        endless = start + b"x: y\r\n" * 500_000
        with Peak(agent) as peak, Honest(agent) as honest:
            for raw in (many, long, endless):
                for _ in range(50):
                    answers.append(agent.send(raw, timeout=15)[0])
        listed = ", ".join(f"{answers.count(a)}× {a}" for a in sorted(set(answers), key=str))
        good = honest.good() and not set(answers) - {431, 400, "closed"}
        return row(agent, before, peak.most, f"{listed}; {honest.told()}", good)


def slow_bodies(binary):
    """500 bodies of 10 000 bytes at 1 byte a second"""
    with Agent(binary) as agent:
        agent.deliver()
        before, sockets = agent.memory(), []
        begun = time.monotonic()
        with Peak(agent) as peak, Honest(agent) as honest:
            for i in range(500):
                s = agent.connect()
                s.sendall(head(f"slow-{i}", b"x" * 10_000) + b"{")
                sockets.append(s)
            for _ in range(33):
                for s in sockets:
                    try:
                        s.send(b" ")
                    except OSError:
                        pass
                time.sleep(1)
            answers = []
            for s in sockets:
                try:
                    answers.append(read_answer(s)[0])
                except OSError:
                    answers.append("closed")
                s.close()
        listed = ", ".join(f"{answers.count(a)}× {a}" for a in sorted(set(answers), key=str))
        return row(agent, before, peak.most, f"{listed} after {time.monotonic() - begun:.0f} s; {honest.told()}",
                   set(answers) == {408} and honest.good())


def many_clients(binary):
    """1 000 000 client addresses behind a trusted proxy, one unsigned request each"""
    with Agent(binary, webhooks="  trusted_proxies: [127.0.0.1]\n  rate_limit: { max_requests: 100, window_seconds: 60 }") as agent:
        agent.deliver(more="x-forwarded-for: 198.51.100.7\r\n")
        before, counts, lock = agent.memory(), {}, threading.Lock()
        numbers = list(range(CLIENTS))
        random.Random(7).shuffle(numbers)

        def batch(s, some):
            """Sends requests in one go; the codes of those that were answered before the server closed the connection."""
            s.sendall(b"".join(
                b"POST /webhook/github HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nx-forwarded-for: 10.%d.%d.%d\r\n\r\n{}"
                % (n >> 16 & 255, n >> 8 & 255, n & 255) for n in some))
            data = b""
            while data.count(b"HTTP/1.1 ") < len(some) or not data.endswith(b"}"):
                try:
                    piece = s.recv(1 << 20)
                except ConnectionResetError:
                    piece = b""
                if not piece:
                    break
                data += piece
            return [piece[:3].decode() for piece in data.split(b"HTTP/1.1 ")[1:]]

        def flood(part):
            s, at = agent.connect(), 0
            while at < len(part):
                some = part[at:at + 64]
                try:
                    codes = batch(s, some)
                except OSError:
                    codes = []
                with lock:
                    for code in codes:
                        counts[code] = counts.get(code, 0) + 1
                at += len(codes)
                # A request that is refused before its body is read ends its connection.
                if len(codes) < len(some):
                    s.close()
                    s = agent.connect()
            s.close()

        honest = Honest(agent)
        deliver = agent.deliver
        agent.deliver = lambda **more: deliver(more="x-forwarded-for: 198.51.100.7\r\n", **more)
        honest.every = 1
        with Peak(agent) as peak, honest:
            threads = [threading.Thread(target=flood, args=(numbers[i::8],)) for i in range(8)]
            [t.start() for t in threads]
            [t.join() for t in threads]
        listed = ", ".join(f"{count}× {code}" for code, count in sorted(counts.items()))
        rejected = agent.sql("SELECT count(*) AS n FROM events WHERE status = 'rejected'")[0]["n"]
        return row(agent, before, peak.most, f"{listed}; {honest.told()}; {rejected} refusals kept",
                   honest.good() and sum(counts.values()) == CLIENTS and rejected <= 10_000)


def payload_bombs(binary):
    """Signed bombs: nesting, numbers, keys, values, text of 25 MiB, compressed"""
    number = lambda digits: b'{"action":"opened","n":' + b"9" * digits + b"}"
    bombs = {
        "100 000 levels": b"[" * 100_000 + b"]" * 100_000,
        "127 levels": b'{"a":' * 126 + b"1" + b"}" * 126,
        "a number of 1 000 000 digits": number(1_000_000),
        "1e400": b'{"action":"opened","number":1e400}',
        "-1e-400": b'{"action":"opened","number":-1e-400}',
        "100 000 equal keys": b'{"action":"opened"' + b',"a":1' * 100_000 + b"}",
        "500 000 different keys": b'{"action":"opened"' + b"".join(b',"k%d":1' % i for i in range(500_000)) + b"}",
        "5 000 000 empty objects": b"[" + b"{}," * 5_000_000 + b"{}]",
        "a text of 25 MiB": b'{"action":"opened","title":"' + b"x" * (25 * 1024 * 1024 - 40) + b'"}',
        "26 MiB": b'{"a":"' + b"x" * (26 * 1024 * 1024) + b'"}',
        "a title of 1 MiB": b'{"action":"opened","number":1,"pull_request":{"number":1,"html_url":"https://github.com/a/b","title":"'
        + b"x" * (1 << 20) + b'"},"repository":{"full_name":"a/b"},"sender":{"login":"o"}}',
        "NUL and controls": b'{"action":"opened","title":"\\u0000\\u202e\\ud800"}',
        "not UTF-8": b'{"action":"\xff\xfe"}',
    }
    with Agent(binary) as agent:
        agent.deliver()
        before, answers, slowest, good = agent.memory(), [], 0, True
        with Peak(agent) as peak, Honest(agent) as honest:
            for name, body in bombs.items():
                status, took = agent.deliver(body)
                answers.append(f"{name}: {status}")
                slowest = max(slowest, took)
                good = good and status in (200, 400, 413)
            zipped = agent.deliver(b"\x1f\x8b" + b"\0" * 100, more="content-encoding: gzip\r\n")[0]
            answers.append(f"gzip: {zipped}")
            drained = agent.settled(120)
        failed = agent.sql("SELECT count(*) AS n FROM events WHERE status = 'failed'")[0]["n"]
        what = f"{'; '.join(answers)}; slowest {slowest:.1f} s; {failed} failed in the queue; {honest.told()}"
        return row(agent, before, peak.most, what, good and honest.good() and zipped == 400 and drained and failed == 0)


def jumping_clock(binary):
    """The wall clock jumps a day on, a year back, ten years on, and back"""
    libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not libraries:
        raise Skipped("libfaketime is not installed")
    with tempfile.NamedTemporaryFile("w", suffix=".faketime") as file:
        def jump(offset):
            file.seek(0)
            file.truncate()
            file.write(offset + "\n")
            file.flush()

        jump("+0")
        environment = {"LD_PRELOAD": libraries[0], "FAKETIME_TIMESTAMP_FILE": file.name, "FAKETIME_NO_CACHE": "1",
                       "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        rate = "  rate_limit: { max_requests: 1000, window_seconds: 60 }"
        with Agent(binary, environment=environment, webhooks=rate) as agent:
            before, answers = agent.memory(), []
            with Peak(agent) as peak:
                for offset in ("+0", "+1d", "-365d", "+3650d", "+0"):
                    jump(offset)
                    some = [agent.deliver()[0] for _ in range(50)]
                    answers.append(f"{offset}: {some.count(200)} of 50")
                drained = agent.settled()
                notices, all_told = told(agent)
            seen = agent.sql("SELECT min(received_at) AS first, max(received_at) AS last FROM events")[0]
            years = (seen["last"] - seen["first"]) / 1000 / 86400 / 365
            return row(agent, before, peak.most,
                       f"{'; '.join(answers)} answered 200; events {years:.0f} years apart; notices: {notices}",
                       len(agent.acknowledged) == 250 and drained and years > 10 and all_told)


def full_disk(binary):
    """A disk of 24 MiB fills up and is emptied again"""
    disk = tempfile.mkdtemp(prefix="hookhand-abuse-disk-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        os.rmdir(disk)
        raise Skipped("a small disk cannot be mounted (it takes root)")
    try:
        ballast = os.path.join(disk, "ballast")
        with open(ballast, "wb") as f:
            f.write(b"\0" * (12 << 20))
        with Agent(binary, data=os.path.join(disk, "data")) as agent:
            before, answers = agent.memory(), []
            body = json.dumps({"action": "opened", "filler": "x" * 20_000}).encode()
            with Peak(agent) as peak:
                while len(answers) < 5000 and answers.count(503) < 50:
                    answers.append(agent.deliver(body)[0])
                health_full = agent.health()
                os.remove(ballast)
                time.sleep(1)
                again = [agent.deliver(body)[0] for _ in range(50)]
                health_free = agent.health()
            agent.kill()
            agent.start()
            what = (f"{answers.count(200)}× 200 and then {answers.count(503)}× 503 (`/health` {health_full}); "
                    f"after emptying {again.count(200)} of 50 200 (`/health` {health_free}); then kill -9")
            return row(agent, before, peak.most, what, set(answers) == {200, 503} and again.count(200) >= 49)
    finally:
        subprocess.run(["umount", disk], check=False)
        os.rmdir(disk)


def failing_fsync(binary):
    """EIO on every fsync for a while, then kill -9"""
    if not shutil.which("strace"):
        raise Skipped("strace is not installed")
    with Agent(binary) as agent:
        first = [agent.deliver()[0] for _ in range(50)]
        before, pid = agent.memory(), str(agent.process.pid)
        with Peak(agent) as peak:
            tracer = subprocess.Popen(
                ["strace", "-f", "-q", "-o", "/dev/null", "-p", pid, "-e", "trace=fsync,fdatasync",
                 "-e", "inject=fsync,fdatasync:error=EIO"], stderr=subprocess.PIPE)
            time.sleep(1)
            if tracer.poll() is not None:
                raise Skipped(f"strace may not trace here: {tracer.stderr.read().decode()[-100:]}")
            during = [agent.deliver(timeout=15)[0] for _ in range(30)]
            tracer.terminate()
            tracer.wait()
            time.sleep(1)
            after = [agent.deliver()[0] for _ in range(50)]
        agent.kill()
        agent.start()
        what = (f"before {first.count(200)}× 200; while failing {', '.join(f'{during.count(a)}× {a}' for a in sorted(set(during), key=str))}; "
                f"afterwards {after.count(200)}× 200; then kill -9")
        return row(agent, before, peak.most, what, during.count(200) == 0 and after.count(200) >= 49)


class Silent:
    """A server that takes connections and never answers."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1000)
        self.port, self.taken = self.listener.getsockname()[1], []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                self.taken.append(self.listener.accept()[0])
            except OSError:
                return


def telegram(bot):
    """The configuration of an agent whose notices go to this bot."""
    return f"telegram: {{ token: '123456:abuse-token', api_url: 'http://127.0.0.1:{bot.port}', chats: {{ default: 1 }} }}\n"


def told(agent, timeout=180):
    """Waits until no notice waits; states of notices and how many, and whether none waits."""
    waiting = "SELECT count(*) AS n FROM notices WHERE state IN ('pending', 'sending')"
    deadline = time.monotonic() + timeout
    while agent.sql(waiting)[0]["n"] and time.monotonic() < deadline:
        time.sleep(1)
    states = agent.sql("SELECT state, count(*) AS n FROM notices GROUP BY state ORDER BY state")
    return ", ".join(f"{state['n']} {state['state']}" for state in states), agent.sql(waiting)[0]["n"] == 0


def silent_model(binary):
    """A model that takes calls and never answers (time-out 5 s), 200 events"""
    model, bot = Silent(), BotApi()
    config = (f"model: {{ provider: openai, name: gpt-4o-mini, base_url: 'http://127.0.0.1:{model.port}/v1/', "
              f"api_key: none, timeout_seconds: 5 }}\n{telegram(bot)}")
    with Agent(binary, config=config) as agent:
        before = agent.memory()
        with Peak(agent) as peak:
            answers = [agent.deliver() for _ in range(200)]
            drained = agent.settled()
            notices, all_told = told(agent)
            time.sleep(15)
        times = sorted(took for _, took in answers)
        what = (f"{sum(s == 200 for s, _ in answers)}× 200, middle {times[100] * 1000:.0f} ms, slowest {times[-1] * 1000:.0f} ms; "
                f"notices: {notices}, in {len(bot.messages)} messages; the model was called {len(model.taken)} times")
        good = all(s == 200 for s, _ in answers) and drained and all_told and model.taken
        return row(agent, before, peak.most, what, good)


def telegram_outage(binary):
    """A Telegram that answers nothing for 20 s, then 500 for 20 s; 200 events"""
    bot = BotApi()
    with Agent(binary, config=telegram(bot)) as agent:
        before = agent.memory()
        with Peak(agent) as peak:
            bot.mode = "nothing"
            answers = [agent.deliver()[0] for _ in range(100)]
            time.sleep(20)
            bot.mode = "500"
            answers += [agent.deliver()[0] for _ in range(100)]
            time.sleep(20)
            bot.mode = "well"
            drained = agent.settled()
            notices, all_told = told(agent)
        what = f"{answers.count(200)}× 200; notices: {notices}, in {len(bot.messages)} messages"
        return row(agent, before, peak.most, what, answers.count(200) == 200 and drained and all_told)


SCENARIOS = [slow_one_address, slow_everywhere, slow_few_files, connection_flood, header_flood, slow_bodies, many_clients,
             payload_bombs, jumping_clock, full_disk, failing_fsync, silent_model, telegram_outage]


def main():
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        sys.exit(__doc__)
    wanted = sys.argv[2:]
    unknown = [name for name in wanted if name not in [s.__name__ for s in SCENARIOS]]
    if unknown:
        sys.exit(f"no scenario {unknown[0]}: {', '.join(s.__name__ for s in SCENARIOS)}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print("| scenario | what | answered | kept of what was acknowledged | memory before / most / after | held |")
    print("|---|---|---|---|---|---|", flush=True)
    broken = 0
    for scenario in SCENARIOS:
        if wanted and scenario.__name__ not in wanted:
            continue
        what = scenario.__doc__
        try:
            answered, kept, memory, good = scenario(sys.argv[1])
            print(f"| `{scenario.__name__}` | {what} | {answered} | {kept} | {memory} | {'yes' if good else '**no**'} |", flush=True)
            broken += not good
        except Skipped as why:
            print(f"| `{scenario.__name__}` | {what} | skipped: {why} | | | |", flush=True)
        except Exception as fault:  # One scenario that fails must not hide the others.
            print(f"| `{scenario.__name__}` | {what} | failed: {type(fault).__name__} {fault} | | | **no** |", flush=True)
            broken += 1
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
