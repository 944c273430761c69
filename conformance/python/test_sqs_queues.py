"""SQS: queues, their attributes, tags and permissions, lists and pages, purge, and the pause before a name is used again."""
import json
import uuid

import pytest

from sqs_tools import ACCOUNT, REGION, arn, attribute, bodies, counts, delete, drain, receive, receive_one, refused, send

NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"
NUMBERS = {  # attribute: (smallest, largest)
    "VisibilityTimeout": (0, 43_200), "DelaySeconds": (0, 900), "MaximumMessageSize": (1_024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600), "ReceiveMessageWaitTimeSeconds": (0, 20), "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
DEFAULTS = {"VisibilityTimeout": "30", "MaximumMessageSize": "1048576", "MessageRetentionPeriod": "345600", "DelaySeconds": "0",
            "ReceiveMessageWaitTimeSeconds": "0", "SqsManagedSseEnabled": "true", "ApproximateNumberOfMessages": "0",
            "ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0"}
CHANGING = {"QueueArn", "CreatedTimestamp", "LastModifiedTimestamp"}


@pytest.fixture
def name():
    return f"conf-{uuid.uuid4().hex[:12]}"


def all_attributes(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


# ---- create, find, list

def test_a_queue_has_a_url_with_account_and_name_and_an_arn(sqs, make_queue, name):
    url = make_queue(name)
    assert url.endswith(f"/{ACCOUNT}/{name}") and url.startswith("http")
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"].endswith(f"/{ACCOUNT}/{name}")
    assert sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=ACCOUNT)["QueueUrl"].endswith(f"/{ACCOUNT}/{name}")
    assert arn(sqs, url) == f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def test_queue_urls_of_any_host_are_understood(sqs, make_queue, name):
    make_queue(name)
    for host in ("https://sqs.eu-west-1.amazonaws.com", "http://localhost:4566", "http://sqs.us-east-1.localhost.localstack.cloud:4566", "https://queue.amazonaws.com"):
        assert "MessageId" in sqs.send_message(QueueUrl=f"{host}/{ACCOUNT}/{name}", MessageBody=host)
    assert len(drain(sqs, f"http://elsewhere/{ACCOUNT}/{name}")) == 4


def test_creating_again_with_the_same_or_no_attributes_gives_the_same_queue(sqs, make_queue, name):
    url = make_queue(name, DelaySeconds="5", VisibilityTimeout="10")
    for attributes in ({}, {"DelaySeconds": "5"}, {"DelaySeconds": "5", "VisibilityTimeout": "10"}):
        assert sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"].endswith(f"/{name}")
    assert attribute(sqs, url, "DelaySeconds") == "5"


@pytest.mark.parametrize("made,again,differs", [
    ({"DelaySeconds": "1"}, {"DelaySeconds": "2"}, "DelaySeconds"), ({}, {"VisibilityTimeout": "31"}, "VisibilityTimeout"),
])
def test_creating_again_with_other_attributes_is_refused(sqs, make_queue, name, made, again, differs):
    make_queue(name, **made)
    with refused("QueueAlreadyExists", f"A queue already exists with the same name and a different value for attribute {differs}"):
        sqs.create_queue(QueueName=name, Attributes=again)


def test_creating_a_fifo_queue_again_with_other_attributes_is_refused(sqs, make_queue, name):
    make_queue(f"{name}.fifo", fifo=True, ContentBasedDeduplication="true")
    with refused("QueueAlreadyExists", "different value for attribute ContentBasedDeduplication"):
        sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "false"})


@pytest.mark.parametrize("bad", ["a.b", "a b", "ä", "x" * 81, "a/b", ".fifo", "x.fifo", "queue!"])
def test_names_are_1_to_80_letters_digits_hyphens_and_underscores(sqs, bad):
    with refused("InvalidParameterValue"):  # `x.fifo` needs FifoQueue=true
        sqs.create_queue(QueueName=bad)


@pytest.mark.parametrize("good", ["x" * 80, "A-b_9"])
def test_longest_and_oddest_names(sqs, make_queue, good):
    name = good if len(good) == 80 else f"{good}{uuid.uuid4().hex[:6]}"
    name = name[:-6] + uuid.uuid4().hex[:6]
    assert make_queue(name).endswith(f"/{name}")


