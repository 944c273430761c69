"""STOMP with stomp.py and stompest: versions, destinations, acknowledgements, receipts, transactions, and what ActiveMQ's and RabbitMQ's
users know by their headers."""
import json
import queue
import time
import urllib.request
import uuid

import pytest
import stomp
import stompest.config
import stompest.sync

WAIT_S = 10
SHORT_S = 0.4

pytestmark = pytest.mark.baton_only("the STOMP plugin is not part of a RabbitMQ that is tested by AMQP")


class Listener(stomp.ConnectionListener):
    """Keeps what comes."""

    def __init__(self):
        self.messages, self.receipts, self.errors = queue.Queue(), queue.Queue(), queue.Queue()
        self._connected, self.gone = queue.Queue(), False

    def on_connected(self, frame):
        self._connected.put(frame.headers)

    @property
    def connected(self):
        """Headers of CONNECTED; `connect` may return a moment before they are here."""
        headers = self._connected.get(timeout=WAIT_S)
        self._connected.put(headers)
        return headers

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.put(frame)

    def on_disconnected(self):
        self.gone = True


class Client:
    """One connection of stomp.py."""

    CLASSES = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}

    def __init__(self, server, version="1.2", user="guest", password="guest", headers=None, wait=True, **options):
        host, port = server.stomp_listen.rsplit(":", 1)
        self.connection = self.CLASSES[version]([(host, int(port))], auto_decode=False, **options)
        self.listener = Listener()
        self.connection.set_listener("test", self.listener)
        self.connection.connect(user, password, wait=wait, headers=headers or {})
        self.version = version

    def send(self, destination, body="", receipt=True, **headers):
        """Sends, and with `receipt` waits for it."""
        headers = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        if receipt:
            headers["receipt"] = uuid.uuid4().hex
        self.connection.send(destination, body, headers=headers)
        if receipt:
            assert self.listener.receipts.get(timeout=WAIT_S) == headers["receipt"]

    def send_with(self, destination, body, headers):
        headers = {**headers, "receipt": uuid.uuid4().hex}
        self.connection.send(destination, body, headers=headers)
        assert self.listener.receipts.get(timeout=WAIT_S) == headers["receipt"]

    def subscribe(self, destination, ack="auto", id="1", **headers):
        headers = {name.replace("__", ".").replace("_", "-"): str(value) for name, value in headers.items()}
        headers["receipt"] = uuid.uuid4().hex
        self.connection.subscribe(destination, id=id, ack=ack, headers=headers)
        assert self.listener.receipts.get(timeout=WAIT_S) == headers["receipt"]

    def get(self, timeout=WAIT_S):
        return self.listener.messages.get(timeout=timeout)

    def bodies(self, count):
        return [self.get().body for _ in range(count)]

    def nothing(self):
        with pytest.raises(queue.Empty):
            self.get(SHORT_S)

    def error(self):
        return self.listener.errors.get(timeout=WAIT_S)

    def ack(self, frame, **more):
        self._settle(self.connection.ack, frame, **more)

    def nack(self, frame, **more):
        self._settle(self.connection.nack, frame, **more)

    def _settle(self, settle, frame, **more):
        if self.version == "1.2":
            settle(frame.headers["ack"], **more)
        elif self.version == "1.1":
            settle(frame.headers["message-id"], frame.headers["subscription"], **more)
        else:
            settle(frame.headers["message-id"], **more)

    def flush(self):
        """Waits until all that was sent before is done."""
        self.send("/topic/nobody-listens-here")

    def close(self):
        if self.connection.is_connected():
            self.connection.disconnect(receipt="bye")

    def kill(self):
        self.connection.transport.disconnect_socket()


@pytest.fixture
def client(server):
    clients = []

    def make(version="1.2", **options):
        clients.append(Client(server, version, **options))
        return clients[-1]

    yield make
    for one in clients:
        one.close()


@pytest.fixture
def name():
    return f"stomp-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_every_version_sends_receives_and_acknowledges(client, name, version):
    one = client(version)
    assert one.listener.connected["version"] == version
    assert one.listener.connected["server"].startswith("Baton/")
    one.subscribe(f"/queue/{name}", ack="client-individual")
    one.send(f"/queue/{name}", "a body with : and \\ and ü", persistent="true", colour="red")
    frame = one.get()
    assert frame.body == "a body with : and \\ and ü".encode()
    assert frame.headers["destination"] == f"/queue/{name}"
    assert frame.headers["subscription"] == "1"
    assert (frame.headers["colour"], frame.headers["persistent"]) == ("red", "true")
    one.ack(frame)
    one.flush()
    one.close()
    again = client(version)
    again.subscribe(f"/queue/{name}")
    again.nothing()


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_headers_are_escaped_as_the_version_does(client, name, version):
    one = client(version)
    one.subscribe(f"/queue/{name}")
    value = "a:b\\c\nd" + ("\re" if version == "1.2" else "")
    one.send_with(f"/queue/{name}", "x", {"odd": value})
    assert one.get().headers["odd"] == value


