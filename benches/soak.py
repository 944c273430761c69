"""Soak: a constant load on a broker of its own while consumers fail at random; memory, disk and counters must stay flat.

    .cache/venv/bin/python benches/soak.py --bin target/release/baton --minutes 20 --rate 3000

`cargo xtask test` makes that environment. Producers confirm every message; consumers acknowledge, return, or vanish in the
middle of what they hold. At the end everything is drained: nothing confirmed may be missing. Prints a table and a verdict,
exits with 1 when the verdict is bad. The method is in docs/benchmarks/method.md.
"""
import argparse
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import pika

QUEUES = ["soak.0", "soak.1"]
BODY_BYTES = 1024
PREFETCH = 200
# What must be the same at the end as after the first minutes.
FLAT = ["baton_session_defects_total", "baton_requests_refused_total", "baton_messages_dropped_total", "baton_logins_failed_total"]


def connect(port):
    return pika.BlockingConnection(pika.URLParameters(f"amqp://guest:guest@127.0.0.1:{port}/?heartbeat=0"))


class Producer(threading.Thread):
    """Sends numbers at a rate, in transactions of confirms of a hundred, and remembers what was confirmed."""

    def __init__(self, port, queue, rate, over):
        super().__init__(daemon=True)
        self.port, self.queue, self.rate, self.over = port, queue, rate, over
        self.confirmed = 0

    def run(self):
        connection = connect(self.port)
        channel = connection.channel()
        channel.tx_select()
        properties = pika.BasicProperties(delivery_mode=2)
        filler = b"." * (BODY_BYTES - 12)
        start = time.monotonic()
        while not self.over.is_set():
            for number in range(self.confirmed, self.confirmed + 100):
                channel.basic_publish("", self.queue, b"%012d" % number + filler, properties)
            channel.tx_commit()
            self.confirmed += 100
            ahead = self.confirmed / self.rate - (time.monotonic() - start)
            if ahead > 0:
                time.sleep(ahead)
        connection.close()


class Consumer(threading.Thread):
    """Acknowledges nearly everything, returns some, and vanishes now and then without a word."""

    def __init__(self, port, queue, seed, over, seen):
        super().__init__(daemon=True)
        self.port, self.queue, self.over, self.seen = port, queue, over, seen
        self.dice = random.Random(seed)
        self.failures = self.returned = 0

    def run(self):
        while not self.over.is_set():
            self.live(time.monotonic() + self.dice.uniform(2, 20))

    def live(self, until):
        connection = connect(self.port)
        channel = connection.channel()
        channel.basic_qos(prefetch_count=PREFETCH)
        slow = self.dice.random() < 0.1
        unacked = last = 0
        for method, _, body in channel.consume(self.queue, inactivity_timeout=0.2):
            if method:
                unacked, last = unacked + 1, method.delivery_tag
                if self.dice.random() < 0.002:
                    channel.basic_ack(method.delivery_tag - 1, multiple=True) if unacked > 1 else None
                    channel.basic_nack(method.delivery_tag, requeue=True)
                    self.returned, unacked = self.returned + 1, 0
                    continue
                self.seen[int(body[:12])] = 1
                if unacked >= 50:
                    channel.basic_ack(method.delivery_tag, multiple=True)
                    unacked = 0
                if slow and self.dice.random() < 0.01:
                    time.sleep(0.1)
            elif unacked:
                # Not all there are: those on their way here would be acknowledged without having been seen.
                channel.basic_ack(last, multiple=True)
                unacked = 0
            if self.over.is_set() or time.monotonic() > until:
                break
        if self.over.is_set():
            connection.close()
            return
        # The socket ends in the middle of what this consumer holds.
        self.failures += 1
        connection._impl._transport._sock.shutdown(socket.SHUT_RDWR)


def sample(process, http, data):
    status = Path(f"/proc/{process.pid}/status").read_text()
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics", timeout=10).read().decode()
    figures = {name: float(value) for name, value in re.findall(r"^(\w+) ([0-9.e+]+)$", metrics, re.M)}
    figures["rss_mib"] = int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024
    figures["disk_mib"] = sum(f.stat().st_blocks for f in data.rglob("*") if f.is_file()) / 2048
    figures["files"] = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    return figures


