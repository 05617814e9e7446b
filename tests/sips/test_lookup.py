"""Names and connections within a deadline."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from worker.sips import lookup
from worker.sips.deadline import Deadline
from worker.sips.lookup import open_socket

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def info(host: str, port: int) -> tuple[Any, ...]:
    """An address as `getaddrinfo` gives it."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return int(gone.getsockname()[1])


def test_the_next_address_is_tried(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose first address refuses is reached over its second."""
    port = listener.getsockname()[1]
    addresses = [info("127.0.0.1", free_port()), info("127.0.0.1", port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: addresses)
    with open_socket("two.example", port, Deadline.after(10), ()) as sock:
        assert ("127.0.0.1", port) == sock.getpeername()


def test_the_last_refusal_is_told() -> None:
    """Where no address works, the operating system's own error is raised."""
    with pytest.raises(ConnectionRefusedError):
        open_socket("127.0.0.1", free_port(), Deadline.after(10), ())


def test_socket_options_are_set(listener: socket.socket) -> None:
    """The options that urllib3 asks for take effect."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    with open_socket("127.0.0.1", listener.getsockname()[1], Deadline.after(10), options) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_name_server_that_is_silent_costs_no_more_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up blocks on, and its caller goes on."""
    answers = threading.Event()

    def silent(*_: object) -> list[Any]:
        answers.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    with pytest.raises(TimeoutError):
        open_socket("silent.example", 80, Deadline.after(0.05), ())
    answers.set()


def test_callers_share_a_look_up_that_is_under_way(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent name server holds one thread, not one per call; a look-up that has ended is not used again."""
    port = listener.getsockname()[1]
    asked, answers = [], threading.Event()

    def slow(*arguments: object) -> list[Any]:
        asked.append(arguments)
        answers.wait(30)
        return [info("127.0.0.1", port)]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    futures = {lookup._shared_lookup("shared.example", port) for _ in range(5)}
    answers.set()
    assert [info("127.0.0.1", port)] == futures.pop().result(30)
    assert set() == futures
    assert 1 == len(asked)

    open_socket("shared.example", port, Deadline.after(30), ()).close()
    assert 2 == len(asked)


def test_a_name_without_an_address_is_an_error_of_the_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error reaches the caller, from the thread that looked."""

    def unknown(*_: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(socket.gaierror):
        open_socket("unknown.example", 80, Deadline.after(10), ())
    assert {} == lookup._pending


def test_a_name_that_cannot_be_one_is_an_error_of_the_look_up() -> None:
    """A label of more than 63 letters is no Unicode error to whoever calls."""
    with pytest.raises(socket.gaierror):
        open_socket("x" * 64 + ".example", 80, Deadline.after(10), ())
