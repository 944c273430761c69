"""SQS: one message's way on a standard queue: its content and checksums, attributes, visibility, delay, retention, long polls, receipts."""
import threading
import time

import pytest
from botocore.exceptions import ClientError

from sqs_tools import DAY, UUID, binary, bodies, client, counts, delete, drain, md5, md5_of_attributes, receive, receive_one, refused, send, text

ALL = ["All"]


class Poll(threading.Thread):
    """A receive in the background; `options` replace those of a wait of 20 seconds for ten messages."""

    def __init__(self, sqs, url, **options):
        super().__init__(daemon=True)
        self.call, self.messages = lambda: sqs.receive_message(QueueUrl=url, **(options or {"WaitTimeSeconds": 20, "MaxNumberOfMessages": 10})), None
        self.start()

    def run(self):
        try:
            self.messages = self.call().get("Messages", [])
        except ClientError as error:
            self.messages = error

    def result(self, seconds=15):
        self.join(seconds)
        assert not self.is_alive(), f"the receive has not ended within {seconds} s"
        return self.messages


# ---- content

@pytest.mark.parametrize("body", ["one", "ünï ☃ 🦀", "<a href=\"x\">&amp;</a> 'q'", " spaces  and\ttabs\nand\r\nlines\r", "{\"json\": [1, \"\\u0000\"]}", "\u0085\u2028\ud7ff\ue000\ufffd\U0010ffff", "%41+%2B&a=b;"])
def test_bodies_come_back_as_they_were_with_their_md5(sqs, make_queue, body):
    url = make_queue()
    sent = sqs.send_message(QueueUrl=url, MessageBody=body)
    assert UUID.fullmatch(sent["MessageId"]) and sent["MD5OfMessageBody"] == md5(body)
    assert "MD5OfMessageAttributes" not in sent and "SequenceNumber" not in sent
    message = receive_one(sqs, url)
    assert message["Body"] == body and message["MD5OfBody"] == md5(body) and message["MessageId"] == sent["MessageId"]
    assert set(message) == {"Body", "MD5OfBody", "MessageId", "ReceiptHandle"}


