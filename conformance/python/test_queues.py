"""Queues: declare, equivalence, exclusive, auto-delete, purge, delete, arguments and their refusals."""
import time

import pytest
from pika.compat import long  # encodes as a 64-bit field

from tools import (Inbox, baton_only, bodies, closes_channel, connect, consumers, depth, exists,
                   get, send, wait_until)

EXCLUSIVE_TEXT = ("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{}' in vhost '/'. It could be originally "
                  "declared on another connection or the exclusive property value does not match that of the original declaration.")


def test_declare_ok_names_the_queue_and_counts(ch, queue):
    name = queue(ch)
    send(ch, name, 1, 2, 3)
    inbox = Inbox(ch, queue(ch))
    ok = ch.queue_declare(name, durable=True).method
    assert (ok.queue, ok.message_count, ok.consumer_count) == (name, 3, 0)
    Inbox(ch, name)
    assert consumers(ch, name) == 1
    assert inbox == []


def test_an_empty_name_makes_the_broker_choose_one(ch, unique):
    one = ch.queue_declare("", exclusive=True).method.queue
    two = ch.queue_declare("", exclusive=True).method.queue
    assert one.startswith("amq.gen-") and two.startswith("amq.gen-") and one != two


def test_an_empty_name_elsewhere_means_the_last_declared_queue(ch, exchange):
    ch.queue_declare("", exclusive=True)
    fan = exchange(ch, "fanout")
    ch.queue_bind("", fan)
    send(ch, "", "x", exchange=fan)
    assert get(ch, "")[2] == b"x"
    assert ch.queue_delete("").method.message_count == 0


def test_an_empty_name_with_none_declared_closes_with_404(plain):
    with closes_channel(404, "NOT_FOUND - no previously declared queue"):
        plain.queue_purge("")


def test_passive_declare_of_an_unknown_queue_closes_with_404(plain):
    with closes_channel(404, "NOT_FOUND - no queue 'nope' in vhost '/'"):
        plain.queue_declare("nope", passive=True)


@pytest.mark.parametrize("operation", [
    lambda c: c.basic_get("nope"), lambda c: c.basic_consume("nope", lambda *_: None), lambda c: c.queue_purge("nope"),
])
def test_using_an_unknown_queue_closes_with_404(plain, operation):
    with closes_channel(404, "NOT_FOUND - no queue 'nope' in vhost '/'"):
        operation(plain)


def test_an_error_closes_only_its_channel(connection, ch, queue):
    with closes_channel(404):
        connection.channel().basic_get("nope")
    name = queue(ch)
    send(ch, name, "fine")
    assert bodies(ch, name) == ["fine"]


def test_declaring_an_amq_name_closes_with_403(plain):
    with closes_channel(403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"):
        plain.queue_declare("amq.mine")


@pytest.mark.parametrize("change,text", [
    ({"durable": False}, "inequivalent arg 'durable' for queue '{}' in vhost '/': received 'false' but current is 'true'"),
    ({"auto_delete": True}, "inequivalent arg 'auto_delete' for queue '{}' in vhost '/': received 'true' but current is 'false'"),
    ({"arguments": {"x-message-ttl": 2000}},
     "inequivalent arg 'x-message-ttl' for queue '{}' in vhost '/': received '2000' but current is '1000'"),
    ({"arguments": {}},
     "inequivalent arg 'x-message-ttl' for queue '{}' in vhost '/': received none but current is the value '1000' of type "
     "'signedint'"),
    ({"arguments": {"x-message-ttl": 1000, "x-max-length": 5}},
     "inequivalent arg 'x-max-length' for queue '{}' in vhost '/': received the value '5' of type 'signedint' but current is none"),
])
def test_declaring_a_queue_differently_closes_with_406(ch, queue, change, text):
    name = queue(ch, {"x-message-ttl": 1000})
    queue(ch, {"x-message-ttl": 1000}, name=name)  # the same again is accepted
    with closes_channel(406, "PRECONDITION_FAILED - " + text.format(name)):
        queue(ch, **{"name": name, "arguments": {"x-message-ttl": 1000}, **change})


@pytest.mark.parametrize("argument,one,two", [
    ("x-expires", 60_000, 70_000), ("x-max-length", 1, 2), ("x-max-length-bytes", 1, 2), ("x-overflow", "drop-head", "reject-publish"),
    ("x-dead-letter-exchange", "a", "b"), ("x-max-priority", 5, 6), ("x-single-active-consumer", True, False),
])
def test_every_policy_argument_counts_for_equivalence(ch, queue, argument, one, two):
    name = queue(ch, {argument: one})
    queue(ch, {argument: one}, name=name)
    with closes_channel(406):
        queue(ch, {argument: two}, name=name)


def test_the_dead_letter_routing_key_counts_for_equivalence(ch, queue):
    name = queue(ch, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "a"})
    with closes_channel(406):
        queue(ch, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "b"}, name=name)