@pytest.mark.parametrize("bad", ["no-suffix", "x" * 76 + ".fifo", "a b.fifo"])
def test_fifo_queues_need_the_suffix_within_80_characters(sqs, bad):
    with refused("InvalidParameterValue"):
        sqs.create_queue(QueueName=bad, Attributes={"FifoQueue": "true"})


def test_a_standard_queue_has_no_attribute_fifo_queue(sqs, name):
    with refused("InvalidAttributeName", "Unknown Attribute FifoQueue."):
        sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "false"})


def test_get_queue_url_of_an_unknown_queue_or_another_account(sqs, make_queue, name):
    with refused(NO_QUEUE):
        sqs.get_queue_url(QueueName=name)
    make_queue(name)
    with refused(NO_QUEUE):
        sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId="111111111111")


def test_every_action_on_an_unknown_queue_says_so(sqs, name):
    url, entry = f"http://localhost/{ACCOUNT}/{name}", {"Id": "a", "ReceiptHandle": "x"}
    calls = [
        lambda: sqs.delete_queue(QueueUrl=url), lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]),
        lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "1"}), lambda: sqs.send_message(QueueUrl=url, MessageBody="x"),
        lambda: sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "x"}]), lambda: sqs.receive_message(QueueUrl=url),
        lambda: sqs.purge_queue(QueueUrl=url), lambda: sqs.list_queue_tags(QueueUrl=url), lambda: sqs.tag_queue(QueueUrl=url, Tags={"a": "b"}),
        lambda: sqs.untag_queue(QueueUrl=url, TagKeys=["a"]), lambda: sqs.list_dead_letter_source_queues(QueueUrl=url),
        lambda: sqs.add_permission(QueueUrl=url, Label="l", AWSAccountIds=["111111111111"], Actions=["SendMessage"]),
        lambda: sqs.remove_permission(QueueUrl=url, Label="l"), lambda: sqs.delete_message_batch(QueueUrl=url, Entries=[entry]),
        lambda: sqs.delete_message(QueueUrl=url, ReceiptHandle="x"), lambda: sqs.change_message_visibility(QueueUrl=url, ReceiptHandle="x", VisibilityTimeout=1),
        lambda: sqs.change_message_visibility_batch(QueueUrl=url, Entries=[{**entry, "VisibilityTimeout": 1}]),
    ]
    for call in calls:
        with refused(NO_QUEUE, "The specified queue does not exist"):
            call()
    with pytest.raises(sqs.exceptions.ClientError) as caught:
        calls[0]()
    if "QueryErrorCode" in caught.value.response["Error"]:
        assert isinstance(caught.value, sqs.exceptions.QueueDoesNotExist)


def test_lists_by_prefix_in_pages(sqs, make_queue, name):
    urls = sorted(make_queue(f"{name}-{number}") for number in range(5))
    make_queue()
    assert sorted(sqs.list_queues(QueueNamePrefix=name)["QueueUrls"]) == urls
    first = sqs.list_queues(QueueNamePrefix=name, MaxResults=2)
    assert len(first["QueueUrls"]) == 2 and first["NextToken"]
    pages = list(sqs.get_paginator("list_queues").paginate(QueueNamePrefix=name, PaginationConfig={"PageSize": 2}))
    assert [len(page["QueueUrls"]) for page in pages] == [2, 2, 1]
    assert sorted(url for page in pages for url in page["QueueUrls"]) == urls
    assert "NextToken" not in sqs.list_queues(QueueNamePrefix=name)
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=f"{name}-none")


@pytest.mark.parametrize("most", [0, -1, 1001])
def test_a_page_has_1_to_1000_queues(sqs, most):
    with refused("InvalidParameterValue"):
        sqs.list_queues(MaxResults=most)


def test_a_bad_page_token_is_refused(sqs):
    with refused("InvalidParameterValue"):
        sqs.list_queues(MaxResults=1, NextToken="no token of ours")


# ---- attributes

