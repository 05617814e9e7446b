"""Remember for which SIPS the list of orders was seen to list what is there, and not what is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from worker.store.schema import controls, now, orders
from worker.store.transitions import State

if TYPE_CHECKING:
    from worker.store.engine import Store

__all__ = ["Controls", "KnownOrder"]


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """An order that SIPS answered itself, so that its list must have it."""

    po_number: str
    order_id: str
    customer_code: str


class Controls:
    """The control looks of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def has(self, base_url: str) -> bool:
        """Whether absence from this SIPS' list means anything."""
        with self._store.read() as connection:
            return connection.execute(select(controls.c.base_url).where(controls.c.base_url == base_url)).first() is not None

    def add(self, base_url: str, po_number: str) -> None:
        """The order with this PO number was found, and an invented one was not."""
        with self._store.write() as connection:
            connection.execute(delete(controls).where(controls.c.base_url == base_url))
            connection.execute(insert(controls).values(base_url=base_url, found_at=now(), po_number=po_number))

    def known_order(self, base_url: str, older_than: float) -> KnownOrder | None:
        """The latest order that SIPS confirmed at least so many seconds ago: time enough for its list to have it."""
        statement = (
            select(orders.c.po_number, orders.c.order_id, orders.c.customer_code)
            .where(
                orders.c.base_url == base_url,
                orders.c.state == State.CONFIRMED,
                orders.c.order_id.is_not(None),
                orders.c.ended_at < now() - older_than,
            )
            .order_by(orders.c.updated_at.desc())
            .limit(1)
        )
        with self._store.read() as connection:
            row = connection.execute(statement).first()
        return None if row is None else KnownOrder(row.po_number, row.order_id, row.customer_code)
