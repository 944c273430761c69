"""SQS: batches of ten, whole refusals, partial failures."""
import pytest

from sqs_tools import UUID, bodies, counts, drain, md5, md5_of_attributes, receive, refused, send, text

BAD_ID = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."


def entries(count, **more):
    return [{"Id": f"e{number}", "MessageBody": f"body {number}", **more} for number in range(count)]


def by_id(results):
    return {result["Id"]: result for result in results}


def batches(sqs, url):
    """The three actions, each taking a list of ids."""
    return [
        lambda ids: sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": one, "MessageBody": "x"} for one in ids]),
        lambda ids: sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": one, "ReceiptHandle": "x"} for one in ids]),
        lambda ids: sqs.change_message_visibility_batch(QueueUrl=url, Entries=[{"Id": one, "ReceiptHandle": "x", "VisibilityTimeout": 1} for one in ids]),
    ]


def test_a_batch_of_ten_answers_each_entry(sqs, make_queue):
    url, attributes = make_queue(), {"a": text("b")}
    answer = sqs.send_message_batch(QueueUrl=url, Entries=entries(10, MessageAttributes=attributes))
    assert not answer.get("Failed")
    results = by_id(answer["Successful"])
    assert list(results) == [f"e{number}" for number in range(10)]
    assert len({result["MessageId"] for result in results.values()}) == 10
    for number in range(10):
        result = results[f"e{number}"]
        assert UUID.fullmatch(result["MessageId"]) and result["MD5OfMessageBody"] == md5(f"body {number}")
        assert result["MD5OfMessageAttributes"] == md5_of_attributes(attributes)
    messages = receive(sqs, url, MessageAttributeNames=["All"])
    assert sorted(bodies(messages)) == sorted(f"body {number}" for number in range(10))
    assert all(message["MessageAttributes"] == attributes and results[f"e{message['Body'][5:]}"]["MessageId"] == message["MessageId"] for message in messages)


@pytest.mark.parametrize("which", range(3), ids=["send", "delete", "change"])
def test_a_batch_that_is_wrong_as_a_whole(sqs, make_queue, which):
    url = make_queue()
    batch = batches(sqs, url)[which]
    with refused("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent 20."):
        batch([f"e{number}" for number in range(20)])
    with refused("AWS.SimpleQueueService.BatchEntryIdsNotDistinct"):
        batch(["a", "b", "a"])
    for bad in ("", "a b", "ü", "x" * 81, "invalid:id"):
        with refused("AWS.SimpleQueueService.InvalidBatchEntryId", BAD_ID):
            batch(["good", bad])
    assert receive(sqs, url) == []


@pytest.mark.parametrize("which", range(3), ids=["send", "delete", "change"])
def test_an_empty_batch(sqs, make_queue, which):
    with refused("AWS.SimpleQueueService.EmptyBatchRequest"):
        batches(sqs, make_queue())[which]([])


def test_a_batch_is_at_most_1_mib_in_total(sqs, make_queue):
    url, most = make_queue(), 1_048_576
    with refused("AWS.SimpleQueueService.BatchRequestTooLong", f"Batch requests cannot be longer than {most} bytes. You have sent {most + 1} bytes."):
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "x" * (most // 2)}, {"Id": "b", "MessageBody": "x" * (most // 2 + 1)}])
    assert receive(sqs, url) == []
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": one, "MessageBody": "x" * (most // 2)} for one in "ab"])
    assert len(drain(sqs, url)) == 2


def test_bad_entries_fail_and_good_ones_are_sent(sqs, make_queue):
    url = make_queue()
    answer = sqs.send_message_batch(QueueUrl=url, Entries=[
        {"Id": "good", "MessageBody": "good"}, {"Id": "characters", "MessageBody": "a\x0bb"}, {"Id": "delay", "MessageBody": "x", "DelaySeconds": 901},
        {"Id": "attribute", "MessageBody": "x", "MessageAttributes": {"a": text("abc", "Number")}}, {"Id": "better", "MessageBody": "better"}])
    assert [result["Id"] for result in answer["Successful"]] == ["good", "better"]
    failed = by_id(answer["Failed"])
    assert {key: (entry["Code"], entry["SenderFault"]) for key, entry in failed.items()} == {
        "characters": ("InvalidMessageContents", True), "delay": ("InvalidParameterValue", True), "attribute": ("InvalidParameterValue", True)}
    assert all(entry["Message"] for entry in failed.values())
    assert sorted(drain(sqs, url)) == ["better", "good"]


def test_delays_of_entries(sqs, make_queue, advance):
    url = make_queue()
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "later", "DelaySeconds": 5}, {"Id": "b", "MessageBody": "now"}])
    assert drain(sqs, url) == ["now"]
    advance(5.1)
    assert drain(sqs, url) == ["later"]


