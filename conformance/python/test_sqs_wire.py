"""SQS on the wire: JSON 1.0 and Query/XML as they are in bytes, request ids, HTTP itself, and hostile clients."""
import json
import os
import socket
import time
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from sqs_tools import NAMESPACE, UUID, bodies, call_json, call_query, drain, exchange, md5, receive, send, signed


@pytest.fixture
def url(sqs_endpoint):
    return sqs_endpoint.url


class Raw:
    """A bare connection, for what no client would send."""

    def __init__(self, url, timeout=20):
        parts = urlsplit(url)
        self.host = f"{parts.hostname}:{parts.port}"
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout)

    def send(self, data):
        try:
            self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough
        return self

    def answer(self):
        """(status, headers, body), or None when the connection ends without one."""
        data = b""
        try:
            while b"\r\n\r\n" not in data:
                more = self.socket.recv(65536)
                if not more:
                    return None
                data += more
            head, body = data.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
            while len(body) < int(headers.get("content-length", 0)):
                body += self.socket.recv(65536)
        except (ConnectionResetError, socket.timeout):
            return None
        return int(lines[0].split()[1]), headers, body

    def request(self, method, target, headers, body=b""):
        lines = [f"{method} {target} HTTP/1.1"] + [f"{name}: {value}" for name, value in {"Host": self.host, **headers, "Content-Length": len(body)}.items()]
        return self.send("\r\n".join(lines) + "\r\n\r\n").send(body)

    def close(self):
        self.socket.close()


def error_of(answer):
    return json.loads(answer.body)["__type"].rsplit("#", 1)[-1], answer.headers["x-amzn-query-error"]


# ---- JSON 1.0

def test_json_answers(url, make_queue):
    queue = make_queue()
    answer = call_json(url, "SendMessage", {"QueueUrl": queue, "MessageBody": "x"})
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/x-amz-json-1.0"
    assert UUID.fullmatch(answer.request_id) and answer.json["MD5OfMessageBody"] == md5("x")
    assert set(answer.json) == {"MD5OfMessageBody", "MessageId"}
    other = call_json(url, "ReceiveMessage", {"QueueUrl": queue})
    assert other.request_id != answer.request_id
    assert call_json(url, "ReceiveMessage", {"QueueUrl": queue}).json.get("Messages") is None
    done = call_json(url, "DeleteMessage", {"QueueUrl": queue, "ReceiptHandle": other.json["Messages"][0]["ReceiptHandle"]})
    assert done.status == 200 and done.body in (b"", b"{}")


def test_json_errors(url):
    answer = call_json(url, "GetQueueUrl", {"QueueName": "never-made"})
    assert answer.status == 400 and answer.headers["Content-Type"] == "application/x-amz-json-1.0" and UUID.fullmatch(answer.request_id)
    assert answer.json["__type"] == "com.amazonaws.sqs#QueueDoesNotExist"
    assert answer.headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
    assert "The specified queue does not exist." in (answer.json.get("message") or answer.json.get("Message"))


def test_json_1_1_is_json_too(url, make_queue):
    method, target, headers, body = signed(url + "/", headers={"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.1"},
                                           body=json.dumps({"QueueUrl": make_queue(), "MessageBody": "x"}).encode())
    answer = exchange(url, method, target, headers, body)
    assert answer.status == 200 and json.loads(answer.body)["MD5OfMessageBody"] == md5("x")


def test_json_to_the_path_of_a_queue(url, make_queue):
    queue = make_queue()
    path = urlsplit(queue).path
    assert call_json(url, "SendMessage", {"QueueUrl": queue, "MessageBody": "x"}, path=path).status == 200
    assert len(call_json(url, "ReceiveMessage", {"QueueUrl": queue}, path=path).json["Messages"]) == 1


