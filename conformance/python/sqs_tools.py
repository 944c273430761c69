"""What the SQS tests say often: clients of both protocols, raw signed requests, exact refusals, checksums, the test clock.

boto3 speaks JSON 1.0 only. Programs with an SDK of before November 2023 speak the Query protocol with XML answers: `client(query=True)`
is botocore with its own Query serializer and XML parser, to which the service is described in the words of that time.
"""
import copy
import hashlib
import http.client
import json
import re
import struct
from contextlib import contextmanager
from functools import cache
from urllib.parse import urlencode, urlsplit

import boto3
import botocore.session
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.loaders import Loader

REGION, ACCOUNT = "us-east-1", "000000000000"
DAY = 86_400
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"

# The Query protocol's code of each error, and its JSON name. Both reach a program: `Error.Code` is the first, the exception's class the second.
JSON_NAMES = {
    "AWS.SimpleQueueService.NonExistentQueue": "QueueDoesNotExist", "QueueAlreadyExists": "QueueNameExists",
    "InvalidParameterValue": "InvalidParameterValueException", "MissingParameter": "MissingRequiredParameterException",
    **{f"AWS.SimpleQueueService.{name}": name for name in (
        "QueueDeletedRecently", "PurgeQueueInProgress", "MessageNotInflight", "EmptyBatchRequest", "TooManyEntriesInBatchRequest",
        "BatchEntryIdsNotDistinct", "BatchRequestTooLong", "InvalidBatchEntryId", "UnsupportedOperation")},
    **{name: name for name in ("InvalidAttributeName", "InvalidAttributeValue", "InvalidMessageContents", "ReceiptHandleIsInvalid",
                               "OverLimit", "InvalidAddress", "ResourceNotFoundException")},
}
STATUS = {"AWS.SimpleQueueService.PurgeQueueInProgress": 403, "OverLimit": 403, "ResourceNotFoundException": 404}


@contextmanager
def refused(code, text=None):
    """The call must fail with this code, in both namings and with the status that AWS gives it; `text` is a part of the message."""
    with pytest.raises(ClientError) as caught:
        yield caught
    error, meta = caught.value.response["Error"], caught.value.response["ResponseMetadata"]
    assert error["Code"] == code, error
    assert meta["HTTPStatusCode"] == STATUS.get(code, 400), (error, meta)
    assert error["Type"] == "Sender"
    if "QueryErrorCode" in error:
        assert error["QueryErrorCode"] == JSON_NAMES[code], error
    assert UUID.fullmatch(meta["RequestId"]), meta
    if text is not None:
        assert text in error["Message"], error["Message"]


# ---- clients

FLATTENED = {  # what an entry of a list is called on the Query protocol's wire
    "AWSAccountIdList": "AWSAccountId", "ActionNameList": "ActionName", "AttributeNameList": "AttributeName", "MessageList": "Message",
    "MessageAttributeNameList": "MessageAttributeName", "MessageSystemAttributeList": "MessageSystemAttributeName", "QueueUrlList": "QueueUrl",
    "TagKeyList": "TagKey", "BatchResultErrorEntryList": "BatchResultErrorEntry", "ListMessageMoveTasksResultEntryList": "ListMessageMoveTasksResultEntry",
    **{f"{action}Batch{kind}EntryList": f"{action}Batch{kind}Entry" for action in ("SendMessage", "DeleteMessage", "ChangeMessageVisibility")
       for kind in ("Request", "Result")}}
MAPS = {"QueueAttributeMap": ("Attribute", "Name", "Value"), "MessageSystemAttributeMap": ("Attribute", "Name", "Value"), "TagMap": ("Tag", "Key", "Value"),
        "MessageBodyAttributeMap": ("MessageAttribute", "Name", "Value"), "MessageBodySystemAttributeMap": ("MessageSystemAttribute", "Name", "Value")}


class QueryLoader(Loader):
    """Describes SQS as it was before JSON."""

    def load_service_model(self, service, type_name, api_version=None):
        model = super().load_service_model(service, type_name, api_version)
        return query_model(model) if (service, type_name) == ("sqs", "service-2") else model


def query_model(model):
    model = copy.deepcopy(model)
    meta, shapes = model["metadata"], model["shapes"]
    meta.update(protocol="query", protocols=["query"], xmlNamespace="http://queue.amazonaws.com/doc/2012-11-05/")
    for name in ("awsQueryCompatible", "jsonVersion", "targetPrefix"):
        meta.pop(name, None)
    for name, operation in model["operations"].items():
        if "output" in operation:
            operation["output"]["resultWrapper"] = f"{name}Result"
    for name, entry in FLATTENED.items():
        shapes[name]["member"]["locationName"] = entry
    for shape in shapes.values():
        for member in shape.get("members", {}).values():
            if member["shape"] in MAPS:
                member["locationName"] = MAPS[member["shape"]][0]
    for name, (_, key, value) in MAPS.items():
        shapes[name]["key"]["locationName"], shapes[name]["value"]["locationName"] = key, value
    return model


