"""The server the examples run against: one for all of them, started as the conformance tests start theirs."""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "conformance" / "python"))
import server as servers  # noqa: E402


def pytest_configure(config):
    if not (os.environ.get("AMQP_URL") or os.environ.get("BATON_BIN")):
        pytest.exit("set BATON_BIN to a baton binary (the tests start it), or AMQP_URL to a running server", returncode=2)


@pytest.fixture
def server():
    """Fresh for every example: its queues have fixed names."""
    running = servers.start_from_environment()
    yield running
    running.close()