@pytest.mark.parametrize("body", ["{", "[]", "null", "\"x\"", "{\"QueueUrl\": }", "{} {}", "{\"QueueUrl\": \"\\ud800\"}", b"\xff\xfe", "", "{" * 5000, "[" * 200_000])
def test_broken_json(url, body):
    answer = call_json(url, "SendMessage", body)
    assert answer.status == 400 and answer.request_id
    kind, code = error_of(answer)
    assert kind in ("SerializationException", "MissingRequiredParameterException", "InvalidParameterValueException", "InvalidAddress", "QueueDoesNotExist"), kind
    assert code.endswith(";Sender")


@pytest.mark.parametrize("change", [{"QueueUrl": 7}, {"MessageBody": ["x"]}, {"MessageBody": {"x": 1}}, {"DelaySeconds": "soon"}, {"DelaySeconds": 1e99}, {"MessageAttributes": []},
                                    {"MessageAttributes": {"a": "b"}}, {"MessageAttributes": {"a": {"DataType": "Binary", "BinaryValue": "no base64!"}}}])
def test_values_of_the_wrong_type(url, make_queue, sqs_json, change):
    queue = make_queue()
    answer = call_json(url, "SendMessage", {"QueueUrl": queue, "MessageBody": "x", **change})
    assert answer.status == 400 and error_of(answer)[1].endswith(";Sender")
    assert receive(sqs_json, queue) == []


def test_null_is_as_if_it_were_not_there_and_unknown_members_are_ignored(url, make_queue):
    queue = make_queue()
    assert call_json(url, "SendMessage", {"QueueUrl": queue, "MessageBody": "x", "DelaySeconds": None, "MessageAttributes": None, "NewIn2031": {"a": [1]}}).status == 200


def test_an_unknown_action(url):
    answer = call_json(url, "SendMessages", {})
    assert answer.status == 400 and error_of(answer)[0] == "UnknownOperationException" and error_of(answer)[1] == "InvalidAction;Sender"


@pytest.mark.parametrize("target", ["", "AmazonSQS", "AmazonSQS.", "DynamoDB_20120810.ListTables", "sendmessage", "A" * 3000])
def test_a_bad_target_is_answered(url, target):
    answer = call_json(url, "x", {}, headers={"X-Amz-Target": target})
    assert answer.status in (400, 404)


@pytest.mark.parametrize("missing", ["QueueUrl", "ReceiptHandle"])
def test_missing_parameters(url, make_queue, missing):
    body = {"QueueUrl": make_queue(), "ReceiptHandle": "x"}
    del body[missing]
    answer = call_json(url, "DeleteMessage", body)
    assert answer.status == 400 and error_of(answer) == ("MissingRequiredParameterException", "MissingParameter;Sender")
    assert missing in answer.body.decode()


# ---- Query and XML

def found(answer, path):
    """The text at a path, whose names are all in the namespace."""
    element = xml.fromstring(answer.body).find("/".join(NAMESPACE + part for part in path.split("/")))
    return None if element is None else element.text


def test_query_answers(url, make_queue):
    queue = make_queue()
    answer = call_query(url, "SendMessage", QueueUrl=queue, MessageBody="a <b> & \"c\"")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/xml")
    root = xml.fromstring(answer.body)
    assert root.tag == f"{NAMESPACE}SendMessageResponse"
    assert found(answer, "SendMessageResult/MD5OfMessageBody") == md5("a <b> & \"c\"")
    assert UUID.fullmatch(found(answer, "ResponseMetadata/RequestId")) and found(answer, "ResponseMetadata/RequestId") == answer.request_id
    received = call_query(url, "ReceiveMessage", QueueUrl=queue, **{"AttributeName.1": "ApproximateReceiveCount"})
    assert found(received, "ReceiveMessageResult/Message/Body") == "a <b> & \"c\""
    assert found(received, "ReceiveMessageResult/Message/Attribute/Name") == "ApproximateReceiveCount"
    handle = found(received, "ReceiveMessageResult/Message/ReceiptHandle")
    deleted = call_query(url, "DeleteMessage", QueueUrl=queue, ReceiptHandle=handle)
    assert xml.fromstring(deleted.body).tag == f"{NAMESPACE}DeleteMessageResponse" and found(deleted, "ResponseMetadata/RequestId")


