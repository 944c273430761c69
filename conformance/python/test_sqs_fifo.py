"""SQS FIFO: groups that block, order that holds, deduplication and its scopes, attempts, throughput attributes; groups on standard queues."""
import hashlib
import uuid

import pytest

from sqs_tools import bodies, counts, delete, drain, receive, receive_one, refused, send, send_group

DEDUP_NEEDED = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
NOT_FOR_THIS_TYPE = "parameter that is not valid for this queue type"


@pytest.fixture
def fifo(make_queue):
    """A FIFO queue; `fifo(**attributes)` returns its URL."""
    return lambda **attributes: make_queue(fifo=True, **{"VisibilityTimeout": "30", **attributes})


def groups(messages):
    return [message["Attributes"]["MessageGroupId"] for message in messages]


# ---- what a send needs

def test_a_send_needs_a_group_and_a_deduplication_id(sqs, fifo):
    url = fifo()
    with refused("MissingParameter", "The request must contain the parameter MessageGroupId."):
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageDeduplicationId="d")
    with refused("InvalidParameterValue", DEDUP_NEEDED):
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g")
    assert receive(sqs, url) == []


@pytest.mark.parametrize("key", ["MessageGroupId", "MessageDeduplicationId"])
def test_ids_are_1_to_128_printable_characters(sqs, fifo, key):
    url = fifo()
    punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    for good in ("x" * 128, "a1" + punctuation):
        sqs.send_message(**{"QueueUrl": url, "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": uuid.uuid4().hex, key: good})
    for bad in ("x" * 129, "a b", "ü"):
        with refused("InvalidParameterValue", key):
            sqs.send_message(**{"QueueUrl": url, "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d", key: bad})


def test_a_message_cannot_be_delayed_but_the_queue_can(sqs, fifo, advance):
    url = fifo(DelaySeconds="10")
    with refused("InvalidParameterValue", f"Value 2 for parameter DelaySeconds is invalid. Reason: The request include {NOT_FOR_THIS_TYPE}."):
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d", DelaySeconds=2)
    send_group(sqs, url, "g", "a", "b")
    assert receive(sqs, url) == [] and counts(sqs, url) == (0, 0, 2)
    advance(10.1)
    assert bodies(receive(sqs, url)) == ["a", "b"]


def test_attributes_of_a_fifo_message(sqs, fifo):
    url = fifo()
    sent = sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d")
    assert sent["SequenceNumber"].isdigit() and len(sent["SequenceNumber"]) == 20
    attributes = receive_one(sqs, url, AttributeNames=["All"])["Attributes"]
    assert set(attributes) == {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SequenceNumber", "MessageGroupId", "MessageDeduplicationId"}
    assert (attributes["SequenceNumber"], attributes["MessageGroupId"], attributes["MessageDeduplicationId"]) == (sent["SequenceNumber"], "g", "d")


def test_sequence_numbers_grow(sqs, fifo):
    url = fifo()
    numbers = [int(sent["SequenceNumber"]) for group in "abab" for sent in send_group(sqs, url, group, "x", "y")]
    assert numbers == sorted(set(numbers))


# ---- order and blocking

def test_one_receive_gives_several_of_one_group_in_order(sqs, fifo):
    url = fifo()
    send_group(sqs, url, "g", *map(str, range(12)))
    assert bodies(receive(sqs, url, 10)) == [str(number) for number in range(10)]
    assert receive(sqs, url) == []


def test_a_message_in_flight_blocks_its_group_and_no_other(sqs, fifo):
    url = fifo()
    send_group(sqs, url, "a", "a1", "a2")
    send_group(sqs, url, "b", "b1", "b2")
    first = receive_one(sqs, url)
    assert first["Body"] == "a1"
    other = receive(sqs, url)
    assert bodies(other) == ["b1", "b2"]
    assert receive(sqs, url) == []
    delete(sqs, url, first)
    assert bodies(receive(sqs, url)) == ["a2"]


def test_a_new_send_does_not_unblock_the_group(sqs, fifo):
    url = fifo()
    send_group(sqs, url, "g", "1")
    first = receive_one(sqs, url)
    send_group(sqs, url, "g", "2", "3")
    assert receive(sqs, url) == []
    send_group(sqs, url, "other", "x")
    assert bodies(receive(sqs, url)) == ["x"]
    delete(sqs, url, first)
    assert bodies(receive(sqs, url)) == ["2", "3"]


def test_the_group_is_blocked_until_all_of_it_in_flight_are_done(sqs, fifo):
    url = fifo()
    send_group(sqs, url, "g", *"1234")
    one, two = receive(sqs, url, 2)
    delete(sqs, url, one)
    assert receive(sqs, url) == []
    delete(sqs, url, two)
    assert bodies(receive(sqs, url)) == ["3", "4"]


def test_a_timeout_gives_the_group_again_from_its_first(sqs, fifo, advance):
    url = fifo(VisibilityTimeout="10")
    send_group(sqs, url, "g", *"123")
    one, two = receive(sqs, url, 2)
    delete(sqs, url, two)
    assert receive(sqs, url) == []  # 1 is in flight still
    advance(10.1)
    assert bodies(receive(sqs, url)) == ["1", "3"]


def test_a_longer_visibility_keeps_the_place_and_the_block(sqs, fifo, advance):
    """A later message must not overtake one that was made invisible for longer."""
    url = fifo(VisibilityTimeout="10")
    send_group(sqs, url, "g", *"123")
    first = receive_one(sqs, url)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=100)
    advance(50)
    assert receive(sqs, url) == []
    advance(51)
    assert bodies(receive(sqs, url)) == ["1", "2", "3"]


