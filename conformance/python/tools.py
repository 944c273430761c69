"""What the tests say often: connect, wait for a condition, collect deliveries, expect a close code."""
import time
from contextlib import contextmanager

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def baton_only(reason):
    """A rule of Baton's own that no RabbitMQ has (without plugins)."""
    return pytest.mark.baton_only(reason)


def since(version, reason):
    """A rule of RabbitMQ `version` and later; Baton follows it, an older RabbitMQ is not asked."""
    return pytest.mark.since(version, reason)


def parameters(server, user="guest", password="guest", vhost="/", **kw):
    kw.setdefault("heartbeat", 0)
    return pika.ConnectionParameters(server.host, server.port, vhost, pika.PlainCredentials(user, password),
                                     socket_timeout=10, blocked_connection_timeout=30, **kw)


def connect(server, **kw):
    return pika.BlockingConnection(parameters(server, **kw))


def wait_until(condition, seconds=10.0, what="condition"):
    """Polls `condition` until it is truthy and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not become true within {seconds} s"
        time.sleep(0.02)


@contextmanager
def closes_channel(code, text=None):
    """The block must end with the broker closing the channel with exactly this code (and text)."""
    with pytest.raises(ChannelClosedByBroker) as caught:
        yield
    assert (caught.value.reply_code, caught.value.reply_text) == (code, text or caught.value.reply_text)


@contextmanager
def closes_connection(code, text=None):
    """The block must end with the broker closing the connection with exactly this code (and text)."""
    with pytest.raises(ConnectionClosedByBroker) as caught:
        yield
    assert (caught.value.reply_code, caught.value.reply_text) == (code, text or caught.value.reply_text)


def send(channel, queue, *bodies, exchange="", **properties):
    for body in bodies:
        channel.basic_publish(exchange, queue, body if isinstance(body, bytes) else str(body).encode(),
                              pika.BasicProperties(**properties) if properties else None)


def depth(channel, queue):
    """Messages that are ready, as queue.declare-ok counts them."""
    return channel.queue_declare(queue, passive=True).method.message_count


def consumers(channel, queue):
    return channel.queue_declare(queue, passive=True).method.consumer_count


def get(channel, queue, auto_ack=True, seconds=10.0):
    """The next message, waiting for it: (method, properties, body)."""
    return wait_until(lambda: (lambda m: m if m[0] else None)(channel.basic_get(queue, auto_ack=auto_ack)),
                      seconds, f"a message in {queue}")


def bodies(channel, queue, auto_ack=True):
    """Everything that is ready now, oldest first."""
    found = []
    while (message := channel.basic_get(queue, auto_ack=auto_ack))[0]:
        found.append(message[2].decode())
    return found


def exists(connection, queue):
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except ChannelClosedByBroker as closed:
        assert closed.reply_code == 404
        return False
    channel.close()
    return True


class Inbox(list):
    """A consumer that keeps its deliveries, in order, as (method, properties, body)."""

    def __init__(self, channel, queue, **kw):
        super().__init__()
        self.channel = channel
        self.tag = channel.basic_consume(queue, lambda _c, m, p, b: self.append((m, p, b)), **kw)

    @property
    def bodies(self):
        return [body.decode() for _, _, body in self]

    @property
    def tags(self):
        return [method.delivery_tag for method, _, _ in self]

    def wait(self, count, seconds=10.0):
        """Waits for `count` deliveries in total; more than that is an error."""
        deadline = time.monotonic() + seconds
        while len(self) < count:
            assert time.monotonic() < deadline, f"{len(self)} of {count} deliveries within {seconds} s: {self.bodies}"
            self.channel.connection.process_data_events(0.05)
        assert len(self) == count, self.bodies
        return self

    def quiet(self, seconds=0.2):
        """Nothing further may arrive for `seconds`: the only way to see that a broker holds something back."""
        before = len(self)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.channel.connection.process_data_events(left)
        assert len(self) == before, f"unexpected deliveries: {self.bodies[before:]}"
        return self