def test_query_to_the_path_of_a_queue_by_post_and_get(url, make_queue):
    path = urlsplit(make_queue()).path
    assert found(call_query(url, "SendMessage", path=path, MessageBody="posted"), "SendMessageResult/MessageId")
    assert found(call_query(url, "SendMessage", path=path, method="GET", MessageBody="got"), "SendMessageResult/MessageId")
    assert found(call_query(url, "ReceiveMessage", path=path, version=None), "ReceiveMessageResult/Message/Body") in ("posted", "got")


def test_query_errors(url):
    answer = call_query(url, "GetQueueUrl", QueueName="never-made")
    assert answer.status == 400 and answer.headers["Content-Type"].startswith("text/xml")
    assert xml.fromstring(answer.body).tag == f"{NAMESPACE}ErrorResponse"
    assert (found(answer, "Error/Type"), found(answer, "Error/Code")) == ("Sender", "AWS.SimpleQueueService.NonExistentQueue")
    assert found(answer, "Error/Message") == "The specified queue does not exist for this wsdl version."
    assert UUID.fullmatch(found(answer, "RequestId")) and found(answer, "RequestId") == answer.request_id


def test_query_attributes_are_numbered_from_1(url, make_queue, sqs_json):
    made = call_query(url, "CreateQueue", QueueName="conf-query-attributes", **{"Attribute.1.Name": "DelaySeconds", "Attribute.1.Value": "3", "Tag.1.Key": "k", "Tag.1.Value": "v"})
    queue = found(made, "CreateQueueResult/QueueUrl")
    assert found(call_query(url, "GetQueueAttributes", QueueUrl=queue, **{"AttributeName.1": "DelaySeconds"}), "GetQueueAttributesResult/Attribute/Value") == "3"
    assert sqs_json.list_queue_tags(QueueUrl=queue)["Tags"] == {"k": "v"}
    call_query(url, "SetQueueAttributes", QueueUrl=queue, **{"Attribute.Name": "DelaySeconds", "Attribute.Value": "4"})  # the oldest clients number nothing
    sqs_json.delete_queue(QueueUrl=queue)


@pytest.mark.parametrize("action", ["Dance", "", "sendmessage"])
def test_an_unknown_query_action(url, action):
    answer = call_query(url, action)
    assert answer.status == 400 and found(answer, "Error/Code") in ("InvalidAction", "MissingAction")


@pytest.mark.parametrize("parameters", [
    {"SendMessageBatchRequestEntry.1.Id": "a"}, {"SendMessageBatchRequestEntry.x.Id": "a"}, {"SendMessageBatchRequestEntry.99999999999999999999.Id": "a"},
    {"SendMessageBatchRequestEntry": "a"}, {"." * 500: "a"}, {f"Attribute.{number}.Name": "x" for number in range(3000)},
])
def test_odd_query_parameters_are_refused(url, make_queue, parameters):
    answer = call_query(url, "SendMessageBatch", QueueUrl=make_queue(), **parameters)
    assert answer.status == 400 and found(answer, "Error/Code")


def test_what_xml_escapes_comes_back(url, make_queue):
    queue, body = make_queue(), "a\r\nb\tc ]]> &amp; \U0001f980"
    call_query(url, "SendMessage", QueueUrl=queue, MessageBody=body)
    received = call_query(url, "ReceiveMessage", QueueUrl=queue)
    assert found(received, "ReceiveMessageResult/Message/Body") == body


# ---- HTTP

def test_many_requests_on_one_connection(url, make_queue):
    raw, queue = Raw(url), make_queue()
    for number in range(20):
        method, target, headers, body = signed(url + "/", headers={"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"},
                                               body=json.dumps({"QueueUrl": queue, "MessageBody": str(number)}).encode())
        status, _, _ = raw.request(method, target, headers, body).answer()
        assert status == 200
    raw.close()


