"""Expiry, length limits and priorities of queues and messages."""
import time

import pytest
from pika.exceptions import NackError

from tools import Inbox, baton_only, bodies, depth, get, send, wait_until


def gone(channel, name, seconds=5.0):
    wait_until(lambda: depth(channel, name) == 0, seconds, f"{name} empty")


def test_x_message_ttl_expires_messages(ch, queue):
    name = queue(ch, {"x-message-ttl": 200})
    send(ch, name, 1, 2)
    assert depth(ch, name) == 2
    gone(ch, name)


def test_messages_do_not_expire_early(ch, queue):
    name = queue(ch, {"x-message-ttl": 1500})
    begin = time.monotonic()
    send(ch, name, 1)
    gone(ch, name)
    assert 1.4 <= time.monotonic() - begin < 3


def test_expiration_of_the_message_is_kept_in_ms(ch, queue):
    name = queue(ch)
    send(ch, name, "short", expiration="200")
    send(ch, name, "stays")
    wait_until(lambda: depth(ch, name) == 1)
    assert bodies(ch, name) == ["stays"]


@pytest.mark.parametrize("queue_ttl,message_ttl", [(60_000, "200"), (200, "60000")])
def test_the_lower_of_queue_and_message_ttl_wins(ch, queue, queue_ttl, message_ttl):
    name = queue(ch, {"x-message-ttl": queue_ttl})
    send(ch, name, "x", expiration=message_ttl)
    gone(ch, name)


def test_ttl_zero_drops_what_no_consumer_takes_at_once(connection, ch, queue):
    name = queue(ch, {"x-message-ttl": 0})
    send(ch, name, "nobody")
    gone(ch, name)
    inbox = Inbox(connection.channel(), name, auto_ack=True)
    send(ch, name, "taken")
    assert inbox.wait(1).bodies == ["taken"]


def test_a_delivered_message_does_not_expire_but_does_when_it_returns(ch, queue):
    name = queue(ch, {"x-message-ttl": 300})
    send(ch, name, "x")
    tag = get(ch, name, auto_ack=False)[0].delivery_tag
    time.sleep(0.4)  # past its time, in our hands
    ch.basic_nack(tag, requeue=True)
    gone(ch, name, 2)


def test_x_message_ttl_leaves_the_expiration_property_alone(ch, queue):
    name = queue(ch, {"x-message-ttl": 60_000})
    send(ch, name, "x", expiration="50000")
    assert get(ch, name)[1].expiration == "50000"


@baton_only("RabbitMQ expires at the head of the queue only")
def test_a_message_expires_behind_one_that_does_not(ch, queue):
    name = queue(ch)
    send(ch, name, "stays")
    send(ch, name, "short", expiration="100")
    wait_until(lambda: depth(ch, name) == 1, 3)
    assert bodies(ch, name) == ["stays"]


def test_max_length_drops_the_oldest(ch, queue):
    name = queue(ch, {"x-max-length": 3})
    send(ch, name, *range(6))
    assert bodies(ch, name) == ["3", "4", "5"]


def test_max_length_counts_ready_messages_only(ch, queue):
    name = queue(ch, {"x-max-length": 2})
    send(ch, name, 1, 2)
    tags = [get(ch, name, auto_ack=False)[0].delivery_tag for _ in range(2)]
    send(ch, name, 3, 4)
    assert depth(ch, name) == 2
    ch.basic_ack(tags[1], multiple=True)
    assert bodies(ch, name) == ["3", "4"]


def test_max_length_zero_keeps_nothing(ch, queue):
    name = queue(ch, {"x-max-length": 0})
    send(ch, name, 1)
    gone(ch, name)


def test_max_length_bytes_counts_bodies_and_drops_the_oldest(ch, queue):
    name = queue(ch, {"x-max-length-bytes": 250})
    send(ch, name, *(str(number) * 100 for number in range(5)))
    assert bodies(ch, name) == ["3" * 100, "4" * 100]


def test_both_limits_hold(ch, queue):
    name = queue(ch, {"x-max-length-bytes": 1000, "x-max-length": 2})
    send(ch, name, *range(5))
    assert bodies(ch, name) == ["3", "4"]


def test_reject_publish_by_bytes(ch, queue):
    name = queue(ch, {"x-max-length-bytes": 100, "x-overflow": "reject-publish"})
    send(ch, name, "a" * 100)
    with pytest.raises(NackError):
        send(ch, name, "b")
    assert bodies(ch, name) == ["a" * 100]


def test_reject_publish_without_confirms_drops_silently(plain, queue):
    name = queue(plain, {"x-max-length": 1, "x-overflow": "reject-publish"})
    send(plain, name, "in", "out")
    assert bodies(plain, name) == ["in"]


def test_priorities_are_strict_and_first_in_first_out_within_one(ch, queue):
    name = queue(ch, {"x-max-priority": 10})
    for number, priority in enumerate([1, 5, 3, None, 5, 10, 0]):
        send(ch, name, f"{number}:{priority}", **({"priority": priority} if priority is not None else {}))
    assert bodies(ch, name) == ["5:10", "1:5", "4:5", "2:3", "0:1", "3:None", "6:0"]


def test_a_priority_over_the_maximum_counts_as_the_maximum(ch, queue):
    name = queue(ch, {"x-max-priority": 5})
    send(ch, name, "low", priority=4)
    send(ch, name, "five", priority=5)
    send(ch, name, "nine", priority=9)
    assert bodies(ch, name) == ["five", "nine", "low"]


def test_the_priority_property_is_not_changed(ch, queue):
    name = queue(ch, {"x-max-priority": 5})
    send(ch, name, "x", priority=200)
    assert get(ch, name)[1].priority == 200


def test_without_max_priority_the_priority_is_ignored(ch, queue):
    name = queue(ch, {"x-queue-type": "classic"})
    send(ch, name, "first", priority=0)
    send(ch, name, "second", priority=9)
    assert bodies(ch, name) == ["first", "second"]


def test_max_length_with_priorities_drops_from_the_head_which_is_the_most_urgent(ch, queue):
    name = queue(ch, {"x-max-priority": 10, "x-max-length": 2})
    for priority in (5, 1, 2):
        send(ch, name, priority, priority=priority)
    assert bodies(ch, name) == ["2", "1"]


def test_a_requeued_message_keeps_its_priority(ch, queue):
    name = queue(ch, {"x-max-priority": 10})
    send(ch, name, "low", priority=1)
    send(ch, name, "high", priority=9)
    ch.basic_nack(get(ch, name, auto_ack=False)[0].delivery_tag, requeue=True)
    assert bodies(ch, name) == ["high", "low"]


def test_all_256_priorities(ch, queue):
    name = queue(ch, {"x-max-priority": 255})
    for priority in (0, 255, 128, 127, 1, 254):
        send(ch, name, priority, priority=priority)
    assert bodies(ch, name) == ["255", "254", "128", "127", "1", "0"]
