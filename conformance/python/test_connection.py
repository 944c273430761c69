"""Connections: negotiation, credentials, vhosts, limits, heartbeats, capabilities."""
import struct
import time

import pika
import pytest
from pika import spec
from pika.exceptions import ConnectionClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError

from tools import closes_channel, closes_connection, connect, get, parameters, send
from wire import PROTOCOL_HEADER, Closed, Wire


def test_server_start_offers_version_mechanisms_and_locale(server):
    with Wire(server) as wire:
        start = wire.start()
        assert (start.version_major, start.version_minor) == (0, 9)
        assert {b"PLAIN", b"AMQPLAIN"} <= set(_bytes(start.mechanisms).split())
        assert b"en_US" in _bytes(start.locales).split()


def _bytes(value):
    return value if isinstance(value, bytes) else value.encode()


def test_capabilities_are_those_rabbitmq_announces(connection):
    properties = connection._impl.server_properties
    capabilities = {name for name, on in properties["capabilities"].items() if on}
    assert {"publisher_confirms", "basic.nack", "consumer_cancel_notify", "exchange_exchange_bindings",
            "connection.blocked", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
            "consumer_priorities"} <= capabilities
    assert {"product", "version", "platform"} <= set(properties)


def test_tune_proposes_channel_max_frame_max_and_heartbeat(server):
    with Wire(server) as wire:
        tune = wire.open()
        assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2047, 131072, 60)


def test_a_smaller_frame_max_of_the_client_is_kept(server, queue, ch):
    name = queue(ch)
    send(ch, name, b"x" * 20_000)
    with Wire(server) as wire:
        wire.open(frame_max=4096)
        wire.open_channel()
        wire.method(1, spec.Basic.Get(queue=name, no_ack=True))
        wire.expect(spec.Basic.GetOk)
        kind, _, payload = wire.raw_frame()
        assert kind == 2 and struct.unpack_from(">Q", payload, 4) == (20_000,)
        received = 0
        while received < 20_000:
            kind, _, payload = wire.raw_frame()
            assert kind == 3 and len(payload) <= 4096 - 8
            received += len(payload)
        assert received == 20_000


def test_frame_max_under_4096_is_refused(server):
    with Wire(server) as wire:
        wire.start()
        wire.start_ok()
        wire.expect(spec.Connection.Tune)
        wire.method(0, spec.Connection.TuneOk(2047, 4095, 0))
        wire.method(0, spec.Connection.Open(virtual_host="/"))
        assert wire.expect_connection_close() in (None, (530, "NOT_ALLOWED - frame_max=4095 < 4096 min size"))


def test_frame_max_over_the_proposal_is_refused(server):
    with Wire(server) as wire:
        wire.start()
        wire.start_ok()
        wire.expect(spec.Connection.Tune)
        wire.method(0, spec.Connection.TuneOk(2047, 131073, 0))
        wire.method(0, spec.Connection.Open(virtual_host="/"))
        assert wire.expect_connection_close() in (None, (
            530, "NOT_ALLOWED - negotiated frame_max = 131073 higher than the maximum allowed value (131072)"))


def test_channel_beyond_the_negotiated_channel_max_closes_with_530(server):
    with Wire(server) as wire:
        wire.open(channel_max=5)
        for number in range(1, 6):
            wire.open_channel(number)
        wire.method(6, spec.Channel.Open())
        code, _ = wire.expect_connection_close()
        assert code == 530


def test_unknown_protocol_header_is_answered_with_ours_and_a_hang_up(server):
    for header in (b"AMQP\x00\x02\x00\x00", b"AMQP\x00\x00\x09\x02", b"GET / HT"):
        with Wire(server) as wire:
            wire.raw(header)
            assert wire.read_exactly(8) == PROTOCOL_HEADER
            with pytest.raises(Closed):
                wire.read_exactly(1)


def test_bad_password_closes_with_403_when_the_client_has_authentication_failure_close(server):
    with pytest.raises(ProbableAuthenticationError):  # pika's name for a 403 before connection.tune
        connect(server, password="wrong")
    with Wire(server) as wire:
        wire.start()
        wire.start_ok(response=b"\0guest\0wrong")
        assert wire.expect_connection_close() == (
            403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
                 "For details see the broker logfile.")


def test_unknown_user_gets_the_same_answer_as_a_bad_password(server):
    with Wire(server) as wire:
        wire.start()
        wire.start_ok(response=b"\0nobody\0guest")
        assert wire.expect_connection_close() == (
            403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
                 "For details see the broker logfile.")


