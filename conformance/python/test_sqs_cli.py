"""The AWS command line: a smoke test, each command a process of its own, so receipts pass between processes too."""
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

AWS = Path(sys.executable).parent / "aws"


@pytest.fixture
def aws(sqs_endpoint, tmp_path):
    """`aws("list-queues", …)` runs the command and returns what it printed."""
    env = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": "",
           "AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_EC2_METADATA_DISABLED": "true"}

    def run(*arguments, fails=False):
        done = subprocess.run([sys.executable, str(AWS), "--endpoint-url", sqs_endpoint.url, "sqs", *arguments], env=env, capture_output=True, text=True, timeout=50)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else json.loads(done.stdout or "null")

    return run


@pytest.mark.timeout(180)
def test_a_message_from_create_to_delete(aws):
    name = f"conf-cli-{uuid.uuid4().hex[:12]}"
    url = aws("create-queue", "--queue-name", name, "--attributes", "VisibilityTimeout=60", "--tags", "team=shop")["QueueUrl"]
    assert aws("get-queue-url", "--queue-name", name)["QueueUrl"] == url
    assert aws("list-queues", "--queue-name-prefix", name)["QueueUrls"] == [url]
    attributes = '{"kind": {"DataType": "String", "StringValue": "pizza"}}'
    sent = aws("send-message", "--queue-url", url, "--message-body", "one pizza", "--message-attributes", attributes)
    (message,) = aws("receive-message", "--queue-url", url, "--attribute-names", "All", "--message-attribute-names", "All", "--wait-time-seconds", "1")["Messages"]
    assert message["Body"] == "one pizza" and message["MessageId"] == sent["MessageId"]
    assert message["MessageAttributes"]["kind"]["StringValue"] == "pizza"
    assert aws("receive-message", "--queue-url", url) is None
    aws("change-message-visibility", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"], "--visibility-timeout", "100")
    aws("delete-message", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
    found = aws("get-queue-attributes", "--queue-url", url, "--attribute-names", "All")["Attributes"]
    assert found["ApproximateNumberOfMessages"] == found["ApproximateNumberOfMessagesNotVisible"] == "0" and found["VisibilityTimeout"] == "60"
    aws("delete-queue", "--queue-url", url)
    assert "AWS.SimpleQueueService.NonExistentQueue" in aws("send-message", "--queue-url", url, "--message-body", "x", fails=True)