def test_visibility_zero_returns_the_message_to_its_place(sqs, fifo):
    url = fifo()
    send_group(sqs, url, "g", *"123")
    first = receive_one(sqs, url)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    again = receive(sqs, url)
    assert bodies(again) == ["1", "2", "3"]


def test_messages_that_time_out_at_different_times_keep_their_order(sqs, fifo, advance):
    url = fifo(VisibilityTimeout="100")
    send_group(sqs, url, "g", *"123")
    one, two = receive(sqs, url, 2)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=two["ReceiptHandle"], VisibilityTimeout=0)
    assert receive(sqs, url) == []  # 2 is visible, but 1 before it is in flight
    advance(100.1)
    assert bodies(receive(sqs, url)) == ["1", "2", "3"]


def test_a_receive_mixes_groups_and_keeps_each_in_order(sqs, fifo):
    url = fifo()
    for number in range(5):
        for group in "abc":
            send_group(sqs, url, group, f"{group}{number}")
    found = {}
    while messages := receive(sqs, url, 10, AttributeNames=["MessageGroupId"]):
        for message, group in zip(messages, groups(messages)):
            found.setdefault(group, []).append(message["Body"])
        delete(sqs, url, *messages)
    assert found == {group: [f"{group}{number}" for number in range(5)] for group in "abc"}


def test_deleting_with_an_expired_receipt_is_an_error(sqs, fifo, advance):
    url = fifo(VisibilityTimeout="1")
    send_group(sqs, url, "g", "g1-m1")
    message = receive_one(sqs, url)
    advance(1.1)
    with refused("InvalidParameterValue", "The receipt handle has expired."):
        delete(sqs, url, message)
    assert bodies(receive(sqs, url)) == ["g1-m1"]


def test_counts_of_a_fifo_queue(sqs, fifo):
    url = fifo()
    send_group(sqs, url, "a", "a1", "a2")
    receive_one(sqs, url)
    assert counts(sqs, url) == (1, 1, 0)


# ---- the same receive again

def test_an_attempt_that_is_repeated_gives_the_same_messages_and_receipts(sqs, fifo, advance):
    url, attempt = fifo(VisibilityTimeout="10"), uuid.uuid4().hex
    send_group(sqs, url, "g", *"12345")
    first = receive(sqs, url, 3, ReceiveRequestAttemptId=attempt)
    advance(8)
    again = receive(sqs, url, 3, ReceiveRequestAttemptId=attempt)
    assert [(m["Body"], m["ReceiptHandle"]) for m in again] == [(m["Body"], m["ReceiptHandle"]) for m in first]
    advance(8)  # the repetition began the timeout anew
    assert receive(sqs, url) == []
    delete(sqs, url, *again)
    assert bodies(receive(sqs, url, ReceiveRequestAttemptId=uuid.uuid4().hex)) == ["4", "5"]


def test_an_attempt_of_which_something_was_deleted_is_not_repeated(sqs, fifo):
    url, attempt = fifo(), uuid.uuid4().hex
    send_group(sqs, url, "g", *"123")
    first = receive(sqs, url, 2, ReceiveRequestAttemptId=attempt)
    delete(sqs, url, first[0])
    assert "1" not in bodies(receive(sqs, url, 2, ReceiveRequestAttemptId=attempt))


def test_attempt_ids_are_for_fifo_queues(sqs, make_queue):
    url = make_queue()
    with refused("InvalidParameterValue", NOT_FOR_THIS_TYPE):
        sqs.receive_message(QueueUrl=url, ReceiveRequestAttemptId="a")


# ---- deduplication

def test_the_same_id_within_five_minutes_is_one_message(sqs, fifo, advance):
    url = fifo()
    ask = dict(QueueUrl=url, MessageGroupId="g", MessageDeduplicationId="d")
    first = sqs.send_message(MessageBody="one", **ask)
    again = sqs.send_message(MessageBody="two", **ask)
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    assert drain(sqs, url) == ["one"]
    advance(298)
    sqs.send_message(MessageBody="still a duplicate, though the first is deleted", **ask)
    assert receive(sqs, url) == []
    advance(3)
    sqs.send_message(MessageBody="new", **ask)
    assert drain(sqs, url) == ["new"]


