"""Every example is a whole program: it runs against a broker, ends with 0, and prints what its text promises."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS_MAX = 60


def output(command, server, **kw):
    done = subprocess.run(command, env={**os.environ, "BATON_AMQP_URL": server.url()}, timeout=kw.pop("timeout", SECONDS_MAX),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def python(name, server):
    return output([sys.executable, str(HERE / name)], server)


@pytest.fixture
def node(server):
    """Runs a program with Node from a folder below which amqplib is installed (BATON_NODE_DIR, made by xtask test)."""
    folder = os.environ.get("BATON_NODE_DIR")
    if not (folder and shutil.which("node")):
        pytest.skip("needs node and BATON_NODE_DIR, a folder with amqplib in its node_modules")
    copies = Path(folder) / "examples"
    copies.mkdir(exist_ok=True)

    def run(name):
        shutil.copy(HERE / name, copies / name)  # Node looks for packages beside the program
        return output(["node", str(copies / name)], server)

    return run


def test_task_queue(server):
    lines = python("task_queue.py", server)
    assert [line for line in lines if "poison" in line] == [
        "failed after 0 earlier failures: poison: divide by zero",
        "failed after 1 earlier failures: poison: divide by zero",
        "failed after 2 earlier failures: poison: divide by zero",
        "dead (delivery_limit in tasks): poison: divide by zero"]
    assert sorted(line for line in lines if line.startswith("done")) == [
        "done at attempt 1: resize cat.png", "done at attempt 1: resize dog.png", "done at attempt 3: flaky: call the bank"]


def test_competing_consumers(server):
    lines = python("competing_consumers.py", server)
    assert lines[0] == "worker 0 was killed"
    last = re.fullmatch(r"30 of 30 jobs done by 3 workers, (\d+) of them redelivered", lines[-1])
    assert last and 1 <= int(last[1]) <= 3, lines


def test_rpc(node):
    assert node("rpc.mjs") == ['tea: {"price":30}', 'coffee: {"price":60}', 'unicorn: {"error":"no such article"}',
                               "nobody there: no answer in time"]


def test_fan_out(node):
    assert node("fan_out.mjs") == [
        'shop.mail: order.placed {"id":1}, order.shipped {"id":1}',
        'shop.billing: order.placed {"id":1}',
        'shop.warehouse: order.placed {"id":1}, stock.low.tea {"left":3}']


def test_order_processing(server):
    cargo = os.environ.get("BATON_CARGO") or shutil.which("cargo")
    if not cargo:
        pytest.skip("needs cargo")
    lines = output([cargo, "run", "--quiet", "--profile", "ci", "-p", "baton-conformance", "--example", "order_processing"],
                   server, cwd=HERE.parent, timeout=600)
    assert lines == [
        "worker A: dies before it acknowledges: customer 1: paid",
        "worker B: seen before, skipped: customer 1: paid",
        "worker B: seen before, skipped: customer 3: paid",
        *(f"customer {number}: created, paid, shipped" for number in range(1, 5))]