def test_unknown_arguments_do_not_count_for_equivalence(ch, queue):
    name = queue(ch, {"x-conformance": 1})
    queue(ch, {"x-conformance": 2, "comment": "other"}, name=name)


def test_integer_width_does_not_count_for_equivalence(ch, queue):
    name = queue(ch, {"x-message-ttl": 60_000})
    queue(ch, {"x-message-ttl": long(60_000)}, name=name)


@pytest.mark.parametrize("arguments", [
    {"x-message-ttl": -1}, {"x-message-ttl": "100"}, {"x-expires": 0}, {"x-expires": -1}, {"x-max-length": -1}, {"x-max-length": "3"},
    {"x-max-length-bytes": -1}, {"x-overflow": "explode"}, {"x-dead-letter-exchange": 3}, {"x-dead-letter-routing-key": "k"},
    {"x-max-priority": 256}, {"x-max-priority": -1}, {"x-single-active-consumer": "yes"}, {"x-queue-type": 7}, {"x-queue-type": "nope"},
])
def test_an_invalid_argument_closes_with_406(ch, queue, arguments):
    with closes_channel(406):
        queue(ch, arguments)


def test_the_refusal_of_an_argument_names_it(ch, queue, unique):
    name = unique("q")
    with pytest.raises(Exception) as caught:
        queue(ch, {"x-message-ttl": -1}, name=name)
    assert caught.value.reply_text.startswith(f"PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue '{name}' in vhost '/'")


