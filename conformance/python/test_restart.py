"""What survives a restart and a SIGKILL, and how a graceful stop looks to clients. Each test has a broker of its own."""
import pytest
from pika import spec
from pika.exceptions import AMQPError, ConnectionClosedByBroker

from tools import PERSISTENT, Inbox, baton_only, bodies, closes_channel, connect, depth, exists, get, send, since, wait_until
from wire import Wire


@pytest.fixture
def before(own_server):
    """A channel with confirms, of before the restart."""
    connection = connect(own_server)
    channel = connection.channel()
    channel.confirm_delivery()
    return channel


@pytest.fixture(params=["restart", "kill_and_restart"])
def again(request, own_server, before):
    """Stops the broker, gracefully or by SIGKILL, starts it on the same data, and connects with confirms."""
    opened = []

    def restart():
        if request.param == "restart":
            before.connection.close()  # a graceful stop waits for clients, and this one does not listen
        getattr(own_server, request.param)()
        opened.append(connect(own_server))
        channel = opened[-1].channel()
        channel.confirm_delivery()
        return channel

    yield restart
    for connection in opened:
        connection.close()


def persist(channel, queue, *messages, exchange=""):
    for body in messages:
        channel.basic_publish(exchange, queue, str(body).encode(), PERSISTENT)


def test_confirmed_persistent_messages_survive_in_order(before, again, queue):
    name = queue(before)
    persist(before, name, *range(100))
    after = again()
    assert bodies(after, name) == [str(number) for number in range(100)]


def test_unacked_messages_return_and_acked_ones_do_not(before, again, queue):
    name = queue(before)
    persist(before, name, *range(6))
    channel = before.connection.channel()
    inbox = Inbox(channel, name).wait(6)
    channel.basic_ack(inbox.tags[1], multiple=True)
    channel.basic_ack(inbox.tags[4])
    channel.queue_declare(name, passive=True)
    persist(before, name, "after the acks")  # its confirm says that what came before is stored too
    after = again()
    assert bodies(after, name) == ["2", "3", "5", "after the acks"]


def test_durable_exchanges_bindings_and_arguments_survive(before, again, queue, exchange):
    topic, headers, fallback = exchange(before, "topic"), exchange(before, "headers"), exchange(before, "fanout")
    name, spare = queue(before, {"x-max-length": 10, "x-max-priority": 5}), queue(before)
    main = exchange(before, "direct", {"alternate-exchange": fallback})
    before.queue_bind(name, topic, "a.#")
    before.queue_bind(name, headers, arguments={"x-match": "all", "k": 1})
    before.exchange_bind(topic, headers)
    before.queue_bind(spare, fallback)
    after = again()
    after.exchange_declare(topic, "topic", durable=True)
    send(after, "a.b", "topic", exchange=topic)
    send(after, "no", "headers", exchange=headers, headers={"k": 1})
    send(after, "unknown", "alternate", exchange=main)
    send(after, name, "urgent", priority=5)
    assert bodies(after, name) == ["urgent", "topic", "headers"]
    assert bodies(after, spare) == ["alternate"]
    with closes_channel(406):
        queue(after, {"x-max-length": 11, "x-max-priority": 5}, name=name)


def test_transient_queues_and_exchanges_are_gone(before, again, queue, exchange):
    name, transient = queue(before, durable=False, exclusive=True), exchange(before, "fanout", durable=False)
    send(before, name, "x")
    after = again()
    assert not exists(after.connection, name)
    with closes_channel(404):
        after.exchange_declare(transient, passive=True)


def test_deleted_queues_and_purged_messages_stay_away(before, again, queue):
    deleted, purged, unbound = queue(before), queue(before), queue(before)
    before.queue_bind(unbound, "amq.fanout")
    for name in (deleted, purged):
        persist(before, name, 1, 2)
    before.queue_delete(deleted)
    before.queue_purge(purged)
    before.queue_unbind(unbound, "amq.fanout")
    persist(before, purged, 3)
    after = again()
    assert not exists(after.connection, deleted)
    assert bodies(after, purged) == ["3"]
    send(after, "", "x", exchange="amq.fanout")
    assert depth(after, unbound) == 0


