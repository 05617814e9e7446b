"""The connections that are kept, without a database behind them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import NullPool, create_engine

from worker.store.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


class Opener:
    """Opens connections to nothing, and knows which of them went stale."""

    def __init__(self) -> None:
        self.opened: list[Connection] = []
        self.stale: set[int] = set()
        self.refuse = False
        self._engine = create_engine("sqlite://", poolclass=NullPool, connect_args={"check_same_thread": False})

    def open(self) -> Connection:
        """A new one."""
        if self.refuse:
            raise OSError("refused")
        self.opened.append(self._engine.connect())
        return self.opened[-1]

    def is_fresh(self, connection: Connection) -> bool:
        """Whether it is not stale."""
        return id(connection) not in self.stale


@pytest.fixture
def opener() -> Opener:
    """Opens what the test needs."""
    return Opener()


@pytest.fixture
def connections(opener: Opener) -> Iterator[Connections]:
    """Two at most."""
    made = Connections("it", 2, opener.open, opener.is_fresh)
    yield made
    made.close()


def test_a_connection_is_opened_when_it_is_needed_and_kept(opener: Opener, connections: Connections) -> None:
    """The one that was returned last is warm, and is lent first."""
    assert [] == opener.opened
    first, second = connections.take(), connections.take()
    connections.give_back(first)
    connections.give_back(second)
    assert [second, first] == [connections.take(), connections.take()]
    assert [first, second] == opener.opened
    for connection in opener.opened:
        connections.drop(connection)


def test_no_more_are_opened_than_there_may_be(opener: Opener, connections: Connections) -> None:
    """Threads wait for one another, and nobody shares a connection."""
    lent: set[int] = set()
    together = threading.Barrier(2)

    def work(number: int) -> None:
        connection = connections.take()
        assert id(connection) not in lent
        lent.add(id(connection))
        if number < 2:
            together.wait(30)  # both are lent at the same time
        lent.discard(id(connection))
        connections.give_back(connection)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, range(200)))
    assert 2 == len(opener.opened)


def test_a_stale_connection_is_replaced(opener: Opener, connections: Connections) -> None:
    """Whoever asks gets a new one, and the stale one is closed."""
    stale = connections.take()
    connections.give_back(stale)
    opener.stale.add(id(stale))
    fresh = connections.take()
    connections.give_back(fresh)
    assert [stale, fresh] == opener.opened
    assert stale.closed


def test_a_dropped_connection_leaves_its_place(opener: Opener, connections: Connections) -> None:
    """It is closed, and as many as before can be had."""
    for _ in range(3):
        connections.drop(connections.take())
    assert [True] * 3 == [connection.closed for connection in opener.opened]
    for connection in (connections.take(), connections.take()):
        connections.give_back(connection)


def test_a_failed_opening_leaves_its_place(opener: Opener, connections: Connections) -> None:
    """When opening works again, as many as before can be had."""
    opener.refuse = True
    for _ in range(3):
        with pytest.raises(OSError, match="refused"):
            connections.take()
    opener.refuse = False
    for connection in (connections.take(), connections.take()):
        connections.give_back(connection)


def test_closing_closes_all(opener: Opener, connections: Connections) -> None:
    """The idle ones at once, those in use when they are returned; none is lent any more."""
    used, idle = connections.take(), connections.take()
    connections.give_back(idle)
    connections.close()
    assert (True, False) == (idle.closed, used.closed)
    connections.give_back(used)
    assert used.closed
    with pytest.raises(RuntimeError, match="closed"):
        connections.take()
