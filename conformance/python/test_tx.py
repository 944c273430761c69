"""Transactions: tx.select, commit, rollback, over publishes and settlements of several queues."""
import pytest
from pika import spec

from tools import Inbox, bodies, closes_channel, depth, get, send
from wire import Wire


@pytest.fixture
def tx(connection):
    channel = connection.channel()
    channel.tx_select()
    return channel


def test_publishes_appear_at_commit_in_order(tx, ch, queue):
    one, two = queue(ch), queue(ch)
    for number in range(5):
        send(tx, one, number)
        send(tx, two, number)
    assert (depth(tx, one), depth(ch, two)) == (0, 0)
    tx.tx_commit()
    assert bodies(ch, one) == bodies(ch, two) == ["0", "1", "2", "3", "4"]


def test_rollback_discards_publishes(tx, ch, queue):
    name = queue(ch)
    send(tx, name, "no")
    tx.tx_rollback()
    send(tx, name, "yes")
    tx.tx_commit()
    assert bodies(ch, name) == ["yes"]


def test_acks_take_effect_at_commit(tx, ch, queue):
    name = queue(ch)
    send(ch, name, 1, 2)
    inbox = Inbox(tx, name).wait(2)
    tx.basic_ack(inbox.tags[0])
    tx.tx_commit()
    tx.basic_ack(inbox.tags[1])  # never committed
    tx.close()
    assert bodies(ch, name) == ["2"]


def test_rollback_gives_acked_messages_back_to_the_channel_as_unacked(tx, ch, queue):
    name = queue(ch)
    send(ch, name, 1)
    tag = get(tx, name, auto_ack=False)[0].delivery_tag
    tx.basic_ack(tag)
    tx.tx_rollback()
    assert depth(ch, name) == 0  # still held, not redelivered by itself
    tx.basic_ack(tag)
    tx.tx_commit()
    tx.close()
    assert depth(ch, name) == 0


def test_rejects_take_effect_at_commit(tx, ch, queue):
    name = queue(ch)
    send(ch, name, 1, 2)
    one, two = (get(tx, name, auto_ack=False)[0].delivery_tag for _ in range(2))
    tx.basic_nack(two, requeue=True)
    tx.basic_reject(one, requeue=False)
    assert depth(ch, name) == 0
    tx.tx_commit()
    assert bodies(ch, name) == ["2"]


def test_ack_and_publish_commit_together(tx, ch, queue):
    source, target = queue(ch), queue(ch)
    send(ch, source, "in")
    tag = get(tx, source, auto_ack=False)[0].delivery_tag
    send(tx, target, "out")
    tx.basic_ack(tag)
    assert (depth(ch, source), depth(ch, target)) == (0, 0)
    tx.tx_commit()
    tx.close()
    assert (bodies(ch, source), bodies(ch, target)) == ([], ["out"])


def test_closing_the_channel_rolls_back(tx, ch, queue):
    source, target = queue(ch), queue(ch)
    send(ch, source, "in")
    tx.basic_ack(get(tx, source, auto_ack=False)[0].delivery_tag)
    send(tx, target, "out")
    tx.close()
    assert (bodies(ch, source), bodies(ch, target)) == (["in"], [])


def test_an_unroutable_mandatory_publish_is_returned_at_commit(server):
    with Wire(server) as wire:
        wire.open()
        wire.open_channel()
        wire.method(1, spec.Tx.Select())
        wire.expect(spec.Tx.SelectOk)
        wire.publish(1, "conf.nowhere", b"back", mandatory=True)
        wire.method(1, spec.Tx.Commit())
        assert wire.expect(spec.Basic.Return).reply_code == 312
        wire.frame(), wire.frame()  # header, body
        wire.expect(spec.Tx.CommitOk)


@pytest.mark.parametrize("operation", ["tx_commit", "tx_rollback"])
def test_commit_and_rollback_without_select_close_with_406(connection, operation):
    with closes_channel(406, "PRECONDITION_FAILED - channel is not transactional"):
        getattr(connection.channel(), operation)()


def test_select_is_idempotent_and_an_empty_commit_is_answered(tx):
    tx.tx_select()
    tx.tx_commit()
    tx.tx_rollback()


def test_a_large_transaction_is_whole(tx, ch, queue):
    name = queue(ch)
    send(tx, name, *range(2000))
    tx.tx_commit()
    assert bodies(ch, name) == [str(number) for number in range(2000)]
