"""One queue, every protocol: what one client sends another receives, once in each direction for every pair, with body, headers
and correlation as far as both protocols have words for them. A protocol is a class with `send` and `receive`; adding one adds
all its pairs."""
import itertools
import queue
import time
import uuid

import boto3
import botocore.config
import pika
import pytest
import redis
import stomp

from tools import connect

pytestmark = pytest.mark.baton_only("other brokers do not speak all of these")

WAIT_S = 10


class Message:
    """What all protocols can say about a message; None: this one cannot."""

    def __init__(self, body, headers=None, correlation=None, priority=None, content_type=None):
        self.body, self.headers = body, headers or {}
        self.correlation, self.priority, self.content_type = correlation, priority, content_type


class Amqp:
    """pika."""

    name = "amqp"

    def __init__(self, server):
        self.connection = connect(server)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def prepare(self, name):
        self.channel.queue_declare(name, durable=True)

    def send(self, name, message):
        properties = pika.BasicProperties(
            delivery_mode=2, headers=message.headers, correlation_id=message.correlation,
            priority=message.priority, content_type=message.content_type)
        self.channel.basic_publish("", name, message.body, properties)

    def receive(self, name):
        method, properties, body = next(self.channel.consume(name, inactivity_timeout=WAIT_S))
        assert method, "nothing came"
        self.channel.basic_ack(method.delivery_tag)
        self.channel.cancel()
        return Message(body, properties.headers, properties.correlation_id, properties.priority, properties.content_type)

    def close(self):
        self.connection.close()


class Stomp(stomp.ConnectionListener):
    """stomp.py."""

    name = "stomp"

    def __init__(self, server):
        host, port = server.stomp_listen.rsplit(":", 1)
        self.frames, self.receipts, self.subscribed = queue.Queue(), queue.Queue(), False
        self.connection = stomp.Connection12([(host, int(port))], auto_decode=False)
        self.connection.set_listener("", self)
        self.connection.connect("guest", "guest", wait=True)

    def on_message(self, frame):
        self.frames.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame)

    def prepare(self, name):
        """Subscribing makes the queue."""
        if not self.subscribed:
            self.connection.subscribe(f"/queue/{name}", id="1", ack="client-individual", headers={"receipt": "s"})
            self.receipts.get(timeout=WAIT_S)
            self.subscribed = True

    def send(self, name, message):
        headers = {**message.headers, "persistent": "true", "receipt": "r", "correlation-id": message.correlation,
                   "priority": message.priority, "content-type": message.content_type}
        headers = {key: str(value) for key, value in headers.items() if value is not None}
        self.connection.send(f"/queue/{name}", message.body, headers=headers)
        self.receipts.get(timeout=WAIT_S)

    def receive(self, name):
        self.prepare(name)
        frame = self.frames.get(timeout=WAIT_S)
        self.connection.ack(frame.headers["ack"], receipt="a")
        self.receipts.get(timeout=WAIT_S)
        priority = frame.headers.get("priority")
        return Message(frame.body, frame.headers, frame.headers.get("correlation-id"), priority and int(priority),
                       frame.headers.get("content-type"))

    def close(self):
        self.connection.disconnect()


class Sqs:
    """boto3. It has no words for correlation, priority and content type of its own."""

    name = "sqs"

    def __init__(self, server):
        self.client = boto3.client(
            "sqs", region_name="us-east-1", endpoint_url=f"http://{server.http_listen}", aws_access_key_id="test",
            aws_secret_access_key="test", config=botocore.config.Config(retries={"max_attempts": 1}))

    def prepare(self, name):
        self.client.create_queue(QueueName=name)

    def _url(self, name):
        return self.client.get_queue_url(QueueName=name)["QueueUrl"]

    def send(self, name, message):
        attributes = {key: {"DataType": "String", "StringValue": value} for key, value in message.headers.items()}
        self.client.send_message(QueueUrl=self._url(name), MessageBody=message.body.decode(), MessageAttributes=attributes)

    def receive(self, name):
        url = self._url(name)
        answer = self.client.receive_message(QueueUrl=url, WaitTimeSeconds=WAIT_S, MessageAttributeNames=["All"])
        message = answer["Messages"][0]
        self.client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        headers = {key: value.get("StringValue") for key, value in message.get("MessageAttributes", {}).items()}
        return Message(message["Body"].encode(), headers)

    def close(self):
        self.client.close()


class Redis:
    """redis-py. A list has no words for headers."""

    name = "redis"

    def __init__(self, server):
        host, port = server.redis_listen.rsplit(":", 1)
        self.client = redis.Redis(host, int(port))

    def prepare(self, name):
        pass

    def send(self, name, message):
        self.client.rpush(name, message.body)

    def receive(self, name):
        answer = self.client.blpop(name, timeout=WAIT_S)
        assert answer, "nothing came"
        return Message(answer[1])

    def close(self):
        self.client.close()


PROTOCOLS = [Amqp, Stomp, Sqs, Redis]
PAIRS = [pytest.param(a, b, id=f"{a.name}-{b.name}") for a, b in itertools.permutations(PROTOCOLS, 2)]
TALKATIVE = [pytest.param(a, b, id=f"{a.name}-{b.name}") for a, b in itertools.permutations([Amqp, Stomp], 2)]