def test_a_body_in_chunks(url, make_queue, sqs_json):
    queue = make_queue()
    method, target, headers, body = signed(url + "/", headers={"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"},
                                           body=json.dumps({"QueueUrl": queue, "MessageBody": "x" * 1000}).encode())
    raw = Raw(url)
    raw.send(f"POST / HTTP/1.1\r\nHost: {raw.host}\r\nTransfer-Encoding: chunked\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n")
    for at in range(0, len(body), 100):
        piece = body[at:at + 100]
        raw.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    assert raw.send("0\r\n\r\n").answer()[0] == 200
    assert drain(sqs_json, queue) == ["x" * 1000]
    raw.close()


def test_expect_100_continue(url, make_queue):
    method, target, headers, body = signed(url + "/", headers={"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"},
                                           body=json.dumps({"QueueUrl": make_queue(), "MessageBody": "x"}).encode())
    raw = Raw(url)
    raw.request(method, target, {**headers, "Expect": "100-continue"}, b"")
    raw.close()
    raw = Raw(url)
    lines = [f"{method} {target} HTTP/1.1"] + [f"{k}: {v}" for k, v in {"Host": raw.host, **headers, "Expect": "100-continue", "Content-Length": len(body)}.items()]
    raw.send("\r\n".join(lines) + "\r\n\r\n")
    status, _, _ = raw.answer()
    assert status in (100, 200)
    if status == 100:
        assert raw.send(body).answer()[0] == 200
    raw.close()


def test_the_admin_api_is_on_the_same_port(url):
    assert exchange(url, "GET", "/healthz", {}).status == 200
    assert exchange(url, "GET", "/api/v1/namespaces", {}).status == 200


# ---- hostile

def alive(sqs_json, make_queue):
    queue = make_queue()
    send(sqs_json, queue, "still here")
    assert drain(sqs_json, queue) == ["still here"]


@pytest.mark.parametrize("junk", [b"\0" * 100, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"POST / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                                  b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
                                  b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])
def test_what_is_no_http_is_answered_or_closed(url, sqs_json, make_queue, junk):
    raw = Raw(url)
    answer = raw.send(junk).answer()
    assert answer is None or 400 <= answer[0] < 600
    raw.close()
    alive(sqs_json, make_queue)


@pytest.mark.parametrize("headers", [{"X-Big": "x" * 300_000}, {f"X-{number}": "y" for number in range(2_000)}], ids=["large", "many"])
def test_huge_headers_are_refused(url, sqs_json, make_queue, headers):
    raw = Raw(url)
    answer = raw.request("POST", "/", {**headers, "X-Amz-Target": "AmazonSQS.ListQueues"}).answer()
    assert answer is None or 400 <= answer[0] < 500
    raw.close()
    alive(sqs_json, make_queue)


def test_a_body_beyond_the_limit_is_refused_and_not_read(url, sqs_json, make_queue):
    raw = Raw(url)
    raw.send(f"POST / HTTP/1.1\r\nHost: {raw.host}\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {1 << 40}\r\n\r\n")
    answer = raw.answer()
    assert answer is None or answer[0] in (400, 413)
    raw.close()
    alive(sqs_json, make_queue)


