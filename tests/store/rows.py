"""A table of a few columns that tests of the store's transactions write to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select, update

from worker.store.schema import timers

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.store.engine import Store

__all__ = ["add", "count", "counter", "increment"]

#: The kind of the timers that are written here.
KIND = "test"


def add(connection: Connection, ref: str) -> None:
    """Insert a row; there may be one for each `ref`."""
    connection.execute(insert(timers).values(kind=KIND, ref=ref, due=0, claims=0))


def count(store: Store) -> int:
    """The committed rows."""
    with store.read() as connection:
        return connection.execute(select(func.count()).select_from(timers)).scalar_one()


def increment(connection: Connection, ref: str) -> None:
    """Count up in a row."""
    connection.execute(update(timers).where(timers.c.ref == ref).values(claims=timers.c.claims + 1))


def counter(store: Store, ref: str) -> int:
    """What was counted in a row."""
    with store.read() as connection:
        return int(connection.execute(select(timers.c.claims).where(timers.c.ref == ref)).scalar_one())