def test_bodies_are_bytes(client, name):
    one = client()
    one.subscribe(f"/queue/{name}")
    body = bytes(range(256)) * 40
    one.send(f"/queue/{name}", body)
    frame = one.get()
    assert frame.body == body and frame.headers["content-length"] == str(len(body))
    one.send(f"/queue/{name}", b"")
    assert one.get().body in (b"", None)
    one.send(f"/queue/{name}", b"x" * 3_000_000)
    assert len(one.get().body) == 3_000_000


def test_bare_names_are_queues_and_the_same_as_with_their_prefix(client, name):
    one = client()
    one.send(name, "bare")
    one.subscribe(f"/queue/{name}")
    frame = one.get()
    assert (frame.body, frame.headers["destination"]) == (b"bare", f"/queue/{name}")


def test_messages_wait_for_a_consumer_in_their_order(client, name):
    one = client()
    for number in range(50):
        one.send(f"/queue/{name}", str(number), receipt=False)
    one.flush()
    other = client()
    other.subscribe(f"/queue/{name}")
    assert other.bodies(50) == [str(number).encode() for number in range(50)]


def test_client_mode_is_cumulative(client, name):
    one = client()
    one.subscribe(f"/queue/{name}", ack="client")
    for number in range(4):
        one.send(f"/queue/{name}", str(number))
    frames = [one.get() for _ in range(4)]
    one.ack(frames[2])
    one.flush()
    one.close()
    other = client()
    other.subscribe(f"/queue/{name}", ack="client")
    frame = other.get()
    assert (frame.body, frame.headers["redelivered"]) == (b"3", "true")
    other.nothing()


def test_client_individual_is_for_one(client, name):
    one = client()
    one.subscribe(f"/queue/{name}", ack="client-individual")
    for number in range(3):
        one.send(f"/queue/{name}", str(number))
    frames = [one.get() for _ in range(3)]
    one.ack(frames[1])
    one.flush()
    one.close()
    other = client()
    other.subscribe(f"/queue/{name}")
    assert other.bodies(2) == [b"0", b"2"]
    other.nothing()


def test_auto_is_done_when_it_leaves(client, name):
    one = client()
    one.send(f"/queue/{name}", "x")
    one.subscribe(f"/queue/{name}")
    frame = one.get()
    assert "ack" not in frame.headers
    one.close()
    other = client()
    other.subscribe(f"/queue/{name}")
    other.nothing()


