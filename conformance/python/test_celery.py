"""Celery over the broker: results, retries, ETA, priorities, prefetch, and acks_late when a worker is killed."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from celery import chain, group

import celery_app
from tools import connect, depth, wait_until


class Worker:
    """A `celery worker` process with one task at a time, in the worker's own process: SIGKILL takes the task with it."""

    def __init__(self, url, queue, tmp_path, arguments=None, conf=None, quiet=True):
        self.log = Path(tmp_path) / f"worker-{time.monotonic_ns()}.log"
        env = {**os.environ, "CONFORMANCE_URL": url, "CONFORMANCE_QUEUE": queue,
               "CONFORMANCE_QUEUE_ARGUMENTS": json.dumps(arguments or {}), "CONFORMANCE_CONF": json.dumps(conf or {})}
        less = ["--without-mingle", "--without-gossip"] if quiet else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-P", "solo", "-c", "1", "-l", "INFO", "-n", f"w{time.monotonic_ns()}@h", *less],
            cwd=Path(__file__).parent, env=env, stdout=self.log.open("wb"), stderr=subprocess.STDOUT)

    def wait_ready(self):
        wait_until(lambda: " ready." in self.log.read_text() or self.process.poll() is not None, 20, "worker ready")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
def start(server, tmp_path):
    """Starts workers that end with the test; `start(queue, ...)`."""
    workers = []

    def run(queue, url=None, **kw):
        workers.append(Worker(url or server.url(), queue, tmp_path, **kw))
        return workers[-1]

    yield run
    for worker in workers:
        worker.kill()


@pytest.fixture(scope="module")
def celery(server, tmp_path_factory):
    """An application and one worker that most tests share."""
    queue = f"conf.celery.{time.monotonic_ns()}"
    worker = Worker(server.url(), queue, tmp_path_factory.mktemp("celery"), quiet=False).wait_ready()
    app = celery_app.make_app(server.url(), queue)
    yield app
    worker.stop()
    app.close()
    connection = connect(server)
    connection.channel().queue_delete(queue)
    connection.close()


@pytest.fixture
def app_on(server, unique):
    """An application on a queue of its own: `app_on(arguments)` returns (app, queue)."""
    made = []

    def make(arguments=None, url=None, **conf):
        queue = unique("celery")
        made.append((celery_app.make_app(url or server.url(), queue, arguments, **conf), queue))
        return made[-1]

    yield make
    for app, queue in made:
        app.close()
    if not (server.is_own and server.process.poll() is not None):
        connection = connect(server)
        for _, queue in made:
            connection.channel().queue_delete(queue)
        connection.close()


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def test_results_come_back(celery):
    results = [celery.send_task("add", (number, 1)) for number in range(20)]
    assert [result.get(timeout=15) for result in results] == list(range(1, 21))


def test_exceptions_come_back(celery):
    with pytest.raises(KeyError):
        celery.send_task("fail").get(timeout=15)


def test_chains_and_groups(celery):
    add = celery.signature("add")
    assert chain(add.clone((1, 2)), add.clone((10,)), add.clone((100,)), app=celery).apply_async().get(timeout=15) == 113
    assert group([add.clone((n, n)) for n in range(5)], app=celery).apply_async().get(timeout=15) == [0, 2, 4, 6, 8]


def test_retries_until_it_succeeds(celery):
    assert celery.send_task("flaky", (3,)).get(timeout=15) == 3


def test_countdown_and_eta_wait(celery):
    begin = time.time()
    assert celery.send_task("now", countdown=1.0).get(timeout=15) - begin >= 0.99


def test_a_task_past_its_expiry_is_revoked(celery):
    from celery.exceptions import TaskRevokedError
    with pytest.raises(TaskRevokedError):
        celery.send_task("now", countdown=5, expires=4).get(timeout=20)


