"""Several clients at once: each message is settled by exactly one of them, and a slow one harms nobody."""
import random
import threading

import pika
import pytest
from pika import spec

from tools import connect, depth, get, send, wait_until
from wire import Wire

PUBLISHERS, CONSUMERS, EACH = 3, 4, 250


class Consumer(threading.Thread):
    """Takes messages until told to stop; gives some back, and leaves some to the end of a channel or connection."""

    def __init__(self, server, queue, seed):
        super().__init__()
        self.server, self.queue, self.random = server, queue, random.Random(seed)
        self.acked, self.first_time, self.failure, self.stopping = [], [], None, threading.Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.one_connection()
        except Exception as failure:  # shown by the test
            self.failure = failure

    def one_connection(self):
        connection = connect(self.server)
        for _ in range(2):
            channel = connection.channel()
            channel.basic_qos(prefetch_count=self.random.choice([1, 5, 20]))
            for method, _, body in channel.consume(self.queue, inactivity_timeout=0.05):
                if method is None:
                    if self.stopping.is_set():
                        break
                    continue
                if not method.redelivered:
                    self.first_time.append(body)
                fate = self.random.random()
                if fate < 0.70:
                    channel.basic_ack(method.delivery_tag)
                    self.acked.append(body)
                elif fate < 0.85:
                    channel.basic_nack(method.delivery_tag, requeue=True)
                elif fate < 0.98:
                    channel.basic_reject(method.delivery_tag, requeue=True)
                else:
                    break  # with messages in hand
            channel.close()
        connection.close()


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_every_message_is_acked_by_exactly_one_consumer(server, ch, queue, kind):
    limit = {"x-delivery-limit": 10_000} if kind == "quorum" else {}
    name = queue(ch, {"x-queue-type": kind, **limit})
    consumers = [Consumer(server, name, seed) for seed in range(CONSUMERS)]
    for consumer in consumers:
        consumer.start()

    def publish(number):
        connection = connect(server)
        channel = connection.channel()
        channel.confirm_delivery()
        send(channel, name, *(f"{number}.{n}" for n in range(EACH)), delivery_mode=2)
        connection.close()

    publishers = [threading.Thread(target=publish, args=(number,)) for number in range(PUBLISHERS)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    total = PUBLISHERS * EACH
    wait_until(lambda: sum(len(c.acked) for c in consumers) >= total or any(c.failure for c in consumers), 30, "all acked")
    for consumer in consumers:
        consumer.stopping.set()
    for consumer in consumers:
        consumer.join()
    assert [consumer.failure for consumer in consumers] == [None] * CONSUMERS
    acked = sorted(body for consumer in consumers for body in consumer.acked)
    assert acked == sorted(f"{p}.{n}".encode() for p in range(PUBLISHERS) for n in range(EACH))
    first = [body for consumer in consumers for body in consumer.first_time]
    assert len(first) == len(set(first)), "a message came twice without being marked redelivered"
    assert depth(ch, name) == 0


def test_a_consumer_that_does_not_read_stops_nobody_and_gets_everything_in_the_end(server, ch, queue):
    name, other = queue(ch), queue(ch)
    size, count = 16 * 1024, 2000
    publisher = ch.connection.channel()
    for number in range(count):
        publisher.basic_publish("", name, number.to_bytes(4, "big") + bytes(size))
    wait_until(lambda: depth(ch, name) == count)
    with Wire(server, seconds=30) as lazy:
        lazy.open()
        lazy.open_channel()
        lazy.method(1, spec.Basic.Consume(queue=name, no_ack=True))
        for number in range(200):  # the broker has 32 MiB for a client that takes none of it
            send(ch, other, number)
            assert get(ch, other)[2] == str(number).encode()
        lazy.expect(spec.Basic.ConsumeOk)
        for number in range(count):
            lazy.expect(spec.Basic.Deliver)
            assert lazy.frame().body_size == size + 4
            assert lazy.frame().fragment[:4] == number.to_bytes(4, "big")


def test_a_consumer_that_takes_nothing_leaves_the_queue_to_the_others(connection, ch, queue):
    """Prefetch of one, never acknowledged: everything else goes to whoever works."""
    name = queue(ch)
    stuck, working = connection.channel(), connection.channel()
    stuck.basic_qos(prefetch_count=1)
    held, done = [], []
    stuck.basic_consume(name, lambda _c, m, _p, b: held.append(b))
    working.basic_consume(name, lambda c, m, _p, b: (done.append(b), c.basic_ack(m.delivery_tag)))
    send(ch, name, *range(50))
    wait_until(lambda: connection.process_data_events(0.05) or len(done) == 49)
    assert len(held) == 1 and sorted(held + done) == sorted(str(number).encode() for number in range(50))


def test_hundreds_of_queues(ch, queue):
    names = [queue(ch) for _ in range(300)]
    for number, name in enumerate(names):
        ch.basic_publish("", name, str(number).encode(), pika.BasicProperties(delivery_mode=2))
    assert [get(ch, name)[2] for name in names] == [str(number).encode() for number in range(300)]


def test_hundreds_of_bindings_of_one_exchange(ch, queue, exchange):
    topic, name = exchange(ch, "topic"), queue(ch)
    for number in range(300):
        ch.queue_bind(name, topic, f"device.{number}.#")
    for number in (0, 150, 299):
        send(ch, f"device.{number}.temperature", number, exchange=topic)
    send(ch, "device.300.temperature", "no", exchange=topic)
    assert depth(ch, name) == 3