def test_nack_gives_back_and_requeue_false_dead_letters(client, name):
    one = client()
    dead = f"{name}-dead"
    one.subscribe(f"/queue/{dead}", id="dead")
    one.subscribe(f"/queue/{name}", ack="client-individual", x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    one.send(f"/queue/{name}", "x")
    one.nack(one.get())
    again = one.get()
    assert again.headers["redelivered"] == "true"
    one.nack(again, requeue="false")
    frame = one.get()
    assert frame.headers["subscription"] == "dead"
    assert (frame.headers["x-first-death-queue"], frame.headers["x-first-death-reason"]) == (name, "rejected")


def test_prefetch_limits_what_is_unsettled(client, name):
    one = client()
    for number in range(5):
        one.send(f"/queue/{name}", str(number))
    one.subscribe(f"/queue/{name}", ack="client-individual", prefetch_count=2)
    first, _ = one.get(), one.get()
    one.nothing()
    one.ack(first)
    assert one.get().body == b"2"
    other = client()
    other.subscribe(f"/queue/{name}", ack="client-individual", activemq__prefetchSize=1)
    assert other.get().body == b"3"
    other.nothing()


def test_a_client_that_vanishes_gives_its_messages_back(client, name):
    one = client()
    one.send(f"/queue/{name}", "x")
    one.subscribe(f"/queue/{name}", ack="client")
    one.get()
    one.kill()
    other = client()
    other.subscribe(f"/queue/{name}")
    assert other.get().body == b"x"


def test_unsubscribe_gives_back_and_stops(client, name):
    one = client()
    one.subscribe(f"/queue/{name}", ack="client")
    one.send(f"/queue/{name}", "x")
    one.get()
    one.connection.unsubscribe(id="1", receipt="u")
    assert one.listener.receipts.get(timeout=WAIT_S) == "u"
    one.send(f"/queue/{name}", "y")
    one.nothing()
    one.subscribe(f"/queue/{name}", id="2")
    assert one.bodies(2) == [b"x", b"y"]


def test_a_transaction_is_all_or_nothing(client, name):
    one, other = client(), client()
    other.subscribe(f"/queue/{name}-out")
    one.subscribe(f"/queue/{name}-in", ack="client-individual")
    one.send(f"/queue/{name}-in", "work")
    frame = one.get()
    transaction = one.connection.begin()
    one.connection.send(f"/queue/{name}-out", "aborted", transaction=transaction)
    one.connection.ack(frame.headers["ack"], transaction)
    one.connection.abort(transaction)
    one.flush()
    other.nothing()
    transaction = one.connection.begin()
    one.connection.send(f"/queue/{name}-out", "first", transaction=transaction)
    one.connection.send(f"/queue/{name}-out", "second", transaction=transaction)
    one.connection.ack(frame.headers["ack"], transaction)
    other.nothing()
    one.connection.commit(transaction, receipt="c")
    assert one.listener.receipts.get(timeout=WAIT_S) == "c"
    assert other.bodies(2) == [b"first", b"second"]
    one.close()
    third = client()
    third.subscribe(f"/queue/{name}-in")
    third.nothing()


def test_topics_reach_every_subscriber_by_pattern(client, name):
    clients = [client() for _ in range(3)]
    for one, pattern in zip(clients, [f"{name}.eu.*", f"{name}.#", f"{name}.>"]):
        one.subscribe(f"/topic/{pattern}")
    clients[0].send(f"/topic/{name}.eu.berlin", "x")
    for one in clients:
        assert one.get().headers["destination"] == f"/topic/{name}.eu.berlin"
    clients[0].send(f"/topic/{name}.us", "y")
    assert [one.get().body for one in clients[1:]] == [b"y", b"y"]
    clients[0].nothing()


def test_a_durable_subscription_keeps_what_comes_meanwhile(client, name):
    def subscribe(one):
        one.subscribe(f"/topic/{name}", id="d", durable="true", auto_delete="false")

    one = client()
    subscribe(one)
    one.close()
    other = client()
    other.send(f"/topic/{name}", "kept", persistent="true")
    again = client()
    subscribe(again)
    assert again.get().body == b"kept"
    again.connection.unsubscribe(id="d", headers={"durable": "true", "receipt": "u"})
    assert again.listener.receipts.get(timeout=WAIT_S) == "u"
    other.send(f"/topic/{name}", "not kept")
    subscribe(again)
    again.nothing()


def test_a_durable_subscription_by_client_id(client, name):
    one = client(headers={"client-id": name})
    one.subscribe(f"/topic/{name}", activemq__subscriptionName="s")
    one.close()
    other = client()
    other.send(f"/topic/{name}", "kept")
    other.connection.subscribe(f"/topic/{name}", id="x", headers={"activemq.subscriptionName": "s"})
    assert b"client-id" in other.error().body
    again = client(headers={"client-id": name})
    again.subscribe(f"/topic/{name}", activemq__subscriptionName="s")
    assert again.get().body == b"kept"


def test_exchanges_by_name(client, name):
    one = client()
    one.subscribe(f"/exchange/amq.direct/{name}")
    one.send(f"/exchange/amq.direct/{name}", "x")
    assert one.get().headers["destination"] == f"/exchange/amq.direct/{name}"
    one.connection.send("/exchange/no-such-exchange/k", "x")
    assert b"no exchange 'no-such-exchange'" in one.error().body


def test_amq_queue_does_not_make_queues(client, name):
    one = client()
    one.connection.subscribe(f"/amq/queue/{name}", id="1")
    assert f"no queue '{name}'".encode() in one.error().body


def test_replies_to_a_temporary_queue(client, name):
    asker, answerer = client(), client()
    answerer.subscribe(f"/queue/{name}")
    asker.connection.send(f"/queue/{name}", "question", headers={"reply-to": "/temp-queue/answers", "correlation-id": "7"})
    question = answerer.get()
    assert question.headers["reply-to"].startswith("/reply-queue/")
    answerer.send(question.headers["reply-to"], "answer", correlation_id=question.headers["correlation-id"])
    answer = asker.get()
    assert (answer.body, answer.headers["correlation-id"]) == (b"answer", "7")
    assert answer.headers["subscription"] == "/temp-queue/answers"


def test_queue_policy_by_headers(client, name):
    one = client()
    one.subscribe(f"/queue/{name}-1", id="1", x_max_length=2, x_message_ttl=60000)
    one.connection.unsubscribe(id="1")
    for number in range(4):
        one.send(f"/queue/{name}-1", str(number))
    one.subscribe(f"/queue/{name}-1", id="2")
    assert one.bodies(2) == [b"2", b"3"]
    one.connection.subscribe(f"/queue/{name}-1", id="3", headers={"x-max-length": "5"})
    assert b"inequivalent header 'x-max-length'" in one.error().body


def test_priorities(client, name):
    one = client()
    one.subscribe(f"/queue/{name}", x_max_priority=9)
    one.connection.unsubscribe(id="1")
    for priority in (1, 9, 5):
        one.send(f"/queue/{name}", str(priority), priority=priority)
    one.subscribe(f"/queue/{name}", id="2")
    assert one.bodies(3) == [b"9", b"5", b"1"]


def test_expiry_relative_and_absolute(client, name):
    one = client()
    one.send(f"/queue/{name}", "soon gone", expiration=1)
    one.send(f"/queue/{name}", "gone already", expires=int(time.time() * 1000) - 1000)
    one.send(f"/queue/{name}", "stays", expires=0)
    time.sleep(0.05)
    one.subscribe(f"/queue/{name}")
    assert one.get().body == b"stays"
    one.nothing()


def test_scheduled_delay(client, name):
    one = client()
    one.subscribe(f"/queue/{name}")
    begun = time.monotonic()
    one.send_with(f"/queue/{name}", "later", {"AMQ_SCHEDULED_DELAY": "500"})
    one.send(f"/queue/{name}", "now")
    assert one.bodies(2) == [b"now", b"later"]
    assert time.monotonic() - begun >= 0.5


@pytest.mark.parametrize("header", ["AMQ_SCHEDULED_PERIOD", "AMQ_SCHEDULED_REPEAT", "AMQ_SCHEDULED_CRON"])
def test_repeated_schedules_are_refused_clearly(client, name, header):
    one = client()
    one.connection.send(f"/queue/{name}", "x", headers={header: "1"})
    frame = one.error()
    assert frame.headers["message"] == "not implemented" and header.encode() in frame.body


def test_message_groups_stick_to_their_consumer(client, name):
    one, other, producer = client(), client(), client()
    one.subscribe(f"/queue/{name}", ack="client-individual")
    other.subscribe(f"/queue/{name}", ack="client-individual")
    for number in range(12):
        producer.send_with(f"/queue/{name}", str(number), {"JMSXGroupID": f"g{number % 2}"})
    seen = {}
    for consumer, which in ((one, "one"), (other, "other")):
        while True:
            try:
                frame = consumer.get(SHORT_S)
            except queue.Empty:
                break
            seen.setdefault(frame.headers["JMSXGroupID"], []).append((which, int(frame.body)))
            consumer.ack(frame)
    assert sorted(seen) == ["g0", "g1"]
    for deliveries in seen.values():
        assert len({which for which, _ in deliveries}) == 1
        assert [number for _, number in deliveries] == sorted(number for _, number in deliveries)
        assert len(deliveries) == 6


def test_exclusive_consumers(client, name):
    one, other = client(), client()
    one.subscribe(f"/queue/{name}", activemq__exclusive="true")
    other.connection.subscribe(f"/queue/{name}", id="1")
    assert other.error().headers["message"] == "access_refused"


def test_consumer_priority(client, name):
    low, high = client(), client()
    low.subscribe(f"/queue/{name}", activemq__priority=1)
    high.subscribe(f"/queue/{name}", activemq__priority=10)
    for number in range(5):
        low.send(f"/queue/{name}", str(number))
    assert high.bodies(5) == [str(number).encode() for number in range(5)]
    low.nothing()


def test_a_browser_takes_nothing(client, name):
    one = client()
    for number in range(250):
        one.send(f"/queue/{name}", str(number), receipt=False)
    one.flush()
    one.subscribe(f"/queue/{name}", id="b", browser="true")
    assert one.bodies(250) == [str(number).encode() for number in range(250)]
    end = one.get()
    assert (end.headers["browser"], end.headers["subscription"]) == ("end", "b")
    one.subscribe(f"/queue/{name}", id="c")
    assert one.bodies(250) == [str(number).encode() for number in range(250)]


def test_a_selector_leaves_the_others_their_messages(client, name):
    one, other = client(), client()
    for number in range(6):
        one.send(f"/queue/{name}", str(number), colour="red" if number % 2 else "blue", size=number)
    one.subscribe(f"/queue/{name}", ack="client-individual", selector="colour = 'red' AND size > 2")
    frames = [one.get(), one.get()]
    assert [frame.body for frame in frames] == [b"3", b"5"]
    one.nothing()
    one.nack(frames[0])
    assert one.get().body == b"3"
    other.subscribe(f"/queue/{name}")
    assert other.bodies(4) == [b"0", b"1", b"2", b"4"]
    other.connection.subscribe(f"/queue/{name}", id="2", headers={"selector": "colour ="})
    frame = other.error()
    assert frame.headers["message"] == "invalid selector" and b"at byte 8" in frame.body


def test_explain_names_the_selector_that_leaves_messages_waiting(server, client, name):
    one = client()
    one.send(f"/queue/{name}", "waits", colour="blue")
    one.subscribe(f"/queue/{name}", id="reds", selector="colour = 'red'")
    url = f"http://{server.http_listen}/api/v1/namespaces/default/queues/{name}/explain"
    with urllib.request.urlopen(url, timeout=5) as answer:
        reasons = json.load(answer)["reasons"]
    assert any("selector" in reason and "colour = 'red'" in reason for reason in reasons), reasons


def test_selectors_on_topics_and_browsers(client, name):
    one = client()
    one.subscribe(f"/topic/{name}", selector="kind IN ('a','b') AND NOT note LIKE 'x%'")
    for kind, note in (("a", "x1"), ("b", "y"), ("c", "y"), ("a", "z")):
        one.send(f"/topic/{name}", kind + note, kind=kind, note=note)
        one.send(f"/queue/{name}", kind + note, kind=kind, note=note)
    assert one.bodies(2) == [b"by", b"az"]
    one.subscribe(f"/queue/{name}", id="b", browser="true", selector="kind = 'a'")
    assert one.bodies(2) == [b"ax1", b"az"]
    assert one.get().headers["browser"] == "end"


def test_heartbeats_both_ways(client):
    one = client(heartbeats=(300, 300))
    assert one.listener.connected["heart-beat"] == "300,300"
    time.sleep(2.5)
    assert one.connection.is_connected()


def test_wrong_password_and_unknown_vhost(server):
    for options, words in (({"password": "wrong"}, b"login"), ({"vhost": "/nowhere"}, b"/nowhere")):
        with pytest.raises(stomp.exception.ConnectFailedException):
            Client(server, **options)
    client = Client(server, vhost="some-machine.example")
    assert client.connection.is_connected()
    client.close()


def test_errors_name_the_receipt_and_close(client):
    one = client()
    one.connection.send("/nonsense/x", "x", headers={"receipt": "r"})
    frame = one.error()
    assert frame.headers["receipt-id"] == "r" and frame.headers["message"] == "unknown destination"
    assert b"/queue/" in frame.body


def test_what_a_receipt_confirmed_survives_a_kill(own_server, name):
    one = Client(own_server)
    one.send(f"/queue/{name}", "kept", persistent="true")
    one.send(f"/queue/{name}", "not kept")
    own_server.kill_and_restart()
    other = Client(own_server)
    other.subscribe(f"/queue/{name}", ack="client-individual")
    frame = other.get()
    assert frame.body == b"kept"
    other.nothing()
    other.connection.ack(frame.headers["ack"], receipt="a")
    assert other.listener.receipts.get(timeout=WAIT_S) == "a"
    own_server.kill_and_restart()
    third = Client(own_server)
    third.subscribe(f"/queue/{name}")
    third.nothing()
    third.close()


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_stompest_which_takes_no_header_that_is_not_escaped(server, version):
    host, port = server.stomp_listen.rsplit(":", 1)
    config = stompest.config.StompConfig(f"tcp://{host}:{port}", version=version, login="guest", passcode="guest")
    client = stompest.sync.Stomp(config)
    client.connect(versions=[version])
    name = f"/queue/stompest-{uuid.uuid4()}"
    client.subscribe(name, {"id": "1", "ack": "client" if version == "1.0" else "client-individual"})
    client.send(name, b"one pizza", {"k": "a:b"})
    assert client.canRead(WAIT_S)
    frame = client.receiveFrame()
    assert (frame.command, frame.body, frame.headers["k"]) == ("MESSAGE", b"one pizza", "a:b")
    assert frame.headers["message-id"].startswith("ID:")
    client.ack(frame, receipt="acknowledged")
    assert client.canRead(WAIT_S)
    assert client.receiveFrame().headers == {"receipt-id": "acknowledged"}
    client.disconnect()
    client.close()
