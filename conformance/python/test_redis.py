"""redis-py: lists, blocking pops, keys, transactions, pub/sub; and the same queue through AMQP."""
import socket
import threading
import uuid

import pika
import pytest
import redis

from tools import connect

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
