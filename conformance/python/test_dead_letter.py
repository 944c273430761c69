"""Dead-lettering: each reason, x-death exactly, routing, cycles, delivery limits and counters."""
import time
from datetime import datetime, timezone

import pytest
from pika.exceptions import NackError

from tools import Inbox, bodies, connect, depth, get, send, since, wait_until


@pytest.fixture
def dlq(ch, queue):
    return queue(ch)


@pytest.fixture
def source(ch, queue, dlq):
    """Declares a queue that dead-letters to `dlq` through the default exchange."""
    return lambda arguments=None: queue(ch, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dlq, **(arguments or {})})


def reject(ch, name):
    ch.basic_reject(get(ch, name, auto_ack=False)[0].delivery_tag, requeue=False)


def deaths(headers):
    """x-death without the times, which are checked to be recent."""
    found = [dict(death) for death in headers["x-death"]]
    for death in found:
        died = death.pop("time").replace(tzinfo=timezone.utc)
        assert abs((datetime.now(timezone.utc) - died).total_seconds()) < 60
    return found


def test_a_rejected_message_carries_exactly_this(ch, source, dlq):
    name = source()
    send(ch, name, "x", headers={"mine": 1}, message_id="m")
    reject(ch, name)
    method, properties, body = get(ch, dlq)
    headers = properties.headers
    assert (body, method.routing_key, method.exchange, method.redelivered, properties.message_id) == (b"x", dlq, "", False, "m")
    assert deaths(headers) == [{"count": 1, "reason": "rejected", "queue": name, "exchange": "", "routing-keys": [name]}]
    assert {key: value for key, value in headers.items() if key != "x-death" and not key.startswith("x-last-death-")} == {
        "mine": 1, "x-first-death-queue": name, "x-first-death-reason": "rejected", "x-first-death-exchange": ""}


@since((3, 13), "x-last-death-* headers")
def test_the_last_death_is_named_too(ch, source, dlq):
    name = source()
    send(ch, name, "x")
    reject(ch, name)
    headers = get(ch, dlq)[1].headers
    assert [headers[f"x-last-death-{part}"] for part in ("queue", "reason", "exchange")] == [name, "rejected", ""]


def test_nack_without_requeue_dead_letters_as_rejected(ch, source, dlq):
    name = source()
    send(ch, name, *range(3))
    tags = [get(ch, name, auto_ack=False)[0].delivery_tag for _ in range(3)]
    ch.basic_nack(tags[-1], multiple=True, requeue=False)
    found = [get(ch, dlq) for _ in range(3)]
    assert [body for _, _, body in found] == [b"0", b"1", b"2"]
    assert {deaths(properties.headers)[0]["reason"] for _, properties, _ in found} == {"rejected"}


def test_an_expired_message_loses_its_expiration_and_remembers_it(ch, source, dlq):
    name = source()
    send(ch, name, "x", expiration="100")
    properties = get(ch, dlq)[1]
    assert properties.expiration is None
    assert deaths(properties.headers) == [{"count": 1, "reason": "expired", "queue": name, "exchange": "", "routing-keys": [name],
                                           "original-expiration": "100"}]


def test_a_queue_ttl_expiry_has_no_original_expiration(ch, source, dlq):
    name = source({"x-message-ttl": 100})
    send(ch, name, "x")
    assert deaths(get(ch, dlq)[1].headers) == [
        {"count": 1, "reason": "expired", "queue": name, "exchange": "", "routing-keys": [name]}]


def test_expired_messages_arrive_in_order_while_nobody_looks(ch, source, dlq):
    name = source({"x-message-ttl": 100})
    send(ch, name, *range(20))
    wait_until(lambda: depth(ch, dlq) == 20)
    assert bodies(ch, dlq) == [str(number) for number in range(20)]


def test_a_message_dropped_for_length_is_dead_lettered_as_maxlen(ch, source, dlq):
    name = source({"x-max-length": 1})
    send(ch, name, "old", "new")
    assert bodies(ch, name) == ["new"]
    _, properties, body = get(ch, dlq)
    assert (body, deaths(properties.headers)[0]["reason"]) == (b"old", "maxlen")


def test_reject_publish_does_not_dead_letter(ch, source, dlq):
    name = source({"x-max-length": 1, "x-overflow": "reject-publish"})
    send(ch, name, "in")
    with pytest.raises(NackError):
        send(ch, name, "out")
    assert (bodies(ch, name), depth(ch, dlq)) == (["in"], 0)


def test_reject_publish_dlx_nacks_and_dead_letters_the_new_message(ch, source, dlq):
    name = source({"x-max-length": 1, "x-overflow": "reject-publish-dlx"})
    send(ch, name, "in")
    with pytest.raises(NackError):
        send(ch, name, "out")
    _, properties, body = get(ch, dlq)
    assert (body, deaths(properties.headers)[0]["reason"]) == (b"out", "maxlen")
    assert bodies(ch, name) == ["in"]