def test_all_attributes_of_a_standard_queue_and_their_defaults(sqs, make_queue):
    found = all_attributes(sqs, make_queue())
    assert {key: value for key, value in found.items() if key not in CHANGING} == DEFAULTS
    assert CHANGING <= set(found)


def test_all_attributes_of_a_fifo_queue_and_their_defaults(sqs, make_queue):
    found = all_attributes(sqs, make_queue(fifo=True))
    expected = {**DEFAULTS, "FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"}
    assert {key: value for key, value in found.items() if key not in CHANGING} == expected


def test_named_attributes_come_alone(sqs, make_queue):
    url = make_queue()
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "DelaySeconds"])["Attributes"]
    assert found == {"VisibilityTimeout": "30", "DelaySeconds": "0"}
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=url)
    assert not sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes")


def test_unknown_attribute_names_are_refused(sqs, make_queue, name):
    url = make_queue()
    with refused("InvalidAttributeName", "Unknown Attribute Foo."):
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Foo", "VisibilityTimeout"])
    with refused("InvalidAttributeName", "Unknown Attribute Foo."):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Foo": "1"})
    with refused("InvalidAttributeName", "Unknown Attribute Foo."):
        sqs.create_queue(QueueName=name, Attributes={"Foo": "1"})
    with refused(NO_QUEUE):
        sqs.get_queue_url(QueueName=name)


@pytest.mark.parametrize("fixed", ["QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", "ApproximateNumberOfMessages", "All"])
def test_attributes_that_the_broker_writes_cannot_be_set(sqs, make_queue, fixed):
    with refused("InvalidAttributeName", f"Unknown Attribute {fixed}."):
        sqs.set_queue_attributes(QueueUrl=make_queue(), Attributes={fixed: "1"})


@pytest.mark.parametrize("key", NUMBERS)
def test_numbers_within_their_range(sqs, make_queue, name, key):
    low, high = NUMBERS[key]
    url = make_queue(name)
    for good in (low, high):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={key: str(good)})
        assert attribute(sqs, url, key) == str(good)
    for bad in (str(low - 1), str(high + 1), "abc", "1.5", ""):
        with refused("InvalidAttributeValue", f"Invalid value for the parameter {key}."):
            sqs.set_queue_attributes(QueueUrl=url, Attributes={key: bad})
        with refused("InvalidAttributeValue"):
            sqs.create_queue(QueueName=f"{name}-other", Attributes={key: bad})
    assert attribute(sqs, url, key) == str(high)


@pytest.mark.parametrize("key,bad", [("ContentBasedDeduplication", "yes"), ("DeduplicationScope", "none"), ("FifoThroughputLimit", "fast"), ("SqsManagedSseEnabled", "maybe")])
def test_words_are_from_their_set(sqs, make_queue, key, bad):
    with refused("InvalidAttributeValue"):
        sqs.set_queue_attributes(QueueUrl=make_queue(fifo=True), Attributes={key: bad})


def test_one_bad_attribute_changes_nothing(sqs, make_queue):
    url = make_queue()
    with refused("InvalidAttributeValue"):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "7", "VisibilityTimeout": "-1"})
    assert attribute(sqs, url, "DelaySeconds") == "0"


def test_the_type_of_a_queue_does_not_change(sqs, make_queue):
    with refused("InvalidAttributeName", "Unknown Attribute FifoQueue."):
        sqs.set_queue_attributes(QueueUrl=make_queue(), Attributes={"FifoQueue": "true"})
    with refused("InvalidAttributeValue", "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."):
        sqs.set_queue_attributes(QueueUrl=make_queue(fifo=True), Attributes={"FifoQueue": "false"})


@pytest.mark.parametrize("key,value", [("ContentBasedDeduplication", "true"), ("DeduplicationScope", "queue"), ("FifoThroughputLimit", "perQueue")])
def test_attributes_of_fifo_queues_are_unknown_to_standard_ones(sqs, make_queue, key, value):
    with refused("InvalidAttributeName", f"Unknown Attribute {key}."):
        sqs.set_queue_attributes(QueueUrl=make_queue(), Attributes={key: value})


