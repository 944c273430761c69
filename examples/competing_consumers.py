"""Competing consumers: three workers share a queue, one of them is killed, and no job is lost.

A job leaves the queue only when its worker acknowledges it. When a worker dies, the broker sees its connection end and
gives what it held to the others, marked `redelivered`. A job may so be done twice, never not at all.

Run it: pip install pika; python competing_consumers.py
"""
import multiprocessing
import os
import signal
import time

import pika

URL = os.environ.get("BATON_AMQP_URL", "amqp://guest:guest@localhost:5672/%2f")
JOBS, WORKERS = 30, 3


def worker(number):
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()

    def on_job(ch, method, _properties, body):
        time.sleep(0.05)  # the work
        report = f"{body.decode()},{number},{int(method.redelivered)}"
        ch.basic_publish("", "jobs.done", report.encode(), pika.BasicProperties(delivery_mode=2))
        ch.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=3)  # what a worker may hold: small, so that slow ones do not hoard
    channel.basic_consume("jobs", on_job)
    channel.start_consuming()


def main():
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    channel.confirm_delivery()
    for queue in ("jobs", "jobs.done"):
        channel.queue_declare(queue, durable=True)
    for job in range(JOBS):
        channel.basic_publish("", "jobs", str(job).encode(), pika.BasicProperties(delivery_mode=2))

    workers = [multiprocessing.Process(target=worker, args=(number,), daemon=True) for number in range(WORKERS)]
    for process in workers:
        process.start()

    done, by, again = set(), set(), 0
    for method, _properties, body in channel.consume("jobs.done", inactivity_timeout=15):
        if method is None:
            raise SystemExit(f"lost: {sorted(set(range(JOBS)) - done)}")
        job, number, redelivered = (int(part) for part in body.decode().split(","))
        channel.basic_ack(method.delivery_tag)
        done.add(job)
        by.add(number)
        again += redelivered
        if workers[0].is_alive() and 0 in by:
            os.kill(workers[0].pid, signal.SIGKILL)  # no goodbye: it holds jobs at this moment
            workers[0].join()
            print("worker 0 was killed")
        if len(done) == JOBS:
            break
    print(f"{len(done)} of {JOBS} jobs done by {len(by)} workers, {again} of them redelivered")
    for process in workers[1:]:
        process.terminate()
    connection.close()


if __name__ == "__main__":
    main()