def test_without_a_dead_letter_routing_key_the_original_keys_are_used(ch, queue, exchange):
    dlx, dead = exchange(ch, "topic"), queue(ch)
    ch.queue_bind(dead, dlx, "#")
    fan, name = exchange(ch, "fanout"), queue(ch, {"x-dead-letter-exchange": dlx})
    ch.queue_bind(name, fan)
    send(ch, "order.eu", "x", exchange=fan)
    reject(ch, name)
    method, properties, _ = get(ch, dead)
    assert (method.exchange, method.routing_key) == (dlx, "order.eu")
    assert deaths(properties.headers)[0] == {"count": 1, "reason": "rejected", "queue": name, "exchange": fan, "routing-keys": ["order.eu"]}


def test_cc_is_in_the_routing_keys_and_bcc_is_not(ch, queue, exchange):
    dlx, dead = exchange(ch, "fanout"), queue(ch)
    ch.queue_bind(dead, dlx)
    name = queue(ch, {"x-dead-letter-exchange": dlx})
    send(ch, name, "x", headers={"CC": ["conf.cc"], "BCC": ["conf.bcc"]})
    reject(ch, name)
    headers = get(ch, dead)[1].headers
    assert deaths(headers)[0]["routing-keys"] == [name, "conf.cc"]
    assert headers["CC"] == ["conf.cc"] and "BCC" not in headers


def test_a_dead_letter_routing_key_removes_cc(ch, source, dlq, queue):
    name, cc = source(), queue(ch)
    send(ch, name, "x", headers={"CC": ["conf.cc." + cc]})
    reject(ch, name)
    assert "CC" not in get(ch, dlq)[1].headers


def test_an_unknown_dead_letter_exchange_drops_the_message(ch, queue):
    name = queue(ch, {"x-dead-letter-exchange": "conf.no.such"})
    send(ch, name, "x")
    reject(ch, name)
    assert depth(ch, name) == 0
    send(ch, name, "the queue lives")
    assert bodies(ch, name) == ["the queue lives"]


def test_purged_deleted_and_acked_messages_are_not_dead_lettered(ch, source, dlq):
    name = source()
    send(ch, name, 1, 2, 3)
    get(ch, name)
    ch.queue_purge(name)
    send(ch, name, 4)
    ch.queue_delete(name)
    assert depth(ch, dlq) == 0


