"""Broken and hostile bytes: the right code, that connection alone, and everybody else goes on."""
import struct

import pytest
from pika import frame, spec

from tools import baton_only, get, send
from wire import Wire


@pytest.fixture(autouse=True)
def a_witness_goes_on(queue, ch):
    """A second client, connected all along, must still be served after every test here."""
    name = queue(ch)
    yield
    send(ch, name, "alive")
    assert get(ch, name)[2] == b"alive"


@pytest.fixture
def wire(server):
    with Wire(server) as wire:
        wire.open()
        wire.open_channel()
        yield wire


@pytest.fixture
def closed_with(wire, rabbitmq_version):
    """The broker must name one of these codes. RabbitMQ itself hangs up without one in a few places."""
    def check(codes):
        closed = wire.expect_connection_close()
        assert closed is not None and closed[0] in codes or closed is None and rabbitmq_version is not None, closed
    return check


def raw_frame(kind, channel, payload, size=None, end=b"\xce"):
    return struct.pack(">BHI", kind, channel, len(payload) if size is None else size) + payload + end


def test_wrong_frame_end_closes_with_501(wire, closed_with):
    wire.raw(raw_frame(1, 1, struct.pack(">HHIHB", 60, 10, 0, 1, 0), end=b"\x00"))
    closed_with((501,))


def test_frame_larger_than_frame_max_closes_with_501(wire, closed_with):
    wire.raw(raw_frame(3, 1, b"", size=131072 * 2, end=b""))
    closed_with((501,))


def test_frame_that_claims_four_gigabytes_closes_with_501(wire, closed_with):
    wire.raw(raw_frame(1, 1, b"", size=0xFFFFFFFF, end=b""))
    closed_with((501,))


def test_unknown_frame_type_closes_with_501(wire, closed_with):
    wire.raw(raw_frame(9, 1, b"hello"))
    closed_with((501, 505))


def test_unknown_class_closes_the_connection(wire, closed_with):
    wire.raw(raw_frame(1, 1, struct.pack(">HH", 6666, 1)))
    closed_with((501, 502, 503, 540))


def test_unknown_method_closes_the_connection(wire, closed_with):
    wire.raw(raw_frame(1, 1, struct.pack(">HH", 60, 6666)))
    closed_with((501, 502, 503, 540))


def test_truncated_method_closes_the_connection(wire, closed_with):
    wire.raw(raw_frame(1, 1, struct.pack(">HHH", 50, 10, 0) + b"\x20abc"))  # name says 32 bytes, has 3
    closed_with((501, 502))


def test_table_longer_than_its_frame_closes_the_connection(wire, closed_with):
    wire.raw(raw_frame(1, 1, struct.pack(">HHH", 50, 10, 0) + b"\x01q\x00" + struct.pack(">I", 5000) + b"\x03abc"))
    closed_with((501, 502))


def test_table_with_unknown_value_type_closes_the_connection(wire, closed_with):
    table = b"\x01k" + b"\x07" + b"junk"
    wire.raw(raw_frame(1, 1, struct.pack(">HHH", 50, 10, 0) + b"\x01q\x00" + struct.pack(">I", len(table)) + table))
    closed_with((501, 502))


def test_deeply_nested_table_does_not_hurt_the_broker(wire):
    table = b""
    for _ in range(8000):
        table = b"\x01a" + b"F" + struct.pack(">I", len(table)) + table
    wire.raw(raw_frame(1, 1, struct.pack(">HHH", 50, 10, 0) + b"\x00\x08" + struct.pack(">I", len(table)) + table))
    reply = getattr(wire.frame(), "method", None)  # accepted or refused; the witness decides
    assert isinstance(reply, (spec.Queue.DeclareOk, spec.Channel.Close, spec.Connection.Close))


def test_method_on_a_channel_that_is_not_open_closes_with_504(wire):
    wire.method(42, spec.Basic.Qos())
    assert wire.expect_connection_close() == (504, "CHANNEL_ERROR - expected 'channel.open'")


