"""The limit of messages in flight. Each day that it is 120,000, and what happens at a lower one; with BATON_SQS_FULL at 120,000 itself."""
import http.client
import json
import os
import threading
from urllib.parse import urlsplit

import pytest

from sqs_tools import counts, receive, refused, signed

IN_FLIGHT_MAX = 120_000


def many(url, count, threads, bodies):
    """Sends requests, one after the other on each of some connections, all with one signature each kind; returns the answers."""
    answers, lock = [], threading.Lock()

    def work(part):
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        for number in range(part, count, threads):
            action, body = bodies(number)
            method, target, headers, data = prepared(url, action, body)
            connection.request(method, target, body=data, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            with lock:
                answers.append(json.loads(text or b"{}"))
        connection.close()

    workers = [threading.Thread(target=work, args=(part,)) for part in range(threads)]
    [worker.start() for worker in workers], [worker.join() for worker in workers]
    return answers


CACHE = {}


def prepared(url, action, body):
    """A signed request; the same one again is not signed again."""
    text = json.dumps(body).encode()
    if (action, text) not in CACHE:
        CACHE[action, text] = signed(url + "/", headers={"X-Amz-Target": f"AmazonSQS.{action}", "Content-Type": "application/x-amz-json-1.0"}, body=text)
    return CACHE[action, text]


def admin(url, queue, method="GET", change=None):
    """The queue as Baton's own API shows it."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    headers = {"Content-Type": "application/json"} if change else {}
    connection.request(method, f"/api/v1/namespaces/default/queues/{queue.rsplit('/', 1)[1]}", json.dumps(change) if change else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == 200, text
    return json.loads(text)


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_only_so_many_messages_may_be_in_flight(sqs, sqs_endpoint, make_queue, fifo):
    if sqs_endpoint.broker is None:
        pytest.skip("lowers the limit by Baton's API: needs BATON_BIN")
    url = make_queue(fifo=fifo)
    assert admin(sqs_endpoint.url, url)["policy"]["dispatch"]["in_flight_max"] == IN_FLIGHT_MAX
    admin(sqs_endpoint.url, url, "PATCH", {"dispatch": {"in_flight_max": 25}})
    for number in range(3):
        entries = [{"Id": str(n), "MessageBody": "x", **({"MessageGroupId": f"g{number}-{n}", "MessageDeduplicationId": f"{number}-{n}"} if fifo else {})} for n in range(10)]
        assert len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == 10
    held = receive(sqs, url) + receive(sqs, url) + receive(sqs, url)
    assert len(held) == 25 and counts(sqs, url) == (5, 25, 0)
    at_the_limit(sqs, url, fifo, held[0])


def at_the_limit(sqs, url, fifo, held):
    if fifo:
        assert receive(sqs, url) == []  # a FIFO queue is silent about it
    else:
        with refused("OverLimit"):
            sqs.receive_message(QueueUrl=url)
    assert receive(sqs, url, wait=1) == []  # so is a long poll
    sqs.delete_message(QueueUrl=url, ReceiptHandle=held["ReceiptHandle"])
    assert len(receive(sqs, url)) == 1


@pytest.mark.skipif(not os.environ.get("BATON_SQS_FULL"), reason="240,000 messages in flight take their time: set BATON_SQS_FULL=1")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_120_000_messages_may_be_in_flight(sqs_json, sqs_endpoint, make_queue, fifo):
    url = make_queue(fifo=fifo, VisibilityTimeout="43200")
    extra = lambda number: {"MessageGroupId": f"g{number // 10}", "MessageDeduplicationId": f"{number}"} if fifo else {}
    batch = lambda start: {"QueueUrl": url, "Entries": [{"Id": str(n), "MessageBody": "x", **extra(start * 10 + n)} for n in range(10)]}
    count = IN_FLIGHT_MAX // 10 + 1
    shared = batch(0)
    many(sqs_endpoint.url, count, 4, lambda number: ("SendMessageBatch", batch(number) if fifo else shared))
    ask = {"QueueUrl": url, "MaxNumberOfMessages": 10}
    answers = many(sqs_endpoint.url, count - 1, 4, lambda number: ("ReceiveMessage", ask))
    handles = [message["ReceiptHandle"] for answer in answers for message in answer.get("Messages", [])]
    while len(handles) < IN_FLIGHT_MAX and (more := receive(sqs_json, url)):
        handles += [message["ReceiptHandle"] for message in more]
    assert len(set(handles)) == IN_FLIGHT_MAX and counts(sqs_json, url) == (10, IN_FLIGHT_MAX, 0)
    at_the_limit(sqs_json, url, fifo, {"ReceiptHandle": handles[0]})
    CACHE.clear()
