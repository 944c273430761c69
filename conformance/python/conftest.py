"""Fixtures: a server, a pika connection, and queues and exchanges that disappear after the test."""
import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pika
import pytest

import server as servers
from tools import Inbox, connect

pytest_plugins = ["sqs_fixtures"]


def pytest_configure(config):
    if not any(os.environ.get(name) for name in ("AMQP_URL", "BATON_BIN", "SQS_URL")):
        pytest.exit("set BATON_BIN to a baton binary (the suite starts it), or AMQP_URL or SQS_URL to a running server", returncode=2)


@pytest.fixture(scope="session")
def server():
    """The server that all tests share. Nothing here may stop it: see `own_server`."""
    running = servers.start_from_environment()
    yield running
    running.close()


@pytest.fixture(scope="session")
def rabbitmq_version(server):
    """(major, minor) when the peer is RabbitMQ itself, None when it is Baton."""
    if server.is_own:
        return None
    connection = connect(server)
    properties = connection._impl.server_properties
    connection.close()
    if properties["product"] != "RabbitMQ":
        return None
    return tuple(int(part) for part in properties["version"].split(".")[:2])


@pytest.fixture(autouse=True)
def skip_by_mark(request):
    """`baton_only(reason)` and `since(version, reason)` tests do not run against a server that cannot have the feature."""
    only, since = request.node.get_closest_marker("baton_only"), request.node.get_closest_marker("since")
    if not (only or since):
        return
    version = request.getfixturevalue("rabbitmq_version")
    if version is None:
        return
    if only:
        pytest.skip(f"Baton only: {only.args[0]}")
    if version < since.args[0]:
        pytest.skip(f"RabbitMQ {'.'.join(map(str, since.args[0]))} and later: {since.args[1]}")


@pytest.fixture
def own_server(request, server):
    """A server that this test may stop and kill."""
    if server.is_own:
        fresh = servers.BatonServer(os.environ["BATON_BIN"]).start()
        yield fresh
        fresh.close()
    elif server.restart_command:
        yield server
    else:
        pytest.skip("restarts the server: needs BATON_BIN or AMQP_RESTART")


@pytest.fixture
def limited(server):
    """Starts brokers with these `[limits]`; `again` gives a broker others."""
    started = []

    def start(**limits):
        home = Path(tempfile.mkdtemp(prefix="baton-limits-"))
        config = home / "baton.toml"
        write_limits(config, limits)
        broker = servers.BatonServer(os.environ["BATON_BIN"], ["--config", str(config)]).start()
        broker.again = lambda **limits: (write_limits(config, limits), broker.restart())
        started.append((broker, home))
        return broker

    yield start
    for broker, home in started:
        broker.close()
        shutil.rmtree(home, ignore_errors=True)


def write_limits(config, limits):
    config.write_text("[limits]\n" + "".join(f"{key} = {value}\n" for key, value in limits.items()))


@pytest.fixture
def connection(server):
    connection = connect(server)
    yield connection
    if connection.is_open:
        connection.close()


@pytest.fixture
def other_connection(server):
    connection = connect(server)
    yield connection
    if connection.is_open:
        connection.close()


@pytest.fixture
def ch(connection):
    """A channel with confirms: `basic_publish` returns once the broker has the message."""
    channel = connection.channel()
    channel.confirm_delivery()
    return channel


@pytest.fixture
def plain(connection):
    """A channel without confirms."""
    return connection.channel()


@pytest.fixture
def unique():
    return lambda what="x": f"conf.{what}.{uuid.uuid4().hex[:12]}"


@pytest.fixture
def queue(server, unique):
    """Declares queues with names of their own: `queue(ch, durable=True, arguments={...})` returns the name."""
    declared = []

    def declare(channel, arguments=None, name=None, durable=True, **kw):
        name = name or unique("q")
        declared.append(name)
        channel.queue_declare(name, durable=durable, arguments=arguments, **kw)
        return name

    yield declare
    _cleanup(server, declared, "queue_delete")


@pytest.fixture
def exchange(server, unique):
    """Declares exchanges with names of their own: `exchange(ch, "fanout")` returns the name."""
    declared = []

    def declare(channel, kind="direct", arguments=None, name=None, durable=True, **kw):
        name = name or unique("e")
        declared.append(name)
        channel.exchange_declare(name, kind, durable=durable, arguments=arguments, **kw)
        return name

    yield declare
    _cleanup(server, declared, "exchange_delete")


def _cleanup(server, names, method):
    if not names or server.is_own and server.process.poll() is not None:
        return
    connection = connect(server)
    for name in names:
        channel = connection.channel()
        try:
            getattr(channel, method)(name)
        except pika.exceptions.AMQPError:  # exclusive to a connection that is still closing; its end deletes it
            continue
        channel.close()
    connection.close()


@pytest.fixture
def inbox():
    """`inbox(channel, queue, ...)` starts a consumer and collects what arrives."""
    return Inbox
