"""Orders that have not come to their end, as far as anybody knows: what may have been missed of them can be read from SIPS."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Text, and_, func, literal, null, or_, select, union_all

from worker.store.orders import ROW_VERSION
from worker.store.schema import orders, watches
from worker.store.transitions import State
from worker.store.watched import watch_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import CTE, Select

    from worker.store.engine import Store

__all__ = ["COMPARE", "DAILY", "OpenOrder", "OpenOrders"]

#: Kinds of timers: compare the open orders of every customer, and of one.
DAILY, COMPARE = "daily", "compare"


class OpenOrder(NamedTuple):
    """An open order: the key of its watch, and that of the ledger where there is no watch yet."""

    key: str
    submitted: str | None


class OpenOrders:
    """The open orders at one SIPS.

    Those are orders that SIPS has and nobody ever watched, and watches, also those that ended, whose status does not tell the
    end. Times are the database's, in seconds since 1970.

    Args:
        store: of this installation.
        base_url: of SIPS.
        terminal: statuses that tell the end, without regard to letter case.
    """

    def __init__(self, store: Store, base_url: str, terminal: Sequence[str]) -> None:
        self._store = store
        self._base_url = base_url
        self._terminal = [word.strip().lower() for word in terminal]

    def customers(self, since: float, *, submitted: bool = True) -> list[str]:
        """Whose they are; an empty code where nobody knows.

        Args:
            since: they were submitted, or watched first, at this time or later.
            submitted: those that were submitted here and never watched as well.
        """
        found = self._open(since, submitted=submitted)
        with self._store.read() as connection:
            codes = select(found.c.customer_code).distinct().order_by(found.c.customer_code)
            return list(connection.execute(codes).scalars())

    def page(self, customer_code: str, since: float, *, after: str = "", limit: int, submitted: bool = True) -> list[OpenOrder]:
        """Up to so many of a customer, in the sequence of their keys from behind one of them; else as `customers`."""
        found = self._open(since, submitted=submitted)
        theirs = and_(found.c.customer_code == customer_code, found.c.key > after)
        statement = select(found.c.key, found.c.submitted).where(theirs).order_by(found.c.key).limit(limit)
        with self._store.read() as connection:
            return [OpenOrder(*row) for row in connection.execute(statement)]

    def _open(self, since: float, *, submitted: bool) -> CTE:
        parts = [self._watched(since), *([self._submitted(since)] if submitted else [])]
        return union_all(*parts).cte("open")

    def _watched(self, since: float) -> Select[tuple[str, str, str | None]]:
        is_open = or_(watches.c.status.is_(None), func.lower(func.trim(watches.c.status)).not_in(self._terminal))
        return select(watches.c.key.label("key"), watches.c.customer_code, null().cast(Text).label("submitted")).where(
            watches.c.base_url == self._base_url, watches.c.created_at >= since, is_open
        )

    def _submitted(self, since: float) -> Select[tuple[str, str, str | None]]:
        """The key of a watch is its JSON; one that is written otherwise there is only opened again, which changes nothing."""
        before, after = watch_key(self._base_url, "\t").split("\\t")
        key = literal(before) + orders.c.order_id + literal(after)
        is_real = and_(orders.c.state == State.CONFIRMED, func.coalesce(orders.c.order_id, "") != "")
        # Of `updated_at` there is an index.
        recent = and_(orders.c.created_at >= since, orders.c.updated_at >= since)
        return (
            select(key.label("key"), orders.c.customer_code, orders.c.key.label("submitted"))
            .select_from(orders.outerjoin(watches, watches.c.key == key))
            .where(watches.c.key.is_(None), orders.c.base_url == self._base_url, is_real, recent)
            .where(orders.c.row_version <= ROW_VERSION)
        )