def start(binary, home):
    ready = home / "ready.json"
    process = subprocess.Popen(
        [binary, "serve", "--data-dir", home / "data", "--amqp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
         "--stomp-listen", "off", "--redis-listen", "off", "--ready-file", ready],
        stdout=subprocess.DEVNULL, stderr=(home / "log").open("w"))
    while not ready.exists() or not re.search(r"}\s*$", ready.read_text()):
        time.sleep(0.02)
    ports = dict(re.findall(r'"(amqp|http)":\s*"127\.0\.0\.1:(\d+)"', ready.read_text()))
    return process, int(ports["amqp"]), int(ports["http"])


def drain(port, queue, seen):
    connection = connect(port)
    channel = connection.channel()
    for method, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=3):
        if not method:
            break
        seen[int(body[:12])] = 1
    connection.close()


def flat(samples, key, slack):
    """The last third is not above the middle one by more than a tenth and `slack`."""
    third = len(samples) // 3
    middle = max(s[key] for s in samples[third:2 * third])
    last = max(s[key] for s in samples[2 * third:])
    return last <= middle * 1.1 + slack, f"{key}: at most {middle:.0f} in the middle third, {last:.0f} in the last"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--bin", default="target/release/baton", help="the broker")
    arguments.add_argument("--minutes", type=float, default=20)
    arguments.add_argument("--rate", type=int, default=3000, help="messages per second over all queues")
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    home = Path(tempfile.mkdtemp(prefix="baton-soak-"))
    process, amqp, http = start(options.bin, home)
    setup = connect(amqp)
    for queue in QUEUES:
        setup.channel().queue_declare(queue, durable=True)
    over, producing = threading.Event(), threading.Event()
    room = int(options.rate * (options.minutes + 1) * 60 / len(QUEUES))
    seen = {queue: bytearray(room) for queue in QUEUES}
    producers = [Producer(amqp, queue, options.rate / len(QUEUES), producing) for queue in QUEUES]
    consumers = [Consumer(amqp, queue, options.seed + n, over, seen[queue])
                 for queue in QUEUES for n in range(2)]
    for thread in producers + consumers:
        thread.start()
    samples, begin = [], time.monotonic()
    print("| minute | resident MiB | disk MiB | files | waiting | delivered | returned or lost by consumers |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    while time.monotonic() - begin < options.minutes * 60:
        time.sleep(10)
        figures = sample(process, http, home / "data")
        samples.append(figures)
        minute = (time.monotonic() - begin) / 60
        if len(samples) % 6 == 0:
            failures = sum(c.failures + c.returned for c in consumers)
            print(f"| {minute:.0f} | {figures['rss_mib']:.0f} | {figures['disk_mib']:.0f} | {figures['files']} "
                  f"| {figures['baton_messages']:.0f} | {figures['baton_messages_delivered_total']:.0f} | {failures} |", flush=True)
    producing.set()
    for producer in producers:
        producer.join()
    time.sleep(2)
    over.set()
    for consumer in consumers:
        consumer.join()
    for queue in QUEUES:
        drain(amqp, queue, seen[queue])
    end = sample(process, http, home / "data")
    confirmed = sum(producer.confirmed for producer in producers)
    missing = sum(p.confirmed - sum(seen[p.queue][:p.confirmed]) for p in producers)
    judgements = [flat(samples, "rss_mib", 16), flat(samples, "disk_mib", 130), flat(samples, "files", 8)]
    judgements.append((missing == 0, f"{confirmed} messages confirmed, {missing} of them never received"))
    judgements.append((end["baton_messages"] == 0, f"{end['baton_messages']:.0f} messages left behind"))
    for name in FLAT:
        judgements.append((end.get(name, 0) == 0, f"{name}: {end.get(name, 0):.0f}"))
    process.terminate()
    process.wait(30)
    print()
    for good, text in judgements:
        print(f"- {'good' if good else 'BAD'}: {text}")
    shutil.rmtree(home)
    sys.exit(0 if all(good for good, _ in judgements) else 1)


if __name__ == "__main__":
    main()