@cache
def _session(query):
    session = botocore.session.Session()
    if query:
        session.register_component("data_loader", QueryLoader())
    return boto3.session.Session(botocore_session=session)


def client(url, query=False, key="test", secret="test", token=None, region=REGION, verify=None, **config):
    """A boto3 client that asks once, so that an error is seen and not tried again. `verify`: a file with the certificate to trust."""
    config = {"retries": {"total_max_attempts": 1}, "read_timeout": 30, "max_pool_connections": 40, **config}
    return _session(query).client("sqs", endpoint_url=url, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret,
                                  aws_session_token=token, verify=verify, config=Config(**config))


# ---- raw requests

class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def request_id(self):
        return self.headers["x-amzn-RequestId"]


def signed(url, method="POST", headers=(), body=b"", key="test", secret="test", token=None, region=REGION, service="sqs", query_auth=False, expires=300, at=None):
    """A request signed by botocore: (method, target, headers, body). `at`: as a client whose clock shows that time, aware or UTC."""
    import botocore.auth as auth
    request = AWSRequest(method, url, headers=dict(headers), data=body)
    credentials = Credentials(key, secret, token)
    signer = SigV4QueryAuth(credentials, service, region, expires) if query_auth else SigV4Auth(credentials, service, region)
    before = auth.get_current_datetime
    if at is not None:
        auth.get_current_datetime = lambda remove_tzinfo=True: at
    try:
        signer.add_auth(request)
    finally:
        auth.get_current_datetime = before
    parts = urlsplit(request.prepare().url)
    return method, parts.path + (f"?{parts.query}" if parts.query else ""), dict(request.headers.items()), body


def exchange(url, method, target, headers, body=b"", timeout=30):
    """One request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request(method, target, body=body, headers=headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def call_json(url, action, body, path="/", headers=(), **sign):
    """A JSON 1.0 request; `body` is a value, or text as it shall be sent."""
    body = body if isinstance(body, (bytes, str)) else json.dumps(body)
    body = body.encode() if isinstance(body, str) else body
    headers = {"X-Amz-Target": f"AmazonSQS.{action}", "Content-Type": "application/x-amz-json-1.0", **dict(headers)}
    return exchange(url, *signed(url + path, headers=headers, body=body, **sign))


def call_query(url, action, path="/", method="POST", version="2012-11-05", headers=(), **parameters):
    """A Query request, its parameters as they are on the wire: `**{"Attribute.1.Name": …}`."""
    text = urlencode({"Action": action, **({"Version": version} if version else {}), **parameters})
    if method == "GET":
        return exchange(url, *signed(f"{url}{path}?{text}", "GET", headers))
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", **dict(headers)}
    return exchange(url, *signed(url + path, "POST", headers, text.encode()))


# ---- checksums and small words

def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def md5_of_attributes(attributes):
    """As the developer guide describes it: sorted names; each part with its length before it, the value with its transport type."""
    digest = hashlib.md5()
    for name in sorted(attributes):
        kind, value = attributes[name]["DataType"], attributes[name]
        binary = kind.startswith("Binary")
        for part in (name.encode(), kind.encode()):
            digest.update(struct.pack("!I", len(part)) + part)
        data = value["BinaryValue"] if binary else value["StringValue"].encode()
        digest.update((b"\x02" if binary else b"\x01") + struct.pack("!I", len(data)) + data)
    return digest.hexdigest()


def text(value, kind="String"):
    return {"DataType": kind, "StringValue": value}


def binary(value, kind="Binary"):
    return {"DataType": kind, "BinaryValue": value}


def arn(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def attribute(sqs, url, name):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name]).get("Attributes", {}).get(name)


def counts(sqs, url):
    """(visible, in flight, delayed)"""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return tuple(int(found[name]) for name in names)


def receive(sqs, url, most=10, wait=0, **options):
    """The messages of one receive."""
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=most, WaitTimeSeconds=wait, **options).get("Messages", [])


def receive_one(sqs, url, wait=5, **options):
    (message,) = receive(sqs, url, 1, wait, **options)
    return message


def bodies(messages):
    return [message["Body"] for message in messages]


def delete(sqs, url, *messages):
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def drain(sqs, url):
    """Receives and deletes until the queue gives nothing more."""
    found = []
    while messages := receive(sqs, url):
        found += bodies(messages)
        delete(sqs, url, *messages)
    return found


def send(sqs, url, *texts, **options):
    return [sqs.send_message(QueueUrl=url, MessageBody=body, **options) for body in texts]


def send_group(sqs, url, group, *texts, **options):
    """To a FIFO queue, each with a deduplication id of its own."""
    import uuid
    return [sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=uuid.uuid4().hex, **options) for body in texts]