def test_a_committed_transaction_survives_and_an_open_one_does_not(before, again, queue):
    one, two = queue(before), queue(before)
    tx = before.connection.channel()
    tx.tx_select()
    persist(tx, one, "committed")
    persist(tx, two, "committed")
    tx.tx_commit()
    persist(tx, one, "open")
    after = again()
    assert (bodies(after, one), bodies(after, two)) == (["committed"], ["committed"])


def test_properties_headers_and_large_bodies_survive(before, again, queue):
    name = queue(before)
    body = bytes(range(256)) * 4000
    send(before, name, body, delivery_mode=2, headers={"k": [1, {"z": "y"}], "n": 2**40}, message_id="m-1", content_type="x/y", priority=3)
    after = again()
    _, properties, received = get(after, name)
    assert (received == body, properties.headers, properties.message_id, properties.content_type, properties.priority) == (
        True, {"k": [1, {"z": "y"}], "n": 2**40}, "m-1", "x/y", 3)


def test_dead_letters_survive_with_their_history(before, again, queue):
    dead = queue(before)
    name = queue(before, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    persist(before, name, "x")
    before.basic_reject(get(before, name, auto_ack=False)[0].delivery_tag, requeue=False)
    wait_until(lambda: depth(before, dead) == 1)
    persist(before, name, "later")
    after = again()
    _, properties, body = get(after, dead)
    assert (body, properties.headers["x-death"][0]["queue"], properties.headers["x-death"][0]["reason"]) == (b"x", name, "rejected")


def test_time_to_live_goes_on_over_a_restart(before, again, queue):
    name = queue(before, {"x-message-ttl": 1500})
    persist(before, name, "x")
    after = again()
    wait_until(lambda: depth(after, name) == 0, 5)


@baton_only("needs the delayed message plugin there")
def test_delayed_messages_survive_and_keep_their_time(before, again, queue):
    name = queue(before)
    send(before, name, "later", delivery_mode=2, headers={"x-delay": 2500})
    after = again()
    assert depth(after, name) == 0
    assert get(after, name)[2] == b"later"


@since((4, 0), "the first delivery has no count")
def test_delivery_counts_survive(before, again, queue):
    name = queue(before, {"x-queue-type": "quorum"})
    persist(before, name, "x")
    for _ in range(2):
        before.basic_reject(get(before, name, auto_ack=False)[0].delivery_tag, requeue=True)
    persist(before, name, "y")
    after = again()
    assert get(after, name)[1].headers["x-delivery-count"] == 2


def test_quorum_queues_store_transient_messages_too(before, again, queue):
    name = queue(before, {"x-queue-type": "quorum"})
    send(before, name, "mode 1", delivery_mode=1)
    after = again()
    assert bodies(after, name) == ["mode 1"]


@baton_only("stops a broker of our own")
def test_sigterm_closes_clients_with_320_and_exits_with_0(own_server):
    connection = connect(own_server)
    with Wire(own_server) as wire:
        wire.open()
        assert own_server.stop() == 0
        assert wire.expect(spec.Connection.Close).reply_code == 320
    with pytest.raises((ConnectionClosedByBroker, AMQPError)):
        connection.process_data_events(2)
        connection.channel()


@baton_only("stops a broker of our own")
def test_kill_at_once_after_declare_and_publish_loses_nothing_confirmed(own_server, queue):
    for round_number in range(5):
        connection = connect(own_server)
        channel = connection.channel()
        channel.confirm_delivery()
        name = queue(channel, name=f"conf.round.{round_number}")
        persist(channel, name, round_number)
        own_server.kill_and_restart()
    connection = connect(own_server)
    channel = connection.channel()
    assert [bodies(channel, f"conf.round.{number}") for number in range(5)] == [[str(number)] for number in range(5)]
