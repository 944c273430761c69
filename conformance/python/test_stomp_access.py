"""STOMP with users, vhosts and TLS: a broker of its own with a configuration file."""
import ssl
import subprocess
import uuid

import pytest
import stomp

import server as servers
from test_access import CONFIG
from test_stomp import Client, pytestmark  # noqa: F401: the same server is needed


@pytest.fixture(scope="module")
def guarded(server, tmp_path_factory):
    """A broker with the users of `test_access`, and TLS."""
    folder = tmp_path_factory.mktemp("stomp-access")
    made = subprocess.run([server.binary, "config", "password"], input="secret\n", capture_output=True, text=True, check=True)
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    config = folder / "baton.toml"
    tls = f'\n[tls]\ncert = "{cert}"\nkey = "{key}"\n'
    config.write_text(CONFIG.format(hash=made.stdout.strip()) + tls)
    broker = servers.BatonServer(server.binary, extra_env={"BATON_CONFIG": str(config)}).start()
    broker.cert = str(cert)
    yield broker
    broker.close()


class TlsClient(Client):
    def __init__(self, broker, user, **options):
        host, port = broker.stomp_listen.rsplit(":", 1)
        original = self.CLASSES["1.2"]

        def secured(hosts, **more):
            connection = original(hosts, **more)
            connection.set_ssl(for_hosts=[(host, int(port))], ca_certs=broker.cert, ssl_version=ssl.PROTOCOL_TLS_CLIENT)
            return connection

        self.CLASSES = {"1.2": secured}
        super().__init__(broker, user=user, password="secret", **options)


def test_tls_and_a_vhost(guarded):
    name = uuid.uuid4().hex
    one = TlsClient(guarded, "admin", vhost="staging")
    one.send(name, "x", persistent="true")
    other = TlsClient(guarded, "admin")
    other.subscribe(name)
    other.nothing()
    one.subscribe(name)
    assert one.get().body == b"x"
    one.close()
    other.close()


def test_permissions_are_those_of_rabbitmq(guarded):
    for act, words in (
            (lambda c: c.connection.send("/queue/theirs", "x"), b"configure access to queue 'theirs'"),
            (lambda c: c.connection.send("/topic/x", "x"), b"write access to exchange 'amq.topic'"),
            (lambda c: c.connection.subscribe("/amq/queue/theirs", id="1"), b"read access to queue 'theirs'")):
        one = TlsClient(guarded, "shop")
        act(one)
        frame = one.error()
        assert frame.headers["message"] == "access_refused" and words in frame.body
    one = TlsClient(guarded, "shop")
    one.subscribe("/queue/shop.orders")
    one.send("/queue/shop.orders", "mine")
    assert one.get().body == b"mine"
    one.close()


def test_a_user_without_the_vhost_is_refused(guarded):
    with pytest.raises(stomp.exception.ConnectFailedException):
        TlsClient(guarded, "nobody")
    with pytest.raises(stomp.exception.ConnectFailedException):
        TlsClient(guarded, "shop", vhost="staging")