@pytest.mark.parametrize("bad", ["\0", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff"])
def test_characters_that_xml_does_not_have_are_refused(sqs, make_queue, bad):
    url = make_queue()
    with refused("InvalidMessageContents"):
        sqs.send_message(QueueUrl=url, MessageBody=f"a{bad}b")
    assert receive(sqs, url) == []


def test_a_body_is_needed(sqs, make_queue):
    with refused("MissingParameter", "MessageBody"):
        sqs.send_message(QueueUrl=make_queue(), MessageBody="")


def test_a_message_is_at_most_1_mib_with_its_attributes(sqs, make_queue):
    url, most = make_queue(), 1_048_576
    assert "MessageId" in sqs.send_message(QueueUrl=url, MessageBody="x" * most)
    too_long = f"One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
    with refused("InvalidParameterValue", too_long):
        sqs.send_message(QueueUrl=url, MessageBody="x" * (most + 1))
    with refused("InvalidParameterValue", too_long):
        sqs.send_message(QueueUrl=url, MessageBody="x" * most, MessageAttributes={"n": text("v")})
    name, kind, value = "name", "String", "value"
    sqs.send_message(QueueUrl=url, MessageBody="x" * (most - len(name + kind + value)), MessageAttributes={name: text(value)})
    assert [len(body) for body in drain(sqs, url)] == [most, most - 15]


def test_the_queue_may_want_smaller_messages(sqs, make_queue):
    url = make_queue(MaximumMessageSize="1024")
    send(sqs, url, "x" * 1024)
    with refused("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."):
        sqs.send_message(QueueUrl=url, MessageBody="ü" * 513)


# ---- message attributes

ATTRIBUTES = {"Plain": text("text ☃ <&>"), "Number": text("-12.5e3", "Number"), "Labelled": text("7", "Number.int"), "Bytes": binary(bytes(range(256))),
              "Picture": binary(b"\x89PNG", "Binary.png"), "a.b-c_9": text("{}", "String.json")}


def test_message_attributes_come_back_with_their_md5(sqs, make_queue):
    url = make_queue()
    sent = sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=ATTRIBUTES)
    assert sent["MD5OfMessageAttributes"] == md5_of_attributes(ATTRIBUTES)
    message = receive_one(sqs, url, MessageAttributeNames=ALL)
    assert message["MessageAttributes"] == ATTRIBUTES
    assert message["MD5OfMessageAttributes"] == md5_of_attributes(ATTRIBUTES)


@pytest.mark.parametrize("wanted,found", [
    ([], set()), (["All"], {"General", "Hello", "Help.Me"}), ([".*"], {"General", "Hello", "Help.Me"}), (["Hel.*"], {"Hello", "Help.Me"}),
    (["Hello"], {"Hello"}), (["Hello", "Nope"], {"Hello"}), (["Nope"], set()), (["hello"], set()), (["Help.*"], {"Help.Me"}),
])
def test_message_attributes_are_chosen_by_name_or_prefix(sqs, make_queue, wanted, found):
    attributes = {"General": text("Kenobi"), "Hello": text("There"), "Help.Me": text("Me")}
    url = make_queue()
    sqs.send_message(QueueUrl=url, MessageBody="msg", MessageAttributes=attributes)
    message = receive_one(sqs, url, MessageAttributeNames=wanted)
    assert set(message.get("MessageAttributes", {})) == found
    expected = md5_of_attributes({name: attributes[name] for name in found}) if found else None
    assert message.get("MD5OfMessageAttributes") == expected  # of what is returned, not of what was sent


@pytest.mark.parametrize("bad", [
    {f"a{number}": text("x") for number in range(11)}, {"a b": text("x")}, {".a": text("x")}, {"a.": text("x")}, {"a..b": text("x")},
    {"AWS.x": text("x")}, {"aws.x": text("x")}, {"Amazon.x": text("x")}, {"x" * 257: text("x")}, {"a": text("x", "Text")}, {"a": text("x", "string")},
    {"a": text("x", "String." + "y" * 250)}, {"a": text("abc", "Number")}, {"a": {"DataType": "String"}}, {"a": {"DataType": "Binary"}},
    {"a": text("x\x0by")}, {"a": binary(b"x", "String")}, {"": text("x")},
], ids=lambda bad: ",".join(bad)[:12])
def test_bad_message_attributes_are_refused(sqs, make_queue, bad):
    url = make_queue()
    with pytest.raises(sqs.exceptions.ClientError) as caught:
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=bad)
    answer = caught.value.response
    assert answer["Error"]["Code"] in ("InvalidParameterValue", "InvalidMessageContents") and answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert receive(sqs, url) == []


def test_an_empty_attribute_value_is_refused(sqs, make_queue):
    with refused("InvalidParameterValue", "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'."):
        sqs.send_message(QueueUrl=make_queue(), MessageBody="x", MessageAttributes={"ErrorDetails": text("")})


@pytest.mark.parametrize("lists", [{"StringListValues": ["a"]}, {"BinaryListValues": [b"a"]}], ids=["strings", "binaries"])
def test_lists_of_values_are_refused(sqs, make_queue, lists):
    """AWS has kept them for later since 2012."""
    url = make_queue()
    with pytest.raises(sqs.exceptions.ClientError) as caught:
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes={"a": {"DataType": "String", "StringValue": "x", **lists}})
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert receive(sqs, url) == []


def test_a_standard_queue_gives_messages_in_order_and_what_came_back_in_its_place(sqs, make_queue):
    url = make_queue()
    send(sqs, url, *map(str, range(30)))
    first = receive(sqs, url)
    assert bodies(first) == [str(number) for number in range(10)]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first[3]["ReceiptHandle"], VisibilityTimeout=0)
    assert sorted(bodies(receive(sqs, url)) + bodies(receive(sqs, url)) + bodies(receive(sqs, url)), key=int) == ["3", *map(str, range(10, 30))]


