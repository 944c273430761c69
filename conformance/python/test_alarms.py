"""Resource alarms: producers are kept back, consumers are not, and it passes by itself. Each test has a broker of its own,
whose watermarks are where the test wants them."""
import os
import queue
import shutil
import tempfile
import urllib.request
from pathlib import Path

import pika
import pytest
import redis
from pika.exceptions import NackError

import protocols
from protocols import Refused
from tools import Inbox, baton_only, bodies, closes_channel, connect, depth, parameters, send, wait_until

MIB = 1 << 20
pytestmark = baton_only("RabbitMQ stops reading from a connection that publishes during an alarm, acks on it included")


def metric(broker, name):
    with urllib.request.urlopen(f"http://{broker.http_listen}/metrics") as response:
        lines = response.read().decode().splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.split()[0] in (name, f"{name}_total"))


class Blocked(list):
    """What a connection is told: reasons, and None for the end."""

    def __init__(self, connection):
        super().__init__()
        self.connection = connection
        connection.add_on_connection_blocked_callback(lambda _c, frame: self.append(frame.method.reason))
        connection.add_on_connection_unblocked_callback(lambda _c, _frame: self.append(None))

    def wait(self, *expected):
        wait_until(lambda: self.connection.process_data_events(0.05) or list(self) == list(expected),
                   what=f"blocked {expected}, was {list(self)}")


@pytest.mark.parametrize("limits,reason", [
    ({"memory_bytes_max": 1}, "low on memory"),
    ({"disk_free_bytes_min": 1 << 60}, "low on disk"),
    ({"memory_bytes_max": 1, "disk_free_bytes_min": 1 << 60}, "low on memory & disk"),
])
def test_a_connection_that_sends_and_consumes_goes_on_consuming(limited, caplog, limits, reason):
    broker = limited()
    before = connect(broker)
    channel = before.channel()
    channel.queue_declare("jobs", durable=True)
    channel.confirm_delivery()
    for number in range(5):
        channel.basic_publish("", "jobs", str(number).encode(), pika.BasicProperties(delivery_mode=2))
    before.close()
    broker.again(**limits)

    connection = connect(broker)
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_qos(prefetch_count=2)
    inbox = Inbox(channel, "jobs").wait(2)
    with pytest.raises(NackError):
        channel.basic_publish("", "jobs", b"refused")
    for tag in inbox.tags:
        channel.basic_ack(tag)
    inbox.wait(4)
    for tag in inbox.tags[2:]:
        channel.basic_ack(tag)
    assert inbox.wait(5).bodies == ["0", "1", "2", "3", "4"]
    channel.queue_declare("still", durable=True)
    # A newcomer is told right after connection.open-ok, before pika takes callbacks; its log has it.
    assert f"Connection.Blocked(['reason={reason}'])" in caplog.text
    connection.close()


def test_what_is_not_confirmed_waits_and_a_flood_is_refused(limited):
    broker = limited(memory_bytes_max=1)
    connection = connect(broker)
    channel = connection.channel()
    channel.queue_declare("jobs", durable=True)
    send(channel, "jobs", *range(10))
    assert depth(channel, "jobs") == 0
    assert metric(broker, "baton_publishes_held") == 10
    assert metric(broker, "baton_memory_alarm") == 1
    with closes_channel(406):
        send(channel, "jobs", *[b"x" * MIB] * 2)
        depth(channel, "jobs")
    # What waits outlives its connection, and an orderly end of the broker.
    connection.close()
    broker.again()
    channel = connect(broker).channel()
    assert bodies(channel, "jobs") == [], "they were transient"


def test_waiting_persistent_messages_survive_their_connection_and_an_orderly_end(limited):
    broker = limited(memory_bytes_max=1)
    connection = connect(broker)
    channel = connection.channel()
    channel.queue_declare("jobs", durable=True)
    for number in range(10):
        send(channel, "jobs", number, delivery_mode=2)
    connection.close()
    broker.again()
    assert bodies(connect(broker).channel(), "jobs") == [str(number) for number in range(10)]