def test_opening_a_channel_twice_closes_with_504(wire):
    wire.method(1, spec.Channel.Open())
    assert wire.expect_connection_close() == (504, "CHANNEL_ERROR - second 'channel.open' seen")


def test_channel_method_on_channel_zero_closes_with_503_or_504(wire, closed_with):
    wire.method(0, spec.Channel.Open())
    closed_with((503, 504))


def test_connection_method_on_another_channel_closes_with_503_or_504(wire, closed_with):
    wire.method(1, spec.Connection.TuneOk())
    closed_with((503, 504))


def test_body_without_method_closes_with_505(wire, closed_with):
    wire.raw(frame.Body(1, b"orphan").marshal())
    closed_with((505,))


def test_header_without_method_closes_with_505(wire, closed_with):
    wire.raw(frame.Header(1, 3, spec.BasicProperties()).marshal())
    closed_with((505,))


def test_method_where_content_is_due_closes_with_505(wire, closed_with):
    wire.method(1, spec.Basic.Publish(routing_key="q"))
    wire.method(1, spec.Basic.Qos())
    closed_with((505,))


def test_header_of_another_class_closes_with_505(wire, closed_with):
    wire.method(1, spec.Basic.Publish(routing_key="q"))
    wire.raw(raw_frame(2, 1, struct.pack(">HHQH", 10, 0, 3, 0)))
    closed_with((501, 505))


@baton_only("RabbitMQ takes the surplus without a word")
def test_more_body_than_the_header_said_closes_the_connection(wire, closed_with):
    wire.method(1, spec.Basic.Publish(routing_key="q"))
    wire.raw(frame.Header(1, 3, spec.BasicProperties()).marshal() + frame.Body(1, b"abcdef").marshal())
    closed_with((501, 505))


def test_a_method_only_servers_send_closes_with_503_or_540(wire, closed_with):
    wire.method(1, spec.Queue.DeclareOk("q", 0, 0))
    closed_with((503, 540))


def test_open_before_start_ok_closes_the_connection(server):
    with Wire(server) as wire:
        wire.start()
        wire.method(0, spec.Connection.Open(virtual_host="/"))
        closed = wire.expect_connection_close()
        assert closed is None or closed[0] in (501, 503, 504, 505)


def test_random_bytes_after_the_handshake_close_the_connection(wire):
    wire.raw(bytes(range(256)) * 8)
    closed = wire.expect_connection_close()
    assert closed is None or closed[0] in (501, 505)


def test_half_a_frame_and_a_hang_up_leaves_nothing_behind(wire):
    wire.raw(raw_frame(1, 1, b"", size=100, end=b"") + b"half")
    wire.drop()


def test_a_message_larger_than_the_limit_closes_only_its_channel_with_406(wire):
    """The default limit, 128 MiB: the body is read and thrown away, the channel closes, the connection goes on."""
    size = 128 * 1024 * 1024 + 1
    wire.method(1, spec.Basic.Publish(routing_key="q"))
    wire.raw(frame.Header(1, size, spec.BasicProperties()).marshal())
    part = frame.Body(1, b"x" * (131072 - 8)).marshal()
    whole, rest = divmod(size, 131072 - 8)
    for _ in range(whole):
        wire.raw(part)
    wire.raw(frame.Body(1, b"x" * rest).marshal())
    closed = wire.expect(spec.Channel.Close)
    assert (closed.reply_code, closed.reply_text) == (
        406, f"PRECONDITION_FAILED - message size {size} is larger than configured max size 134217728")
    wire.method(1, spec.Channel.CloseOk())
    wire.open_channel(2)


def test_many_half_open_connections_do_not_stop_others(server):
    wires = [Wire(server) for _ in range(100)]
    for half in wires:
        half.raw(b"AMQP")
    with Wire(server) as good:
        good.open()
    for half in wires:
        half.drop()