def test_ten_attributes_and_the_longest_name(sqs, make_queue):
    url = make_queue()
    attributes = {**{f"a{number}": text("x") for number in range(9)}, "n" * 256: text("v" * 1000)}
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=attributes)
    assert receive_one(sqs, url, MessageAttributeNames=ALL)["MessageAttributes"] == attributes


# ---- system attributes

@pytest.mark.parametrize("how", ["AttributeNames", "MessageSystemAttributeNames"])
def test_system_attributes_of_a_message(sqs, make_queue, sqs_endpoint, how):
    url, before = make_queue(VisibilityTimeout="0"), sqs_endpoint.now_ms()
    send(sqs, url, "x")
    sqs_endpoint.advance(5)
    first = receive_one(sqs, url, **{how: ALL})["Attributes"]
    assert set(first) == {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"}
    assert first["SenderId"] and first["ApproximateReceiveCount"] == "1"
    assert before <= int(first["SentTimestamp"]) <= int(first["ApproximateFirstReceiveTimestamp"]) - 5000
    sqs_endpoint.advance(5)
    again = receive_one(sqs, url, **{how: ALL})["Attributes"]
    assert again == {**first, "ApproximateReceiveCount": "2"}


def test_system_attributes_are_chosen_by_name(sqs, make_queue):
    url = make_queue(VisibilityTimeout="0")
    send(sqs, url, "x")
    assert set(receive_one(sqs, url, MessageSystemAttributeNames=["SentTimestamp", "SenderId"])["Attributes"]) == {"SentTimestamp", "SenderId"}
    assert receive_one(sqs, url, AttributeNames=["SequenceNumber"]).get("Attributes", {}) == {}


def test_the_trace_header_is_carried_with_its_md5(sqs, make_queue):
    url, trace = make_queue(), {"AWSTraceHeader": text("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")}
    sent = sqs.send_message(QueueUrl=url, MessageBody="x", MessageSystemAttributes=trace)
    assert sent["MD5OfMessageSystemAttributes"] == md5_of_attributes(trace)
    message = receive_one(sqs, url, MessageSystemAttributeNames=["AWSTraceHeader"])
    assert message["Attributes"] == {"AWSTraceHeader": trace["AWSTraceHeader"]["StringValue"]}


def test_other_system_attributes_cannot_be_sent(sqs, make_queue):
    with refused("InvalidParameterValue"):
        sqs.send_message(QueueUrl=make_queue(), MessageBody="x", MessageSystemAttributes={"SenderId": text("me")})


def test_unknown_system_attributes_cannot_be_asked_for(sqs, make_queue):
    with refused("InvalidAttributeName", "Unknown Attribute Foo."):
        sqs.receive_message(QueueUrl=make_queue(), AttributeNames=["Foo"])


# ---- receive

def test_a_receive_gives_one_message_unless_asked_for_more(sqs, make_queue):
    url = make_queue()
    send(sqs, url, *"abcdefghijkl")
    assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1
    assert len(receive(sqs, url, 10)) == 10 and len(receive(sqs, url, 10)) == 1


def test_there_is_no_key_messages_when_there_are_none(sqs, make_queue):
    assert "Messages" not in sqs.receive_message(QueueUrl=make_queue())


@pytest.mark.parametrize("bad,reason", [
    ({"MaxNumberOfMessages": 11}, "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."),
    ({"MaxNumberOfMessages": 0}, "Value 0 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."),
    ({"WaitTimeSeconds": 21}, "Value 21 for parameter WaitTimeSeconds is invalid."), ({"WaitTimeSeconds": -1}, "Value -1 for parameter WaitTimeSeconds is invalid."),
    ({"VisibilityTimeout": 43_201}, "Value 43201 for parameter VisibilityTimeout is invalid."), ({"VisibilityTimeout": -1}, "Value -1 for parameter VisibilityTimeout is invalid."),
])
def test_bad_receive_parameters_are_refused(sqs, make_queue, bad, reason):
    with refused("InvalidParameterValue", reason):
        sqs.receive_message(QueueUrl=make_queue(), **bad)


# ---- visibility

def test_a_message_in_flight_is_hidden_for_the_queues_timeout(sqs, make_queue, advance):
    url = make_queue(VisibilityTimeout="30")
    send(sqs, url, "x")
    first = receive_one(sqs, url)
    assert receive(sqs, url) == [] and counts(sqs, url) == (0, 1, 0)
    advance(29.5)
    assert receive(sqs, url) == []
    advance(0.6)
    assert counts(sqs, url) == (1, 0, 0)
    second = receive_one(sqs, url)
    assert second["MessageId"] == first["MessageId"] and second["ReceiptHandle"] != first["ReceiptHandle"]


def test_a_receive_may_choose_its_own_timeout(sqs, make_queue, advance):
    url = make_queue(VisibilityTimeout="30")
    send(sqs, url, "x")
    receive_one(sqs, url, VisibilityTimeout=100)
    advance(99)
    assert receive(sqs, url) == []
    advance(1.1)
    receive_one(sqs, url, VisibilityTimeout=0)
    receive_one(sqs, url)  # at once again


def test_a_changed_queue_timeout_is_for_later_receives(sqs, make_queue, advance):
    url = make_queue(VisibilityTimeout="100")
    send(sqs, url, "x")
    receive_one(sqs, url)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
    advance(50)
    assert receive(sqs, url) == []
    advance(51)
    receive_one(sqs, url)
    advance(1.1)
    receive_one(sqs, url)


def test_visibility_is_extended_from_now_and_given_up_with_zero(sqs, make_queue, advance):
    url = make_queue(VisibilityTimeout="30")
    send(sqs, url, "x")
    message = receive_one(sqs, url)
    advance(20)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=60)
    advance(59)
    assert receive(sqs, url) == []
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert receive_one(sqs, url)["MessageId"] == message["MessageId"]