def test_slow_clients_hinder_nobody(url, sqs_json, make_queue):
    """Half-sent requests: each costs its connection at most."""
    slow = [Raw(url).send(f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nContent-Length: 100\r\n\r\n{{{'x' * (number % 50)}") for number in range(100)]
    slow += [Raw(url).send("POST / HTTP/1.1\r\nX-Amz-") for _ in range(100)]
    begin = time.monotonic()
    alive(sqs_json, make_queue)
    assert time.monotonic() - begin < 20
    [raw.close() for raw in slow]


def sending(queue, body):
    """The head and the body of a signed SendMessage, as bytes."""
    method, target, headers, body = signed(queue, headers={"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"},
                                           body=json.dumps({"QueueUrl": queue, "MessageBody": body}).encode())
    lines = [f"{method} {target} HTTP/1.1"] + [f"{name}: {value}" for name, value in {"Host": urlsplit(queue).netloc, **headers, "Content-Length": len(body)}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode(), body


def until_closed(raw):
    """All that comes before the connection ends."""
    data = b""
    try:
        while more := raw.socket.recv(65536):
            data += more
    except ConnectionResetError:
        pass  # it wrote on after the broker had closed
    return data


@pytest.mark.skipif(not os.environ.get("BATON_SQS_FULL"), reason="clients are given 30 s for a head, and for each piece of a body: set BATON_SQS_FULL=1")
@pytest.mark.timeout(120)
def test_clients_that_never_finish_are_hung_up_on_and_nothing_is_lost(url, sqs_json, make_queue):
    queue = make_queue()
    head, body = sending(queue, "of a client that never finishes")
    half = len(body) // 2
    said = {  # what each has said when it stops to say anything, or goes on with a byte now and then
        "nothing": b"", "half a head": head[:60], "a head": head, "half a body": head + body[:half],
        "a head, slowly": head[:60], "a body, slowly": head + body[:10],
    }
    slowly = {"a head, slowly": iter(head[60:]), "a body, slowly": iter(body[10:half])}
    slow = {name: Raw(url, timeout=90).send(data) for name, data in said.items()}
    with ThreadPoolExecutor(len(slow)) as pool:
        closed = {name: pool.submit(until_closed, raw) for name, raw in slow.items()}
        sent = 0
        while not all(future.done() for future in closed.values()):
            for name, rest in slowly.items():
                if not closed[name].done():
                    slow[name].send(bytes([next(rest, ord("x"))]))
            send(sqs_json, queue, f"in time {sent}")  # nobody else waits for them
            sent += 1
            time.sleep(1)
        answers = {name: future.result() for name, future in closed.items()}
    for name, answer in answers.items():
        assert not answer or answer.startswith(b"HTTP/1.1 408 "), (name, answer)
    assert sorted(drain(sqs_json, queue)) == sorted(f"in time {number}" for number in range(sent))


def test_a_client_that_goes_away_while_it_waits_loses_nothing(url, sqs_json, make_queue):
    queue = make_queue(VisibilityTimeout="3600")
    waiting = []
    for _ in range(20):
        method, target, headers, body = signed(url + "/", headers={"X-Amz-Target": "AmazonSQS.ReceiveMessage", "Content-Type": "application/x-amz-json-1.0"},
                                               body=json.dumps({"QueueUrl": queue, "WaitTimeSeconds": 20}).encode())
        waiting.append(Raw(url).request(method, target, headers, body))
    time.sleep(0.5)  # they wait by now
    [raw.close() for raw in waiting]
    time.sleep(0.5)  # and are known to be gone
    send(sqs_json, queue, *"abc")
    assert sorted(bodies(receive(sqs_json, queue, wait=5))) == ["a", "b", "c"]


def test_a_client_that_goes_away_after_its_send_has_sent(url, sqs_json, make_queue):
    queue = make_queue()
    for number in range(10):
        method, target, headers, body = signed(url + "/", headers={"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"},
                                               body=json.dumps({"QueueUrl": queue, "MessageBody": str(number)}).encode())
        raw = Raw(url).request(method, target, headers, body)
        if number % 2:
            raw.answer()
        raw.close()
    found_bodies = drain(sqs_json, queue)
    assert set("13579") <= set(found_bodies) and len(found_bodies) == len(set(found_bodies))


def test_pipelined_requests_are_answered_in_order(url, make_queue):
    queue, raw = make_queue(), Raw(url)
    for number in range(5):
        method, target, headers, body = signed(url + "/", headers={"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"},
                                               body=json.dumps({"QueueUrl": queue, "MessageBody": str(number)}).encode())
        raw.request(method, target, headers, body)
    data, deadline = b"", time.monotonic() + 10
    while data.count(b"MD5OfMessageBody") < 5 and time.monotonic() < deadline:
        data += raw.socket.recv(65536)
    places = [data.index(md5(str(number)).encode()) for number in range(5)]
    assert places == sorted(places)
    raw.close()