@pytest.fixture
def name():
    return f"cross-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("sender, receiver", PAIRS)
@pytest.mark.parametrize("made_by", ["sender", "receiver"])
def test_a_message_with_a_header_arrives_once(server, name, sender, receiver, made_by):
    one, other = sender(server), receiver(server)
    # A STOMP sender makes the queue with its first message, and would take messages if it subscribed.
    # A list is there while it has elements, and waits for nobody to make it.
    if made_by == "receiver" and receiver is not Redis:
        other.prepare(name)
    elif sender is not Stomp:
        one.prepare(name)
    for number in range(3):
        one.send(name, Message(f"message {number}, with ü".encode(), {"colour": "red", "number": str(number)}))
    for number in range(3):
        got = other.receive(name)
        assert got.body == f"message {number}, with ü".encode()
        if Redis not in (sender, receiver):
            assert (got.headers["colour"], got.headers["number"]) == ("red", str(number))
    one.close()
    other.close()
    check = Redis(server)
    assert check.client.llen(name) == 0
    check.close()


@pytest.mark.parametrize("sender, receiver", TALKATIVE)
def test_correlation_priority_and_type_are_mapped(server, name, sender, receiver):
    one, other = sender(server), receiver(server)
    other.prepare(name)
    one.send(name, Message(bytes(range(256)), {"k": "v"}, "c:1", 7, "application/octet-stream"))
    got = other.receive(name)
    assert (got.body, got.correlation, got.priority, got.content_type) == (
        bytes(range(256)), "c:1", 7, "application/octet-stream")
    one.close()
    other.close()


def test_typed_headers_of_amqp_are_text_in_stomp(server, name):
    amqp, other = Amqp(server), Stomp(server)
    amqp.prepare(name)
    amqp.send(name, Message(b"x", {"int": 7, "yes": True, "text": "a:b", "table": {"a": 1}}))
    headers = other.receive(name).headers
    assert (headers["int"], headers["yes"], headers["text"]) == ("7", "true", "a:b")
    assert "table" not in headers
    amqp.close()
    other.close()


def test_a_request_by_stomp_is_answered_by_amqp_and_the_reverse(server, name):
    amqp, other = Amqp(server), Stomp(server)
    amqp.prepare(name)
    other.connection.send(f"/queue/{name}", b"question", headers={"reply-to": "/temp-queue/r", "correlation-id": "1"})
    method, properties, _ = next(amqp.channel.consume(name, inactivity_timeout=WAIT_S))
    amqp.channel.basic_ack(method.delivery_tag)
    amqp.channel.cancel()
    amqp.channel.basic_publish("", properties.reply_to, b"answer", pika.BasicProperties(correlation_id=properties.correlation_id))
    frame = other.frames.get(timeout=WAIT_S)
    assert (frame.body, frame.headers["correlation-id"]) == (b"answer", "1")

    answers = []
    channel = amqp.connection.channel()
    channel.basic_consume("amq.rabbitmq.reply-to", lambda *answer: answers.append(answer), auto_ack=True)
    channel.basic_publish("", name, b"question", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="2"))
    other.connection.subscribe(f"/queue/{name}", id="q", ack="auto")
    frame = other.frames.get(timeout=WAIT_S)
    other.connection.send(frame.headers["reply-to"], b"answer", headers={"correlation-id": frame.headers["correlation-id"]})
    deadline = time.monotonic() + WAIT_S
    while not answers and time.monotonic() < deadline:
        amqp.connection.process_data_events(time_limit=0.1)
    assert answers[0][3] == b"answer" and answers[0][2].correlation_id == "2"
    amqp.close()
    other.close()


def test_dead_letters_cross_over(server, name):
    amqp, other = Amqp(server), Stomp(server)
    dead = f"{name}-dead"
    amqp.prepare(dead)
    amqp.channel.queue_declare(name, durable=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    amqp.send(name, Message(b"poison"))
    other.connection.subscribe(f"/queue/{name}", id="1", ack="client-individual")
    frame = other.frames.get(timeout=WAIT_S)
    other.connection.nack(frame.headers["ack"], requeue="false")
    got = amqp.receive(dead)
    assert got.headers["x-first-death-queue"] == name
    amqp.close()
    other.close()


def test_topics_of_stomp_are_keys_of_amq_topic(server, name):
    amqp, other = Amqp(server), Stomp(server)
    amqp.channel.queue_declare(name, exclusive=True)
    amqp.channel.queue_bind(name, "amq.topic", f"{name}.#")
    other.connection.send(f"/topic/{name}.a.b", b"to amqp", headers={"receipt": "r"})
    other.receipts.get(timeout=WAIT_S)
    assert amqp.receive(name).body == b"to amqp"
    other.connection.subscribe(f"/topic/{name}.*", id="t", headers={"receipt": "s"})
    other.receipts.get(timeout=WAIT_S)
    amqp.channel.basic_publish("amq.topic", f"{name}.x", b"to stomp")
    assert other.frames.get(timeout=WAIT_S).headers["destination"] == f"/topic/{name}.x"
    amqp.close()
    other.close()