def test_remote_control_answers(celery):
    """Broadcast over a fanout exchange, answers over a reply queue with x-expires."""
    wait_until(lambda: celery.control.ping(timeout=0.5), 10, "a worker's pong")
    active = celery.control.inspect(timeout=2).active_queues()
    assert [queue["name"] for queues in active.values() for queue in queues] == [celery.conf.task_default_queue]


def test_acks_late_loses_nothing_when_the_worker_is_killed(app_on, start, tmp_path):
    app, queue = app_on()
    log, gate = tmp_path / "log", tmp_path / "gate"
    for number in range(5):
        app.send_task("gated", (str(log), str(number), str(gate)), ignore_result=True)
    first = start(queue).wait_ready()
    wait_until(lambda: lines(log) == ["start 0"], 10)
    first.kill()  # in the middle of task 0, with the others waiting
    gate.touch()
    start(queue)
    wait_until(lambda: sum(line.startswith("end") for line in lines(log)) >= 5, 15, "all tasks done")
    ends = [line for line in lines(log) if line.startswith("end")]
    assert sorted(ends) == [f"end {number}" for number in range(5)]
    assert lines(log).count("start 0") == 2


def test_prefetch_of_one_leaves_the_rest_in_the_queue(server, app_on, start, tmp_path):
    app, queue = app_on()
    log, gate = tmp_path / "log", tmp_path / "gate"
    for number in range(5):
        app.send_task("gated", (str(log), str(number), str(gate)), ignore_result=True)
    connection = connect(server)
    channel = connection.channel()
    start(queue, conf={"task_acks_late": True}), start(queue, conf={"task_acks_late": True})
    wait_until(lambda: len(lines(log)) == 2, 20, "two workers at work")
    assert depth(channel, queue) == 3
    gate.touch()
    wait_until(lambda: len(lines(log)) == 10, 15, "all tasks done")
    connection.close()


def test_priorities_go_first(app_on, start, tmp_path):
    arguments = {"x-max-priority": 10}
    app, queue = app_on(arguments)
    log = tmp_path / "log"
    for priority in (1, 9, 5, 0, 7):
        app.send_task("record", (str(log), str(priority)), priority=priority, ignore_result=True)
    start(queue, arguments=arguments, conf={"task_acks_late": True})
    wait_until(lambda: len(lines(log)) == 5, 20, "all tasks done")
    assert lines(log) == ["9", "7", "5", "1", "0"]


def test_quorum_queues_with_native_delayed_delivery(app_on, start, tmp_path):
    """Countdowns as a ladder of 28 topic exchanges and queues with TTL and dead-lettering, which Celery builds for quorum queues."""
    arguments, conf = {"x-queue-type": "quorum"}, {"task_default_exchange_type": "topic", "task_default_queue_type": "quorum",
                                                   "broker_native_delayed_delivery_queue_type": "classic"}
    app, queue = app_on(arguments, **conf)
    log = tmp_path / "log"
    start(queue, arguments=arguments, conf=conf).wait_ready()
    begin = time.monotonic()
    app.send_task("record", (str(log), "late"), countdown=3, ignore_result=True)
    app.send_task("record", (str(log), "now"), ignore_result=True)
    wait_until(lambda: lines(log) == ["now"], 10)
    wait_until(lambda: lines(log) == ["now", "late"], 10)
    assert time.monotonic() - begin >= 2.5


def test_a_worker_comes_back_after_a_broker_restart(own_server, app_on, start, tmp_path):
    app, queue = app_on(url=own_server.url())
    log = tmp_path / "log"
    start(queue, url=own_server.url()).wait_ready()
    app.send_task("record", (str(log), "before"), ignore_result=True)
    wait_until(lambda: lines(log) == ["before"], 10)
    own_server.kill_and_restart()
    app.send_task("record", (str(log), "after"), ignore_result=True)
    wait_until(lambda: "after" in lines(log), 20, "the worker working again")
    assert set(lines(log)) == {"before", "after"}  # "before" may come twice: its ack may have died with the broker
