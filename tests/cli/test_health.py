"""`sips-worker health` where no worker answers as one should."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from worker.cli import health
from worker.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator


def run(port: int) -> Result:
    """The command, asking this port."""
    return CliRunner().invoke(health.health, [], env={"HEALTH_PORT": str(port), "HEALTH_HOST": "0.0.0.0"})


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Something that listens on a port."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def test_no_answer_in_time_is_not_live(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs takes connections and says nothing."""
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.1)

    result = run(listener.getsockname()[1])

    assert (1, "not live: no answer within 0.1 s\n") == (result.exit_code, result.output)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n<html>",
        b"HTTP/1.0 200 OK\r\n\r\n[]",
        b"HTTP/1.0 404 Not Found\r\n\r\n{}",
        b"220 smtp ready\r\n",
        b"",
    ],
)
def test_another_server_on_the_port_is_no_worker(listener: socket.socket, answer: bytes) -> None:
    """Whatever it says."""

    def serve() -> None:
        connection, _address = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    result = run(listener.getsockname()[1])
    thread.join()

    assert (2, True) == (result.exit_code, result.output.startswith("nobody: no worker answers on 127.0.0.1 port "))


def test_without_a_port_it_says_what_to_set() -> None:
    """A clear line, as for every wrong setting."""
    with pytest.raises(SettingsError, match=r"HEALTH_PORT is not set; .* HEALTH_PORT=8080"):
        CliRunner().invoke(health.health, [], env={"HEALTH_PORT": ""}, catch_exceptions=False)