def test_a_second_death_of_the_same_kind_counts_up(ch, queue, unique):
    """A retry loop: rejected to a waiting queue, back when it expires."""
    work = unique("q")
    back = queue(ch, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": 50})
    queue(ch, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": back}, name=work)
    send(ch, work, "x")
    for _ in range(3):
        reject(ch, work)
    headers = get(ch, work)[1].headers
    assert deaths(headers) == [
        {"count": 3, "reason": "expired", "queue": back, "exchange": "", "routing-keys": [back]},
        {"count": 3, "reason": "rejected", "queue": work, "exchange": "", "routing-keys": [work]}]
    assert [headers[f"x-first-death-{part}"] for part in ("queue", "reason", "exchange")] == [work, "rejected", ""]


def test_an_automatic_cycle_is_broken(ch, queue, unique):
    """Expired back into the queue it expired from, with no rejection in between: dropped, not turned for ever."""
    name = unique("q")
    queue(ch, {"x-message-ttl": 50, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": name}, name=name)
    send(ch, name, "x")
    wait_until(lambda: depth(ch, name) == 0)
    time.sleep(0.15)  # it would be back by now
    assert depth(ch, name) == 0


def test_a_cycle_of_two_queues_is_broken(ch, queue, unique):
    one, two = unique("q"), unique("q")
    queue(ch, {"x-message-ttl": 50, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": two}, name=one)
    queue(ch, {"x-message-ttl": 50, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": one}, name=two)
    send(ch, one, "x")
    wait_until(lambda: depth(ch, one) == 0 and depth(ch, two) == 0)
    time.sleep(0.15)
    assert (depth(ch, one), depth(ch, two)) == (0, 0)


@since((4, 0), "x-death headers of publishers are not trusted")
def test_x_death_sent_by_a_publisher_does_not_count(ch, source, dlq):
    name = source()
    send(ch, name, "x", headers={"x-death": [{"queue": name, "reason": "rejected", "count": 41, "exchange": "",
                                              "routing-keys": [name], "time": datetime(2020, 1, 1)}]})
    reject(ch, name)
    assert deaths(get(ch, dlq)[1].headers) == [
        {"count": 1, "reason": "rejected", "queue": name, "exchange": "", "routing-keys": [name]}]


def test_dead_letters_fan_out(ch, queue, exchange):
    dlx, one, two = exchange(ch, "fanout"), queue(ch), queue(ch)
    for dead in (one, two):
        ch.queue_bind(dead, dlx)
    name = queue(ch, {"x-dead-letter-exchange": dlx})
    send(ch, name, "x")
    reject(ch, name)
    assert (get(ch, one)[2], get(ch, two)[2]) == (b"x", b"x")


def test_a_reject_in_a_transaction_dead_letters_at_commit(connection, ch, source, dlq):
    name = source()
    send(ch, name, "x")
    tx = connection.channel()
    tx.tx_select()
    reject(tx, name)
    assert depth(ch, dlq) == 0
    tx.tx_commit()
    assert get(ch, dlq)[2] == b"x"


QUORUM = {"x-queue-type": "quorum"}


def test_delivery_count_is_absent_first_and_then_counts_rejects(ch, queue, rabbitmq_version):
    name = queue(ch, QUORUM)
    send(ch, name, "x", headers={"k": 1})
    seen = []
    for _ in range(3):
        method, properties, _ = get(ch, name, auto_ack=False)
        seen.append((properties.headers.get("x-delivery-count"), method.redelivered))
        ch.basic_reject(method.delivery_tag, requeue=True)
    first = 0 if rabbitmq_version and rabbitmq_version < (4, 0) else None  # old brokers said 0
    assert seen == [(first, False), (1, True), (2, True)]


def test_delivery_count_counts_a_dead_consumer(connection, ch, queue):
    name = queue(ch, QUORUM)
    send(ch, name, "x")
    channel = connection.channel()
    get(channel, name, auto_ack=False)
    channel.close()
    assert get(ch, name)[1].headers["x-delivery-count"] == 1


@since((4, 3), "basic.nack with requeue is a return, not a failure")
def test_delivery_count_does_not_count_nacks(ch, queue):
    name = queue(ch, {**QUORUM, "x-delivery-limit": 2})
    send(ch, name, "x")
    for round_number in range(6):
        method, properties, _ = get(ch, name, auto_ack=False)
        assert "x-delivery-count" not in (properties.headers or {})
        assert (properties.headers or {}).get("x-acquired-count", 0) == round_number
        ch.basic_nack(method.delivery_tag, requeue=True)
    assert get(ch, name)[2] == b"x"


def test_the_delivery_limit_dead_letters_as_delivery_limit(ch, source, dlq):
    name = source({**QUORUM, "x-delivery-limit": 2})
    send(ch, name, "poison")
    for _ in range(3):
        ch.basic_reject(get(ch, name, auto_ack=False)[0].delivery_tag, requeue=True)
    _, properties, body = get(ch, dlq)
    assert (body, deaths(properties.headers)) == (b"poison", [
        {"count": 1, "reason": "delivery_limit", "queue": name, "exchange": "", "routing-keys": [name]}])
    assert depth(ch, name) == 0


def test_the_delivery_limit_counts_dying_consumers(server, ch, source, dlq):
    name = source({**QUORUM, "x-delivery-limit": 1})
    send(ch, name, "killer")
    for _ in range(2):
        victim = connect(server)
        Inbox(victim.channel(), name).wait(1)
        victim.close()
    assert get(ch, dlq)[2] == b"killer"


def test_a_delivery_limit_without_dead_letter_exchange_drops(ch, queue):
    name = queue(ch, {**QUORUM, "x-delivery-limit": 1})
    send(ch, name, "poison", "good")
    for _ in range(2):
        ch.basic_reject(get(ch, name, auto_ack=False)[0].delivery_tag, requeue=True)
    assert bodies(ch, name) == ["good"]


@since((4, 0), "quorum queues limit deliveries to 20 unless told otherwise")
def test_the_default_delivery_limit_of_quorum_queues_is_20(ch, source, dlq):
    name = source(QUORUM)
    send(ch, name, "poison")
    for _ in range(21):
        ch.basic_reject(get(ch, name, auto_ack=False)[0].delivery_tag, requeue=True)
    assert deaths(get(ch, dlq)[1].headers)[0]["reason"] == "delivery_limit"


@since((4, 0), "-1 lifts the limit")
def test_delivery_limit_minus_one_is_none(ch, source, dlq):
    name = source({**QUORUM, "x-delivery-limit": -1})
    send(ch, name, "stubborn")
    for _ in range(25):
        ch.basic_reject(get(ch, name, auto_ack=False)[0].delivery_tag, requeue=True)
    assert (get(ch, name)[2], depth(ch, dlq)) == (b"stubborn", 0)


def test_classic_queues_have_no_delivery_limit_or_count(ch, source, dlq):
    name = source({"x-queue-type": "classic"})
    send(ch, name, "stubborn")
    for _ in range(25):
        ch.basic_reject(get(ch, name, auto_ack=False)[0].delivery_tag, requeue=True)
    _, properties, body = get(ch, name)
    assert (body, "x-delivery-count" in (properties.headers or {}), depth(ch, dlq)) == (b"stubborn", False, 0)


def test_a_dead_letter_keeps_priority_order_in_its_queue(ch, queue):
    dead = queue(ch, {"x-max-priority": 9})
    name = queue(ch, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    for priority in (1, 9):
        send(ch, name, priority, priority=priority)
    reject(ch, name), reject(ch, name)
    assert bodies(ch, dead) == ["9", "1"]
