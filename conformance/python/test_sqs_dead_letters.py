"""SQS: dead-letter queues, who may use one, and the tasks that move messages back."""
import json

import pytest

from sqs_tools import ACCOUNT, REGION, arn, attribute, bodies, counts, delete, drain, receive, receive_one, refused, send, send_group
from tools import wait_until


@pytest.fixture
def pair(sqs_json, make_queue):
    """(source, its dead-letter queue); `pair(most_receives, fifo)`."""
    def make(most=2, fifo=False, dead=None, **attributes):
        target = make_queue(fifo=fifo, **(dead or {}))
        policy = {"deadLetterTargetArn": arn(sqs_json, target), "maxReceiveCount": most}
        return make_queue(fifo=fifo, RedrivePolicy=policy, **{"VisibilityTimeout": "10", **attributes}), target
    return make


# ---- the redrive policy

def test_a_message_received_too_often_moves_to_the_dead_letter_queue(sqs, pair, advance):
    source, dead = pair(2)
    sent = send(sqs, source, "poison")[0]
    for count in ("1", "2"):
        message = receive_one(sqs, source, AttributeNames=["All"])
        assert message["Attributes"]["ApproximateReceiveCount"] == count and "DeadLetterQueueSourceArn" not in message["Attributes"]
        assert receive(sqs, dead) == []
        advance(10.1)
    assert receive(sqs, source) == []
    moved = receive_one(sqs, dead, AttributeNames=["All"])
    assert (moved["Body"], moved["MessageId"]) == ("poison", sent["MessageId"])
    assert moved["Attributes"]["DeadLetterQueueSourceArn"] == arn(sqs, source)
    assert moved["Attributes"]["SentTimestamp"] == message["Attributes"]["SentTimestamp"]
    assert moved["Attributes"]["ApproximateReceiveCount"] == "1"  # begins anew
    assert counts(sqs, source) == (0, 0, 0) and counts(sqs, dead) == (0, 1, 0)


def test_it_is_there_when_its_last_visibility_ends_and_not_at_the_next_receive(sqs, pair, advance):
    source, dead = pair(1)
    send(sqs, source, "poison")
    receive_one(sqs, source)
    assert counts(sqs, dead) == (0, 0, 0)
    advance(10.1)
    assert counts(sqs, source) == (0, 0, 0) and counts(sqs, dead) == (1, 0, 0)


def test_a_message_that_is_deleted_in_its_last_attempt_does_not_move(sqs, pair, advance):
    source, dead = pair(1)
    send(sqs, source, "good")
    delete(sqs, source, receive_one(sqs, source))
    advance(11)
    assert receive(sqs, source) == [] and receive(sqs, dead) == []


def test_visibility_zero_counts_too(sqs, pair):
    source, dead = pair(3)
    send(sqs, source, "x")
    for _ in range(3):
        message = receive_one(sqs, source)
        sqs.change_message_visibility(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert receive(sqs, source) == []
    assert bodies(receive(sqs, dead)) == ["x"]


def test_message_attributes_survive_the_move(sqs, pair, advance):
    source, dead = pair(1)
    attributes = {"a": {"DataType": "Number", "StringValue": "7"}, "b": {"DataType": "Binary", "BinaryValue": b"\0\xff"}}
    sqs.send_message(QueueUrl=source, MessageBody="x", MessageAttributes=attributes)
    receive_one(sqs, source)
    advance(10.1)
    receive(sqs, source)
    assert receive_one(sqs, dead, MessageAttributeNames=["All"])["MessageAttributes"] == attributes


def test_a_poisonous_message_does_not_block_its_group_for_ever(sqs, pair, advance):
    source, dead = pair(1, fifo=True)
    send_group(sqs, source, "g", "poison", "next")
    receive_one(sqs, source)
    assert receive(sqs, source) == []
    advance(10.1)
    assert bodies(receive(sqs, source)) == ["next"]
    moved = receive_one(sqs, dead, AttributeNames=["All"])
    assert moved["Body"] == "poison" and moved["Attributes"]["MessageGroupId"] == "g"


def test_the_retention_of_a_dead_letter_goes_on_from_when_it_was_sent(sqs, pair, advance):
    """Standard queues; the reason why a dead-letter queue should keep messages longer than its sources."""
    source, dead = pair(1, dead={"MessageRetentionPeriod": "120"})
    send(sqs, source, "x")
    advance(60)
    receive_one(sqs, source)
    advance(10.1)
    assert receive(sqs, source) == [] and counts(sqs, dead) == (1, 0, 0)
    advance(55)
    assert counts(sqs, dead) == (0, 0, 0)


@pytest.mark.parametrize("policy", [
    "{no json", "[]", '{"maxReceiveCount": 1}', '{"deadLetterTargetArn": "ARN"}', '{"deadLetterTargetArn": "ARN", "maxReceiveCount": 0}',
    '{"deadLetterTargetArn": "ARN", "maxReceiveCount": 1001}', '{"deadLetterTargetArn": "ARN", "maxReceiveCount": "many"}',
    '{"deadLetterTargetArn": "arn:aws:sns:us-east-1:000000000000:x", "maxReceiveCount": 1}',
    '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:never-made", "maxReceiveCount": 1}',
    '{"deadLetterTargetArn": "ARN", "maxReceiveCount": 1, "surprise": true}',
])
def test_bad_redrive_policies_are_refused(sqs, make_queue, policy):
    dead, url = make_queue(), make_queue()
    with refused("InvalidParameterValue", "for parameter RedrivePolicy is invalid. Reason: "):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy.replace("ARN", arn(sqs, dead))})
    assert attribute(sqs, url, "RedrivePolicy") is None


