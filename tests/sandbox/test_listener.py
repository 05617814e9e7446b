"""A port that can refuse connections and stay ours."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.amqp import eventually
from worker.sandbox.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def echo(connection: socket.socket) -> None:
    """Send back what comes."""
    while data := connection.recv(1_024):
        connection.sendall(data)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """An open port that echoes."""
    made = Listener("127.0.0.1", 0, echo)
    made.open()
    yield made
    made.close()


def connect(listener: Listener) -> socket.socket:
    """A connection that does not wait for ever."""
    return socket.create_connection(("127.0.0.1", listener.port), timeout=30)


def is_served(connection: socket.socket) -> bool:
    """Whether something comes back, rather than the end of the connection."""
    try:
        connection.sendall(b"x")
        return b"x" == connection.recv(1)
    except OSError:
        return False


def is_refused(listener: Listener) -> bool:
    """Whether no connection is taken."""
    try:
        connect(listener).close()
    except ConnectionRefusedError:
        return True
    return False


def test_many_connections_are_served_at_once(listener: Listener) -> None:
    """Each in a thread of its own, for as long as it lasts."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(listener)) for _ in range(20)]
        for _ in range(2):
            assert all(map(is_served, connections))


def test_a_port_of_the_systems_choice_stays_the_same(listener: Listener) -> None:
    """Clients were told of it."""
    port = listener.port
    listener.refuse()
    listener.open()
    assert port == listener.port != 0


def test_to_refuse_cuts_what_there_is_and_takes_nothing_new(listener: Listener) -> None:
    """Until it is opened again."""
    with connect(listener) as kept:
        assert is_served(kept)
        listener.refuse()
        assert (False, False) == (listener.is_open, is_served(kept))
    assert is_refused(listener)
    listener.refuse()
    assert is_refused(listener)
    listener.open()
    with connect(listener) as other:
        assert (True, True) == (listener.is_open, is_served(other))


def test_one_connection_can_be_spared(listener: Listener) -> None:
    """The one whose answer is still to be sent."""
    ends: list[socket.socket] = []
    listener._serve = lambda connection: (ends.append(connection), echo(connection))[-1]  # type: ignore[func-returns-value]
    with connect(listener) as spared, connect(listener) as other:
        assert is_served(spared)
        assert is_served(other)
        name = spared.getsockname()
        listener.refuse(spare=next(end for end in ends if end.getpeername() == name))
        assert (True, False) == (is_served(spared), is_served(other))


def test_the_port_stays_ours_while_it_refuses(listener: Listener) -> None:
    """Else another process could be given it, and the listener could not come back."""
    listener.refuse()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", listener.port))
    listener.open()
    assert not is_refused(listener)


@pytest.mark.parametrize("refuses", [False, True])
def test_a_closed_listener_leaves_nothing(refuses: bool) -> None:
    """No port, no connection, no thread."""
    before = set(threading.enumerate())
    made = Listener("127.0.0.1", 0, echo)
    made.open()
    with connect(made) as busy, connect(made):
        assert is_served(busy)
        if refuses:
            made.refuse()
        made.close()
        assert set() == set(threading.enumerate()) - before
        assert not is_served(busy)
    assert is_refused(made)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", made.port))


def test_a_taken_port_is_told(listener: Listener) -> None:
    """By the system's own error."""
    other = Listener("127.0.0.1", listener.port, echo)
    with pytest.raises(OSError, match="in use"):
        other.open()
    other.close()
    assert not is_refused(listener)


def test_a_connection_ends_when_it_was_served(listener: Listener) -> None:
    """Also where the peer's going broke it; nothing of it is kept."""
    with connect(listener) as gone:
        assert is_served(gone)
    eventually(lambda: not listener._connections, "the connection is forgotten")


def test_a_lack_of_file_descriptors_passes() -> None:
    """Connections wait until one is free; the port goes on being served."""
    program = """
        import os, resource, socket, threading
        from tests.sandbox.test_listener import echo, is_served
        from worker.sandbox import listener as module

        failed = threading.Event()
        module.time.sleep = lambda _: failed.set()
        listener = module.Listener("127.0.0.1", 0, echo)
        listener.open()
        waiting = socket.socket()
        waiting.settimeout(30)
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError as error:
            print(error.strerror)
        waiting.connect(("127.0.0.1", listener.port))
        print(failed.wait(30))
        for number in taken:
            os.close(number)
        print(is_served(waiting))
        listener.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert (0, "Too many open files\nTrue\nTrue\n") == (done.returncode, done.stdout), done.stderr
