"""Guarded servers and the choice of ports."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.local.waiting import wait_until
from worker.local import processes
from worker.local.processes import GuardedProcess, free_ports, is_free

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_gets_only_the_environment_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's environment reaches the server; its output goes to the log, in the folder it runs in."""
    monkeypatch.setenv("ERL_AFLAGS", "of the user's")
    log = tmp_path / "log"
    server = GuardedProcess(["/bin/sh", "-c", "pwd; echo $GIVEN$ERL_AFLAGS"], {"GIVEN": "given"}, tmp_path, log)
    wait_until(lambda: not server.is_running(), "the server to end")
    server.stop()
    assert log.read_text() == f"{tmp_path}\ngiven\n"


def test_a_running_server_can_be_stopped_twice(tmp_path: Path) -> None:
    """A server runs until it is stopped; to stop it again does nothing."""
    server = GuardedProcess(["/bin/sleep", "600"], {}, tmp_path, tmp_path / "log")
    assert server.is_running()
    server.stop()
    server.stop()
    assert not server.is_running()


def test_free_ports_are_different_and_not_listened_on() -> None:
    """Ports in use are passed over, and none is given twice."""
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(is_free(port) for port in ports)


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too few ports are free, the error says how many there are."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(processes, "SERVER_PORTS", range(port, port + 1))
        with pytest.raises(OSError, match=f"only 0 of the ports {port}-{port} on 127.0.0.1 are free"):
            free_ports(1)
