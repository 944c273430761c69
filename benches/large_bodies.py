"""How much memory one large message takes: the highest resident set of the broker (VmHWM) idle, after the message was taken and
confirmed, after it was handed out, and after a SIGKILL, a restart and the reading back. Each protocol has a broker of its own.

    BATON_BIN=target/release/baton python benches/large_bodies.py [MiB]

Needs what conformance/python/requirements.txt names. Prints the table of docs/benchmarks/results.md.
"""
import os
import socket
import sys
from contextlib import closing, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "conformance" / "python"))
import pika
import redis
import websocket

import server as servers

MIB = 1 << 20
SIZE = int(sys.argv[1] if len(sys.argv) > 1 else 127) * MIB
BODY = os.urandom(MIB) * (SIZE // MIB)


class Amqp:
    def __init__(self, broker):
        self.connection = pika.BlockingConnection(pika.URLParameters(broker.url()))
        self.channel = self.connection.channel()

    def put(self):
        self.channel.queue_declare("large", durable=True)
        self.channel.confirm_delivery()
        self.channel.basic_publish("", "large", BODY, pika.BasicProperties(delivery_mode=2))

    def close(self):
        self.connection.close()

    def take(self):
        return self.channel.basic_get("large", auto_ack=True)[2]


class Stomp:
    """Plain sockets: what the client libraries do with so much is not the question here."""

    def __init__(self, broker):
        host, port = broker.stomp_listen.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.rest = b""
        self.write(b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0")
        assert self.head().startswith(b"CONNECTED")

    def close(self):
        self.socket.close()

    def write(self, *parts):
        for part in parts:
            self.socket.sendall(part)

    def more(self):
        part = self.socket.recv(1 << 18)
        assert part, "the broker hung up"
        return part

    def head(self):
        while b"\n\n" not in self.rest:
            self.rest += self.more()
        head, self.rest = self.rest.lstrip(b"\n\0").split(b"\n\n", 1)
        return head

    def put(self):
        head = f"SEND\ndestination:/queue/large\npersistent:true\nreceipt:1\ncontent-length:{SIZE}\n\n".encode()
        self.write(head, BODY, b"\0")
        assert self.head().startswith(b"RECEIPT")

    def take(self):
        self.write(b"SUBSCRIBE\nid:0\ndestination:/queue/large\n\n\0")
        assert self.head().startswith(b"MESSAGE")
        parts, length = [self.rest], len(self.rest)
        while length <= SIZE:
            parts.append(self.more())
            length += len(parts[-1])
        return b"".join(parts)[:SIZE]


class Websocket(Stomp):
    """One WebSocket message for the whole frame, as browsers' clients send it."""

    def __init__(self, broker):
        self.socket = websocket.create_connection(f"ws://{broker.http_listen}/ws", subprotocols=["v12.stomp"], timeout=60)
        self.rest = b""
        self.write(b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0")
        assert self.head().startswith(b"CONNECTED")

    def write(self, *parts):
        self.socket.send_binary(b"".join(parts))

    def more(self):
        return self.socket.recv_data()[1]


class Redis:
    def __init__(self, broker):
        host, port = broker.redis_listen.rsplit(":", 1)
        self.client = redis.Redis(host=host, port=int(port), socket_timeout=60)

    def close(self):
        self.client.close()

    def put(self):
        assert self.client.lpush("large", BODY) == 1

    def take(self):
        return self.client.rpop("large")


def peak_mib(broker):
    status = Path(f"/proc/{broker.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


def measured(protocol):
    broker = servers.BatonServer(os.environ["BATON_BIN"]).start()
    try:
        peaks = [peak_mib(broker)]
        with closing(protocol(broker)) as client:
            client.put()
        peaks.append(peak_mib(broker))
        with closing(protocol(broker)) as client:
            assert client.take() == BODY
        peaks.append(peak_mib(broker))
        client = protocol(broker)
        client.put()
        # At once, before a snapshot makes it unnecessary to read it.
        broker.kill_and_restart()
        with suppress(Exception):
            client.close()
        peaks.append(peak_mib(broker))
        with closing(protocol(broker)) as client:
            assert client.take() == BODY
        peaks.append(peak_mib(broker))
        return peaks
    finally:
        broker.close()


print(f"| one message of {SIZE // MIB} MiB | idle | taken | handed out | restarted | read back |\n| --- | ---: | ---: | ---: | ---: | ---: |")
for name, protocol in [("AMQP 0-9-1", Amqp), ("STOMP", Stomp), ("STOMP over WebSocket", Websocket), ("Redis", Redis)]:
    print(f"| {name} |", " | ".join(str(peak) for peak in measured(protocol)), "|", flush=True)