@pytest.mark.parametrize("arguments", [{"x-queue-type": "classic"}, {"x-queue-type": "quorum"}, {"x-queue-mode": "lazy"},
                                       {"x-queue-version": 2}, {"x-queue-type": "quorum", "x-quorum-initial-group-size": 1},
                                       {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"},
                                       {"x-queue-leader-locator": "client-local", "x-queue-type": "quorum"}])
def test_queue_types_and_their_hints_are_accepted(ch, queue, arguments):
    name = queue(ch, arguments)
    send(ch, name, "in")
    assert get(ch, name)[2] == b"in"


def test_exclusive_queues_are_refused_to_other_connections_with_405(connection, other_connection, ch, queue):
    name = queue(ch, durable=False, exclusive=True)
    for operation in (lambda c: c.queue_declare(name, passive=True), lambda c: c.basic_get(name), lambda c: c.queue_purge(name),
                      lambda c: c.basic_consume(name, lambda *_: None), lambda c: c.queue_delete(name),
                      lambda c: c.queue_bind(name, "amq.fanout")):
        with closes_channel(405, EXCLUSIVE_TEXT.format(name)):
            operation(other_connection.channel())
    connection.channel().queue_declare(name, exclusive=True)  # another channel of the owner may


def test_others_may_publish_to_an_exclusive_queue(ch, other_connection, queue):
    name = queue(ch, durable=False, exclusive=True)
    other = other_connection.channel()
    other.confirm_delivery()
    send(other, name, "reply")
    assert get(ch, name)[2] == b"reply"


def test_an_exclusive_queue_goes_with_its_connection(server, other_connection, unique):
    owner = connect(server)
    name = unique("q")
    owner.channel().queue_declare(name, exclusive=True, durable=True)
    owner.close()
    wait_until(lambda: not exists(other_connection, name))


def test_an_auto_delete_queue_goes_with_its_last_consumer(connection, ch, queue):
    name = queue(ch, durable=False, auto_delete=True)
    one, two = Inbox(ch, name), Inbox(ch, name)
    ch.basic_cancel(one.tag)
    assert exists(connection, name)
    ch.basic_cancel(two.tag)
    wait_until(lambda: not exists(connection, name))


def test_an_auto_delete_queue_without_consumers_stays(connection, ch, queue):
    name = queue(ch, durable=False, auto_delete=True)
    send(ch, name, "x")
    assert get(ch, name)[2] == b"x"
    assert exists(connection, name)


def test_an_auto_delete_queue_goes_with_the_channel_of_its_consumer(connection, ch, queue):
    name = queue(ch, durable=False, auto_delete=True)
    channel = connection.channel()
    Inbox(channel, name)
    channel.close()
    wait_until(lambda: not exists(connection, name))


def test_purge_removes_ready_messages_and_counts_them(ch, queue):
    name = queue(ch)
    send(ch, name, 1, 2, 3)
    held = get(ch, name, auto_ack=False)
    assert ch.queue_purge(name).method.message_count == 2
    ch.basic_nack(held[0].delivery_tag, requeue=True)
    assert get(ch, name)[2] == b"1"  # unacknowledged messages are not purged


def test_delete_counts_messages_and_is_accepted_twice(ch, queue):
    name = queue(ch)
    send(ch, name, 1, 2)
    assert ch.queue_delete(name).method.message_count == 2
    assert ch.queue_delete(name).method.message_count == 0


def test_delete_if_empty_closes_with_406_when_it_is_not(ch, connection, queue):
    name = queue(ch)
    send(ch, name, 1)
    with closes_channel(406, f"PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty"):
        connection.channel().queue_delete(name, if_empty=True)
    ch.queue_purge(name)
    ch.queue_delete(name, if_empty=True)


def test_delete_if_unused_closes_with_406_when_it_is_consumed(ch, connection, queue):
    name = queue(ch)
    inbox = Inbox(ch, name)
    with closes_channel(406, f"PRECONDITION_FAILED - queue '{name}' in vhost '/' in use"):
        connection.channel().queue_delete(name, if_unused=True)
    ch.basic_cancel(inbox.tag)
    ch.queue_delete(name, if_unused=True)


def test_deleting_a_queue_removes_its_bindings(ch, queue, exchange):
    fan, name = exchange(ch, "fanout"), queue(ch)
    ch.queue_bind(name, fan)
    ch.queue_delete(name)
    ch.exchange_delete(fan, if_unused=True)
    queue(ch, name=name)
    exchange(ch, "fanout", name=fan)
    send(ch, "", "lost", exchange=fan)
    assert depth(ch, name) == 0


def test_x_expires_removes_an_unused_queue(connection, ch, queue):
    name = queue(ch, {"x-expires": 300})
    assert exists(connection, name)
    time.sleep(0.6)  # no polling: looking is use, and starts the idle time again
    assert not exists(connection, name)


def test_x_expires_keeps_a_queue_with_a_consumer(connection, ch, queue):
    name = queue(ch, {"x-expires": 300})
    inbox = Inbox(ch, name)
    inbox.quiet(0.8)
    assert exists(connection, name)


def test_names_up_to_255_bytes_of_any_character(ch, queue):
    for name in ("conf q/with spaces ü € 漢字", "conf." + "x" * 250):
        queue(ch, name=name)
        send(ch, name, "named")
        assert get(ch, name)[2] == b"named"


def test_declaring_a_durable_queue_with_an_unknown_dead_letter_exchange_is_accepted(ch, queue):
    queue(ch, {"x-dead-letter-exchange": "conf.not.yet"})


@baton_only("quorum queues refuse x-max-priority there")
def test_a_queue_of_type_quorum_may_have_priorities(ch, queue):
    name = queue(ch, {"x-queue-type": "quorum", "x-max-priority": 10})
    send(ch, name, "low", priority=1)
    send(ch, name, "high", priority=9)
    assert bodies(ch, name) == ["high", "low"]


def test_an_unknown_vhost_is_not_reachable_by_a_queue_name(plain):
    with closes_channel(404):
        plain.basic_get("other/q")
