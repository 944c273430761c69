"""One queue, two protocols: sent by boto3 and consumed by pika, and the other way round, with attributes mapped to headers and back."""
import http.client
import json
import uuid
from datetime import datetime, timezone
from decimal import Decimal

import pika
import pytest

from sqs_tools import binary, bodies, counts, delete, md5, md5_of_attributes, receive, receive_one, send, send_group, text
from tools import Inbox, connect, depth, get


@pytest.fixture
def channel(sqs_endpoint):
    """A channel with confirms to the broker whose SQS the tests use."""
    if sqs_endpoint.broker is None:
        pytest.skip("speaks AMQP too: needs BATON_BIN")
    connection = connect(sqs_endpoint.broker)
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    if connection.is_open:
        connection.close()


@pytest.fixture
def shared(make_queue):
    """A queue of both: (its URL, its name)."""
    name = f"conf-{uuid.uuid4().hex[:12]}"
    return make_queue(name), name


def test_boto3_to_pika(sqs, channel, shared, sqs_endpoint):
    url, name = shared
    before = sqs_endpoint.now_ms()
    sent = sqs.send_message(QueueUrl=url, MessageBody="ünï ☃", MessageAttributes={
        "text": text("a"), "whole": text("42", "Number"), "broken": text("-2.5", "Number"), "bytes": binary(b"\0\xff"), "json": text("{}", "String.json")},
        MessageSystemAttributes={"AWSTraceHeader": text("Root=1-5759e988-bd862e3fe1be46a994272793")})
    method, properties, body = get(channel, name, auto_ack=False)
    assert body.decode() == "ünï ☃" and properties.delivery_mode == 2 and not method.redelivered
    headers = properties.headers
    assert (headers["text"], headers["whole"], headers["broken"], headers["bytes"], headers["json"]) == ("a", 42, -2, b"\0\xff", "{}")  # pika cuts doubles to whole numbers
    assert headers["AWSTraceHeader"] == "Root=1-5759e988-bd862e3fe1be46a994272793"
    assert before // 1000 <= properties.timestamp <= sqs_endpoint.now_ms() // 1000 + 1 and sent["MessageId"]
    assert properties.user_id == "guest"  # whom any access key stands for without configured ones
    assert counts(sqs, url) == (0, 1, 0)
    channel.basic_ack(method.delivery_tag)
    assert depth(channel, name) == 0 and counts(sqs, url) == (0, 0, 0)


def test_pika_to_boto3(sqs, channel, shared):
    url, name = shared
    headers = {"text": "a", "whole": 42, "large": 2**40, "decimal": Decimal("-2.5"), "flag": True, "bytes": b"\0\xff"}
    channel.basic_publish("", name, "ünï ☃".encode(), pika.BasicProperties(delivery_mode=2, headers=headers, content_type="text/plain"))
    message = receive_one(sqs, url, MessageAttributeNames=["All"], AttributeNames=["All"])
    attributes = {"text": text("a"), "whole": text("42", "Number"), "large": text(str(2**40), "Number"), "decimal": text("-2.5", "Number"),
                  "flag": text("true"), "bytes": binary(b"\0\xff")}
    assert message["Body"] == "ünï ☃" and message["MD5OfBody"] == md5("ünï ☃")
    assert message["MessageAttributes"] == attributes and message["MD5OfMessageAttributes"] == md5_of_attributes(attributes)
    assert message["Attributes"]["ApproximateReceiveCount"] == "1" and message["MessageId"]
    delete(sqs, url, message)
    assert depth(channel, name) == 0


def test_what_headers_become_and_which_are_left_out(sqs, channel, shared, sqs_endpoint):
    url, name = shared
    headers = {"when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), "off": False, "small": -7, "list": [1, 2], "table": {"a": 1}, "null": None, "latin": b"\xe9",
               "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793"}
    before = sqs_endpoint.now_ms()
    channel.basic_publish("", name, b"x", pika.BasicProperties(delivery_mode=2, headers=headers, timestamp=1_000_000))
    message = receive_one(sqs, url, MessageAttributeNames=["All"], AttributeNames=["All"])
    assert message["MessageAttributes"] == {"when": text("1767323045000", "Number"), "off": text("false"), "small": text("-7", "Number"), "latin": binary(b"\xe9")}
    assert message["Attributes"]["AWSTraceHeader"] == headers["AWSTraceHeader"]
    assert before <= int(message["Attributes"]["SentTimestamp"]) <= sqs_endpoint.now_ms()  # when it came, whatever its timestamp says


def policy(endpoint, name):
    """The queue's policy, as Baton's own API shows it."""
    connection = http.client.HTTPConnection(endpoint.broker.http_listen, timeout=10)
    connection.request("GET", f"/api/v1/namespaces/%2F/queues/{name}")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["policy"]


