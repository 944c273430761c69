"""Does the disk follow what is alive? The whole data directory, in allocated blocks, is compared every few milliseconds with twice what
is alive and two segments, under the loads that make it hard:

- pass: messages of 1 KiB are pushed and popped in blocks of ten thousand, as fast as one connection can; one of each block stays;
- ingest: a backlog grows, one in ten thousand of it in a queue of its own;
- drain: the backlog is popped in blocks of ten thousand, the others stay;
- rest: nothing happens, after each of those.

    BATON_BIN=target/release/baton python benches/disk.py [passing messages] [backlog]

Needs nothing but Python. Prints the table of docs/benchmarks/results.md; the method is in docs/benchmarks/method.md. Exit code 1 if
the directory was ever larger.
"""
import http.client
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
SEGMENT = 64 * MIB
BLOCK = 10_000
BODY = b"x" * 1024
PAUSE_S = 0.002
REST_S = 4
PHASES = ["pass", "rest after pass", "ingest", "rest with backlog", "drain", "rest after drain"]


def files_of(directory):
    for entry in os.scandir(directory):
        if entry.is_dir():
            yield from files_of(entry.path)
        yield entry.inode(), entry.stat(follow_symlinks=False).st_blocks * 512


def blocks_bytes(directory):
    """What the directory takes, each file once. When one is renamed or removed meanwhile, that is no answer."""
    while True:
        try:
            return sum(dict(files_of(directory)).values())
        except FileNotFoundError:
            pass


class Metrics:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address)

    def read(self, name):
        self.connection.request("GET", "/metrics")
        text = self.connection.getresponse().read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


def watch(directory, address, phase, results):
    """A process of its own: the load must not keep it from looking."""
    metrics = Metrics(address)
    worst = {}
    live_before = metrics.read("baton_journal_live_bytes")
    while (now := phase.value) < len(PHASES):
        taken = blocks_bytes(directory)
        live = metrics.read("baton_journal_live_bytes")
        beyond = taken - 2 * min(live, live_before)
        count, live_max, taken_max, beyond_max, _ = worst.get(now, (0, 0, 0, -(1 << 60), 0))
        worst[now] = (count + 1, max(live, live_max), max(taken, taken_max), max(beyond, beyond_max), taken)
        live_before = live
        time.sleep(PAUSE_S)
    results.put(worst)


class Load:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.file = self.socket.makefile("rb", MIB)

    def push(self, kept, work):
        one = lambda key: b"*3\r\n$5\r\nRPUSH\r\n$4\r\n" + key + b"\r\n$1024\r\n" + BODY + b"\r\n"
        self.socket.sendall(one(b"kept") * kept + one(b"work") * work)
        for _ in range(kept + work):
            assert self.file.readline().startswith(b":")

    def pop(self, count):
        self.socket.sendall(b"*3\r\n$4\r\nLPOP\r\n$4\r\nwork\r\n$%d\r\n%d\r\n" % (len(str(count)), count))
        head = self.file.readline()
        assert head == b"*%d\r\n" % count, head
        for _ in range(count):
            self.file.readline()
            assert len(self.file.read(1026)) == 1026


def main():
    passing = int(sys.argv[1] if len(sys.argv) > 1 else 3_000_000) // BLOCK
    backlog = int(sys.argv[2] if len(sys.argv) > 2 else 2_000_000) // BLOCK
    with tempfile.TemporaryDirectory(prefix="baton-disk-") as work:
        data, ready_file = f"{work}/data", f"{work}/ready.json"
        arguments = ["serve", "--data-dir", data, "--amqp-listen", "off", "--stomp-listen", "off", "--http-listen", "127.0.0.1:0"]
        arguments += ["--redis-listen", "127.0.0.1:0", "--ready-file", ready_file]
        broker = subprocess.Popen([os.environ["BATON_BIN"], *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not os.path.exists(ready_file) or not open(ready_file).read().strip():
                assert broker.poll() is None, "the broker does not start"
                time.sleep(0.05)
            ready = json.dumps(json.load(open(ready_file)))
            address = lambda name: re.search(rf'"{name}[^"]*":\s*"([0-9.]+:\d+)"', ready).group(1)
            return measured(data, address("http"), Load(address("redis")), passing, backlog)
        finally:
            broker.terminate()
            broker.wait()


def measured(data, http_address, load, passing, backlog):
    phase, results = multiprocessing.Value("i", 0), multiprocessing.Queue()
    watcher = multiprocessing.Process(target=watch, args=(data, http_address, phase, results), daemon=True)
    watcher.start()
    took = []

    def run(step, times):
        started = time.monotonic()
        for _ in range(times):
            step()
        took.append(time.monotonic() - started)
        phase.value += 1

    def passing_block():
        load.push(1, BLOCK - 1)
        load.pop(BLOCK - 1)

    run(passing_block, passing)
    run(lambda: time.sleep(REST_S), 1)
    run(lambda: load.push(1, BLOCK - 1), backlog)
    run(lambda: time.sleep(REST_S), 1)
    run(lambda: load.pop(BLOCK - 1), backlog)
    run(lambda: time.sleep(REST_S), 1)
    worst = results.get()
    rewritten = Metrics(http_address).read("baton_journal_rewritten_bytes")
    print("| phase | messages per s | alive, most, MiB | directory, most, MiB | at the end, MiB | beyond twice what is alive, most, MiB | in segments | looks |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    counts = [passing * BLOCK, 0, backlog * BLOCK, 0, backlog * BLOCK, 0]
    for number, name in enumerate(PHASES):
        count, live, taken, beyond, at_end = worst[number]
        rate = f"{counts[number] / took[number]:,.0f}" if counts[number] else "–"
        figures = [f"{live / MIB:,.1f}", f"{taken / MIB:,.0f}", f"{at_end / MIB:,.0f}", f"{beyond / MIB:,.1f}", f"{beyond / SEGMENT:.2f}", f"{count:,}"]
        print("|", " | ".join([name, rate, *figures]), "|")
    beyond = max(beyond for _, _, _, beyond, _ in worst.values())
    print(f"\nCopied forward: {rewritten / MIB:,.1f} MiB. Most beyond twice what is alive: {beyond / SEGMENT:.2f} segments, 2 allowed.")
    return 1 if beyond > 2 * SEGMENT else 0


if __name__ == "__main__":
    sys.exit(main())
