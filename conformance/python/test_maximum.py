"""The largest message that is configured (`limits.message_bytes_max`): one of just that size passes, a larger one is refused in each
protocol's own words, and nobody else notices."""
import socket

import pika
import pytest

import protocols
from protocols import Amqp, Redis, Refused, Sqs, Stomp
from sqs_tools import refused
from tools import baton_only, connect

MAXIMUM = 100_000
pytestmark = baton_only("the limit is set in a file of Baton's own")


@pytest.fixture
def broker(limited):
    return limited(message_bytes_max=MAXIMUM)


TOLD = {
    "amqp": f"406 PRECONDITION_FAILED - message size {MAXIMUM + 1} is larger than configured max size {MAXIMUM}",
    "stomp": f"resource_error the body is larger than {MAXIMUM} bytes",
    "sqs": f"400 InvalidParameterValue One or more parameters are invalid. Reason: Message must be shorter than {MAXIMUM} bytes.",
    "redis": "ResponseError Protocol error: invalid bulk length",
}


@pytest.mark.parametrize("name", protocols.ALL)
def test_the_largest_passes_and_a_larger_one_is_refused(broker, name):
    bystander = protocols.ALL[name](broker)
    client = protocols.ALL[name](broker)
    client.put(b"x" * MAXIMUM)
    assert client.take() == b"x" * MAXIMUM
    client.close()
    client = protocols.ALL[name](broker)
    with pytest.raises(Refused) as told:
        client.put(b"y" * (MAXIMUM + 1))
    assert str(told.value).startswith(TOLD[name])
    bystander.put(b"small")
    assert bystander.take() == b"small"
    if name != "stomp":
        assert bystander.take() is None
    bystander.close()


def test_amqp_loses_a_channel_and_not_the_connection(broker):
    connection = connect(broker)
    other = connection.channel()
    other.queue_declare("limits", durable=True)
    channel = connection.channel()
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.basic_publish("", "limits", b"x" * (MAXIMUM + 1))
    other.basic_publish("", "limits", b"still here")
    assert other.basic_get("limits", auto_ack=True)[2] == b"still here"
    connection.close()


def test_stomp_refuses_what_is_announced_and_what_is_not(broker):
    """With `content-length` at once, before the body is sent; without it when too much came."""
    host, port = broker.stomp_listen.rsplit(":", 1)
    for frame in (f"SEND\ndestination:/queue/limits\ncontent-length:{MAXIMUM + 1}\n\n".encode(),
                  b"SEND\ndestination:/queue/limits\n\n" + b"x" * (MAXIMUM + 1)):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0")
            assert raw.recv(65536).startswith(b"CONNECTED\n")
            raw.sendall(frame)
            answer = b""
            while part := raw.recv(65536):
                answer += part
        assert b"ERROR\nmessage:resource_error\n" in answer and b"limits.message_bytes_max" in answer
    stomp = Stomp(broker)
    stomp.put(b"still here")
    assert stomp.take() == b"still here"
    stomp.close()


def test_sqs_has_its_own_maximum_of_1_mib_and_a_queue_may_have_a_smaller_one(limited):
    client = Sqs(limited())
    client.put(b"x" * 1_048_576)
    assert client.take() == b"x" * 1_048_576
    with pytest.raises(Refused, match="^400 InvalidParameterValue .* shorter than 1048576 bytes"):
        client.put(b"x" * 1_048_577)
    client.client.set_queue_attributes(QueueUrl=client.url, Attributes={"MaximumMessageSize": "1024"})
    client.put(b"x" * 1_024)
    with pytest.raises(Refused, match="shorter than 1024 bytes"):
        client.put(b"x" * 1_025)
    with refused("AWS.SimpleQueueService.BatchRequestTooLong"):
        client.client.send_message_batch(QueueUrl=client.url, Entries=[
            {"Id": one, "MessageBody": "x" * 600_000} for one in "ab"])


def test_redis_closes_the_connection_as_redis_does(broker):
    host, port = broker.redis_listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(f"*3\r\n$5\r\nLPUSH\r\n$6\r\nlimits\r\n${MAXIMUM + 1}\r\n".encode())
        answer = b""
        while part := raw.recv(65536):
            answer += part
    assert answer == b"-ERR Protocol error: invalid bulk length\r\n"
    client = Redis(broker)
    assert client.take() is None
    # Several elements may together have little more than the largest one.
    client.client.lpush("limits", b"x" * 60_000, b"y" * 60_000)
    assert client.client.llen("limits") == 2


def test_a_larger_maximum_than_the_default_can_be_configured(limited):
    largest = 130 << 20
    broker = limited(message_bytes_max=largest)
    amqp, redis = Amqp(broker, "large"), Redis(broker, "large")
    body = b"z" * largest
    redis.put(body)
    assert amqp.take() == body
    amqp.put(body)
    assert redis.take() == body
    with pytest.raises(Refused):
        amqp.put(body + b"z")
