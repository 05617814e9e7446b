"""The command line as a process of its own, and what it meets: RabbitMQ, a user of few rights, the sandbox."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.amqp import channel
from worker.local.stack import FOREIGN
from worker.main import make_topology
from worker.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.local.rabbitmq import RabbitMQNode

#: Seconds for one command; a bound for a broken one, not an expectation.
LIMIT_SECONDS = 60

#: A password and a client secret that no output may show.
PASSWORD = "c0rrect-horse"
CLIENT_SECRET = "Tr0ub4dor-and-3"

#: Nothing listens there: the port is reserved, and the tests' own servers never get it.
NOBODY = f"amqp://us:{PASSWORD}@127.0.0.1:1/%2F"


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class CommandLine:
    """Runs `sips-worker` with no settings but those given, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start a command; it is killed at the end of the test, if it has not ended."""
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", *arguments],
            cwd=self.folder,
            env=inherited | {"PYTHONUNBUFFERED": "1", "COLUMNS": "100", "SIPS_CLIENT_SECRET": CLIENT_SECRET} | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def run(self, *arguments: str, given: str = "", **settings: str) -> Done:
        """Run a command to its end, with `given` on its standard input."""
        return self.end(self.start(*arguments, **settings), given)

    def end(self, process: subprocess.Popen[str], given: str | None = None) -> Done:
        """Wait for a command's end. None may end in a traceback, or show a secret."""
        out, err = process.communicate(given, LIMIT_SECONDS)
        assert not re.search(rf"Traceback|{PASSWORD}|{CLIENT_SECRET}", out + err), out + err
        return Done(process.returncode, out, err)

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._started:
            with process:
                process.kill()


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell that starts pytest in the background has it ignore SIGINT, and so would every process that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def sips_worker(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line."""
    with contextlib.closing(CommandLine(tmp_path)) as opened:
        yield opened


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A stand-in for SIPS that knows one client."""
    with Sandbox(credentials={"us": CLIENT_SECRET}) as started:
        yield started


class VirtualHost(NamedTuple):
    """A virtual host of the private node."""

    #: For a user who may do everything.
    url: str
    #: For a user who may read and write, but not configure.
    limited_url: str


@pytest.fixture(scope="session")
def virtual_host(node: RabbitMQNode) -> VirtualHost:
    """A virtual host, and a user without the right to configure anything in it."""
    name = f"cli-{secrets.token_hex(4)}"
    address = urlsplit(node.url).netloc.rpartition("@")[2]
    node.rabbitmqctl("add_vhost", name)
    node.rabbitmqctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    node.rabbitmqctl("add_user", name, PASSWORD)
    node.rabbitmqctl("set_permissions", "-p", name, name, "^$", ".*", ".*")
    return VirtualHost(f"amqp://guest:guest@{address}/{name}", f"amqp://{name}:{PASSWORD}@{address}/{name}")


@pytest.fixture
def empty(virtual_host: VirtualHost) -> VirtualHost:
    """A virtual host without anything of ours."""
    with channel(virtual_host.url) as opened:
        for queue in make_topology().queues:
            opened.queue_delete(queue.name)
        for exchange in make_topology().exchanges:
            opened.exchange_delete(exchange.name)
    return virtual_host


@pytest.fixture
def declared(empty: VirtualHost) -> VirtualHost:
    """A virtual host with the whole topology."""
    with channel(empty.url) as opened:
        make_topology().declare(opened)
    return empty
