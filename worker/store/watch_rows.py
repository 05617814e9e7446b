"""How watches are read: rows with the subscriptions that belong to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, select

from worker.store.schema import now, subscriptions, watches
from worker.store.watched import Kind, Subscription, Watch

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

__all__ = ["find", "read"]

_COLUMNS = [name for name in Watch.__slots__ if name not in {"read_at", "subscriptions"}]
_ROW = (*(watches.c[name] for name in _COLUMNS), now().label("read_at"))
_SUBSCRIBED = [subscriptions.c[name] for name in ("kind", "source", "command_id", "until", "interval", "terminal")]

#: One order with its subscriptions, in one statement, as every look begins with it.
_FINDING = (
    select(*_ROW, *_SUBSCRIBED)
    .select_from(watches.outerjoin(subscriptions, subscriptions.c.key == watches.c.key))
    .where(watches.c.key == bindparam("its_key"))
    .order_by(subscriptions.c.created_at)
)


def find(connection: Connection, key: str) -> Watch | None:
    """One order, or None."""
    rows = connection.execute(_FINDING, {"its_key": key}).all()
    if not rows:
        return None
    theirs = tuple(_subscription(row) for row in rows if row.kind is not None)
    known: dict[str, Any] = {name: getattr(rows[0], name) for name in (*_COLUMNS, "read_at")}
    return Watch(**known, subscriptions=theirs)


def read(
    connection: Connection,
    wanted: ColumnElement[bool],
    *,
    order: ColumnElement[Any] | None = None,
    limit: int | None = None,
    lock: bool = False,
) -> list[Watch]:
    """The orders that are wanted; where they are locked, as they are once nobody else changes them."""
    statement = select(*_ROW).where(wanted).limit(limit)
    if order is not None:
        statement = statement.order_by(order)
    rows = connection.execute(statement.with_for_update() if lock else statement).all()
    theirs: dict[str, list[Subscription]] = {row.key: [] for row in rows}
    asked = select(subscriptions).where(subscriptions.c.key.in_(list(theirs))).order_by(subscriptions.c.created_at)
    for row in connection.execute(asked) if rows else ():
        theirs[row.key].append(_subscription(row))
    return [Watch(**row._mapping, subscriptions=tuple(theirs[row.key])) for row in rows]  # noqa: SLF001 - SQLAlchemy's own API


def _subscription(row: Row[Any]) -> Subscription:
    terminal = tuple(orjson.loads(row.terminal)) if row.terminal is not None else None
    return Subscription(Kind(row.kind), row.source, row.command_id, row.until, row.interval, terminal)
