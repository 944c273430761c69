"""Consuming and settling: get, consume, prefetch, ack, nack, reject, recover, redelivery and its order, cancel notify."""
import pytest
from pika import spec

from tools import (Inbox, bodies, closes_channel, closes_connection, connect, consumers, depth, get, send, since, wait_until)
from wire import Wire


def test_get_from_an_empty_queue_is_get_empty(ch, queue):
    assert ch.basic_get(queue(ch)) == (None, None, None)


def test_get_is_in_order_and_counts_what_is_left(ch, queue):
    name = queue(ch)
    send(ch, name, *range(5))
    assert [(m.message_count, b) for m, _, b in (ch.basic_get(name, auto_ack=True) for _ in range(5))] == [
        (4 - number, str(number).encode()) for number in range(5)]


def test_delivery_tags_count_from_one_per_channel_over_get_and_consume(connection, ch, queue):
    one, two = queue(ch), queue(ch)
    send(ch, one, 1, 2)
    send(ch, two, 3)
    channel = connection.channel()
    assert [get(channel, one, auto_ack=False)[0].delivery_tag for _ in range(2)] == [1, 2]
    assert Inbox(channel, two).wait(1).tags == [3]


def test_consuming_is_in_order(connection, ch, queue):
    name = queue(ch)
    inbox = Inbox(connection.channel(), name, auto_ack=True)
    send(ch, name, *range(200))
    assert inbox.wait(200).bodies == [str(number) for number in range(200)]


def test_consume_gets_what_is_there_and_what_comes(ch, queue):
    name = queue(ch)
    send(ch, name, "before")
    inbox = Inbox(ch, name, auto_ack=True).wait(1)
    send(ch, name, "after")
    assert inbox.wait(2).bodies == ["before", "after"]
    assert {m.consumer_tag for m, _, _ in inbox} == {inbox.tag}


def test_consume_without_a_tag_gets_one_from_the_broker(server, ch, queue):
    name = queue(ch)
    with Wire(server) as wire:
        wire.open()
        wire.open_channel()
        wire.method(1, spec.Basic.Consume(queue=name, consumer_tag=""))
        assert wire.expect(spec.Basic.ConsumeOk).consumer_tag.startswith("amq.ctag-")


def test_a_consumer_tag_used_twice_closes_the_connection_with_530(ch, queue):
    name = queue(ch)
    tag = Inbox(ch, name).tag
    del ch._consumer_infos[tag]  # pika itself refuses otherwise
    ch._impl._consumers.pop(tag)
    with closes_connection(530, f"NOT_ALLOWED - attempt to reuse consumer tag '{tag}'"):
        Inbox(ch, name, consumer_tag=tag)


def test_a_message_goes_to_exactly_one_consumer_in_turn(connection, ch, queue):
    name = queue(ch)
    inboxes = [Inbox(connection.channel(), name, auto_ack=True) for _ in range(3)]
    send(ch, name, *range(9))
    for inbox in inboxes:
        inbox.wait(3)
    assert sorted(sum((inbox.bodies for inbox in inboxes), [])) == [str(number) for number in range(9)]


def test_no_ack_messages_are_gone_at_delivery(connection, ch, queue):
    name = queue(ch)
    send(ch, name, 1, 2)
    channel = connection.channel()
    Inbox(channel, name, auto_ack=True).wait(2)
    channel.close()
    assert depth(ch, name) == 0


def test_exclusive_consumers_refuse_others_with_403(connection, ch, queue):
    name = queue(ch)
    text = f"ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use"
    inbox = Inbox(ch, name, exclusive=True)
    with closes_channel(403, text):
        Inbox(connection.channel(), name)
    ch.basic_cancel(inbox.tag)
    other = Inbox(ch, name)
    with closes_channel(403, text):
        Inbox(connection.channel(), name, exclusive=True)
    ch.basic_cancel(other.tag)
    Inbox(ch, name, exclusive=True)


def test_cancel_stops_deliveries_and_leaves_unacked_ones_to_be_acked(ch, queue):
    name = queue(ch)
    send(ch, name, 1)
    inbox = Inbox(ch, name).wait(1)
    ch.basic_cancel(inbox.tag)
    send(ch, name, 2)
    assert consumers(ch, name) == 0
    ch.basic_ack(inbox.tags[0])
    assert bodies(ch, name) == ["2"]


def test_cancelling_an_unknown_consumer_is_accepted(server):
    with Wire(server) as wire:
        wire.open()
        wire.open_channel()
        wire.method(1, spec.Basic.Cancel(consumer_tag="nobody"))
        assert wire.expect(spec.Basic.CancelOk).consumer_tag == "nobody"


