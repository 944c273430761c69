"""Publishing: mandatory and returns, immediate, confirms, properties and headers, bodies, user-id, CC and BCC."""
import hashlib
import struct
from datetime import datetime, timezone
from decimal import Decimal

import pika
import pytest
from pika import frame, spec
from pika.exceptions import NackError, UnroutableError

from tools import bodies, closes_channel, depth, get, send, wait_until
from wire import Wire


@pytest.fixture
def wire(server):
    with Wire(server) as wire:
        wire.open()
        wire.open_channel()
        yield wire


def confirm_select(wire):
    wire.method(1, spec.Confirm.Select())
    wire.expect(spec.Confirm.SelectOk)


def confirmed(wire, last):
    """Reads confirms until all of 1..last are settled. Returns {seqno: Ack or Nack}; one settled twice is an error."""
    settled = {}
    while len(settled) < last:
        method = wire.frame().method
        assert isinstance(method, (spec.Basic.Ack, spec.Basic.Nack)), method
        first = 1 if method.multiple else method.delivery_tag
        covered = [tag for tag in range(first, method.delivery_tag + 1) if tag not in settled]
        assert covered, f"{method} settles nothing new"
        settled.update({tag: type(method) for tag in covered})
    assert sorted(settled) == list(range(1, last + 1))
    return settled


def test_publish_then_get_on_one_channel_finds_the_message(plain, queue):
    """Without confirms: methods of one channel take effect in order."""
    name = queue(plain)
    for number in range(50):
        plain.basic_publish("", name, str(number).encode())
        assert plain.basic_get(name, auto_ack=True)[2] == str(number).encode()


def test_passive_declare_soon_counts_unconfirmed_publishes(plain, queue):
    name = queue(plain)
    send(plain, name, *range(10))
    wait_until(lambda: depth(plain, name) == 10)


def test_mandatory_and_unroutable_is_returned_with_312_before_its_ack(wire):
    confirm_select(wire)
    wire.publish(1, "conf.nowhere", b"come back", properties=spec.BasicProperties(message_id="m1"), mandatory=True)
    returned = wire.expect(spec.Basic.Return)
    assert (returned.reply_code, returned.reply_text, returned.exchange, returned.routing_key) == (
        312, "NO_ROUTE", "", "conf.nowhere")
    header = wire.frame()
    assert (header.properties.message_id, header.body_size) == ("m1", 9)
    assert wire.frame().fragment == b"come back"
    ack = wire.expect(spec.Basic.Ack)
    assert ack.delivery_tag == 1


def test_mandatory_and_routable_is_not_returned(wire, ch, queue):
    name = queue(ch)
    confirm_select(wire)
    wire.publish(1, name, b"x", mandatory=True)
    assert wire.expect(spec.Basic.Ack).delivery_tag == 1


def test_pika_raises_for_an_unroutable_mandatory_message(ch):
    with pytest.raises(UnroutableError) as caught:
        ch.basic_publish("", "conf.nowhere", b"x", mandatory=True)
    assert caught.value.messages[0].method.reply_code == 312


def test_unroutable_without_mandatory_is_acked(wire):
    confirm_select(wire)
    wire.publish(1, "conf.nowhere", b"x")
    assert wire.expect(spec.Basic.Ack).delivery_tag == 1


def test_immediate_closes_the_connection_with_540(wire):
    wire.method(1, spec.Basic.Publish(routing_key="q", immediate=True))
    wire.raw(frame.Header(1, 0, spec.BasicProperties()).marshal())
    assert wire.expect_connection_close() == (540, "NOT_IMPLEMENTED - immediate=true")


def test_every_publish_is_confirmed_once_and_multiple_covers_all_before_it(wire, ch, queue):
    name = queue(ch)
    confirm_select(wire)
    for number in range(500):
        wire.publish(1, name, str(number).encode(), properties=spec.BasicProperties(delivery_mode=2))
    assert set(confirmed(wire, 500).values()) == {spec.Basic.Ack}
    assert bodies(ch, name) == [str(number) for number in range(500)]


def test_confirms_count_from_one_per_channel_and_select_is_idempotent(wire, ch, queue):
    name = queue(ch)
    confirm_select(wire)
    confirm_select(wire)
    wire.open_channel(2)
    wire.method(2, spec.Confirm.Select())
    wire.expect(spec.Confirm.SelectOk)
    wire.publish(1, name, b"a")
    assert wire.expect(spec.Basic.Ack).delivery_tag == 1
    wire.publish(2, name, b"b")
    assert wire.expect(spec.Basic.Ack).delivery_tag == 1