@pytest.mark.parametrize("bad", [-1, 43_201])
def test_visibility_is_0_seconds_to_12_hours(sqs, make_queue, bad):
    url = make_queue()
    send(sqs, url, "x")
    message = receive_one(sqs, url)
    with refused("InvalidParameterValue", f"Value {bad} for parameter VisibilityTimeout is invalid."):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=bad)


def test_12_hours_are_counted_from_the_receive(sqs, make_queue, advance):
    url = make_queue()
    send(sqs, url, "x")
    message = receive_one(sqs, url, VisibilityTimeout=43_200)
    advance(60)
    with refused("InvalidParameterValue", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=43_200)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=43_100)


def test_the_visibility_of_a_message_that_is_visible_again_or_gone(sqs, make_queue, advance):
    url = make_queue(VisibilityTimeout="5")
    send(sqs, url, "x")
    message = receive_one(sqs, url)
    delete(sqs, url, message)
    with pytest.raises(sqs.exceptions.ClientError) as caught:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=5)
    assert caught.value.response["Error"]["Code"] in ("InvalidParameterValue", "AWS.SimpleQueueService.MessageNotInflight")


# ---- delete and receipts

def test_a_deleted_message_stays_away_and_deleting_twice_is_no_error(sqs, make_queue, advance):
    url = make_queue(VisibilityTimeout="5")
    send(sqs, url, "x")
    message = receive_one(sqs, url)
    delete(sqs, url, message, message)
    advance(6)
    assert receive(sqs, url) == [] and counts(sqs, url) == (0, 0, 0)


def test_a_receipt_works_after_its_timeout_as_long_as_nobody_else_has_the_message(sqs, make_queue, advance):
    url = make_queue(VisibilityTimeout="5")
    send(sqs, url, "x")
    message = receive_one(sqs, url)
    advance(6)
    delete(sqs, url, message)
    assert counts(sqs, url) == (0, 0, 0) and receive(sqs, url) == []


def test_only_the_newest_receipt_deletes(sqs, make_queue, advance):
    url = make_queue(VisibilityTimeout="5")
    send(sqs, url, "x")
    old = receive_one(sqs, url)
    advance(6)
    new = receive_one(sqs, url)
    delete(sqs, url, old)  # no error, and nothing is done
    assert counts(sqs, url) == (0, 1, 0)
    delete(sqs, url, new)
    assert counts(sqs, url) == (0, 0, 0)


