"""Starts, kills and restarts the server under test. Knows nothing about AMQP.

Two kinds: `BatonServer` is a Baton process of our own (BATON_BIN) on a fresh data directory; `RunningServer` is whatever
answers at AMQP_URL, which lets every expectation here be checked against RabbitMQ itself. The examples' tests use this file too.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 20.0


def can_connect(host, port):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


class Server:
    """What tests may ask of either kind."""

    host: str
    port: int

    def url(self, user="guest", password="guest", vhost="/"):
        return f"amqp://{user}:{password}@{self.host}:{self.port}/{quote(vhost, safe='')}"


class RunningServer(Server):
    """A server that somebody else started."""

    is_own = False

    def __init__(self, url, restart_command=None):
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 5672
        self.restart_command = restart_command

    def restart(self):
        subprocess.run(self.restart_command, shell=True, check=True, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not can_connect(self.host, self.port):
            assert time.monotonic() < deadline, "the server did not come back after AMQP_RESTART"
            time.sleep(0.05)

    kill_and_restart = restart

    def close(self):
        pass


class BatonServer(Server):
    """A `baton serve` process on its own data directory. Keeps its port over restarts, so that clients find it again."""

    is_own = True

    def __init__(self, binary, extra_args=(), extra_env=None):
        self.binary = str(Path(binary).resolve())
        self.extra_args = list(extra_args)
        self.extra_env = extra_env or {}
        self.home = Path(tempfile.mkdtemp(prefix="baton-conformance-"))
        self.data_dir = self.home / "data"
        self.log_path = self.home / "baton.log"
        self.amqp_listen, self.http_listen = "127.0.0.1:0", "127.0.0.1:0"
        self.stomp_listen = "127.0.0.1:0"
        self.redis_listen = "127.0.0.1:0"
        self.process = None

    def start(self):
        ready = self.home / "ready.json"
        ready.unlink(missing_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--amqp-listen", self.amqp_listen, "--http-listen", self.http_listen,
                 "--stomp-listen", self.stomp_listen, "--redis-listen", self.redis_listen,
                 "--data-dir", str(self.data_dir), "--ready-file", str(ready), *self.extra_args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                cwd=self.home, env={**os.environ, **self.extra_env})
        endpoints = self._wait_ready(ready)
        self.amqp_listen = endpoints["amqp"]
        self.http_listen = endpoints.get("http", self.http_listen)
        self.stomp_listen = endpoints.get("stomp", self.stomp_listen)
        self.redis_listen = endpoints.get("redis", self.redis_listen)
        self.host, port = self.amqp_listen.rsplit(":", 1)
        self.port = int(port)
        return self

    def _wait_ready(self, ready):
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"baton ended with {self.process.returncode} while starting:\n{self.log_tail()}")
            try:
                return json.loads(ready.read_text())
            except (FileNotFoundError, json.JSONDecodeError):  # not there, or not wholly written yet
                time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"baton was not ready after {START_SECONDS_MAX} s:\n{self.log_tail()}")

    def log_tail(self, characters=4000):
        return self.log_path.read_text(errors="replace")[-characters:] if self.log_path.exists() else ""

    def kill(self):
        """SIGKILL: the broker gets no chance to write anything more."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_SECONDS_MAX)

    def stop(self):
        """SIGTERM, the graceful way. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS_MAX)

    def restart(self):
        self.stop()
        self.start()

    def kill_and_restart(self):
        self.kill()
        self.start()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        if os.environ.get("BATON_KEEP_DATA"):
            print(f"kept {self.home}")
        else:
            shutil.rmtree(self.home, ignore_errors=True)


def start_from_environment(extra_args=(), extra_env=None):
    """The server the environment asks for, or None if it asks for none."""
    if url := os.environ.get("AMQP_URL"):
        return RunningServer(url, os.environ.get("AMQP_RESTART"))
    if binary := os.environ.get("BATON_BIN"):
        return BatonServer(binary, extra_args, extra_env).start()
    return None