def test_a_target_that_is_no_arn_is_refused_before_it_is_looked_for(sqs, make_queue):
    policy = json.dumps({"deadLetterTargetArn": "dummy", "maxReceiveCount": 42})
    with refused("InvalidParameterValue", f"Value {policy} for parameter RedrivePolicy is invalid. Reason: Invalid value for deadLetterTargetArn."):
        sqs.set_queue_attributes(QueueUrl=make_queue(), Attributes={"RedrivePolicy": policy})


def test_source_and_target_are_of_one_type(sqs, make_queue):
    standard, fifo = make_queue(), make_queue(fifo=True)
    for source, target in ((standard, fifo), (fifo, standard)):
        with refused("InvalidParameterValue"):
            sqs.set_queue_attributes(QueueUrl=source, Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn(sqs, target), "maxReceiveCount": 1})})


def test_the_policy_comes_back_and_an_empty_one_removes_it(sqs, pair, advance):
    source, dead = pair(1)
    assert json.loads(attribute(sqs, source, "RedrivePolicy")) == {"deadLetterTargetArn": arn(sqs, dead), "maxReceiveCount": 1}
    sqs.set_queue_attributes(QueueUrl=source, Attributes={"RedrivePolicy": ""})
    assert "RedrivePolicy" not in sqs.get_queue_attributes(QueueUrl=source, AttributeNames=["All"])["Attributes"]
    send(sqs, source, "x")
    for _ in range(3):
        receive_one(sqs, source)
        advance(10.1)
    assert bodies(receive(sqs, source)) == ["x"]


def test_a_count_as_text_is_taken(sqs, make_queue, advance):
    dead = make_queue()
    source = make_queue(VisibilityTimeout="5", RedrivePolicy={"deadLetterTargetArn": arn(sqs, dead), "maxReceiveCount": "1"})
    send(sqs, source, "x")
    receive_one(sqs, source)
    advance(5.1)
    receive(sqs, source)
    assert bodies(receive(sqs, dead)) == ["x"]


# ---- who may use a queue as its dead-letter queue

def use(sqs, source, dead):
    sqs.set_queue_attributes(QueueUrl=source, Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn(sqs, dead), "maxReceiveCount": 1})})


def test_a_queue_may_refuse_to_be_a_dead_letter_queue(sqs, make_queue):
    dead, source = make_queue(RedriveAllowPolicy={"redrivePermission": "denyAll"}), make_queue()
    with refused("InvalidParameterValue"):
        use(sqs, source, dead)
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps({"redrivePermission": "allowAll"})})
    use(sqs, source, dead)


def test_a_queue_may_name_its_sources(sqs, make_queue):
    friend, stranger = make_queue(), make_queue()
    dead = make_queue(RedriveAllowPolicy={"redrivePermission": "byQueue", "sourceQueueArns": [arn(sqs, friend)]})
    use(sqs, friend, dead)
    with refused("InvalidParameterValue"):
        use(sqs, stranger, dead)
    assert json.loads(attribute(sqs, dead, "RedriveAllowPolicy")) == {"redrivePermission": "byQueue", "sourceQueueArns": [arn(sqs, friend)]}


