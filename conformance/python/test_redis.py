"""redis-py: lists, blocking pops, keys, transactions, pub/sub; and the same queue through AMQP."""
import json
import socket
import subprocess
import uuid

import pika
import pytest
import redis

from tools import connect, wait_until

pytestmark = pytest.mark.baton_only("lists over the Redis protocol")


def client_of(server, **options):
    host, port = server.redis_listen.rsplit(":", 1)
    return redis.Redis(host=host, port=int(port), **options)


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def client(server, request):
    with client_of(server, protocol=request.param) as client:
        yield client


@pytest.fixture
def key(client):
    name = f"list-{uuid.uuid4()}"
    yield name
    client.delete(name)


def test_a_list_is_what_redis_makes_of_it(client, key):
    assert client.rpush(key, "b", "c") == 2
    assert client.lpush(key, "a") == 3
    assert client.lrange(key, 0, -1) == [b"a", b"b", b"c"]
    assert client.linsert(key, "BEFORE", "c", "x") == 4
    assert client.lset(key, -1, "z")
    assert client.lpos(key, "x") == 2
    assert client.lrem(key, 0, "x") == 1
    assert client.ltrim(key, 1, -1)
    assert client.lmove(key, key, "LEFT", "RIGHT") == b"b"
    assert client.lpop(key, 5) == [b"z", b"b"]
    assert (client.llen(key), client.exists(key), client.type(key)) == (0, 0, b"none")
    assert client.rpop(key) is None


def test_who_waits_longest_is_served_first(server, client, key):
    blocked = client_of(server)
    waiting = [blocked.connection_pool.get_connection() for _ in range(5)]
    for connection in waiting:
        # A connection that waits answers nothing else, so each says so by a push in the same write: once that is answered the
        # wait behind it has begun too, before the next one's.
        connection.send_packed_command(connection.pack_commands([("RPUSH", f"{key}-begun", "x"), ("BLPOP", key, 20)]))
        assert client.blpop(f"{key}-begun", timeout=20)
        assert connection.read_response() == 1
    assert client.rpush(key, "a", "b") == 2
    assert client.lpush(key, "d", "c") == 2
    assert client.rpush(key, "e", "f") == 2
    assert [connection.read_response()[1] for connection in waiting] == [b"a", b"b", b"c", b"d", b"e"]
    assert client.lrange(key, 0, -1) == [b"f"]
    for connection in waiting:
        blocked.connection_pool.release(connection)
    blocked.close()


def test_a_pipeline_of_moves_and_removals_is_a_reliable_queue(client, key):
    """A worker that fetches ahead: moves to its own list that wait, and between them removals of what it has done."""
    own = f"{key}-own"
    client.rpush(key, *range(200))
    done = []
    with client.pipeline(transaction=False) as pipe:
        for _ in range(32):
            pipe.blmove(key, own, 5, "LEFT", "RIGHT")
        fetched = pipe.execute()
    while fetched:
        with client.pipeline(transaction=False) as pipe:
            for element in fetched:
                pipe.lrem(own, 1, element)
                if len(done) + 32 < 200:
                    pipe.blmove(key, own, 5, "LEFT", "RIGHT")
                done.append(int(element))
            answers = pipe.execute()
        assert [answer for answer in answers if not isinstance(answer, bytes)] == [1] * len(fetched)
        fetched = [answer for answer in answers if isinstance(answer, bytes)]
    assert done == list(range(200))
    assert client.exists(key, own) == 0


def test_a_deep_stack_is_popped_without_a_miss(client, key):
    """Far more than the broker keeps in memory, taken from the end that came last, while more comes."""
    body = b"x" * 1000
    for batch in range(100):
        with client.pipeline(transaction=False) as pipe:
            for element in range(batch * 1_500, (batch + 1) * 1_500):
                pipe.lpush(key, b"%08d" % element + body)
            pipe.execute()
    for batch in reversed(range(100)):
        with client.pipeline(transaction=False) as pipe:
            for _ in range(1_500):
                pipe.lpop(key)
            answers = pipe.execute()
        expected = list(reversed(range(batch * 1_500, (batch + 1) * 1_500)))
        assert [int(answer[:8]) for answer in answers] == expected
    assert client.llen(key) == 0


def test_a_wait_ends_in_time(client, key):
    assert client.blpop([key, key + "-other"], timeout=0.05) is None
    assert client.blmove(key, key, 0.05, "LEFT", "RIGHT") is None


def test_a_transaction_is_done_or_not(client, key):
    with client.pipeline(transaction=True) as pipe:
        pipe.rpush(key, "a", "b").lpop(key).llen(key)
        assert pipe.execute() == [2, b"a", 1]
    with client.pipeline() as pipe:
        pipe.watch(key)
        client.rpush(key, "c")
        pipe.multi()
        pipe.rpush(key, "never")
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert client.lrange(key, 0, -1) == [b"b", b"c"]


def test_keys_expire_and_are_renamed(client, key):
    client.rpush(key, "a")
    assert client.expire(key, 100) and 0 < client.ttl(key) <= 100
    assert client.persist(key) and client.ttl(key) == -1
    other = key + "-other"
    assert client.rename(key, other)
    assert key.encode() not in client.keys("list-*")
    assert other.encode() in list(client.scan_iter(match=other))
    assert client.delete(other) == 1
    with pytest.raises(redis.ResponseError, match="no such key"):
        client.rename(key, other)


