"""The Celery application under test: imported by the tests, and by the workers they start (`celery -A celery_app`)."""
import json
import os
import time
from pathlib import Path

from celery import Celery
from kombu import Queue


def make_app(url, queue, queue_arguments=None, **conf):
    app = Celery("conformance", broker=url, backend="rpc://", set_as_current=False)
    app.conf.update(task_queues=[Queue(queue, routing_key=queue, queue_arguments=queue_arguments or None)],
                    task_default_queue=queue, task_default_exchange=queue, task_default_routing_key=queue,
                    worker_prefetch_multiplier=1, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True,
                    broker_connection_retry=True, task_publish_retry=True,
                    broker_transport_options={"confirm_publish": True}, **conf)
    return app


app = make_app(os.environ.get("CONFORMANCE_URL", "amqp://"), os.environ.get("CONFORMANCE_QUEUE", "celery"),
               json.loads(os.environ.get("CONFORMANCE_QUEUE_ARGUMENTS", "{}")), **json.loads(os.environ.get("CONFORMANCE_CONF", "{}")))


def note(path, text):
    """One line, one write: tasks of several processes may note at the same time."""
    with open(path, "a") as file:
        file.write(f"{text}\n")


@app.task(name="add")
def add(x, y):
    return x + y


@app.task(name="fail")
def fail():
    raise KeyError("remote")


@app.task(name="flaky", bind=True, max_retries=5)
def flaky(self, succeed_at):
    if self.request.retries < succeed_at:
        raise self.retry(countdown=0.2)
    return self.request.retries


@app.task(name="now")
def now():
    return time.time()


@app.task(name="record")
def record(path, text):
    note(path, text)


@app.task(name="gated", acks_late=True)
def gated(path, text, gate):
    """Notes its start, waits until the file `gate` exists, notes its end."""
    note(path, f"start {text}")
    while not Path(gate).exists():
        time.sleep(0.02)
    note(path, f"end {text}")