@pytest.mark.parametrize("policy", [
    "{no json", "{}", '{"redrivePermission": "perhaps"}', '{"redrivePermission": "byQueue"}', '{"redrivePermission": "byQueue", "sourceQueueArns": []}',
    '{"redrivePermission": "allowAll", "sourceQueueArns": ["arn:aws:sqs:us-east-1:000000000000:x"]}', '{"redrivePermission": "byQueue", "sourceQueueArns": ["x"]}',
    json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [f"arn:aws:sqs:{REGION}:{ACCOUNT}:q{number}" for number in range(11)]}),
])
def test_bad_allow_policies_are_refused(sqs, make_queue, policy):
    with refused("InvalidParameterValue"):
        sqs.set_queue_attributes(QueueUrl=make_queue(), Attributes={"RedriveAllowPolicy": policy})


def test_sources_of_a_dead_letter_queue_in_pages(sqs, make_queue):
    dead = make_queue()
    policy = {"deadLetterTargetArn": arn(sqs, dead), "maxReceiveCount": 3}
    sources = sorted(make_queue(RedrivePolicy=policy) for _ in range(3))
    names = lambda urls: sorted(url.rsplit("/", 1)[1] for url in urls)
    assert names(sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"]) == names(sources)
    pages = list(sqs.get_paginator("list_dead_letter_source_queues").paginate(QueueUrl=dead, PaginationConfig={"PageSize": 2}))
    assert [len(page["queueUrls"]) for page in pages] == [2, 1]
    assert names(url for page in pages for url in page["queueUrls"]) == names(sources)
    assert not sqs.list_dead_letter_source_queues(QueueUrl=sources[0]).get("queueUrls")


# ---- move tasks

def kill(sqs, source, dead, advance, *texts):
    """Sends, and lets each fail until it is in the dead-letter queue."""
    send(sqs, source, *texts)
    before = counts(sqs, dead)[0]
    while messages := receive(sqs, source):
        for message in messages:
            sqs.change_message_visibility(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert counts(sqs, dead)[0] == before + len(texts)


def task(sqs, source_arn, status):
    return wait_until(lambda: next((one for one in sqs.list_message_move_tasks(SourceArn=source_arn).get("Results", []) if one["Status"] == status), None), 10, f"a task that is {status}")


def test_a_task_moves_messages_back_to_where_they_came_from(sqs, pair, advance):
    source, dead = pair(1)
    kill(sqs, source, dead, advance, "a", "b")
    old = {message["Body"]: message for message in receive(sqs, dead, VisibilityTimeout=0)}
    started = sqs.start_message_move_task(SourceArn=arn(sqs, dead))
    assert started["TaskHandle"]
    done = task(sqs, arn(sqs, dead), "COMPLETED")
    assert done["ApproximateNumberOfMessagesMoved"] == 2 and done["ApproximateNumberOfMessagesToMove"] == 2
    assert done["SourceArn"] == arn(sqs, dead) and "DestinationArn" not in done and "TaskHandle" not in done and done["StartedTimestamp"] > 0
    messages = receive(sqs, source, AttributeNames=["All"])
    assert sorted(bodies(messages)) == ["a", "b"] and counts(sqs, dead) == (0, 0, 0)
    for message in messages:
        assert message["Attributes"]["ApproximateReceiveCount"] == "1" and "DeadLetterQueueSourceArn" not in message["Attributes"]
        assert int(message["Attributes"]["SentTimestamp"]) >= 0 and message["MessageId"] == old[message["Body"]]["MessageId"]


def test_each_message_goes_back_to_its_own_source(sqs, make_queue, advance):
    dead = make_queue()
    policy = {"deadLetterTargetArn": arn(sqs, dead), "maxReceiveCount": 1}
    one, other = make_queue(RedrivePolicy=policy), make_queue(RedrivePolicy=policy)
    kill(sqs, one, dead, advance, "1a", "1b")
    kill(sqs, other, dead, advance, "2a", "2b")
    sqs.start_message_move_task(SourceArn=arn(sqs, dead))
    assert task(sqs, arn(sqs, dead), "COMPLETED")["ApproximateNumberOfMessagesMoved"] == 4
    assert (sorted(drain(sqs, one)), sorted(drain(sqs, other))) == (["1a", "1b"], ["2a", "2b"])


def test_a_task_with_a_destination(sqs, pair, make_queue, advance):
    (source, dead), target = pair(1), make_queue()
    kill(sqs, source, dead, advance, "a", "b")
    sqs.start_message_move_task(SourceArn=arn(sqs, dead), DestinationArn=arn(sqs, target))
    done = task(sqs, arn(sqs, dead), "COMPLETED")
    assert done["DestinationArn"] == arn(sqs, target) and done["ApproximateNumberOfMessagesMoved"] == 2
    assert sorted(drain(sqs, target)) == ["a", "b"] and counts(sqs, source) == (0, 0, 0)


def test_a_task_moves_so_many_messages_a_second_and_can_be_cancelled(sqs, pair, advance):
    source, dead = pair(1)
    kill(sqs, source, dead, advance, *map(str, range(10)))
    own = arn(sqs, dead)
    handle = sqs.start_message_move_task(SourceArn=own, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    running = task(sqs, own, "RUNNING")
    assert running["TaskHandle"] == handle and running["MaxNumberOfMessagesPerSecond"] == 1 and running["ApproximateNumberOfMessagesToMove"] == 10
    with refused("InvalidParameterValue", "There is already a task running. Only one active task is allowed for a source queue arn at a given time."):
        sqs.start_message_move_task(SourceArn=own)
    advance(3)
    wait_until(lambda: counts(sqs, source)[0] >= 2, 10, "some messages moved")
    assert counts(sqs, source)[0] <= 6
    moved = sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
    assert 2 <= moved <= 6
    task(sqs, own, "CANCELLED")
    assert counts(sqs, source)[0] + counts(sqs, dead)[0] == 10
    left = counts(sqs, dead)[0]
    advance(10)
    assert counts(sqs, dead)[0] == left
    with pytest.raises(sqs.exceptions.ClientError):
        sqs.cancel_message_move_task(TaskHandle=handle)


def test_tasks_are_listed_newest_first(sqs, pair, advance):
    source, dead = pair(1)
    own = arn(sqs, dead)
    assert not sqs.list_message_move_tasks(SourceArn=own).get("Results")
    for number in range(3):
        kill(sqs, source, dead, advance, *map(str, range(number + 1)))
        sqs.start_message_move_task(SourceArn=own)
        wait_until(lambda: all(one["Status"] == "COMPLETED" for one in sqs.list_message_move_tasks(SourceArn=own, MaxResults=10)["Results"]), 10, "the task's end")
        drain(sqs, source)
        advance(1)
    assert [one["ApproximateNumberOfMessagesMoved"] for one in sqs.list_message_move_tasks(SourceArn=own, MaxResults=10)["Results"]] == [3, 2, 1]
    assert len(sqs.list_message_move_tasks(SourceArn=own)["Results"]) == 1


@pytest.mark.parametrize("most", [0, 11])
def test_at_most_10_tasks_are_listed(sqs, pair, most):
    with refused("InvalidParameterValue"):
        sqs.list_message_move_tasks(SourceArn=arn(sqs, pair()[1]), MaxResults=most)


@pytest.mark.parametrize("rate", [0, 501])
def test_a_task_moves_1_to_500_a_second(sqs, pair, rate):
    with refused("InvalidParameterValue"):
        sqs.start_message_move_task(SourceArn=arn(sqs, pair()[1]), MaxNumberOfMessagesPerSecond=rate)


def test_what_a_task_needs(sqs, pair, make_queue):
    _, dead = pair()
    plain, unknown = make_queue(), f"arn:aws:sqs:{REGION}:{ACCOUNT}:never-made"
    with refused("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue."):
        sqs.start_message_move_task(SourceArn=arn(sqs, plain))
    with refused("ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist."):
        sqs.start_message_move_task(SourceArn=unknown)
    with refused("ResourceNotFoundException", "The resource that you specified for the DestinationArn parameter doesn't exist."):
        sqs.start_message_move_task(SourceArn=arn(sqs, dead), DestinationArn=unknown)
    with refused("InvalidParameterValue", "Value for parameter TaskHandle is invalid."):
        sqs.cancel_message_move_task(TaskHandle="foobared")


def test_a_move_keeps_what_is_in_flight_in_the_dead_letter_queue(sqs, pair, advance):
    source, dead = pair(1)
    kill(sqs, source, dead, advance, "a", "b")
    held = receive_one(sqs, dead)
    sqs.start_message_move_task(SourceArn=arn(sqs, dead))
    task(sqs, arn(sqs, dead), "COMPLETED")
    assert len(drain(sqs, source)) == 1 and counts(sqs, dead) == (0, 1, 0)
    delete(sqs, dead, held)
    assert counts(sqs, dead) == (0, 0, 0)
