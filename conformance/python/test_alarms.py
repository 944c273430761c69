"""Resource alarms: producers are kept back, consumers are not, and it passes by itself. Each test has a broker of its own,
whose watermarks are where the test wants them."""
import os
import shutil
import tempfile
import urllib.request
from pathlib import Path

import pika
import pytest
from pika.exceptions import NackError

import server as servers
from tools import Inbox, baton_only, bodies, closes_channel, connect, depth, parameters, send, wait_until

MIB = 1 << 20
pytestmark = baton_only("RabbitMQ stops reading from a connection that publishes during an alarm, acks on it included")


@pytest.fixture
def limited(server):
    """Starts brokers with these `[limits]`; `again` gives a broker others."""
    started = []

    def start(**limits):
        home = Path(tempfile.mkdtemp(prefix="baton-limits-"))
        config = home / "baton.toml"
        write(config, limits)
        broker = servers.BatonServer(os.environ["BATON_BIN"], ["--config", str(config)]).start()
        broker.again = lambda **limits: (write(config, limits), broker.restart())
        started.append((broker, home))
        return broker

    yield start
    for broker, home in started:
        broker.close()
        shutil.rmtree(home, ignore_errors=True)


def write(config, limits):
    config.write_text("[limits]\n" + "".join(f"{key} = {value}\n" for key, value in limits.items()))


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


def test_a_disk_alarm_comes_and_goes_by_itself(limited):
    """A large file on the same file system takes the space, and gives it back."""
    directory = Path(tempfile.mkdtemp(prefix="baton-space-"))
    free = shutil.disk_usage(directory).free
    if free < 8192 * MIB:
        pytest.skip("needs 8 GiB of free disk")
    try:
        # The alarm ends when a tenth more is free: the file takes that, and room for what others do on this disk.
        watermark = (free - 1024 * MIB) * 10 // 11
        broker = limited(disk_free_bytes_min=watermark)
        connection = pika.BlockingConnection(parameters(broker))
        blocked = Blocked(connection)
        channel = connection.channel()
        channel.queue_declare("jobs", durable=True)
        send(channel, "jobs", "before", delivery_mode=2)
        wait_until(lambda: depth(channel, "jobs") == 1)
        with open(directory / "large", "wb") as large:
            os.posix_fallocate(large.fileno(), 0, free - watermark + 1024 * MIB)
        blocked.wait("low on disk")
        send(channel, "jobs", "meanwhile", delivery_mode=2)
        assert depth(channel, "jobs") == 1
        assert "limits.disk_free_bytes_min" in broker.log_tail()
        (directory / "large").unlink()
        blocked.wait("low on disk", None)
        wait_until(lambda: depth(channel, "jobs") == 2)
        connection.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