def test_deleting_the_queue_notifies_its_consumers(connection, ch, queue):
    name = queue(ch)
    channel = connection.channel()
    cancelled = []
    channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    inbox = Inbox(channel, name)
    ch.queue_delete(name)
    connection.process_data_events(0)
    wait_until(lambda: connection.process_data_events(0.05) or cancelled == [inbox.tag])
    assert channel.is_open


def test_no_cancel_is_sent_to_clients_without_the_capability(server, ch, queue):
    name = queue(ch)
    with Wire(server) as wire:
        wire.open(capabilities={})
        wire.open_channel()
        wire.method(1, spec.Basic.Consume(queue=name))
        wire.expect(spec.Basic.ConsumeOk)
        ch.queue_delete(name)
        wire.method(1, spec.Basic.Qos(prefetch_count=1))
        wire.expect(spec.Basic.QosOk)


def test_qos_limits_each_consumer_on_its_own(connection, ch, queue):
    one, two = queue(ch), queue(ch)
    for name in (one, two):
        send(ch, name, *range(5))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=2)
    first, second = Inbox(channel, one), Inbox(channel, two)
    first.wait(2)
    second.wait(2)
    first.quiet()
    channel.basic_ack(first.tags[0])
    first.wait(3).quiet(0.1)
    assert first.bodies == ["0", "1", "2"]


def test_qos_applies_to_consumers_started_after_it(connection, ch, queue):
    name = queue(ch)
    channel = connection.channel()
    unlimited = Inbox(channel, name)
    channel.basic_qos(prefetch_count=1)
    send(ch, name, *range(5))
    assert unlimited.wait(5).bodies == ["0", "1", "2", "3", "4"]


def test_global_qos_is_shared_by_the_channel(connection, ch, queue):
    one, two = queue(ch), queue(ch)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=3, global_qos=True)
    first, second = Inbox(channel, one), Inbox(channel, two)
    for name in (one, two):
        send(ch, name, *range(5))
    wait_until(lambda: connection.process_data_events(0.05) or len(first) + len(second) == 3)
    first.quiet()
    assert len(first) + len(second) == 3
    channel.basic_ack(0, multiple=True)
    wait_until(lambda: connection.process_data_events(0.05) or len(first) + len(second) == 6)
    first.quiet()
    assert len(first) + len(second) == 6


def test_both_limits_hold_together(connection, ch, queue):
    one, two = queue(ch), queue(ch)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=2, global_qos=False)
    channel.basic_qos(prefetch_count=3, global_qos=True)
    first, second = Inbox(channel, one), Inbox(channel, two)
    send(ch, one, *range(5))
    first.wait(2).quiet()
    send(ch, two, *range(5))
    second.wait(1).quiet()


def test_prefetch_zero_is_unlimited(connection, ch, queue):
    name = queue(ch)
    send(ch, name, *range(300))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=0)
    Inbox(channel, name).wait(300)


def test_prefetch_size_closes_the_connection_with_540(plain):
    with closes_connection(540, "NOT_IMPLEMENTED - prefetch_size!=0 (100)"):
        plain.basic_qos(prefetch_size=100)


def test_prefetch_does_not_limit_get_or_no_ack(connection, ch, queue):
    name = queue(ch)
    send(ch, name, *range(10))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=1)
    for _ in range(3):
        get(channel, name, auto_ack=False)
    Inbox(channel, name, auto_ack=True).wait(7)


def test_ack_multiple_settles_all_up_to_the_tag(connection, ch, queue):
    name = queue(ch)
    send(ch, name, *range(5))
    channel = connection.channel()
    inbox = Inbox(channel, name).wait(5)
    channel.basic_ack(inbox.tags[2], multiple=True)
    channel.close()
    assert bodies(ch, name) == ["3", "4"]


def test_ack_multiple_of_tag_zero_settles_everything(connection, ch, queue):
    name = queue(ch)
    send(ch, name, *range(5))
    channel = connection.channel()
    Inbox(channel, name).wait(5)
    channel.basic_ack(0, multiple=True)
    channel.close()
    assert depth(ch, name) == 0


def test_ack_out_of_order_settles_just_that_one(connection, ch, queue):
    name = queue(ch)
    send(ch, name, *range(5))
    channel = connection.channel()
    inbox = Inbox(channel, name).wait(5)
    channel.basic_ack(inbox.tags[3])
    channel.close()
    assert bodies(ch, name) == ["0", "1", "2", "4"]


