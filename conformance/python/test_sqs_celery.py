"""Celery over SQS (kombu's transport, boto3 and pycurl below it): tasks run, are retried, wait, and come back when a worker is killed."""
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

import sqs_celery_app
from sqs_tools import counts
from tools import wait_until


class Worker:
    """A `celery worker` process with one task at a time, in the worker's own process: SIGKILL takes the task with it."""

    def __init__(self, url, queue, tmp_path):
        self.log = Path(tmp_path) / f"worker-{time.monotonic_ns()}.log"
        env = {**os.environ, "CONFORMANCE_URL": url, "CONFORMANCE_QUEUE": queue}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "sqs_celery_app", "worker", "-P", "solo", "-c", "1", "-l", "INFO", "-n", f"w{time.monotonic_ns()}@h",
             "--without-mingle", "--without-gossip"],
            cwd=Path(__file__).parent, env=env, stdout=self.log.open("wb"), stderr=subprocess.STDOUT)

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def broker_url(sqs_endpoint):
    return sqs_endpoint.url.replace("http://", "sqs://test:test@") + "//"


@pytest.fixture
def app(broker_url, sqs_json):
    """An application on a queue of its own."""
    queue = f"conf-celery-{uuid.uuid4().hex[:12]}"
    app = sqs_celery_app.make_app(broker_url, queue)
    yield app
    app.close()
    try:
        sqs_json.delete_queue(QueueUrl=sqs_json.get_queue_url(QueueName=queue)["QueueUrl"])
    except sqs_json.exceptions.QueueDoesNotExist:
        pass  # nothing was sent


@pytest.fixture
def start(broker_url, app, tmp_path):
    workers = []

    def run():
        workers.append(Worker(broker_url, app.conf.task_default_queue, tmp_path))
        return workers[-1]

    yield run
    for worker in workers:
        worker.kill()


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def test_tasks_run_are_retried_and_wait(app, start, tmp_path, sqs_json):
    log, flaky, eta = tmp_path / "log", tmp_path / "flaky", tmp_path / "eta"
    worker = start()
    for number in range(20):
        app.send_task("sqs.record", (str(log), str(number)))
    app.send_task("sqs.flaky", (str(flaky), 3))
    begin = time.time()
    app.send_task("sqs.now", (str(eta),), countdown=1.5)
    wait_until(lambda: len(lines(log)) >= 20 and "done" in lines(flaky) and lines(eta), 40, "all tasks done")
    assert sorted(map(int, lines(log))) == list(range(20))
    assert lines(flaky) == ["try 0", "try 1", "try 2", "try 3", "done"]
    assert float(lines(eta)[0]) - begin >= 1.49
    url = sqs_json.get_queue_url(QueueName=app.conf.task_default_queue)["QueueUrl"]
    wait_until(lambda: counts(sqs_json, url) == (0, 0, 0), 10, f"an empty queue; {worker.log.read_text()[-500:]}")


def test_a_task_of_a_killed_worker_comes_back_when_its_visibility_ends(app, start, tmp_path, sqs_json, advance):
    log, gate = tmp_path / "log", tmp_path / "gate"
    app.send_task("sqs.gated", (str(log), "a", str(gate)))
    first = start()
    wait_until(lambda: lines(log) == ["start a"], 40, "the task started")
    first.kill()
    gate.touch()
    url = sqs_json.get_queue_url(QueueName=app.conf.task_default_queue)["QueueUrl"]
    assert counts(sqs_json, url) == (0, 1, 0)
    advance(31)
    start()
    wait_until(lambda: "end a" in lines(log), 40, "the task done by another worker")
    assert lines(log) == ["start a", "start a", "end a"]
