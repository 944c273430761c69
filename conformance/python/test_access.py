"""Users, permissions and vhosts of the configuration. A broker of its own, with a configuration file."""
import subprocess

import pika
import pytest
from pika.exceptions import ProbableAccessDeniedError, ProbableAuthenticationError

import server as servers
from tools import Inbox, baton_only, closes_channel, connect, get

pytestmark = baton_only("users come from Baton's configuration file")

CONFIG = """
namespaces = ["staging"]

[users.admin]
password = "{hash}"
[users.admin.permissions.default]
configure = ".*"
write = ".*"
read = ".*"
[users.admin.permissions.staging]
configure = ".*"
write = ".*"
read = ".*"

[users.shop]
password = "{hash}"
[users.shop.permissions.default]
configure = "^shop"
write = "^(shop|amq.default)"
read = "^shop"

[users.nobody]
password = "{hash}"
"""


@pytest.fixture(scope="module")
def guarded(server, tmp_path_factory):
    """A broker with the users above; their password is `secret`."""
    if not server.is_own:
        pytest.skip("Baton only: users come from Baton's configuration file")
    made = subprocess.run([server.binary, "config", "password"], input="secret\n", capture_output=True, text=True, check=True)
    config = tmp_path_factory.mktemp("access") / "baton.toml"
    config.write_text(CONFIG.format(hash=made.stdout.strip()))
    broker = servers.BatonServer(server.binary, extra_env={"BATON_CONFIG": str(config)}).start()
    yield broker
    broker.close()


@pytest.fixture
def as_user(guarded):
    connections = []

    def log_in(user, **kw):
        connections.append(connect(guarded, user=user, password="secret", **kw))
        return connections[-1]

    yield log_in
    for connection in connections:
        if connection.is_open:
            connection.close()


@pytest.fixture
def theirs(as_user):
    """A queue and an exchange the user `shop` has no right to."""
    channel = as_user("admin").channel()
    channel.queue_declare("theirs", durable=True)
    channel.exchange_declare("theirs", "fanout", durable=True)


def test_a_user_may_do_what_the_patterns_allow(as_user):
    channel = as_user("shop").channel()
    channel.confirm_delivery()
    channel.queue_declare("shop.orders", durable=True)
    channel.exchange_declare("shop.news", "fanout", durable=True)
    channel.queue_bind("shop.orders", "shop.news")
    channel.basic_publish("shop.news", "", b"x")
    assert get(channel, "shop.orders")[2] == b"x"
    channel.queue_delete("shop.orders")


@pytest.mark.parametrize("rule,forbidden", [
    ("configure", lambda c: c.queue_declare("elsewhere")), ("configure", lambda c: c.exchange_declare("elsewhere", "fanout")),
    ("configure", lambda c: c.queue_delete("theirs")), ("configure", lambda c: c.exchange_delete("theirs")),
    ("read", lambda c: c.basic_get("theirs")), ("read", lambda c: Inbox(c, "theirs")), ("read", lambda c: c.queue_purge("theirs")),
    ("read", lambda c: (c.queue_declare("shop.q"), c.queue_bind("shop.q", "theirs"))),
    ("write", lambda c: (c.confirm_delivery(), c.basic_publish("theirs", "", b"x"))),
    ("write", lambda c: (c.exchange_declare("shop.e", "fanout"), c.queue_bind("theirs", "shop.e"))),
])
def test_what_no_pattern_allows_closes_the_channel_with_403(as_user, theirs, rule, forbidden):
    channel = as_user("shop").channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        forbidden(channel)
    assert caught.value.reply_code == 403
    assert caught.value.reply_text.startswith("ACCESS_REFUSED - ") and caught.value.reply_text.endswith("refused for user 'shop'")


def test_declaring_passively_needs_no_permission(as_user, theirs):
    as_user("shop").channel().queue_declare("theirs", passive=True)


def test_a_dead_letter_exchange_needs_write_permission(as_user, theirs):
    with closes_channel(403):
        as_user("shop").channel().queue_declare("shop.dlx", arguments={"x-dead-letter-exchange": "theirs"})


def test_a_user_without_permissions_on_the_vhost_is_refused_with_530(as_user):
    for user, vhost in (("nobody", "/"), ("shop", "staging")):
        with pytest.raises(ProbableAccessDeniedError) as caught:
            as_user(user, vhost=vhost)
        assert "530" in str(caught.value) and f"access to vhost '{vhost}' refused for user '{user}'" in str(caught.value)


def test_configured_users_replace_guest(guarded):
    with pytest.raises(ProbableAuthenticationError):
        connect(guarded)


def test_vhosts_do_not_see_each_other(as_user):
    channels = [as_user("admin", vhost=vhost).channel() for vhost in ("/", "staging")]
    for channel, body in zip(channels, (b"default", b"staging")):
        channel.confirm_delivery()
        channel.queue_declare("same.name", durable=True)
        channel.basic_publish("", "same.name", body)
    assert [get(channel, "same.name")[2] for channel in channels] == [b"default", b"staging"]
