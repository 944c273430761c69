"""Fixtures of the SQS tests: a broker whose clock they move, clients of both protocols, queues that disappear. Loaded by conftest.py."""
import http.client
import json
import os
import uuid

import pytest

import server as servers
import sqs_tools


class Endpoint:
    """Where the tests find SQS, and how they move its time."""

    def __init__(self, url, broker=None):
        self.url, self.broker = url, broker

    def advance(self, seconds):
        """Moves the broker's clock, so that nothing here sleeps to see a timeout."""
        if self.broker is None:
            pytest.skip("moves the clock: needs BATON_BIN")
        host, port = self.broker.http_listen.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request("POST", "/admin/clock/advance", json.dumps({"ms": int(seconds * 1000)}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        connection.close()
        return json.loads(text)["now_ms"]

    def now_ms(self):
        return self.advance(0)


@pytest.fixture(scope="session")
def sqs_endpoint():
    """The endpoint that the SQS tests share: a broker with a test clock, or whatever answers at SQS_URL."""
    if url := os.environ.get("SQS_URL"):
        yield Endpoint(url.rstrip("/"))
        return
    if not os.environ.get("BATON_BIN"):
        pytest.skip("needs BATON_BIN or SQS_URL")
    broker = servers.BatonServer(os.environ["BATON_BIN"], ["--test-clock"]).start()
    yield Endpoint(f"http://{broker.http_listen}", broker)
    broker.close()


@pytest.fixture
def sqs_own():
    """A broker with a test clock that this test may stop and kill."""
    if not os.environ.get("BATON_BIN"):
        pytest.skip("needs BATON_BIN")
    broker = servers.BatonServer(os.environ["BATON_BIN"], ["--test-clock"]).start()
    yield Endpoint(f"http://{broker.http_listen}", broker)
    broker.close()


@pytest.fixture(scope="session")
def sqs_clients(sqs_endpoint):
    return {name: sqs_tools.client(sqs_endpoint.url, query=name == "query") for name in ("json", "query")}


@pytest.fixture(params=["json", "query"])
def sqs(request, sqs_clients):
    """A client; every test that takes it runs over both protocols."""
    return sqs_clients[request.param]


@pytest.fixture
def sqs_json(sqs_clients):
    """A client, where the protocol makes no difference."""
    return sqs_clients["json"]


@pytest.fixture
def advance(sqs_endpoint):
    return sqs_endpoint.advance


@pytest.fixture
def make_queue(sqs_clients):
    """Creates queues with names of their own: `make_queue(VisibilityTimeout=5)` returns the URL, `make_queue(fifo=True)` a FIFO queue's."""
    made, sqs = [], sqs_clients["json"]

    def make(name=None, fifo=False, tags=None, **attributes):
        name = name or f"conf-{uuid.uuid4().hex[:12]}" + (".fifo" if fifo else "")
        if fifo:
            attributes = {"FifoQueue": "true", **attributes}
        attributes = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
        made.append(sqs.create_queue(QueueName=name, Attributes=attributes, tags=tags or {})["QueueUrl"])
        return made[-1]

    yield make
    for url in made:
        try:
            sqs.delete_queue(QueueUrl=url)
        except sqs.exceptions.QueueDoesNotExist:
            continue