def test_encryption_settings_are_kept_and_exclude_each_other(sqs, make_queue):
    url = make_queue(KmsMasterKeyId="testKeyId", KmsDataKeyReusePeriodSeconds="6000")
    names = ["KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert found == {"KmsMasterKeyId": "testKeyId", "KmsDataKeyReusePeriodSeconds": "6000", "SqsManagedSseEnabled": "false"}
    with refused("InvalidAttributeName", "You can use one type of server-side encryption (SSE) at one time."):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": "testKeyId", "SqsManagedSseEnabled": "true"})


def test_timestamps_of_creation_and_change(sqs, make_queue, sqs_endpoint):
    before = sqs_endpoint.now_ms() // 1000
    url = make_queue()
    created = all_attributes(sqs, url)
    assert before <= int(created["CreatedTimestamp"]) <= sqs_endpoint.now_ms() // 1000 + 1
    assert created["CreatedTimestamp"] == created["LastModifiedTimestamp"]
    sqs_endpoint.advance(10)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "1"})
    changed = all_attributes(sqs, url)
    assert changed["CreatedTimestamp"] == created["CreatedTimestamp"]
    assert int(changed["LastModifiedTimestamp"]) >= int(created["LastModifiedTimestamp"]) + 10


def test_a_policy_is_kept_as_it_was_set_and_removed_by_an_empty_one(sqs, make_queue):
    url, policy = make_queue(), json.dumps({"Version": "2012-10-17", "Statement": []})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    assert json.loads(attribute(sqs, url, "Policy")) == json.loads(policy)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    assert "Policy" not in all_attributes(sqs, url)
    with refused("InvalidAttributeValue"):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": "{no json"})


# ---- tags

def test_tags_are_added_replaced_and_removed(sqs, make_queue):
    url = make_queue(tags={"made": "with"})
    sqs.tag_queue(QueueUrl=url, Tags={"a": "1", "b": "2", "empty": ""})
    sqs.tag_queue(QueueUrl=url, Tags={"a": "one"})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"made": "with", "a": "one", "b": "2", "empty": ""}
    sqs.untag_queue(QueueUrl=url, TagKeys=["a", "empty", "never there"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"made": "with", "b": "2"}
    sqs.untag_queue(QueueUrl=url, TagKeys=["made", "b"])
    assert not sqs.list_queue_tags(QueueUrl=url).get("Tags")


def test_create_queue_takes_tags(sqs, name):
    url = sqs.create_queue(QueueName=name, tags={"a": "1", "b": "ü <&>"})["QueueUrl"]
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "1", "b": "ü <&>"}
    sqs.delete_queue(QueueUrl=url)


@pytest.mark.parametrize("tags", [{f"k{number}": "v" for number in range(51)}, {"k" * 129: "v"}, {"k": "v" * 257}, {"": "v"}])
def test_a_queue_has_50_tags_of_128_and_256_characters(sqs, make_queue, tags):
    url = make_queue()
    sqs.tag_queue(QueueUrl=url, Tags={"k" * 128: "v" * 256})
    with refused("InvalidParameterValue"):
        sqs.tag_queue(QueueUrl=url, Tags=tags)
    assert list(sqs.list_queue_tags(QueueUrl=url)["Tags"]) == ["k" * 128]


# ---- permissions

def policy_of(sqs, url):
    return json.loads(attribute(sqs, url, "Policy"))


