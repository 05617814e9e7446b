"""The sandbox as a process of its own."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import TYPE_CHECKING

import pytest

import worker.sandbox
from worker.local.stack import Sandbox, Service

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_exported() -> None:
    """And nothing else."""
    assert {"Live", "Receiver", "Sandbox", "serve"} == set(worker.sandbox.__all__)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(tmp_path: Path, number: int) -> None:
    """It says where it listens, answers there, and ends well, also with connections open and faults in force."""
    with Sandbox(tmp_path) as sandbox:
        sandbox.set_faults(down={"seconds": 3_600}, waf=1)
        assert {"requests": {}, "mostAtOnce": 0, "tokensIssued": 0} == sandbox.stats()
        port = int(sandbox.control_url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as kept:
            sandbox.signal(number)
            assert 0 == sandbox.wait(30)
            with contextlib.suppress(ConnectionResetError):  # another way to be told that it is closed
                assert b"" == kept.recv(1)
    (line,) = sandbox.log.read_text(encoding="utf-8").splitlines()
    assert line == f'{{"event": "sandbox ready", "url": "{sandbox.url}", "control_url": "{sandbox.control_url}"}}'


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """With what to do, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        service = Service("sandbox", ["sandbox", "--port", "0", "--control-port", port], tmp_path, {})
        assert 2 == service.start().wait(30)
    (line,) = service.log.read_text(encoding="utf-8").splitlines()
    assert f"the sandbox cannot listen on 127.0.0.1, ports 0 and {port} (" in line
    assert line.endswith("choose others with --port and --control-port")
