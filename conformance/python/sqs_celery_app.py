"""The Celery application on SQS: imported by its tests, and by the workers they start (`celery -A sqs_celery_app`)."""
import os
import time
from pathlib import Path

from celery import Celery

from celery_app import note


def make_app(url, queue):
    """`url` is `sqs://KEY:SECRET@HOST:PORT//`."""
    app = Celery("conformance-sqs", broker=url, set_as_current=False)
    app.conf.update(task_default_queue=queue, worker_prefetch_multiplier=1, worker_hijack_root_logger=False, worker_enable_remote_control=False,
                    broker_connection_retry_on_startup=True, task_ignore_result=True, task_acks_late=True,
                    broker_transport_options={"region": "us-east-1", "is_secure": False, "visibility_timeout": 30, "wait_time_seconds": 1, "polling_interval": 0.1})
    return app


app = make_app(os.environ.get("CONFORMANCE_URL", "sqs://"), os.environ.get("CONFORMANCE_QUEUE", "celery"))


# The names are this application's own: Celery shares tasks among all applications of a process.
@app.task(name="sqs.record")
def record(path, text):
    note(path, text)


@app.task(name="sqs.flaky", bind=True, max_retries=5)
def flaky(self, path, succeed_at):
    note(path, f"try {self.request.retries}")
    if self.request.retries < succeed_at:
        raise self.retry(countdown=0.2)
    note(path, "done")


@app.task(name="sqs.now")
def now(path):
    note(path, str(time.time()))


@app.task(name="sqs.gated")
def gated(path, text, gate):
    """Notes its start, waits until the file `gate` exists, notes its end."""
    note(path, f"start {text}")
    while not Path(gate).exists():
        time.sleep(0.02)
    note(path, f"end {text}")
