"""Direct reply-to: requests with an answer and no reply queue."""
import pytest
from pika import BasicProperties, spec

from tools import Inbox, baton_only, closes_channel, get, send, wait_until
from wire import Wire

REPLY_TO = "amq.rabbitmq.reply-to"


def request(channel, queue, body, correlation_id):
    channel.basic_publish("", queue, body, BasicProperties(reply_to=REPLY_TO, correlation_id=correlation_id))


def serve_one(channel, queue):
    """Takes one request, answers it with its body reversed, returns the address it answered to."""
    method, properties, body = get(channel, queue)
    channel.basic_publish("", properties.reply_to, body[::-1], BasicProperties(correlation_id=properties.correlation_id))
    return properties.reply_to


def test_a_reply_reaches_the_channel_that_asked(connection, ch, queue):
    name = queue(ch)
    asking, other = connection.channel(), connection.channel()
    replies, others = Inbox(asking, REPLY_TO, auto_ack=True), Inbox(other, REPLY_TO, auto_ack=True)
    request(asking, name, b"abc", "c-1")
    address = serve_one(ch, name)
    assert address.startswith(REPLY_TO + ".") and len(address) > len(REPLY_TO) + 1
    method, properties, body = replies.wait(1)[0]
    assert (body, properties.correlation_id, method.exchange, method.routing_key) == (b"cba", "c-1", "", address)
    assert others == []


def test_the_address_serves_many_requests_from_another_connection(connection, other_connection, ch, queue):
    name = queue(ch)
    asking, server = connection.channel(), other_connection.channel()
    replies = Inbox(asking, REPLY_TO, auto_ack=True)
    for number in range(20):
        request(asking, name, f"{number:02}".encode(), str(number))
    for _ in range(20):
        serve_one(server, name)
    assert [(p.correlation_id, b.decode()) for _, p, b in replies.wait(20)] == [(str(n), f"{n:02}"[::-1]) for n in range(20)]


def test_the_server_can_ask_whether_the_requester_is_still_there(connection, other_connection, ch, queue):
    name = queue(ch)
    asking = connection.channel()
    Inbox(asking, REPLY_TO, auto_ack=True)
    request(asking, name, b"x", "c")
    address = get(ch, name)[1].reply_to
    assert other_connection.channel().queue_declare(address, passive=True).method.queue == address
    asking.close()
    with closes_channel(404):
        other_connection.channel().queue_declare(address, passive=True)


def test_replies_to_nobody_are_dropped_without_harm(connection, ch, queue):
    name = queue(ch)
    asking = connection.channel()
    Inbox(asking, REPLY_TO, auto_ack=True)
    request(asking, name, b"x", "c")
    asking.close()
    serve_one(ch, name)
    send(ch, name, "still fine")
    assert get(ch, name)[2] == b"still fine"


def test_cancelling_the_reply_consumer_allows_another(connection, ch, queue):
    name = queue(ch)
    asking = connection.channel()
    asking.basic_cancel(Inbox(asking, REPLY_TO, auto_ack=True).tag)
    replies = Inbox(asking, REPLY_TO, auto_ack=True)
    request(asking, name, b"ab", "c")
    serve_one(ch, name)
    assert replies.wait(1).bodies == ["ba"]


def test_a_request_without_reply_consumer_closes_with_406(ch, queue):
    with closes_channel(406, "PRECONDITION_FAILED - fast reply consumer does not exist"):
        request(ch, queue(ch), b"x", "c")


def test_a_reply_consumer_that_would_ack_closes_with_406(connection):
    with closes_channel(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge"):
        Inbox(connection.channel(), REPLY_TO, auto_ack=False)


def test_a_second_reply_consumer_closes_with_406(connection):
    channel = connection.channel()
    Inbox(channel, REPLY_TO, auto_ack=True)
    with closes_channel(406, "PRECONDITION_FAILED - reply consumer already set"):
        Inbox(channel, REPLY_TO, auto_ack=True)


@baton_only("RabbitMQ closes the connection with 541")
def test_a_forged_reply_address_reaches_nobody(connection, ch):
    replies = Inbox(connection.channel(), REPLY_TO, auto_ack=True)
    ch.basic_publish("", REPLY_TO + ".g2dkAA5mb3JnZWQAAAAA.forged==", b"evil")
    replies.quiet()


def test_declaring_the_pseudo_queue_passively_is_answered(connection):
    assert connection.channel().queue_declare(REPLY_TO, passive=True).method.queue == REPLY_TO


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_reply_queue_of_ones_own_works_too(connection, ch, queue, exclusive):
    requests = queue(ch)
    reply_queue = connection.channel().queue_declare("", exclusive=exclusive, auto_delete=True).method.queue
    replies = Inbox(connection.channel(), reply_queue, auto_ack=True)
    ch.basic_publish("", requests, b"abc", BasicProperties(reply_to=reply_queue, correlation_id="1"))
    serve_one(ch, requests)
    assert replies.wait(1).bodies == ["cba"]


def test_a_reply_arrives_on_the_wire_as_an_ordinary_delivery(server, ch, queue):
    name = queue(ch)
    with Wire(server) as wire:
        wire.open()
        wire.open_channel()
        wire.method(1, spec.Basic.Consume(queue=REPLY_TO, consumer_tag="", no_ack=True))
        tag = wire.expect(spec.Basic.ConsumeOk).consumer_tag
        wire.publish(1, name, b"ping", properties=BasicProperties(reply_to=REPLY_TO))
        wait_until(lambda: serve_one(ch, name))
        deliver = wire.expect(spec.Basic.Deliver)
        assert (deliver.consumer_tag, deliver.redelivered, deliver.delivery_tag) == (tag, False, 1)