class DiskSpace:
    """A watermark that a large file on the same file system reaches, and its removal leaves."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="baton-space-"))
        self.free = shutil.disk_usage(self.directory).free
        if self.free < 8192 * MIB:
            pytest.skip("needs 8 GiB of free disk")
        # The alarm ends when a tenth more is free: the file takes that, and room for what others do on this disk.
        self.watermark = (self.free - 1024 * MIB) * 10 // 11

    def take(self):
        with open(self.directory / "large", "wb") as large:
            os.posix_fallocate(large.fileno(), 0, self.free - self.watermark + 1024 * MIB)

    def give_back(self):
        (self.directory / "large").unlink()


@pytest.fixture
def space():
    space = DiskSpace()
    yield space
    shutil.rmtree(space.directory, ignore_errors=True)


def test_a_disk_alarm_comes_and_goes_by_itself(limited, space):
    broker = limited(disk_free_bytes_min=space.watermark)
    connection = pika.BlockingConnection(parameters(broker))
    blocked = Blocked(connection)
    channel = connection.channel()
    channel.queue_declare("jobs", durable=True)
    send(channel, "jobs", "before", delivery_mode=2)
    wait_until(lambda: depth(channel, "jobs") == 1)
    space.take()
    blocked.wait("low on disk")
    send(channel, "jobs", "meanwhile", delivery_mode=2)
    assert depth(channel, "jobs") == 1
    assert "limits.disk_free_bytes_min" in broker.log_tail()
    space.give_back()
    blocked.wait("low on disk", None)
    wait_until(lambda: depth(channel, "jobs") == 2)
    connection.close()


TOLD = {  # what a producer is told: of memory, of disk
    "amqp": ("basic.nack", "basic.nack"),
    "sqs": ("503 ServiceUnavailable the broker is low on memory (limits.memory_bytes_max)",
            "503 ServiceUnavailable the broker is low on disk space (limits.disk_free_bytes_min)"),
    "redis": ("OutOfMemoryError command not allowed when used memory > 'maxmemory'.",
              "ResponseError MISCONF Errors writing to the AOF file: No space left on device"),
}


def is_over(broker, kind):
    return metric(broker, f"baton_{kind}_alarm") == 0


@pytest.mark.parametrize("name", TOLD)
def test_each_protocol_refuses_in_its_words_during_a_disk_alarm_and_consumers_go_on(limited, space, name):
    broker = limited(disk_free_bytes_min=space.watermark)
    client = protocols.ALL[name](broker)
    for number in range(3):
        client.put(b"%d" % number)
    space.take()
    wait_until(lambda: metric(broker, "baton_disk_alarm") == 1)
    assert metric(broker, "baton_memory_alarm") == 0
    with pytest.raises(Refused) as told:
        client.put(b"refused")
    assert str(told.value).startswith(TOLD[name][1])
    assert sorted(client.take() for _ in range(3)) == [b"0", b"1", b"2"]
    space.give_back()
    wait_until(lambda: is_over(broker, "disk"))
    client.put(b"again")
    assert client.take() == b"again"
    log = broker.log_tail()
    assert "disk alarm: " in log and "limits.disk_free_bytes_min" in log and "the disk alarm is over" in log
    client.close()


@pytest.mark.parametrize("name", protocols.ALL)
def test_draining_ends_a_memory_alarm(limited, name):
    """The watermark lies 44 MiB above what the broker has when it begins; waiting messages reach it, and consumers leave it. Beyond
    64 MiB waiting messages would leave the memory by themselves."""
    broker = limited()
    client = protocols.ALL[name](broker)
    client.put(b"first")
    assert client.take() == b"first"
    client.close()
    broker.again(memory_bytes_max=metric(broker, "baton_process_resident_memory_bytes") + 44 * MIB)
    client, body, taken = protocols.ALL[name](broker), b"m" * (MIB - 1024), 0
    for sent in range(400):
        try:
            client.put(body)
        except queue.Empty:
            # A receipt that does not come is how a producer of STOMP is slowed.
            assert name == "stomp" and metric(broker, "baton_publishes_held") == 1
            break
        except Refused as told:
            assert str(told).startswith(TOLD[name][0])
            break
    assert 0 < sent < 399
    assert metric(broker, "baton_memory_alarm") == 1 and metric(broker, "baton_disk_alarm") == 0
    consumer = protocols.ALL[name](broker)
    while taken < sent:
        assert consumer.take() == body, "consumers go on"
        taken += 1
    wait_until(lambda: is_over(broker, "memory"))
    if name == "stomp":
        assert client.receipts.get(timeout=10) and consumer.take() == body
    client.put(b"again")
    assert consumer.take() == b"again"
    log = broker.log_tail()
    assert "memory alarm: " in log and "limits.memory_bytes_max" in log and "the memory alarm is over" in log
    client.close()
    consumer.close()


def test_stomp_receipts_wait_for_the_end_of_an_alarm_and_consumers_do_not(limited, space):
    """As RabbitMQ's users see it: the receipt comes when the alarm is over. Acknowledgements on the same connection still count."""
    broker = limited(disk_free_bytes_min=space.watermark)
    client = protocols.Stomp(broker)
    for number in range(3):
        client.put(b"%d" % number)
    space.take()
    wait_until(lambda: metric(broker, "baton_disk_alarm") == 1)
    receipts = [client.send(b"later") for _ in range(2)]
    wait_until(lambda: metric(broker, "baton_publishes_held") == 2)
    assert [client.take() for _ in range(3)] == [b"0", b"1", b"2"]
    assert client.receipts.empty() and client.errors.empty()
    space.give_back()
    assert [client.receipts.get(timeout=10) for _ in range(2)] == receipts
    assert [client.take() for _ in range(2)] == [b"later"] * 2
    # What does not fit is refused in words.
    broker.again(disk_free_bytes_min=1 << 60)
    client = protocols.Stomp(broker)
    with pytest.raises(Refused, match="^resource_error .*limits.disk_free_bytes_min"):
        client.put(b"x" * 2 * MIB)


def test_redis_reads_and_removes_during_an_alarm(limited):
    broker = limited()
    protocols.Redis(broker).client.rpush("limits", "a", "b", "c", "d")
    broker.again(memory_bytes_max=1)
    client = protocols.Redis(broker).client
    for command in (("LPUSH", "limits", "x"), ("RPUSH", "limits", "x"), ("LSET", "limits", "0", "x"),
                    ("LINSERT", "limits", "AFTER", "a", "x")):
        with pytest.raises(redis.exceptions.OutOfMemoryError, match="limits.memory_bytes_max"):
            client.execute_command(*command)
    assert client.lrange("limits", 0, -1) == [b"a", b"b", b"c", b"d"]
    assert (client.blpop("limits", 1), client.rpop("limits")) == ((b"limits", b"a"), b"d")
    assert (client.lrem("limits", 0, "b"), client.delete("limits"), client.exists("limits")) == (1, 1, 0)