def test_nack_multiple_requeues_in_the_original_order(connection, ch, queue):
    name = queue(ch)
    send(ch, name, *range(6))
    channel = connection.channel()
    tags = [get(channel, name, auto_ack=False)[0].delivery_tag for _ in range(4)]
    channel.basic_nack(tags[2], multiple=True, requeue=True)
    channel.basic_ack(tags[3])
    channel.close()
    assert bodies(ch, name) == ["0", "1", "2", "4", "5"]


def test_a_requeued_message_returns_to_its_place_and_is_marked_redelivered(ch, queue):
    name = queue(ch)
    send(ch, name, *range(4))
    taken = [get(ch, name, auto_ack=False) for _ in range(3)]
    ch.basic_nack(taken[1][0].delivery_tag, requeue=True)
    ch.basic_reject(taken[0][0].delivery_tag, requeue=True)
    left = [get(ch, name) for _ in range(3)]
    assert [(b, m.redelivered) for m, _, b in left] == [(b"0", True), (b"1", True), (b"3", False)]


def test_reject_and_nack_without_requeue_drop_the_message(ch, queue):
    name = queue(ch)
    send(ch, name, 1, 2, 3)
    one, two = get(ch, name, auto_ack=False), get(ch, name, auto_ack=False)
    ch.basic_reject(one[0].delivery_tag, requeue=False)
    ch.basic_nack(two[0].delivery_tag, requeue=False)
    assert bodies(ch, name) == ["3"]


@pytest.mark.parametrize("settle", [
    lambda c, tag: c.basic_ack(tag), lambda c, tag: c.basic_nack(tag), lambda c, tag: c.basic_reject(tag),
    lambda c, tag: c.basic_ack(tag, multiple=True),
])
def test_an_unknown_delivery_tag_closes_with_406(connection, settle):
    channel = connection.channel()
    with closes_channel(406, "PRECONDITION_FAILED - unknown delivery tag 99"):
        settle(channel, 99)
        channel.basic_qos(prefetch_count=1)


def test_settling_twice_closes_with_406(connection, ch, queue):
    name = queue(ch)
    send(ch, name, 1)
    channel = connection.channel()
    tag = get(channel, name, auto_ack=False)[0].delivery_tag
    channel.basic_ack(tag)
    with closes_channel(406, "PRECONDITION_FAILED - unknown delivery tag 1"):
        channel.basic_ack(tag)
        channel.basic_qos(prefetch_count=1)


def test_acking_a_no_ack_delivery_closes_with_406(connection, ch, queue):
    name = queue(ch)
    send(ch, name, 1)
    channel = connection.channel()
    tag = get(channel, name, auto_ack=True)[0].delivery_tag
    with closes_channel(406, "PRECONDITION_FAILED - unknown delivery tag 1"):
        channel.basic_ack(tag)
        channel.basic_qos(prefetch_count=1)


def test_a_tag_of_another_channel_is_unknown_and_its_message_stays(connection, ch, queue):
    name = queue(ch)
    send(ch, name, 1)
    owner = connection.channel()
    get(owner, name, auto_ack=False)
    with closes_channel(406):
        other = connection.channel()
        other.basic_ack(1)
        other.basic_qos(prefetch_count=1)
    owner.close()
    assert bodies(ch, name) == ["1"]


def test_closing_the_channel_returns_unacked_messages_in_order(connection, ch, queue):
    name = queue(ch)
    send(ch, name, *range(5))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=3)
    Inbox(channel, name).wait(3)
    channel.close()
    left = [get(ch, name) for _ in range(5)]
    assert [(b.decode(), m.redelivered) for m, _, b in left] == [
        ("0", True), ("1", True), ("2", True), ("3", False), ("4", False)]


def test_a_dropped_connection_returns_unacked_messages(server, ch, queue):
    name = queue(ch)
    send(ch, name, *range(3))
    wire = Wire(server)
    wire.open()
    wire.open_channel()
    wire.method(1, spec.Basic.Consume(queue=name))
    wire.expect(spec.Basic.ConsumeOk)
    wire.expect(spec.Basic.Deliver)
    assert depth(ch, name) == 0
    wire.drop()
    wait_until(lambda: depth(ch, name) == 3)
    assert [m.redelivered for m, _, _ in (get(ch, name) for _ in range(3))] == [True, True, True]


def test_a_closed_connection_returns_unacked_messages_to_another_consumer(server, connection, ch, queue):
    name = queue(ch)
    send(ch, name, "work")
    dying = connect(server)
    Inbox(dying.channel(), name).wait(1)
    survivor = Inbox(connection.channel(), name)
    dying.close()
    assert survivor.wait(1)[0][0].redelivered is True


