"""A few open connections, each lent to one thread at a time."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from worker.store.errors import StoreDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

__all__ = ["Connections"]

#: Seconds that a thread waits for a connection. Transactions take milliseconds: whoever waits longer waits for a database
#: that hangs, and others wait behind.
PATIENCE_SECONDS = 5.0


class Connections:
    """Opens up to `size` connections as they are needed and keeps them; the one returned last is lent first.

    SQLAlchemy's pools do the same around a `Connection` that is made anew for each transaction, which costs a tenth more.

    Args:
        name: What messages call the database.
        size: How many there may be at a time.
        opening: Opens one.
        is_fresh: Whether one that lay idle can be used.
    """

    def __init__(self, name: str, size: int, opening: Callable[[], Connection], is_fresh: Callable[[Connection], bool]) -> None:
        self._name = name
        self._size = size
        self._opening = opening
        self._is_fresh = is_fresh
        self._idle: list[Connection] = []
        self._free = threading.Semaphore(size)
        self._is_closed = False

    def take(self) -> Connection:
        """A connection that nobody else has.

        Raises:
            StoreDown: All were in use for too long.
            SQLAlchemyError: A new one could not be opened.
            RuntimeError: They are closed.
        """
        if not self._free.acquire(timeout=PATIENCE_SECONDS):
            busy = "the connection was" if self._size == 1 else f"all {self._size} connections were"
            raise StoreDown(f"{self._name} is overloaded or hangs ({busy} in use for {PATIENCE_SECONDS:g} s)")
        try:
            return self._fresh() or self._open()
        except BaseException:
            self._free.release()
            raise

    def give_back(self, connection: Connection) -> None:
        """Return a connection that is in no transaction."""
        if self._is_closed:
            _discard(connection)
        else:
            self._idle.append(connection)
        self._free.release()

    def drop(self, connection: Connection) -> None:
        """Close a connection instead of returning it."""
        _discard(connection)
        self._free.release()

    def close(self) -> None:
        """Close those that are idle now, and the others when they are returned; nothing is lent any more."""
        self._is_closed = True
        while self._idle:
            _discard(self._idle.pop())

    def _fresh(self) -> Connection | None:
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread was quicker
                connection = self._idle.pop()
                if self._is_fresh(connection):
                    return connection
                _discard(connection)
        return None

    def _open(self) -> Connection:
        if self._is_closed:
            raise RuntimeError("this store is closed")
        return self._opening()


def _discard(connection: Connection) -> None:
    with contextlib.suppress(SQLAlchemyError):
        connection.invalidate()
        connection.close()
