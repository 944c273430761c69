"""SQS with users, access keys and TLS: signatures right and wrong, in the header and in presigned URLs, and what AWS answers to each.

The broker has its own configuration file, and no test clock: with one, the time of a signature is not looked at.
"""
import datetime
import json
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
import uuid
from urllib.parse import urlencode

import botocore.auth
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, SSLError

import server as servers
from sqs_tools import UUID, bodies, call_json, client, exchange, receive, refused, send, signed
from test_access import CONFIG

REGION, ACCOUNT = "eu-central-1", "123456789012"
KEYS = f"""
[sqs]
region = "{REGION}"
account_id = "{ACCOUNT}"
[sqs.access_keys.AKIAADMIN]
secret = "secret/of+admin="
user = "admin"
[sqs.access_keys.AKIASHOP]
secret = "secret-of-shop"
user = "shop"
[sqs.access_keys.ASIATEMPORARY]
secret = "secret-for-a-while"
session_token = "a+token/with=signs"
user = "admin"
"""
ADMIN = dict(key="AKIAADMIN", secret="secret/of+admin=", region=REGION)
SHOP = dict(key="AKIASHOP", secret="secret-of-shop", region=REGION)
TEMPORARY = dict(key="ASIATEMPORARY", secret="secret-for-a-while", token="a+token/with=signs", region=REGION)
# The Query protocol's code (programs match on it), and what it is called in the JSON protocol.
NAMES = {"SignatureDoesNotMatch": "InvalidSignatureException", "InvalidClientTokenId": "UnrecognizedClientException",
         "MissingAuthenticationToken": "MissingAuthenticationTokenException", "IncompleteSignature": "IncompleteSignatureException",
         "RequestExpired": "RequestExpired", "AccessDenied": "AccessDeniedException"}
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.fixture(scope="module")
def guarded(server, tmp_path_factory):
    """A broker with the users of `test_access` and access keys for some of them."""
    if not server.is_own:
        pytest.skip("access keys come from Baton's configuration file")
    folder = tmp_path_factory.mktemp("sqs-access")
    made = subprocess.run([server.binary, "config", "password"], input="secret\n", capture_output=True, text=True, check=True)
    config = folder / "baton.toml"
    config.write_text(CONFIG.format(hash=made.stdout.strip()) + KEYS)
    broker = servers.BatonServer(server.binary, extra_env={"BATON_CONFIG": str(config)}).start()
    yield broker
    broker.close()


@pytest.fixture
def url(guarded):
    return f"http://{guarded.http_listen}"


@pytest.fixture(params=["json", "query"])
def make_client(request, url):
    """`make_client(**ADMIN)`; every test that takes it runs over both protocols."""
    return lambda **options: client(options.pop("url", url), query=request.param == "query", **options)


@pytest.fixture
def admin(url):
    return client(url, **ADMIN)


@pytest.fixture
def queue(admin):
    return admin.create_queue(QueueName=f"conf-{uuid.uuid4().hex[:12]}")["QueueUrl"]


def check(caught, code, status=403):
    error, meta = caught.value.response["Error"], caught.value.response["ResponseMetadata"]
    assert (error["Code"], meta["HTTPStatusCode"], error["Type"]) == (code, status, "Sender"), caught.value.response
    if "QueryErrorCode" in error:
        assert error["QueryErrorCode"] == NAMES[code]
    assert UUID.fullmatch(meta["RequestId"])
    return error["Message"]


def at_clock(monkeypatch, minutes):
    """The client's clock goes wrong by so many minutes."""
    real = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *args, **kw: real(*args, **kw) + datetime.timedelta(minutes=minutes))


# ---- keys

@pytest.mark.parametrize("who", [ADMIN, TEMPORARY], ids=["key", "session token"])
def test_a_right_signature_does_everything(make_client, who):
    sqs = make_client(**who)
    url = sqs.create_queue(QueueName=f"conf-{uuid.uuid4().hex[:12]}")["QueueUrl"]
    assert url.split("/")[-2] == ACCOUNT
    send(sqs, url, "grüße & more = all + signed / things")
    (message,) = receive(sqs, url, wait=5, AttributeNames=["SenderId"])
    assert message["Body"] == "grüße & more = all + signed / things" and message["Attributes"]["SenderId"] == "admin"
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    assert arn.startswith(f"arn:aws:sqs:{REGION}:{ACCOUNT}:")
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_queue(QueueUrl=url)