def test_attributes_of_a_queue_are_its_policy(sqs, channel, make_queue, sqs_endpoint):
    dead_name = f"conf-{uuid.uuid4().hex[:12]}"
    dead = make_queue(dead_name)
    name = f"conf-{uuid.uuid4().hex[:12]}"
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    make_queue(name, VisibilityTimeout="7", MessageRetentionPeriod="120", DelaySeconds="3", MaximumMessageSize="2048",
               RedrivePolicy={"deadLetterTargetArn": arn, "maxReceiveCount": 4}, tags={"team": "shop"})
    found = policy(sqs_endpoint, name)
    assert (found["lease_ms"], found["ttl_ms"], found["delay_ms"], found["capacity"]["message_bytes_max"]) == (7_000, 120_000, 3_000, 2048)
    assert found["ttl_since_sent"] is True and found["drop_expired"] is True and found["dispatch"]["in_flight_max"] == 120_000
    assert dead_name in json.dumps(found["dead_letter"]) and found["retry"]["attempts_max"] == 4 and found["retry"]["counter"] == "acquired"
    assert found["labels"]["sqs-tag:team"].strip() == "shop" and found["keys"]["mode"] == "fair"
    fifo = f"conf-{uuid.uuid4().hex[:12]}.fifo"
    make_queue(fifo, fifo=True, ContentBasedDeduplication="true", DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    found = policy(sqs_endpoint, fifo)
    assert found["keys"]["mode"] == "ordered" and not found.get("ttl_since_sent")
    assert (found["dedup"]["by_body"], found["dedup"]["per_key"], found["dedup"]["window_ms"]) == (True, True, 300_000)


def test_a_body_that_is_no_text_comes_in_base64(sqs, channel, shared):
    url, name = shared
    channel.basic_publish("", name, b"\xff\0\x01", pika.BasicProperties(delivery_mode=2))
    message = receive_one(sqs, url, MessageAttributeNames=["All"])
    assert message["Body"] == "/wAB" and message["MD5OfBody"] == md5("/wAB")
    assert message["MessageAttributes"] == {"Baton.BodyEncoding": text("base64")}


def test_attributes_come_back_to_boto3_as_they_were_sent(sqs, channel, shared):
    """Seen and returned by AMQP in between."""
    url, name = shared
    attributes = {"n": text("007", "Number.int"), "b": binary(b"x", "Binary.png")}
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=attributes)
    method, _, _ = get(channel, name, auto_ack=False)
    channel.basic_nack(method.delivery_tag)
    message = receive_one(sqs, url, MessageAttributeNames=["All"], AttributeNames=["ApproximateReceiveCount"])
    assert message["MessageAttributes"] == attributes and message["MD5OfMessageAttributes"] == md5_of_attributes(attributes)
    assert message["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_queue_that_amqp_declared_is_there_for_sqs(sqs, channel):
    name = f"conf-{uuid.uuid4().hex[:12]}"
    channel.queue_declare(name, durable=True)
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    assert [one for one in sqs.list_queues(QueueNamePrefix=name)["QueueUrls"]] == [url]
    send(sqs, url, "x")
    assert get(channel, name)[2] == b"x"
    channel.basic_publish("", name, b"y", pika.BasicProperties(delivery_mode=2))
    assert bodies(receive(sqs, url)) == ["y"]
    channel.queue_delete(name)


def test_each_message_reaches_one_of_both(sqs, channel, shared):
    url, name = shared
    inbox = Inbox(channel, name, auto_ack=True)
    send(sqs, url, *map(str, range(20)))
    inbox.wait(20)
    assert receive(sqs, url) == [] and sorted(inbox.bodies, key=int) == [str(number) for number in range(20)]


def test_a_message_in_flight_for_sqs_is_not_delivered_to_amqp(sqs, channel, shared, advance):
    url, name = shared
    send(sqs, url, "x")
    message = receive_one(sqs, url, VisibilityTimeout=30)
    inbox = Inbox(channel, name)
    inbox.quiet()
    advance(30.1)
    method, properties, body = inbox.wait(1)[0]
    assert body == b"x" and method.redelivered
    channel.basic_ack(method.delivery_tag)
    channel.basic_cancel(inbox.tag)
    delete(sqs, url, message)  # too late, and no error
    assert counts(sqs, url) == (0, 0, 0)


def test_groups_hold_for_amqp_too(sqs, channel, make_queue):
    name = f"conf-{uuid.uuid4().hex[:12]}.fifo"
    url = make_queue(name, fifo=True)
    send_group(sqs, url, "g", "1", "2")
    send_group(sqs, url, "h", "x")
    held = receive_one(sqs, url)
    inbox = Inbox(channel, name)
    assert inbox.wait(1).bodies == ["x"]
    delete(sqs, url, held)
    assert inbox.wait(2).bodies == ["x", "2"]