def test_a_duplicate_while_the_first_is_in_flight(sqs, fifo):
    url = fifo()
    ask = dict(QueueUrl=url, MessageGroupId="g", MessageDeduplicationId="d")
    sqs.send_message(MessageBody="one", **ask)
    message = receive_one(sqs, url)
    sqs.send_message(MessageBody="two", **ask)
    delete(sqs, url, message)
    assert receive(sqs, url) == [] and counts(sqs, url) == (0, 0, 0)


def test_content_is_the_body_alone(sqs, fifo):
    url = fifo(ContentBasedDeduplication="true")
    attribute = lambda value: {"a": {"DataType": "String", "StringValue": value}}
    first = sqs.send_message(QueueUrl=url, MessageBody="same", MessageGroupId="g", MessageAttributes=attribute("1"))
    again = sqs.send_message(QueueUrl=url, MessageBody="same", MessageGroupId="g", MessageAttributes=attribute("2"))
    assert first["MessageId"] == again["MessageId"]
    sqs.send_message(QueueUrl=url, MessageBody="other", MessageGroupId="g")
    assert drain(sqs, url) == ["same", "other"]


def test_content_is_its_sha256_as_an_id(sqs, fifo):
    url = fifo(ContentBasedDeduplication="true")
    sqs.send_message(QueueUrl=url, MessageBody="same", MessageGroupId="g")
    sqs.send_message(QueueUrl=url, MessageBody="elsewise", MessageGroupId="g", MessageDeduplicationId=hashlib.sha256(b"same").hexdigest())
    sqs.send_message(QueueUrl=url, MessageBody="same", MessageGroupId="g", MessageDeduplicationId="its-own-id-goes-before-the-content")
    messages = receive(sqs, url, AttributeNames=["MessageDeduplicationId"])
    assert bodies(messages) == ["same", "same"]
    assert messages[0]["Attributes"]["MessageDeduplicationId"] == hashlib.sha256(b"same").hexdigest()


def test_the_scope_is_the_queue_unless_it_is_the_group(sqs, fifo):
    by_queue, by_group = fifo(), fifo(DeduplicationScope="messageGroup")
    for url in (by_queue, by_group):
        for group in "ab":
            sqs.send_message(QueueUrl=url, MessageBody=group, MessageGroupId=group, MessageDeduplicationId="d")
            sqs.send_message(QueueUrl=url, MessageBody=f"{group} again", MessageGroupId=group, MessageDeduplicationId="d")
    assert drain(sqs, by_queue) == ["a"]
    assert sorted(drain(sqs, by_group)) == ["a", "b"]


def test_duplicates_within_one_batch(sqs, fifo):
    url = fifo()
    answer = sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": one, "MessageBody": one, "MessageGroupId": "g", "MessageDeduplicationId": "d"} for one in "abc"])
    assert len(answer["Successful"]) == 3 and len({result["MessageId"] for result in answer["Successful"]}) == 1
    assert drain(sqs, url) == ["a"]


def test_content_based_deduplication_can_be_switched(sqs, fifo):
    url = fifo(ContentBasedDeduplication="true")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"ContentBasedDeduplication": "false"})
    with refused("InvalidParameterValue", DEDUP_NEEDED):
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g")


def test_high_throughput_goes_with_the_scope_of_groups(sqs, fifo):
    url = fifo(DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    names = ["DeduplicationScope", "FifoThroughputLimit"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] == {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    with pytest.raises(sqs.exceptions.ClientError) as caught:
        sqs.set_queue_attributes(QueueUrl=fifo(), Attributes={"FifoThroughputLimit": "perMessageGroupId"})
    assert caught.value.response["Error"]["Code"] in ("InvalidAttributeValue", "InvalidParameterValue")


# ---- groups on standard queues

def test_groups_on_standard_queues_do_not_block(sqs, make_queue):
    url = make_queue()
    send(sqs, url, *"abc", MessageGroupId="tenant")
    first = receive(sqs, url, 1, AttributeNames=["MessageGroupId"])
    rest = receive(sqs, url, AttributeNames=["MessageGroupId"])
    assert sorted(bodies(first + rest)) == ["a", "b", "c"]
    assert set(groups(first + rest)) == {"tenant"}


def test_a_quiet_tenant_does_not_wait_behind_a_noisy_one(sqs, make_queue):
    url = make_queue()
    for start in range(0, 100, 10):
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": f"noisy {n}", "MessageGroupId": "noisy"} for n in range(start, start + 10)])
    receive(sqs, url, 10)  # the noisy one has consumers busy
    send(sqs, url, "quiet", MessageGroupId="quiet")
    assert "quiet" in bodies(receive(sqs, url, 5))


def test_a_standard_queue_has_no_deduplication_ids(sqs, make_queue):
    with refused("InvalidParameterValue", NOT_FOR_THIS_TYPE):
        sqs.send_message(QueueUrl=make_queue(), MessageBody="x", MessageDeduplicationId="d")