def test_delete_batch_deletes_the_good_and_names_the_bad(sqs, make_queue):
    url = make_queue()
    send(sqs, url, *"abc")
    messages = receive(sqs, url)
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=[
        {"Id": "one", "ReceiptHandle": messages[0]["ReceiptHandle"]}, {"Id": "bad", "ReceiptHandle": "garbage"}, {"Id": "two", "ReceiptHandle": messages[1]["ReceiptHandle"]}])
    assert [result["Id"] for result in answer["Successful"]] == ["one", "two"]
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("bad", "ReceiptHandleIsInvalid", True)
    assert counts(sqs, url) == (0, 1, 0)


def test_change_batch_changes_the_good_and_names_the_bad(sqs, make_queue):
    url = make_queue()
    send(sqs, url, *"abc")
    messages = receive(sqs, url)
    handles = [message["ReceiptHandle"] for message in messages]
    answer = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[
        {"Id": "back", "ReceiptHandle": handles[0], "VisibilityTimeout": 0}, {"Id": "long", "ReceiptHandle": handles[1], "VisibilityTimeout": 43_201},
        {"Id": "bad", "ReceiptHandle": "garbage", "VisibilityTimeout": 1}, {"Id": "stays", "ReceiptHandle": handles[2], "VisibilityTimeout": 100}])
    assert [result["Id"] for result in answer["Successful"]] == ["back", "stays"]
    assert {key: (entry["Code"], entry["SenderFault"]) for key, entry in by_id(answer["Failed"]).items()} == {
        "long": ("InvalidParameterValue", True), "bad": ("ReceiptHandleIsInvalid", True)}
    assert bodies(receive(sqs, url)) == [messages[0]["Body"]]


def test_the_same_message_twice_in_one_batch(sqs, make_queue):
    url = make_queue()
    send(sqs, url, "x")
    (message,) = receive(sqs, url)
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": one, "ReceiptHandle": message["ReceiptHandle"]} for one in "ab"])
    assert [result["Id"] for result in answer["Successful"]] == ["a", "b"]
    assert counts(sqs, url) == (0, 0, 0)


def test_what_a_fifo_batch_lacks_refuses_it_whole(sqs, make_queue):
    url = make_queue(fifo=True)
    with refused("InvalidParameterValue", "The request must contain the parameter MessageGroupId."):
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "1"}, {"Id": "b", "MessageBody": "x", "MessageDeduplicationId": "2"}])
    with refused("InvalidParameterValue", "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"):
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "x", "MessageGroupId": "g"}])
    assert receive(sqs, url) == []


def test_a_fifo_batch_keeps_its_order_and_numbers(sqs, make_queue):
    url = make_queue(fifo=True, ContentBasedDeduplication="true")
    answer = sqs.send_message_batch(QueueUrl=url, Entries=entries(10, MessageGroupId="g"))
    numbers = [int(result["SequenceNumber"]) for result in answer["Successful"]]
    assert numbers == sorted(set(numbers)) and len(numbers) == 10
    messages = receive(sqs, url, AttributeNames=["SequenceNumber"])
    assert bodies(messages) == [f"body {number}" for number in range(10)]
    assert [int(message["Attributes"]["SequenceNumber"]) for message in messages] == numbers