def test_permissions_become_statements_of_the_policy(sqs, make_queue):
    url = make_queue()
    own = arn(sqs, url)
    sqs.add_permission(QueueUrl=url, Label="one", AWSAccountIds=["111111111111"], Actions=["ReceiveMessage"])
    sqs.add_permission(QueueUrl=url, Label="two", AWSAccountIds=["111111111111", "222222222222"], Actions=["SendMessage", "GetQueueUrl"])
    policy = policy_of(sqs, url)
    assert policy["Version"] == "2008-10-17" and policy["Id"].startswith(f"{own}/")
    one, two = policy["Statement"]
    assert one == {"Sid": "one", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "SQS:ReceiveMessage", "Resource": own}
    assert sorted(two["Principal"]["AWS"]) == ["arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root"]
    assert sorted(two["Action"]) == ["SQS:GetQueueUrl", "SQS:SendMessage"]
    with refused("InvalidParameterValue", "Value one for parameter Label is invalid. Reason: Already exists."):
        sqs.add_permission(QueueUrl=url, Label="one", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
    sqs.remove_permission(QueueUrl=url, Label="one")
    assert [statement["Sid"] for statement in policy_of(sqs, url)["Statement"]] == ["two"]
    with refused("InvalidParameterValue", "Value one for parameter Label is invalid. Reason: can't find label."):
        sqs.remove_permission(QueueUrl=url, Label="one")
    sqs.remove_permission(QueueUrl=url, Label="two")
    assert attribute(sqs, url, "Policy") is None


@pytest.mark.parametrize("bad", [{"Actions": ["Dance"]}, {"AWSAccountIds": ["1"]}, {"Label": "x" * 81}, {"Label": "a b"}, {"Actions": ["CreateQueue"]}])
def test_bad_permissions_are_refused(sqs, make_queue, bad):
    with refused("InvalidParameterValue"):
        sqs.add_permission(**{"QueueUrl": make_queue(), "Label": "l", "AWSAccountIds": ["111111111111"], "Actions": ["SendMessage"], **bad})


def test_an_action_has_7_permissions(sqs, make_queue):
    url = make_queue()
    for number in range(7):
        sqs.add_permission(QueueUrl=url, Label=f"l{number}", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
    with refused("OverLimit"):
        sqs.add_permission(QueueUrl=url, Label="l7", AWSAccountIds=["111111111111"], Actions=["SendMessage"])


# ---- purge and delete

def test_purge_removes_what_is_ready_in_flight_and_delayed(sqs, make_queue, advance):
    url = make_queue(VisibilityTimeout="30")
    send(sqs, url, "in flight")
    receive_one(sqs, url)
    send(sqs, url, "a", "b")
    send(sqs, url, "later", DelaySeconds=10)
    assert counts(sqs, url) == (2, 1, 1)
    sqs.purge_queue(QueueUrl=url)
    assert counts(sqs, url) == (0, 0, 0)
    advance(31)
    assert receive(sqs, url) == []


def test_a_queue_is_purged_once_in_60_seconds(sqs, make_queue, advance, name):
    url = make_queue(name)
    sqs.purge_queue(QueueUrl=url)
    with refused("AWS.SimpleQueueService.PurgeQueueInProgress", f"Only one PurgeQueue operation on {name} is allowed every 60 seconds."):
        sqs.purge_queue(QueueUrl=url)
    send(sqs, url, "after the purge")
    advance(60)
    assert bodies(receive(sqs, url, VisibilityTimeout=0)) == ["after the purge"]
    sqs.purge_queue(QueueUrl=url)
    assert receive(sqs, url) == []


def test_a_deleted_queue_is_gone_with_its_messages_and_its_name_rests_60_seconds(sqs, make_queue, advance, name):
    url = make_queue(name, VisibilityTimeout="5")
    send(sqs, url, "gone")
    sqs.delete_queue(QueueUrl=url)
    with refused(NO_QUEUE):
        sqs.receive_message(QueueUrl=url)
    with refused("AWS.SimpleQueueService.QueueDeletedRecently", "You must wait 60 seconds after deleting a queue before you can create another with the same name."):
        sqs.create_queue(QueueName=name)
    advance(59)
    with refused("AWS.SimpleQueueService.QueueDeletedRecently"):
        sqs.create_queue(QueueName=name)
    advance(1)
    url = make_queue(name)
    assert receive(sqs, url) == [] and attribute(sqs, url, "VisibilityTimeout") == "30"


def test_a_receipt_of_a_deleted_queue_does_nothing_to_its_successor(sqs, make_queue, advance, name):
    url = make_queue(name)
    send(sqs, url, "old")
    old = receive_one(sqs, url)
    sqs.delete_queue(QueueUrl=url)
    advance(60)
    url = make_queue(name)
    send(sqs, url, "new")
    new = receive_one(sqs, url, VisibilityTimeout=0)
    try:
        delete(sqs, url, old)
    except sqs.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] in ("ReceiptHandleIsInvalid", "InvalidParameterValue")
    assert bodies(receive(sqs, url)) == [new["Body"]]
