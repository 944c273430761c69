"""A task queue with retries, and a poison message that ends in the dead-letter queue.

The broker counts the failures: a task that was rejected three times moves to `tasks.dead`, with its history in the
header `x-death`. The worker needs no counter of its own and cannot loop for ever.

Run it: pip install pika; python task_queue.py
"""
import os

import pika

URL = os.environ.get("BATON_AMQP_URL", "amqp://guest:guest@localhost:5672/%2f")

connection = pika.BlockingConnection(pika.URLParameters(URL))
channel = connection.channel()
channel.confirm_delivery()  # basic_publish returns when the task is on disk

channel.queue_declare("tasks.dead", durable=True)
channel.queue_declare("tasks", durable=True, arguments={
    "x-queue-type": "quorum",  # RabbitMQ counts failures in this type only; Baton takes it as given
    "x-delivery-limit": 2,  # two more attempts after the first
    "x-dead-letter-exchange": "",  # the default exchange: straight to the queue named below
    "x-dead-letter-routing-key": "tasks.dead",
})

for task in ("resize cat.png", "flaky: call the bank", "poison: divide by zero", "resize dog.png"):
    channel.basic_publish("", "tasks", task.encode(), pika.BasicProperties(delivery_mode=2))

attempts = {}  # only for what this program prints


def handle(task):
    attempts[task] = attempts.get(task, 0) + 1
    if task.startswith("poison") or (task.startswith("flaky") and attempts[task] < 3):
        raise RuntimeError("failed")


def on_task(ch, method, properties, body):
    task = body.decode()
    try:
        handle(task)
    except RuntimeError:
        failures = (properties.headers or {}).get("x-delivery-count", 0)
        print(f"failed after {failures} earlier failures: {task}")
        ch.basic_reject(method.delivery_tag, requeue=True)  # counts as a failure; the broker decides what follows
    else:
        print(f"done at attempt {attempts[task]}: {task}")
        ch.basic_ack(method.delivery_tag)


channel.basic_qos(prefetch_count=1)  # one task at a time; the rest is for other workers
tag = channel.basic_consume("tasks", on_task)

for method, properties, body in channel.connection.channel().consume("tasks.dead", inactivity_timeout=10):
    if method is None:
        raise SystemExit("nothing was dead-lettered")
    death = properties.headers["x-death"][0]
    print(f"dead ({death['reason']} in {death['queue']}): {body.decode()}")
    break

while len(attempts) < 4 or channel.queue_declare("tasks", passive=True).method.message_count:
    connection.process_data_events(0.1)
channel.basic_cancel(tag)
connection.close()