def test_a_confirmed_message_of_a_fanout_is_in_every_queue(ch, queue, exchange):
    name, queues = exchange(ch, "fanout"), [queue(ch) for _ in range(3)]
    for one in queues:
        ch.queue_bind(one, name)
    send(ch, "", "x", exchange=name)
    assert [depth(ch, one) for one in queues] == [1, 1, 1]


def test_reject_publish_is_nacked(wire, ch, queue):
    name = queue(ch, {"x-max-length": 2, "x-overflow": "reject-publish"})
    confirm_select(wire)
    for number in range(4):
        wire.publish(1, name, str(number).encode())
        kinds = confirmed_one(wire, number + 1)
        assert kinds is (spec.Basic.Ack if number < 2 else spec.Basic.Nack)
    assert bodies(ch, name) == ["0", "1"]


def confirmed_one(wire, tag):
    method = wire.frame().method
    assert method.delivery_tag == tag
    return type(method)


def test_pika_raises_for_a_refused_message(ch, queue):
    name = queue(ch, {"x-max-length": 1, "x-overflow": "reject-publish"})
    send(ch, name, "in")
    with pytest.raises(NackError):
        send(ch, name, "out")
    get(ch, name)
    send(ch, name, "in again")
    assert bodies(ch, name) == ["in again"]


def test_nothing_is_refused_of_a_fanout_that_has_room_but_the_publisher_learns(ch, queue, exchange):
    fan, full, roomy = exchange(ch, "fanout"), queue(ch, {"x-max-length": 1, "x-overflow": "reject-publish"}), queue(ch)
    for one in (full, roomy):
        ch.queue_bind(one, fan)
    send(ch, "", "1", exchange=fan)
    with pytest.raises(NackError):
        send(ch, "", "2", exchange=fan)
    assert bodies(ch, full) == ["1"]


@pytest.mark.parametrize("size", [0, 1, 4096, 131072 - 8, 131072 - 7, 1_000_000, 8 * 1024 * 1024])
def test_bodies_of_any_size_come_back_whole(ch, queue, size):
    name = queue(ch)
    body = hashlib.shake_256(str(size).encode()).digest(size)
    send(ch, name, body)
    _, properties, received = get(ch, name)
    assert hashlib.sha256(received).digest() == hashlib.sha256(body).digest() and len(received) == size


def test_all_properties_come_back(ch, queue):
    name = queue(ch)
    sent = dict(content_type="application/json", content_encoding="utf-8", headers={"k": "v"}, delivery_mode=2, priority=7,
                correlation_id="c-1", reply_to="r", expiration="60000", message_id="m-1", timestamp=1_700_000_000, type="t",
                user_id="guest", app_id="a", cluster_id="cl")
    ch.basic_publish("", name, b"x", pika.BasicProperties(**sent))
    properties = get(ch, name)[1]
    assert {key: getattr(properties, key) for key in sent} == sent


def test_absent_properties_stay_absent(ch, queue):
    name = queue(ch)
    send(ch, name, "x")
    assert {key: value for key, value in vars(get(ch, name)[1]).items() if value is not None} == {}


def test_get_and_deliver_carry_exchange_and_routing_key(ch, queue, exchange):
    topic, name = exchange(ch, "topic"), queue(ch)
    ch.queue_bind(name, topic, "#")
    send(ch, "a.b", "x", exchange=topic)
    method = get(ch, name)[0]
    assert (method.exchange, method.routing_key, method.redelivered, method.message_count) == (topic, "a.b", False, 0)


def test_headers_of_every_type_pika_knows_come_back_equal(ch, queue):
    name = queue(ch)
    headers = {"text": "ü € 漢", "empty": "", "bytes": b"\x00\xff", "true": True, "false": False, "int": -5, "big": 2**40,
               "decimal": Decimal("3.14"), "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
               "none": None, "table": {"nested": {"deep": [1, "two", {"three": 3}]}}, "list": [1, "a", None, True, [2]], "empty list": []}
    send(ch, name, "x", headers=headers)
    received = get(ch, name)[1].headers
    received["time"] = received["time"].replace(tzinfo=timezone.utc)
    assert received == headers