@pytest.mark.parametrize("change, code, words", [
    (dict(secret="a wrong one"), "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."),
    (dict(key="AKIANOBODY"), "InvalidClientTokenId", "The security token included in the request is invalid"),
    (dict(key="akiaadmin"), "InvalidClientTokenId", "The security token included in the request is invalid"),
    (dict(token="a token that this key has not"), "InvalidClientTokenId", "The security token included in the request is invalid"),
    (dict(region="us-east-1"), "SignatureDoesNotMatch", "Credential should be scoped to a valid region"),
], ids=["secret", "unknown key", "key in other letters", "token of no use", "region"])
def test_what_is_wrong_is_refused_as_aws_does(make_client, queue, admin, change, code, words):
    sqs = make_client(**{**ADMIN, **change})
    with pytest.raises(ClientError) as caught:
        sqs.send_message(QueueUrl=queue, MessageBody="x")
    assert words in check(caught, code)
    assert receive(admin, queue) == []


@pytest.mark.parametrize("token", [None, "another", "a+token/with=sign"])
def test_temporary_credentials_need_their_token(make_client, queue, admin, token):
    with pytest.raises(ClientError) as caught:
        make_client(**{**TEMPORARY, "token": token}).send_message(QueueUrl=queue, MessageBody="x")
    check(caught, "InvalidClientTokenId")
    assert receive(admin, queue) == []


@pytest.mark.parametrize("minutes", [-4, 4])
def test_a_clock_that_is_a_little_wrong_is_fine(make_client, queue, admin, monkeypatch, minutes):
    at_clock(monkeypatch, minutes)
    make_client(**ADMIN).send_message(QueueUrl=queue, MessageBody="x")
    monkeypatch.undo()
    assert bodies(receive(admin, queue, wait=5)) == ["x"]


@pytest.mark.parametrize("minutes, words", [(-6, "Signature expired:"), (6, "Signature not yet current:"), (-60 * 24 * 400, "Signature expired:")])
def test_a_clock_that_is_very_wrong_is_refused(make_client, queue, admin, monkeypatch, minutes, words):
    at_clock(monkeypatch, minutes)
    with pytest.raises(ClientError) as caught:
        make_client(**ADMIN).send_message(QueueUrl=queue, MessageBody="x")
    assert words in check(caught, "SignatureDoesNotMatch")
    monkeypatch.undo()
    assert receive(admin, queue) == []


# ---- permissions of the key's user