def test_recover_redelivers_everything_unacked(connection, ch, queue):
    name = queue(ch)
    send(ch, name, *range(3))
    channel = connection.channel()
    inbox = Inbox(channel, name).wait(3)
    channel.basic_ack(inbox.tags[0])
    channel.basic_recover(requeue=True)
    inbox.wait(5)
    assert [(b.decode(), m.redelivered, m.delivery_tag) for m, _, b in inbox[3:]] == [("1", True, 4), ("2", True, 5)]


def test_recover_without_requeue_closes_the_connection_with_540(plain):
    with closes_connection(540, "NOT_IMPLEMENTED - requeue=false"):
        plain.basic_recover(requeue=False)


def test_consumer_priority_serves_the_highest_first_until_it_is_full(connection, ch, queue):
    name = queue(ch)
    low_channel, high_channel = connection.channel(), connection.channel()
    high_channel.basic_qos(prefetch_count=2)
    low = Inbox(low_channel, name, arguments={"x-priority": 1})
    high = Inbox(high_channel, name, arguments={"x-priority": 10})
    send(ch, name, *range(4))
    high.wait(2)
    low.wait(2)
    assert (high.bodies, low.bodies) == (["0", "1"], ["2", "3"])


def test_a_consumer_priority_that_is_no_integer_closes_with_406(ch, queue):
    with closes_channel(406):
        Inbox(ch, queue(ch), arguments={"x-priority": "high"})


def test_single_active_consumer_has_one_at_a_time_and_hands_over(connection, ch, queue):
    name = queue(ch, {"x-single-active-consumer": True})
    first_channel = connection.channel()
    first, second = Inbox(first_channel, name), Inbox(connection.channel(), name)
    send(ch, name, *range(3))
    first.wait(3)
    second.quiet()
    first_channel.close()
    assert second.wait(3).bodies == ["0", "1", "2"]


def test_single_active_consumer_hands_over_at_cancel_too(connection, ch, queue):
    name = queue(ch, {"x-single-active-consumer": True})
    first, second = Inbox(ch, name, auto_ack=True), Inbox(connection.channel(), name, auto_ack=True)
    send(ch, name, "1")
    first.wait(1)
    ch.basic_cancel(first.tag)
    send(ch, name, "2")
    assert second.wait(1).bodies == ["2"]


def test_single_active_consumer_refuses_exclusive_consumers_with_403(ch, queue):
    with closes_channel(403):
        Inbox(ch, queue(ch, {"x-single-active-consumer": True}), exclusive=True)


def test_a_waiting_consumer_hears_of_a_message_that_another_returned(connection, ch, queue):
    name = queue(ch)
    holder = connection.channel()
    send(ch, name, "x")
    tag = get(holder, name, auto_ack=False)[0].delivery_tag
    inbox = Inbox(ch, name, auto_ack=True)
    holder.basic_nack(tag, requeue=True)
    assert inbox.wait(1)[0][0].redelivered is True


@since((4, 3), "consumer timeouts return the message instead of closing the channel")
@pytest.mark.parametrize("of", ["queue", "consumer"])
def test_x_consumer_timeout_returns_the_message(connection, ch, queue, of):
    timeout = {"x-consumer-timeout": 1000}
    name = queue(ch, {"x-queue-type": "quorum", **(timeout if of == "queue" else {})})
    channel = connection.channel()
    send(ch, name, "slow")
    inbox = Inbox(channel, name, arguments=timeout if of == "consumer" else None).wait(1)
    method, _, body = get(ch, name, seconds=10)
    assert (method.redelivered, body) == (True, b"slow")
    if channel.is_open:
        channel.basic_ack(inbox.tags[0])  # too late: ignored
        channel.basic_qos(prefetch_count=1)


def test_no_wait_methods_are_not_answered(server, unique):
    name = unique("q")
    with Wire(server) as wire:
        wire.open()
        wire.open_channel()
        wire.method(1, spec.Queue.Declare(queue=name, exclusive=True, nowait=True))
        wire.method(1, spec.Queue.Bind(queue=name, exchange="amq.fanout", nowait=True))
        wire.method(1, spec.Basic.Consume(queue=name, consumer_tag="t", nowait=True))
        wire.method(1, spec.Basic.Cancel(consumer_tag="t", nowait=True))
        wire.method(1, spec.Queue.Purge(queue=name, nowait=True))
        wire.method(1, spec.Queue.Delete(queue=name, nowait=True))
        wire.method(1, spec.Basic.Qos())
        wire.expect(spec.Basic.QosOk)