def test_bad_password_without_authentication_failure_close_only_hangs_up(server):
    with Wire(server) as wire:
        wire.start()
        wire.start_ok(response=b"\0guest\0wrong", capabilities={})
        assert wire.expect_connection_close() is None


def test_amqplain_is_accepted(server):
    def field(name, value):
        return bytes([len(name)]) + name + b"S" + struct.pack(">I", len(value)) + value

    with Wire(server) as wire:
        wire.start()
        wire.start_ok("AMQPLAIN", field(b"LOGIN", b"guest") + field(b"PASSWORD", b"guest"))
        wire.expect(spec.Connection.Tune)


def test_unknown_mechanism_closes_the_connection(server):
    with Wire(server) as wire:
        wire.start()
        wire.start_ok("NTLM", b"")
        closed = wire.expect_connection_close()  # RabbitMQ only hangs up
        assert closed is None or closed[0] in (403, 504, 530) and "NTLM" in closed[1]


def test_unknown_vhost_closes_with_530(server):
    with pytest.raises((ProbableAccessDeniedError, ConnectionClosedByBroker)) as caught:
        connect(server, vhost="nope")
    assert "530" in str(caught.value) and "NOT_ALLOWED - vhost nope not found" in str(caught.value)


def test_heartbeats_come_at_least_every_negotiated_interval(server):
    with Wire(server) as wire:
        wire.open(heartbeat=1)
        begin = time.monotonic()
        assert isinstance(wire.frame(heartbeats=True), pika.frame.Heartbeat)
        assert time.monotonic() - begin <= 2.0


def test_a_client_silent_for_two_intervals_is_dropped(server):
    with Wire(server) as wire:
        wire.open(heartbeat=1)
        begin = time.monotonic()
        wire.expect_hang_up()
        assert 1.5 <= time.monotonic() - begin <= 6


def test_a_client_that_sends_heartbeats_is_kept(server):
    with Wire(server) as wire:
        wire.open(heartbeat=1)
        wire.open_channel()
        for _ in range(7):
            wire.raw(pika.frame.Heartbeat().marshal())
            time.sleep(0.5)  # the client's own rhythm, not a wait for the broker
        wire.method(1, spec.Queue.Declare(queue="", exclusive=True))
        wire.expect(spec.Queue.DeclareOk)


def test_heartbeat_zero_turns_them_off(server):
    with Wire(server) as wire:
        wire.open(heartbeat=0)
        wire.sock.settimeout(1.5)
        with pytest.raises(TimeoutError):
            wire.raw_frame()


def test_update_secret_is_accepted_for_the_same_credentials(connection, queue, ch):
    connection.update_secret("guest", "test")
    name = queue(ch)
    send(ch, name, "still here")
    assert get(ch, name)[2] == b"still here"


def test_client_close_is_answered_with_close_ok(server):
    with Wire(server) as wire:
        wire.open()
        wire.method(0, spec.Connection.Close(200, "bye", 0, 0))
        wire.expect(spec.Connection.CloseOk)


def test_closing_a_connection_closes_its_exclusive_queues(server, other_connection):
    connection = connect(server)
    name = connection.channel().queue_declare("", exclusive=True).method.queue
    connection.close()
    with closes_channel(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
        other_connection.channel().queue_declare(name, passive=True)


def test_many_channels_work_side_by_side(connection, queue, ch):
    name = queue(ch)
    channels = [connection.channel() for _ in range(300)]
    for number, channel in enumerate(channels):
        channel.basic_publish("", name, str(number).encode())
    for channel in channels:
        assert channel.basic_get(name, auto_ack=True)[0] is not None
    for channel in channels:
        channel.close()


def test_a_channel_number_may_be_used_again_after_its_close(server):
    with Wire(server) as wire:
        wire.open()
        for _ in range(3):
            wire.open_channel(7)
            wire.method(7, spec.Channel.Close(200, "", 0, 0))
            wire.expect(spec.Channel.CloseOk)


def test_channel_flow_true_is_answered(connection):
    assert connection.channel().flow(True) is True


def test_channel_flow_false_closes_the_connection_with_540(plain):
    with closes_connection(540, "NOT_IMPLEMENTED - active=false"):
        plain.flow(False)


def test_named_parameters_are_those_of_the_url(server):
    connection = pika.BlockingConnection(pika.URLParameters(server.url() + "?heartbeat=30&channel_max=12"))
    assert connection._impl.params.channel_max == 12
    connection.close()
    assert parameters(server).virtual_host == "/"