@pytest.mark.parametrize("handle", ["garbage", "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a", "a" * 1100, "ü"])
def test_what_is_no_receipt_is_refused(sqs, make_queue, handle):
    url = make_queue()
    with refused("ReceiptHandleIsInvalid"):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    with refused("ReceiptHandleIsInvalid"):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=1)


def test_a_receipt_of_another_queue_is_refused(sqs, make_queue):
    one, other = make_queue(), make_queue()
    send(sqs, one, "one")
    send(sqs, other, "other")
    message = receive_one(sqs, one)
    receive_one(sqs, other)
    with pytest.raises(sqs.exceptions.ClientError) as caught:
        delete(sqs, other, message)
    assert caught.value.response["Error"]["Code"] in ("ReceiptHandleIsInvalid", "InvalidParameterValue")
    assert counts(sqs, other) == (0, 1, 0)


def test_a_changed_receipt_is_refused(sqs, make_queue):
    """A receipt is not to be guessed: each of its characters counts."""
    url = make_queue()
    send(sqs, url, "x")
    handle = receive_one(sqs, url)["ReceiptHandle"]
    for place in range(0, len(handle), max(1, len(handle) // 12)):
        other = handle[:place] + ("B" if handle[place] != "B" else "C") + handle[place + 1:]
        try:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=other)
        except sqs.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] in ("ReceiptHandleIsInvalid", "InvalidParameterValue")
        assert counts(sqs, url) == (0, 1, 0), place


def test_another_client_may_delete(sqs, make_queue, sqs_endpoint):
    url = make_queue()
    send(sqs, url, "x")
    message = receive_one(sqs, url)
    other = client(sqs_endpoint.url, key="somebody", secret="else")
    other.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert counts(sqs, url) == (0, 0, 0)


# ---- delay and retention

def test_a_queue_delays_all_messages_unless_they_say_otherwise(sqs, make_queue, advance):
    url = make_queue(DelaySeconds="10")
    send(sqs, url, "queue's")
    send(sqs, url, "none", DelaySeconds=0)
    send(sqs, url, "own", DelaySeconds=20)
    assert counts(sqs, url) == (1, 0, 2) and drain(sqs, url) == ["none"]
    advance(9)
    assert receive(sqs, url) == []
    advance(1.1)
    assert drain(sqs, url) == ["queue's"]
    advance(10)
    assert drain(sqs, url) == ["own"]


@pytest.mark.parametrize("bad", [-1, 901])
def test_a_delay_is_at_most_15_minutes(sqs, make_queue, bad):
    with refused("InvalidParameterValue", f"Value {bad} for parameter DelaySeconds is invalid."):
        sqs.send_message(QueueUrl=make_queue(), MessageBody="x", DelaySeconds=bad)


def test_the_longest_delay(sqs, make_queue, advance):
    url = make_queue()
    send(sqs, url, "x", DelaySeconds=900)
    advance(899)
    assert receive(sqs, url) == []
    advance(1.1)
    assert drain(sqs, url) == ["x"]


def test_a_changed_queue_delay_is_for_later_messages(sqs, make_queue, advance):
    url = make_queue(DelaySeconds="10")
    send(sqs, url, "before")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "0"})
    send(sqs, url, "after")
    assert drain(sqs, url) == ["after"]
    advance(10.1)
    assert drain(sqs, url) == ["before"]


def test_messages_are_kept_4_days_or_what_the_queue_says(sqs, make_queue, advance):
    short, standard = make_queue(MessageRetentionPeriod="60"), make_queue()
    for url in (short, standard):
        send(sqs, url, "x")
    advance(59)
    assert counts(sqs, short) == (1, 0, 0)
    advance(2)
    assert counts(sqs, short) == (0, 0, 0) and receive(sqs, short) == []
    advance(4 * DAY - 70)
    assert counts(sqs, standard) == (1, 0, 0)
    advance(20)
    assert counts(sqs, standard) == (0, 0, 0)


def test_a_changed_retention_is_for_messages_that_are_there_too(sqs, make_queue, advance):
    url = make_queue()
    send(sqs, url, "old")
    advance(100)
    send(sqs, url, "young")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "60"})
    assert drain(sqs, url) == ["young"]


