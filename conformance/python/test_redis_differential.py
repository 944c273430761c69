"""The same seeded random commands to Baton and to a real redis-server, answers compared; Redis's own tools as clients of Baton."""
import random
import shutil
import socket
import subprocess

import pytest
import redis

from test_redis import client_of
from tools import wait_until

pytestmark = pytest.mark.baton_only("compares Baton with redis-server")

KEYS, VALUES = ["k", "l", "m"], ["a", "b", "c", "d"]


def program(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name} (Debian: redis-server, redis-tools)")
    return path


@pytest.fixture(scope="module")
def real_port(tmp_path_factory):
    """The port of a redis-server of our own, which writes nothing."""
    binary = program("redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
                               cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        try:
            return redis.Redis(port=port).ping()
        except redis.ConnectionError:
            return False

    wait_until(answers, what="redis-server is up")
    yield port
    process.terminate()
    process.wait(10)


class Commands:
    """Commands from a seed: right ones, wrong ones, and such as meet missing keys."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def key(self):
        return self.random.choice(KEYS)

    def value(self):
        return self.random.choice(VALUES)

    def side(self):
        return self.random.choice(["LEFT", "right"])

    def index(self, low=-6, high=6):
        return self.random.randint(low, high)

    def values(self):
        return [self.value() for _ in range(self.index(1, 4))]

    def next(self):
        return self.random.choice([self.push, self.push, self.pop, self.read, self.edit, self.move, self.wait, self.keys,
                                   self.keys, self.wrong])()

    def push(self):
        return [self.random.choice(["LPUSH", "RPUSH", "lpush", "rpush", "LPUSHX", "RPUSHX"]), self.key(), *self.values()]

    def pop(self):
        count = self.random.choice([[], [self.index(-1, 3)]])
        mpop = ["LMPOP", 2, self.key(), self.key(), self.side(), "COUNT", self.index(0, 3)]
        return self.random.choice([["LPOP", self.key(), *count], ["RPOP", self.key(), *count], mpop])

    def read(self):
        key, value = self.key(), self.value()
        return self.random.choice([
            ["LLEN", key], ["LRANGE", key, self.index(), self.index()], ["LINDEX", key, self.index()], ["LPOS", key, value],
            ["LPOS", key, value, "RANK", self.index(-2, 2), "COUNT", self.index(0, 2)],
            ["LPOS", key, value, "MAXLEN", self.index(0, 3)], ["LRANGE", key, 0, -1],
        ])

    def edit(self):
        key, value = self.key(), self.value()
        return self.random.choice([
            ["LSET", key, self.index(), value], ["LREM", key, self.index(-2, 2), value],
            ["LINSERT", key, self.random.choice(["BEFORE", "after"]), self.value(), value],
            ["LTRIM", key, self.index(-6, 2), self.index(-2, 8)],
        ])

    def move(self):
        source, target = self.key(), self.key()
        return self.random.choice([["LMOVE", source, target, self.side(), self.side()], ["RPOPLPUSH", source, target]])

    def wait(self):
        key, soon = self.key(), "0.01"
        return self.random.choice([
            ["BLPOP", key, self.key(), soon], ["BRPOP", key, soon], ["BLMOVE", key, self.key(), self.side(), self.side(), soon],
            ["BRPOPLPUSH", key, self.key(), soon], ["BLMPOP", soon, 1, key, self.side()],
        ])

    def keys(self):
        key = self.key()
        return self.random.choice([
            ["RENAME", key, self.key()], ["RENAMENX", key, self.key()], ["DEL", key, self.key()], ["UNLINK", key],
            ["EXISTS", key, key, self.key()], ["TYPE", key], ["TOUCH", key, self.key()], ["DBSIZE"], ["PERSIST", key],
            # Absolute times, far away: two servers that are asked one after the other give the same answers.
            ["EXPIREAT", key, 4_000_000_000 + self.index(0, 1), self.random.choice(["NX", "XX", "GT", "LT"])],
            ["PEXPIREAT", key, 4_000_000_000_999], ["EXPIRE", key, -1], ["PEXPIREAT", key, 1], ["EXPIRETIME", key], ["PEXPIRETIME", key], ["OBJECT", "REFCOUNT", key],
        ])

    def wrong(self):
        key = self.key()
        return self.random.choice([
            ["EXPIRE", key, "x"], ["LPUSH", key], ["LINSERT", key, "X", "a", "b"], ["LSET", "nokey", 0, "a"], ["LRANGE", key, "x", 1],
            ["BLPOP", key, "x"], ["BLPOP", key, "-1"], ["LPOP", key, "1", "2"], ["LMPOP", 0, key, "LEFT"], ["LMOVE", key, key, "UP", "LEFT"],
            ["LPOS", key, "a", "RANK"], ["EXPIRE", key, 1, "NX", "XX"], ["RENAME", "nokey", key],
        ])


def answer(client, command):
    try:
        return client.execute_command(*command)
    except redis.ResponseError as error:
        return f"error: {error}"


def transaction(client, commands):
    """MULTI, the commands, EXEC: what each of them is answered with, errors included."""
    pipe = client.pipeline(transaction=True)
    for command in commands:
        pipe.execute_command(*command)
    try:
        return [str(item) if isinstance(item, redis.RedisError) else item for item in pipe.execute(raise_on_error=False)]
    except redis.RedisError as error:
        return str(error)


@pytest.mark.parametrize("protocol", [2, 3], ids=["resp2", "resp3"])
@pytest.mark.parametrize("seed", range(6))
def test_random_commands_are_answered_as_by_redis(own_server, real_port, protocol, seed):
    mine = client_of(own_server, protocol=protocol)
    real = redis.Redis(port=real_port, protocol=protocol)
    real.flushall()
    commands, history = Commands(seed), []
    for _ in range(600):
        if commands.random.random() < 0.07:
            history.append([commands.next() for _ in range(commands.index(1, 5))])
            answers = [transaction(client, history[-1]) for client in (mine, real)]
        else:
            history.append(commands.next())
            answers = [answer(client, history[-1]) for client in (mine, real)]
        state = [[client.lrange(key, 0, -1) for key in KEYS] for client in (mine, real)]
        assert answers[0] == answers[1] and state[0] == state[1], \
            f"seed {seed}, after {history[-4:]}: Baton {answers[0]!r} {state[0]}, Redis {answers[1]!r} {state[1]}"
    mine.close()
    real.close()


@pytest.mark.parametrize("protocol", ["-2", "-3"])
def test_redis_cli_is_answered_as_it_expects(server, protocol):
    host, port = server.redis_listen.rsplit(":", 1)

    def cli(*arguments, feed=None):
        done = subprocess.run([program("redis-cli"), protocol, "-h", host, "-p", port, *arguments], input=feed,
                              capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout

    key = f"cli{protocol}"
    assert cli("rpush", key, "a", "b") == "2\n"
    assert cli(feed=f"lrange {key} 0 -1\nblmove {key} {key} left right 1\nhset h a b\n").splitlines() == [
        "a", "b", "a",
        "ERR 'hset' is not supported: Baton serves lists and pub/sub over the Redis protocol, not hashes; see docs/features/redis.md", ""]
    assert cli("--scan", "--pattern", f"{key}*").split() == [key]
    assert f"name={key}" in cli(feed=f"client setname {key}\nclient list\n")
    assert cli("del", key) == "1\n"


def test_redis_benchmark_pops_what_it_pushed(own_server):
    host, port = own_server.redis_listen.rsplit(":", 1)
    done = subprocess.run([program("redis-benchmark"), "-h", host, "-p", port, "-P", "16", "-n", "20000", "-d", "1024",
                           "-t", "ping,lpush,rpush,lpop,rpop,lrange_100", "--csv"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    tests = [line.split(",")[0].strip('"') for line in done.stdout.splitlines()[1:]]
    assert tests[2:6] == ["LPUSH", "RPUSH", "LPOP", "RPOP"] and len(tests) == 8, done.stdout
    assert "error" not in (done.stdout + done.stderr).lower().replace("could not fetch server config", "")
    client = client_of(own_server)
    # As many pops as pushes; what `lrange_100` fills its list with stays.
    assert client.llen("mylist") == 20000
    client.close()


def answers_to_pipelines_of_waits(connect, key):
    """Two clients that wait, one with more commands behind its wait; a third brings elements. What the two are answered."""
    client, waiting = connect(), connect()
    first, second = (waiting.connection_pool.get_connection() for _ in range(2))
    # That a wait has begun is known by a push in front of it, in the same write.
    marker = ("RPUSH", f"{key}-begun", "x")
    wait, short = ("BLPOP", key, 20), ("BLPOP", key, 0.05)
    for connection, commands in [(first, [wait, wait, ("LLEN", key), ("RPUSH", key, "own"), wait, short, ("PING",)]), (second, [wait])]:
        connection.send_packed_command(connection.pack_commands([marker, *commands]))
        assert client.blpop(f"{key}-begun", timeout=20)
    for element in ("a", "b", "c"):
        client.rpush(key, element)
    answers = [[first.read_response() for _ in range(8)], [second.read_response() for _ in range(2)], client.lrange(key, 0, -1)]
    waiting.connection_pool.release(first)
    waiting.connection_pool.release(second)
    client.close()
    waiting.close()
    return answers


def test_what_stands_behind_a_wait_comes_in_the_same_order(server, real_port):
    """The next command of a client that waited begins when that is over, behind all who wait already."""
    key = f"waits-{random.randrange(1 << 60)}"
    ours = answers_to_pipelines_of_waits(lambda: client_of(server), key)
    theirs = answers_to_pipelines_of_waits(lambda: redis.Redis(port=real_port), key)
    assert ours == theirs
    assert ours[1][1] == [key.encode(), b"b"], "the first client's second wait is behind the second client's"
