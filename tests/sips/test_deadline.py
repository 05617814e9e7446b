"""Deadlines, and the thread that enforces them."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from worker.sips.deadline import Deadline, Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    """A watchdog that is closed in the end."""
    watchdog = Watchdog()
    yield watchdog
    watchdog.close()


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Three connected pairs of sockets."""
    pairs = [socket.socketpair() for _ in range(3)]
    yield pairs
    for pair in pairs:
        for end in pair:
            end.close()


def test_a_deadline_says_what_is_left_and_never_less_than_nothing() -> None:
    """Before it, the rest of the time is left; after it, 0 seconds."""
    assert 0 < Deadline.after(60).remaining() <= 60
    assert not Deadline.after(60).passed
    assert Deadline(time.monotonic() - 5).remaining() == 0
    assert Deadline(time.monotonic() - 5).passed


def test_the_sooner_of_two_deadlines_counts() -> None:
    """A part of a call gets its own limit, but never more time than the call has."""
    assert Deadline(10.0) == Deadline(10.0).or_after(60)
    assert Deadline.after(60).or_after(1).remaining() <= 1


def test_a_blocked_read_ends_at_the_deadline(watchdog: Watchdog, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """The socket is shut down, so a read in another thread sees the end of the connection."""
    mine, _theirs = pairs[0]
    watch = watchdog.watch(mine.dup(), Deadline.after(0.05))
    assert b"" == mine.recv(1)
    assert watch.cut
    watch.handle.close()


def test_a_released_socket_is_left_alone(watchdog: Watchdog, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """A connection that was handed back belongs to somebody else when the old deadline passes."""
    (mine, theirs), (other, _) = pairs[:2]
    released = watchdog.watch(mine, Deadline.after(0.05))
    watchdog.release(released)
    watchdog.watch(other, Deadline.after(0.1))
    assert b"" == other.recv(1)
    theirs.sendall(b"x")
    assert b"x" == mine.recv(1)
    assert not released.cut


def test_an_earlier_deadline_that_comes_later_is_met(
    watchdog: Watchdog, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    """The thread sleeps until the earliest deadline, and is woken for a still earlier one."""
    watchdog.watch(pairs[0][0], Deadline.after(3_600))
    watchdog.watch(pairs[1][0], Deadline.after(0.05))
    assert b"" == pairs[1][0].recv(1)
    watchdog.watch(pairs[2][0], Deadline.after(0.05))
    assert b"" == pairs[2][0].recv(1)


def test_a_socket_that_is_closed_already_stops_nothing(
    watchdog: Watchdog, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    """The thread lives on when there is nothing to shut down."""
    pairs[0][0].close()
    watchdog.watch(pairs[0][0], Deadline.after(0))
    watchdog.watch(pairs[1][0], Deadline.after(0.05))
    assert b"" == pairs[1][0].recv(1)


def test_close_ends_the_thread(watchdog: Watchdog, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """No thread is left behind, whether there ever was one or not."""
    watchdog.close()
    watch = watchdog.watch(pairs[0][0], Deadline.after(3_600))
    thread = watchdog._thread
    assert thread is not None
    watchdog.release(watch)
    watchdog.close()
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("released", [True, False])
def test_what_is_watched_when_it_closes_still_ends_in_time(
    watchdog: Watchdog, pairs: list[tuple[socket.socket, socket.socket]], released: bool
) -> None:
    """A call that outlives the client is not left without an end; the thread goes with the last of them."""
    other = watchdog.watch(pairs[1][0], Deadline.after(3_600 if released else 0.1))
    watchdog.watch(pairs[0][0], Deadline.after(0.05))
    thread = watchdog._thread
    assert thread is not None
    watchdog.close()
    assert b"" == pairs[0][0].recv(1)
    if released:
        watchdog.release(other)
    thread.join(30)
    assert not thread.is_alive()