#: Every field type RabbitMQ reads, as bytes on the wire: name → (tag, value).
FIELDS = {
    b"bool": b"t\x01", b"int8": b"b\x80", b"uint8": b"B\xff", b"int16": b"s" + struct.pack(">h", -300),
    b"uint16": b"u" + struct.pack(">H", 65535), b"int32": b"I" + struct.pack(">i", -70000), b"uint32": b"i" + struct.pack(">I", 2**32 - 1),
    b"int64": b"l" + struct.pack(">q", -2**40), b"float": b"f" + struct.pack(">f", 1.5), b"double": b"d" + struct.pack(">d", 2.25),
    b"decimal": b"D\x02" + struct.pack(">I", 314), b"string": b"S" + struct.pack(">I", 2) + b"hi", b"time": b"T" + struct.pack(">Q", 1_700_000_000),
    b"bytes": b"x" + struct.pack(">I", 3) + b"\x00\x01\xff", b"void": b"V",
    b"array": b"A" + struct.pack(">I", 4) + b"b\x01b\x02", b"table": b"F" + struct.pack(">I", 4) + b"\x01kt\x00",
}


def test_header_fields_come_back_byte_for_byte(wire, ch, queue):
    """Type tags, widths and order: consumers in typed languages see the difference between a 32 and a 64 bit number."""
    name = queue(ch)
    table = b"".join(bytes([len(key)]) + key + value for key, value in FIELDS.items())
    header = struct.pack(">HHQH", 60, 0, 1, 0x2000) + struct.pack(">I", len(table)) + table
    confirm_select(wire)
    wire.method(1, spec.Basic.Publish(routing_key=name))
    wire.raw(struct.pack(">BHI", 2, 1, len(header)) + header + b"\xce" + frame.Body(1, b"x").marshal())
    wire.expect(spec.Basic.Ack)
    wire.method(1, spec.Basic.Get(queue=name, no_ack=True))
    wire.expect(spec.Basic.GetOk)
    assert wire.raw_frame() == (2, 1, header)


def test_user_id_must_be_the_authenticated_user(connection, ch, queue):
    name = queue(ch)
    send(ch, name, "mine", user_id="guest")
    assert get(ch, name)[1].user_id == "guest"
    with closes_channel(406, "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'"):
        send(ch, name, "forged", user_id="somebody")


def test_cc_and_bcc_route_too_and_bcc_is_removed(ch, queue):
    to, cc, bcc = queue(ch), queue(ch), queue(ch)
    send(ch, to, "x", headers={"CC": [cc], "BCC": [bcc], "k": 1})
    for name in (to, cc, bcc):
        method, properties, body = get(ch, name)
        assert (method.routing_key, properties.headers, body) == (to, {"CC": [cc], "k": 1}, b"x")


def test_cc_to_the_same_queue_gives_one_copy(ch, queue):
    name = queue(ch)
    send(ch, name, "x", headers={"CC": [name, name]})
    assert bodies(ch, name) == ["x"]


def test_cc_that_is_not_a_list_closes_with_406(ch, queue):
    with closes_channel(406):
        send(ch, queue(ch), "x", headers={"CC": "text"})


@pytest.mark.parametrize("expiration", ["abc", "-1", "1.5", ""])
def test_an_invalid_expiration_closes_with_406(ch, queue, expiration):
    with closes_channel(406):
        send(ch, queue(ch), "x", expiration=expiration)


def test_confirm_and_tx_exclude_each_other(connection):
    one = connection.channel()
    one.tx_select()
    with closes_channel(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"):
        one.confirm_delivery()
    two = connection.channel()
    two.confirm_delivery()
    with closes_channel(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode"):
        two.tx_select()


def test_a_routing_key_may_have_255_bytes(ch, queue, exchange):
    name, one = exchange(ch, "direct"), queue(ch)
    ch.queue_bind(one, name, "k" * 255)
    send(ch, "k" * 255, "x", exchange=name)
    assert get(ch, one)[0].routing_key == "k" * 255


def test_frames_of_two_channels_may_interleave(wire, ch, queue):
    name = queue(ch)
    wire.open_channel(2)
    for channel in (1, 2):
        wire.method(channel, spec.Confirm.Select())
        wire.expect(spec.Confirm.SelectOk)
    for channel in (1, 2):
        wire.method(channel, spec.Basic.Publish(routing_key=name))
    for channel in (1, 2):
        wire.raw(frame.Header(channel, 6, spec.BasicProperties()).marshal())
    for half in (b"one", b"two"):
        for channel in (2, 1):
            wire.raw(frame.Body(channel, half).marshal())
    for _ in range(2):
        wire.expect(spec.Basic.Ack)
    assert bodies(ch, name) == ["onetwo", "onetwo"]
