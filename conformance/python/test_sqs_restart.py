"""SQS and restarts: what was answered is stored; receipts, timeouts, groups, duplicates and attributes go on where they were."""
import time

import pytest

from sqs_tools import arn, attribute, bodies, client, counts, delete, drain, receive, receive_one, refused, send, send_group


@pytest.fixture
def own(sqs_own):
    return client(sqs_own.url)


@pytest.fixture(params=["restart", "kill_and_restart"])
def again(request, sqs_own):
    """Stops the broker, gracefully or by SIGKILL, and starts it on the same data and port."""
    def restart():
        getattr(sqs_own.broker, request.param)()
        return client(sqs_own.url)
    return restart


def poll(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def create(sqs, name, **attributes):
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def test_queues_attributes_tags_and_messages_survive(own, again):
    dead = create(own, "dead")
    url = create(own, "orders", VisibilityTimeout="77", RedrivePolicy='{"deadLetterTargetArn": "%s", "maxReceiveCount": 3}' % arn(own, dead))
    own.tag_queue(QueueUrl=url, Tags={"team": "shop"})
    attributes = {"kind": {"DataType": "String", "StringValue": "x"}, "bytes": {"DataType": "Binary", "BinaryValue": b"\0\xff"}}
    sent = [own.send_message(QueueUrl=url, MessageBody=str(number), MessageAttributes=attributes)["MessageId"] for number in range(50)]
    before = own.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    after = again()
    assert after.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"] == before
    assert after.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "shop"}
    found = {}
    while messages := receive(after, url, MessageAttributeNames=["All"]):
        assert all(message["MessageAttributes"] == attributes for message in messages)
        found.update({message["MessageId"]: message["Body"] for message in messages})
    assert found == {one: str(number) for number, one in enumerate(sent)}


def test_what_is_in_flight_stays_so_for_its_remaining_time_and_its_receipt_is_good(own, again, sqs_own):
    url = create(own, "q", VisibilityTimeout="600")
    send(own, url, "deleted later", "left alone")
    first, second = receive(own, url)
    after = again()
    assert receive(after, url) == [] and counts(after, url) == (0, 2, 0)
    deleted, left = (first, second) if first["Body"] == "deleted later" else (second, first)
    delete(after, url, deleted)
    after.change_message_visibility(QueueUrl=url, ReceiptHandle=left["ReceiptHandle"], VisibilityTimeout=700)
    sqs_own.advance(650)
    assert receive(after, url) == []
    sqs_own.advance(60)
    (message,) = receive(after, url, AttributeNames=["ApproximateReceiveCount"])
    assert message["Body"] == "left alone" and message["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_deleted_message_stays_deleted(own, again):
    url = create(own, "q", VisibilityTimeout="0")
    send(own, url, *"abcdef")
    for message in receive(own, url)[:3]:
        delete(own, url, message)
    left = counts(own, url)[0]
    after = again()
    assert left == 3 and len(drain(after, url)) == 3


def test_groups_duplicates_and_numbers_survive(own, again):
    url = create(own, "q.fifo", FifoQueue="true", VisibilityTimeout="600")
    ask = dict(QueueUrl=url, MessageGroupId="g", MessageDeduplicationId="d")
    first = own.send_message(MessageBody="1", **ask)
    send_group(own, url, "g", "2", "3")
    send_group(own, url, "other", "x")
    held = receive_one(own, url)
    after = again()
    assert bodies(receive(after, url)) == ["x"]  # 1 is in flight still, and blocks its group
    assert after.send_message(MessageBody="a duplicate", **ask)["MessageId"] == first["MessageId"]
    last = send_group(after, url, "g", "4")[0]
    assert int(last["SequenceNumber"]) > int(first["SequenceNumber"])
    delete(after, url, held)
    assert bodies(receive(after, url)) == ["2", "3", "4"]


def test_delays_and_receive_counts_survive(own, again, sqs_own):
    dead = create(own, "dead")
    url = create(own, "q", VisibilityTimeout="0", RedrivePolicy='{"deadLetterTargetArn": "%s", "maxReceiveCount": 2}' % arn(own, dead))
    send(own, url, "later", DelaySeconds=300)
    send(own, url, "twice")
    receive_one(own, url)
    after = again()
    assert bodies(receive(after, url, wait=2)) == ["twice"]
    assert receive(after, url) == [] and bodies(receive(after, dead)) == ["twice"]
    sqs_own.advance(301)
    assert bodies(receive(after, url)) == ["later"]


def test_a_purge_and_a_deletion_survive(own, again):
    purged, deleted = create(own, "purged"), create(own, "deleted")
    send(own, purged, *"abc")
    send(own, deleted, *"abc")
    own.purge_queue(QueueUrl=purged)
    own.delete_queue(QueueUrl=deleted)
    after = again()
    assert receive(after, purged) == []
    with refused("AWS.SimpleQueueService.NonExistentQueue"):
        after.receive_message(QueueUrl=deleted)


def test_the_pauses_after_purging_and_deleting_survive(own, again, sqs_own):
    purged, deleted = create(own, "purged"), create(own, "deleted")
    own.purge_queue(QueueUrl=purged)
    own.delete_queue(QueueUrl=deleted)
    after = again()
    with refused("AWS.SimpleQueueService.PurgeQueueInProgress"):
        after.purge_queue(QueueUrl=purged)
    with refused("AWS.SimpleQueueService.QueueDeletedRecently"):
        create(after, "deleted")
    sqs_own.advance(60)
    after.purge_queue(QueueUrl=purged)
    create(after, "deleted")


def test_a_move_task_goes_on(own, again, sqs_own):
    dead = create(own, "dead")
    url = create(own, "q", VisibilityTimeout="0", RedrivePolicy='{"deadLetterTargetArn": "%s", "maxReceiveCount": 1}' % arn(own, dead))
    send(own, url, *"abcde")
    receive(own, url)
    assert receive(own, url) == [] and counts(own, dead) == (5, 0, 0)
    source = arn(own, dead)
    own.start_message_move_task(SourceArn=source, MaxNumberOfMessagesPerSecond=1)
    sqs_own.advance(2)
    poll(lambda: counts(own, dead)[0] == 3)
    after = again()
    (task,) = after.list_message_move_tasks(SourceArn=source)["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesToMove"], task["MaxNumberOfMessagesPerSecond"]) == ("RUNNING", 5, 1)
    with refused("InvalidParameterValue", "There is already a task running."):
        after.start_message_move_task(SourceArn=source)
    sqs_own.advance(10)
    poll(lambda: counts(after, dead)[0] == 0)
    (task,) = after.list_message_move_tasks(SourceArn=source)["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 5)
    assert sorted(drain(after, url)) == list("abcde")


def test_policies_and_permissions_survive(own, again):
    url = create(own, "q")
    own.add_permission(QueueUrl=url, Label="l", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
    policy = attribute(own, url, "Policy")
    assert policy and attribute(again(), url, "Policy") == policy
