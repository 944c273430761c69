"""Delayed messages (x-delay) and delayed retries (x-delayed-retry-*): Baton has both without a plugin."""
import time

import pytest

from tools import Inbox, baton_only, bodies, depth, get, send, since, wait_until

@baton_only("needs the delayed message plugin there")
def test_x_delay_holds_a_message_back(ch, queue):
    name = queue(ch)
    begin = time.monotonic()
    send(ch, name, "later", headers={"x-delay": 400})
    send(ch, name, "now")
    assert (depth(ch, name), bodies(ch, name)) == (1, ["now"])
    assert get(ch, name)[2] == b"later"
    assert 0.4 <= time.monotonic() - begin < 3


@baton_only("needs the delayed message plugin there")
def test_delayed_messages_arrive_by_their_time(connection, ch, queue):
    name = queue(ch)
    inbox = Inbox(connection.channel(), name, auto_ack=True)
    for delay in (600, 200, 400):
        send(ch, name, delay, headers={"x-delay": delay})
    assert inbox.wait(3).bodies == ["200", "400", "600"]


@baton_only("needs the delayed message plugin there")
def test_x_delay_works_through_every_exchange(ch, queue, exchange):
    fan, names = exchange(ch, "fanout"), [queue(ch), queue(ch)]
    for name in names:
        ch.queue_bind(name, fan)
    send(ch, "", "later", exchange=fan, headers={"x-delay": 300})
    assert [depth(ch, name) for name in names] == [0, 0]
    assert [get(ch, name)[2] for name in names] == [b"later", b"later"]


@baton_only("needs the delayed message plugin there")
def test_a_delayed_message_is_confirmed_when_it_is_stored(ch, queue):
    name = queue(ch)
    begin = time.monotonic()
    send(ch, name, "far", headers={"x-delay": 3_600_000})
    assert time.monotonic() - begin < 5
    assert depth(ch, name) == 0


@baton_only("needs the delayed message plugin there")
@pytest.mark.parametrize("delay", [0, -5])
def test_a_delay_of_zero_or_less_is_none(ch, queue, delay):
    name = queue(ch)
    send(ch, name, "now", headers={"x-delay": delay})
    assert bodies(ch, name) == ["now"]


def retry_times(ch, name, settle, rounds):
    """Seconds each return took to come back."""
    times = []
    method = get(ch, name, auto_ack=False)[0]
    for _ in range(rounds):
        begin = time.monotonic()
        settle(method.delivery_tag)
        method = get(ch, name, auto_ack=False)[0]
        times.append(time.monotonic() - begin)
    ch.basic_ack(method.delivery_tag)
    return times


@since((4, 3), "delayed retries")
def test_delayed_retry_grows_linearly_up_to_its_maximum(ch, queue):
    name = queue(ch, {"x-queue-type": "quorum", "x-delayed-retry-type": "all", "x-delayed-retry-min": 200, "x-delayed-retry-max": 500})
    send(ch, name, "x")
    times = retry_times(ch, name, lambda tag: ch.basic_reject(tag, requeue=True), 3)
    for took, expected in zip(times, (0.2, 0.4, 0.5)):
        assert expected <= took + 0.002 and took < expected + 2, times


@since((4, 3), "delayed retries")
@pytest.mark.parametrize("kind,delayed", [("failed", "reject"), ("returned", "nack")])
def test_delayed_retry_type_chooses_what_waits(ch, queue, kind, delayed):
    name = queue(ch, {"x-queue-type": "quorum", "x-delayed-retry-type": kind, "x-delayed-retry-min": 1500, "x-delayed-retry-max": 1500})
    send(ch, name, "x")
    settle = {"reject": lambda tag: ch.basic_reject(tag, requeue=True), "nack": lambda tag: ch.basic_nack(tag, requeue=True)}
    assert retry_times(ch, name, settle[delayed], 1)[0] >= 1.498
    send(ch, name, "y")
    other = "nack" if delayed == "reject" else "reject"
    assert retry_times(ch, name, settle[other], 1)[0] < 1.2


@since((4, 3), "delayed retries")
def test_other_messages_pass_one_that_waits_for_its_retry(ch, queue):
    name = queue(ch, {"x-queue-type": "quorum", "x-delayed-retry-type": "all", "x-delayed-retry-min": 400, "x-delayed-retry-max": 400})
    send(ch, name, "first", "second")
    ch.basic_reject(get(ch, name, auto_ack=False)[0].delivery_tag, requeue=True)
    assert bodies(ch, name) == ["second"]
    wait_until(lambda: depth(ch, name) == 1)
    assert bodies(ch, name) == ["first"]


@since((4, 3), "delayed retries")
def test_delayed_retries_count_towards_the_delivery_limit(ch, queue):
    dead = queue(ch)
    name = queue(ch, {"x-queue-type": "quorum", "x-delayed-retry-type": "all", "x-delayed-retry-min": 50, "x-delayed-retry-max": 50,
                      "x-delivery-limit": 2, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    send(ch, name, "poison")
    for _ in range(3):
        ch.basic_reject(get(ch, name, auto_ack=False)[0].delivery_tag, requeue=True)
    assert get(ch, dead)[1].headers["x-death"][0]["reason"] == "delivery_limit"
