"""One queue through the usual client of each protocol, with the same few words: for tests of what must hold in all of them."""
import queue
import uuid

import pika
import redis
import stomp
from pika.exceptions import NackError

import sqs_tools
from test_stomp import Listener
from tools import connect

WAIT_S = 20
# A receipt that did not come within this does not come for now.
RECEIPT_S = 4


class Refused(Exception):
    """The broker did not take a message; says what the client was told."""


class Amqp:
    def __init__(self, broker, name="limits"):
        self.name, self.connection = name, connect(broker)
        self.channel = self.connection.channel()
        self.channel.queue_declare(name, durable=True)
        self.channel.confirm_delivery()

    def put(self, body):
        try:
            self.channel.basic_publish("", self.name, body, pika.BasicProperties(delivery_mode=2))
        except NackError:
            raise Refused("basic.nack") from None
        except pika.exceptions.ChannelClosedByBroker as closed:
            raise Refused(f"{closed.reply_code} {closed.reply_text}") from None

    def take(self):
        return self.channel.basic_get(self.name, auto_ack=True)[2]

    def close(self):
        if self.connection.is_open:
            self.connection.close()


class Sqs:
    def __init__(self, broker, name="limits"):
        self.client = sqs_tools.client(f"http://{broker.http_listen}")
        self.url = self.client.create_queue(QueueName=name)["QueueUrl"]

    def put(self, body):
        try:
            self.client.send_message(QueueUrl=self.url, MessageBody=body.decode())
        except sqs_tools.ClientError as refused:
            answer = refused.response
            raise Refused(f"{answer['ResponseMetadata']['HTTPStatusCode']} {answer['Error']['Code']} {answer['Error']['Message']}") from None

    def take(self):
        for message in self.client.receive_message(QueueUrl=self.url).get("Messages", []):
            self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
            return message["Body"].encode()
        return None

    def close(self):
        self.client.close()


class Redis:
    def __init__(self, broker, name="limits"):
        host, port = broker.redis_listen.rsplit(":", 1)
        self.name, self.client = name, redis.Redis(host=host, port=int(port), socket_timeout=WAIT_S)

    def put(self, body):
        try:
            self.client.lpush(self.name, body)
        except redis.exceptions.ResponseError as refused:
            raise Refused(f"{type(refused).__name__} {refused}") from None

    def take(self):
        return self.client.rpop(self.name)

    def close(self):
        self.client.close()


class Stomp(Listener):
    """`put` asks for a receipt and waits for it; `send` leaves it to `receipts`."""

    def __init__(self, broker, name="limits"):
        self.destination = f"/queue/{name}"
        super().__init__()
        host, port = broker.stomp_listen.rsplit(":", 1)
        self.connection = stomp.Connection12([(host, int(port))], auto_decode=False, auto_content_length=True)
        self.connection.set_listener("", self)
        self.connection.connect("guest", "guest", wait=True)
        self.subscribed = False

    def on_error(self, frame):
        super().on_error(frame)
        self.receipts.put(None)

    def send(self, body):
        receipt = uuid.uuid4().hex
        self.connection.send(self.destination, body, headers={"receipt": receipt, "persistent": "true"})
        return receipt

    def put(self, body):
        receipt = self.send(body)
        answer = self.receipts.get(timeout=RECEIPT_S)
        if answer is None:
            error = self.errors.get(timeout=WAIT_S)
            raise Refused(f"{error.headers['message']} {error.body.decode()}")
        assert answer == receipt

    def take(self):
        if not self.subscribed:
            self.connection.subscribe(self.destination, id="0", ack="client-individual", headers={"prefetch-count": "1"})
            self.subscribed = True
        try:
            frame = self.messages.get(timeout=2)
        except queue.Empty:
            return None
        self.connection.ack(frame.headers["ack"])
        return frame.body if isinstance(frame.body, bytes) else frame.body.encode()

    def close(self):
        if self.connection.is_connected():
            self.connection.disconnect()


ALL = {"amqp": Amqp, "stomp": Stomp, "sqs": Sqs, "redis": Redis}