def test_a_key_has_the_permissions_of_its_user(make_client, queue, admin):
    shop = make_client(**SHOP)
    mine = shop.create_queue(QueueName=f"shop-{uuid.uuid4().hex[:12]}")["QueueUrl"]
    send(shop, mine, "mine")
    assert bodies(receive(shop, mine, wait=5)) == ["mine"]
    send(admin, queue, "not the shop's")
    for forbidden in (lambda: shop.create_queue(QueueName="conf-theirs"), lambda: shop.receive_message(QueueUrl=queue),
                      lambda: shop.purge_queue(QueueUrl=queue), lambda: shop.delete_queue(QueueUrl=queue),
                      lambda: shop.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": "9"})):
        with pytest.raises(ClientError) as caught:
            forbidden()
        check(caught, "AccessDenied")
    held = receive(admin, queue, wait=5)
    assert bodies(held) == ["not the shop's"]
    shop.delete_message(QueueUrl=queue, ReceiptHandle=held[0]["ReceiptHandle"])  # whoever has the receipt may
    assert admin.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"


# ---- what no SDK would send: raw requests

def error_of(answer):
    """(JSON name, Query code) of a JSON answer."""
    return json.loads(answer.body)["__type"].rsplit("#", 1)[-1], answer.headers["x-amzn-query-error"].split(";")[0]


def test_no_signature_at_all(url, queue):
    answer = exchange(url, "POST", "/", {"X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": "application/x-amz-json-1.0"}, b"{}")
    assert answer.status == 403 and error_of(answer) == ("MissingAuthenticationTokenException", "MissingAuthenticationToken")
    answer = exchange(url, "POST", "/", FORM, b"Action=ListQueues&Version=2012-11-05")
    assert answer.status == 403 and b"<Code>MissingAuthenticationToken</Code>" in answer.body


def test_another_service_is_the_wrong_scope(url):
    answer = call_json(url, "ListQueues", {}, **{**ADMIN, "service": "sns"})
    assert answer.status == 403 and error_of(answer)[1] == "SignatureDoesNotMatch" and b"correct service: 'sqs'" in answer.body


@pytest.mark.parametrize("change", ["body", "target", "date", "unsigned hash"])
def test_what_was_changed_after_signing_is_refused(url, queue, admin, change):
    headers = {"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"}
    body = json.dumps({"QueueUrl": queue, "MessageBody": "signed"}).encode()
    method, target, headers, body = signed(url + "/", headers=headers, body=body, **ADMIN)
    if change == "body":
        body = body.replace(b"signed", b"forged")
    elif change == "target":
        headers["X-Amz-Target"] = "AmazonSQS.PurgeQueue"
    elif change == "date":
        headers["X-Amz-Date"] = headers["X-Amz-Date"][:-2] + ("1Z" if headers["X-Amz-Date"][-2] == "0" else "0Z")
    else:
        body = body.replace(b"signed", b"forged")
        headers["X-Amz-Content-Sha256"] = "UNSIGNED-PAYLOAD"
    answer = exchange(url, method, target, headers, body)
    assert answer.status == 403 and error_of(answer)[1] == "SignatureDoesNotMatch"
    assert receive(admin, queue) == []


@pytest.mark.parametrize("authorization", [
    "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=AKIAADMIN", "AWS4-HMAC-SHA256 Credential=AKIAADMIN/20260101/eu-central-1/sqs/aws4_request",
    "AWS4-HMAC-SHA256 Credential=AKIAADMIN/20260101/eu-central-1/sqs, SignedHeaders=host, Signature=00", "AWS AKIAADMIN:abc", "Basic Z3Vlc3Q6Z3Vlc3Q=", "=" * 5000])
def test_a_signature_that_cannot_be_read(url, authorization):
    headers = {"X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": "application/x-amz-json-1.0", "Authorization": authorization}
    answer = exchange(url, "POST", "/", headers, b"{}")
    assert (answer.status, error_of(answer)[1]) in ((400, "IncompleteSignature"), (403, "MissingAuthenticationToken")), answer.body


# ---- presigned

def presign(url, parameters, method="GET", **options):
    """A URL as a program makes it to give it away."""
    text = urlencode({"Version": "2012-11-05", **parameters})
    _, target, headers, _ = signed(f"{url}/?{text}", method, query_auth=True, **{**ADMIN, **options})
    return target, {name: value for name, value in headers.items() if name.lower() != "host"}


def test_a_url_that_boto3_presigned_works_for_anybody(url, queue, admin):
    maker = client(url, query=True, **ADMIN)
    link = maker.generate_presigned_url("send_message", Params={"QueueUrl": queue, "MessageBody": "by a link, with + and ü"}, HttpMethod="GET", ExpiresIn=60)
    assert "X-Amz-Signature=" in link
    with urllib.request.urlopen(link) as answer:
        assert answer.status == 200 and b"<MessageId>" in answer.read()
    assert bodies(receive(admin, queue, wait=5)) == ["by a link, with + and ü"]
    forged = link.replace("by%20a%20link", "by%20a%20lion")
    assert forged != link
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(forged)
    assert caught.value.code == 403 and b"<Code>SignatureDoesNotMatch</Code>" in caught.value.read()


def test_presigned_with_a_session_token(url, queue, admin):
    for token, status in ((TEMPORARY["token"], 200), ("another", 403), (None, 403)):
        target, headers = presign(url, {"Action": "SendMessage", "QueueUrl": queue, "MessageBody": "x"}, **{**TEMPORARY, "token": token})
        answer = exchange(url, "GET", target, headers)
        assert answer.status == status, answer.body
        assert status == 200 or b"<Code>InvalidClientTokenId</Code>" in answer.body
    assert bodies(receive(admin, queue, wait=5)) == ["x"]


def test_a_presigned_url_is_good_for_as_long_as_it_says(url, queue):
    now = datetime.datetime.now(datetime.timezone.utc)
    ask = {"Action": "GetQueueAttributes", "QueueUrl": queue, "AttributeName.1": "All"}
    for age, expires, code in ((0, 60, None), (3600, 7200, None), (120, 60, "RequestExpired"), (-600, 60, "SignatureDoesNotMatch"), (0, 604_801, "IncompleteSignature")):
        target, headers = presign(url, ask, at=now - datetime.timedelta(seconds=age), expires=expires)
        answer = exchange(url, "GET", target, headers)
        assert (answer.status == 200) == (code is None), (age, expires, answer.body)
        assert code is None or f"<Code>{code}</Code>".encode() in answer.body, answer.body


@pytest.mark.parametrize("change, code", [(dict(secret="wrong"), "SignatureDoesNotMatch"), (dict(key="AKIANOBODY"), "InvalidClientTokenId"), (dict(region="us-east-1"), "SignatureDoesNotMatch")],
                         ids=["secret", "key", "region"])
def test_presigned_wrongly(url, queue, change, code):
    target, headers = presign(url, {"Action": "PurgeQueue", "QueueUrl": queue}, **change)
    answer = exchange(url, "GET", target, headers)
    assert answer.status == 403 and f"<Code>{code}</Code>".encode() in answer.body


# ---- hosts

def test_the_host_of_a_queue_url_does_not_matter_its_account_and_name_do(make_client, admin, url, queue):
    sqs, name = make_client(**ADMIN), queue.rsplit("/", 1)[1]
    port = url.rsplit(":", 1)[1]
    for other in (f"http://localhost:{port}/{ACCOUNT}/{name}", f"https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}/{name}", f"https://eu-central-1.queue.amazonaws.com/{ACCOUNT}/{name}",
                  f"http://sqs.eu-central-1.localhost.localstack.cloud:4566/{ACCOUNT}/{name}", f"http://broker.internal/queue/{name}", f"http://[::1]:9324/{ACCOUNT}/{name}"):
        send(sqs, other, other)
        (message,) = receive(sqs, other, wait=5)
        assert message["Body"] == other
        sqs.delete_message(QueueUrl=other, ReceiptHandle=message["ReceiptHandle"])
    for foreign in (f"{url}/999999999999/{name}", f"{url}/{ACCOUNT}/{name}-not-there"):
        with pytest.raises(admin.exceptions.QueueDoesNotExist):
            admin.send_message(QueueUrl=foreign, MessageBody="x")


def test_urls_have_the_host_that_the_client_used(make_client, url):
    port, name = url.rsplit(":", 1)[1], f"conf-{uuid.uuid4().hex[:12]}"
    for host in ("127.0.0.1", "localhost"):
        sqs = make_client(url=f"http://{host}:{port}", **ADMIN)
        assert sqs.create_queue(QueueName=name)["QueueUrl"] == f"http://{host}:{port}/{ACCOUNT}/{name}"
        assert sqs.list_queues(QueueNamePrefix=name)["QueueUrls"] == [f"http://{host}:{port}/{ACCOUNT}/{name}"]


# ---- without keys

def test_users_without_access_keys_leave_nobody_in(server, tmp_path):
    if not server.is_own:
        pytest.skip("users come from Baton's configuration file")
    made = subprocess.run([server.binary, "config", "password"], input="secret\n", capture_output=True, text=True, check=True)
    (tmp_path / "baton.toml").write_text(CONFIG.format(hash=made.stdout.strip()))
    broker = servers.BatonServer(server.binary, extra_env={"BATON_CONFIG": str(tmp_path / "baton.toml")}).start()
    with pytest.raises(ClientError) as caught:
        client(f"http://{broker.http_listen}").list_queues()
    check(caught, "InvalidClientTokenId")
    assert "SQS refuses all requests" in broker.log_tail()
    broker.close()


def test_without_users_and_keys_any_key_will_do_and_the_log_says_so(server):
    if not server.is_own:
        pytest.skip("looks at Baton's log")
    broker = servers.BatonServer(server.binary).start()
    sqs = client(f"http://{broker.http_listen}", key="whatever", secret="whatever", region="mars-north-1", token="whatever")
    send(sqs, sqs.create_queue(QueueName="q")["QueueUrl"], "x")
    assert "SQS accepts any access key" in broker.log_tail()
    answer = exchange(f"http://{broker.http_listen}", "POST", "/", {"X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": "application/x-amz-json-1.0"}, b"{}")
    assert answer.status == 403 and error_of(answer)[1] == "MissingAuthenticationToken"
    page = {"Origin": "http://somewhere.example", "Authorization": f"AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature={'0' * 64}",
            "X-Amz-Target": "AmazonSQS.ListQueues", "X-Amz-Date": "20260101T000000Z", "Content-Type": "application/x-amz-json-1.0"}
    answer = exchange(f"http://{broker.http_listen}", "POST", "/", page, b"{}")
    assert answer.status == 403 and error_of(answer)[1] == "MissingAuthenticationToken"  # a page in a browser must not reach the broker of who looks at it
    broker.close()


# ---- relaxed

def test_relaxed_there_are_no_pauses(server):
    if not server.is_own:
        pytest.skip("starts Baton with an option")
    broker = servers.BatonServer(server.binary, ["--sqs-relaxed"]).start()
    for query in (False, True):
        sqs = client(f"http://{broker.http_listen}", query=query)
        for _ in range(3):
            url = sqs.create_queue(QueueName="again")["QueueUrl"]
            for body in "ab":
                send(sqs, url, body)
                sqs.purge_queue(QueueUrl=url)
            assert receive(sqs, url) == []
            sqs.delete_queue(QueueUrl=url)
        with refused("AWS.SimpleQueueService.NonExistentQueue"):
            sqs.get_queue_url(QueueName="again")
    broker.close()


# ---- TLS

def test_tls_on_the_http_port(server, tmp_path):
    if not server.is_own:
        pytest.skip("starts Baton with a certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    broker = servers.BatonServer(server.binary, ["--tls-cert", str(cert), "--tls-key", str(key)]).start()
    for query in (False, True):
        sqs = client(f"https://{broker.http_listen}", query=query, verify=str(cert))
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        assert url == f"https://{broker.http_listen}/000000000000/q"
        send(sqs, url, "encrypted")
        (message,) = receive(sqs, url, wait=5)
        assert message["Body"] == "encrypted"
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    with pytest.raises(SSLError):
        client(f"https://{broker.http_listen}").list_queues()
    host, port = broker.http_listen.rsplit(":", 1)
    context = ssl.create_default_context(cafile=str(cert))
    with context.wrap_socket(socket.create_connection((host, int(port))), server_hostname="localhost") as secured:
        assert secured.version() in ("TLSv1.2", "TLSv1.3")
    broker.close()


# ---- no users and no keys: this machine only

def own_address():
    """An address of this machine by which others reach it, if it has one. Nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # for documentation only: nobody has it
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") else address


@pytest.mark.parametrize("query", [False, True], ids=["json", "query"])
def test_without_keys_any_key_will_do_from_this_machine(server, query):
    if not server.is_own:
        pytest.skip("reads the broker's log: needs BATON_BIN")
    broker = servers.BatonServer(server.binary)
    try:
        port = broker.start().http_listen.rsplit(":", 1)[1]
        near = client(f"http://127.0.0.1:{port}", query=query, key="anything", secret="at all")
        queue = near.create_queue(QueueName="near")["QueueUrl"]
        send(near, queue, "from this machine")
        assert bodies(receive(near, queue, wait=5)) == ["from this machine"]
        assert "SQS accepts any access key from this machine" in broker.log_tail()
        if (address := own_address()) is None:
            pytest.skip("this machine has no address but loopback: there is no elsewhere")
        far = client(f"http://{address}:{port}", query=query, key="anything", secret="at all")
        with pytest.raises(EndpointConnectionError):
            far.list_queues()
    finally:
        broker.close()


@pytest.mark.parametrize("more", [[], ["--allow-plaintext"]], ids=["", "plaintext allowed"])
def test_without_users_nothing_is_served_to_other_machines(server, more):
    if not server.is_own:
        pytest.skip("starts a broker that listens on all addresses: needs BATON_BIN")
    broker = servers.BatonServer(server.binary, more)
    broker.http_listen = "0.0.0.0:0"
    try:
        with pytest.raises(RuntimeError, match="ended with 3 while starting:[^$]*it needs users"):
            broker.start()
    finally:
        broker.close()


@pytest.mark.parametrize("query", [False, True], ids=["json", "query"])
def test_with_users_but_no_keys_nobody_is_let_in_from_anywhere(server, tmp_path, query):
    if not server.is_own:
        pytest.skip("starts a broker that listens on all addresses: needs BATON_BIN")
    made = subprocess.run([server.binary, "config", "password"], input="secret\n", capture_output=True, text=True, check=True)
    config = tmp_path / "baton.toml"
    config.write_text(CONFIG.format(hash=made.stdout.strip()))
    broker = servers.BatonServer(server.binary, ["--allow-plaintext"], {"BATON_CONFIG": str(config)})
    broker.http_listen = "0.0.0.0:0"
    try:
        port = broker.start().http_listen.rsplit(":", 1)[1]
        for address in ("127.0.0.1", own_address()):
            if address is None:
                pytest.skip("this machine has no address but loopback: there is no elsewhere")
            anybody = client(f"http://{address}:{port}", query=query, key="guest", secret="guest")
            for call in (anybody.list_queues, lambda: anybody.create_queue(QueueName="far")):
                with pytest.raises(ClientError) as caught:
                    call()
                check(caught, "InvalidClientTokenId")
    finally:
        broker.close()