def test_what_is_published_is_heard(client, key):
    listener = client.pubsub(ignore_subscribe_messages=False)
    listener.subscribe(key)
    listener.psubscribe(key[:10] + "*")
    assert [listener.get_message(timeout=5)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
    assert client.publish(key, "news") == 2
    heard = [listener.get_message(timeout=5) for _ in range(2)]
    assert [(m["type"], m["channel"], m["data"]) for m in heard] == [
        ("message", key.encode(), b"news"),
        ("pmessage", key.encode(), b"news"),
    ]
    assert client.pubsub_numsub(key) == [(key.encode(), 1)]
    listener.close()


def baton(server, *arguments):
    """The command line of the server's own binary, against the server."""
    url = f"http://{server.http_listen}"
    done = subprocess.run([server.binary, *arguments, "--server", url], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_route_keeps_what_is_published_for_redis_and_amqp_clients(own_server):
    client = client_of(own_server)
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.psubscribe("news.*")
    assert client.publish("news.early", "not kept") == 1
    baton(own_server, "route", "add", "audit", "news.*")
    assert json.loads(baton(own_server, "route", "list", "--json"))["bindings"] == [
        {"source": "amq.pubsub", "queue": "audit", "key": "news.*"}]
    assert client.publish("news.art", "1") == 2, "the listener and the queue"
    assert client.publish("weather", "rain") == 0
    connection = connect(own_server)
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish("amq.pubsub", "news.music", b"2", pika.BasicProperties(delivery_mode=2), mandatory=True)
    connection.close()
    client.close()

    own_server.kill_and_restart()
    client = client_of(own_server)
    assert client.llen("audit") == 2
    connection = connect(own_server)
    method, _, body = connection.channel().basic_get("audit", auto_ack=True)
    assert (method.exchange, method.routing_key, body) == ("amq.pubsub", "news.art", b"1")
    assert client.rpop("audit") == b"2"
    assert client.publish("news.late", "3") == 1
    baton(own_server, "route", "remove", "audit", "news.*")
    assert client.publish("news.later", "4") == 0
    assert client.lrange("audit", 0, -1) == [b"3"], "what was kept stays"
    connection.close()
    client.close()


def test_what_a_dying_client_popped_comes_back_where_pops_are_leases(own_server):
    client = client_of(own_server)
    baton(own_server, "queue", "create", "careful", "--lease-pops")
    client.rpush("careful", "1", "2", "3", "4")
    host, port = own_server.redis_listen.rsplit(":", 1)
    def die_after(commands_per_write, elements, left_meanwhile):
        with socket.create_connection((host, int(port))) as worker:
            worker.settimeout(10)
            for commands in commands_per_write:
                worker.sendall(b"LPOP careful\r\n" * commands)
                read = b""
                while read.count(b"\n") < 2 * commands:
                    read += worker.recv(100)
            assert client.llen("careful") == left_meanwhile
        # The broker notices the closed connection in its own time.
        wait_until(lambda: client.lrange("careful", 0, -1) == elements)

    die_after([1], [b"1", b"2", b"3", b"4"], left_meanwhile=3)
    # Who sends a second command before the first one's answer has not shown that it got that.
    die_after([2], [b"1", b"2", b"3", b"4"], left_meanwhile=2)
    die_after([1, 1], [b"2", b"3", b"4"], left_meanwhile=2)
    with client_of(own_server) as worker:
        assert worker.blpop("careful", timeout=5) == (b"careful", b"2")
        assert worker.ping()
    client.rpush("plain", "1")
    with client_of(own_server) as worker:
        assert worker.lpop("plain") == b"1"
    wait_until(lambda: client.lrange("careful", 0, -1) == [b"3", b"4"])
    assert client.llen("plain") == 0, "without the flag a popped element is gone when it leaves"
    client.close()


def test_a_bound_queue_keeps_what_is_published(server, client, key):
    connection = connect(server)
    channel = connection.channel()
    channel.queue_declare(key, durable=True)
    channel.queue_bind(key, "amq.pubsub", f"{key}.*")
    assert client.publish(f"{key}.art", "kept") == 1
    assert client.lpop(key) == b"kept"
    channel.queue_delete(key)
    connection.close()


@pytest.mark.parametrize("push, pop", [("lpush", "rpop"), ("rpush", "lpop")])
def test_redis_and_amqp_share_a_queue_in_order(server, client, key, push, pop):
    connection = connect(server)
    channel = connection.channel()
    channel.confirm_delivery()
    for value in ("1", "2", "3"):
        getattr(client, push)(key, value)
    got = []
    for _ in range(3):
        method, properties, body = channel.basic_get(key, auto_ack=True)
        got.append((method.routing_key, properties.delivery_mode, body))
    assert got == [(key, 2, b"1"), (key, 2, b"2"), (key, 2, b"3")]
    for value in ("4", "5"):
        channel.basic_publish("", key, value, pika.BasicProperties(delivery_mode=2))
    assert [getattr(client, pop)(key) for _ in range(2)] == [b"4", b"5"]
    connection.close()


def test_what_was_pushed_survives_a_kill(own_server):
    client = client_of(own_server)
    client.rpush("survives", *range(100))
    client.lpop("survives", 10)
    client.close()
    own_server.kill()
    own_server.start()
    client = client_of(own_server)
    assert client.lrange("survives", 0, -1) == [str(i).encode() for i in range(10, 100)]


def test_what_is_not_there_says_so(client, key):
    with pytest.raises(redis.ResponseError, match="docs/features/redis.md"):
        client.hset(key, "a", "b")
    assert client.command_count() > 50
    assert client.info()["redis_version"]
    assert client.config_get("save") == {"save": ""}


def test_inline_commands_and_pipelines(server):
    host, port = server.redis_listen.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as plain:
        plain.sendall(b"PING\r\nECHO hello\r\nQUIT\r\n")
        read = b""
        while chunk := plain.recv(100):
            read += chunk
    assert read == b"+PONG\r\n$5\r\nhello\r\n+OK\r\n"