def test_the_retention_of_a_delayed_message_begins_when_it_can_be_received(sqs, make_queue, advance):
    url = make_queue(MessageRetentionPeriod="60", DelaySeconds="100")
    send(sqs, url, "x")
    advance(155)
    assert counts(sqs, url) == (1, 0, 0)
    advance(10)
    assert counts(sqs, url) == (0, 0, 0)


def test_a_message_in_flight_outlives_its_retention_until_its_visibility_ends(sqs, make_queue, advance):
    url = make_queue(MessageRetentionPeriod="60", VisibilityTimeout="100")
    send(sqs, url, "deleted", "left")
    by_body = {message["Body"]: message for message in receive(sqs, url)}
    advance(90)
    assert counts(sqs, url) == (0, 2, 0)
    delete(sqs, url, by_body["deleted"])
    advance(11)
    assert counts(sqs, url) == (0, 0, 0) and receive(sqs, url) == []


# ---- long polls

def test_a_long_poll_ends_when_a_message_comes(sqs, make_queue):
    url = make_queue()
    poll = Poll(sqs, url)
    assert counts(sqs, url) == (0, 0, 0)
    send(sqs, url, "x")
    assert bodies(poll.result()) == ["x"]


def test_a_long_poll_ends_empty_after_its_time(sqs, make_queue):
    url, begin = make_queue(), time.monotonic()
    assert receive(sqs, url, wait=1) == []
    assert time.monotonic() - begin >= 0.95


def test_a_queue_has_its_own_waiting_time(sqs, make_queue):
    url = make_queue(ReceiveMessageWaitTimeSeconds="20")
    poll = Poll(sqs, url, MaxNumberOfMessages=1)
    time.sleep(0.3)
    begin = time.monotonic()
    assert receive(sqs, url, wait=0) == [] and time.monotonic() - begin < 10  # 0 overrides it
    send(sqs, url, "x")
    assert bodies(poll.result()) == ["x"]


def test_a_long_poll_sees_messages_whose_delay_or_visibility_ends(sqs, make_queue, advance):
    url = make_queue(VisibilityTimeout="5")
    send(sqs, url, "delayed", DelaySeconds=10)
    poll = Poll(sqs, url)
    time.sleep(0.3)
    advance(10.1)
    assert bodies(poll.result()) == ["delayed"]
    poll = Poll(sqs, url)
    time.sleep(0.3)
    advance(5.1)
    assert bodies(poll.result()) == ["delayed"]


def test_waiting_receives_share_what_comes(sqs, make_queue):
    """Each message reaches exactly one of them, and none waits while there is something."""
    url = make_queue()
    polls = [Poll(sqs, url, WaitTimeSeconds=20) for _ in range(8)]
    time.sleep(0.3)
    send(sqs, url, *map(str, range(8)))
    found = [body for poll in polls for body in bodies(poll.result())]
    assert sorted(found) == sorted(map(str, range(8)))


def test_a_long_poll_of_a_queue_that_is_deleted_ends(sqs, make_queue):
    url = make_queue()
    poll = Poll(sqs, url)
    time.sleep(0.3)
    sqs.delete_queue(QueueUrl=url)
    ended = poll.result(10)
    assert ended == [] or ended.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


def test_counts_of_visible_hidden_and_delayed(sqs, make_queue):
    url = make_queue()
    send(sqs, url, *"abcde")
    send(sqs, url, "later", DelaySeconds=60)
    receive(sqs, url, 2)
    assert counts(sqs, url) == (3, 2, 1)


def test_many_consumers_get_each_message_once(sqs, make_queue, sqs_endpoint):
    url, found, lock = make_queue(), [], threading.Lock()
    total = 300
    for start in range(0, total, 10):
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(start, start + 10)])

    def consume():
        while messages := receive(sqs, url, 7):
            delete(sqs, url, *messages)
            with lock:
                found.extend(bodies(messages))

    threads = [threading.Thread(target=consume) for _ in range(6)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    assert sorted(map(int, found)) == list(range(total))
    assert counts(sqs, url) == (0, 0, 0)
