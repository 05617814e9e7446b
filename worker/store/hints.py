"""Hints: what webhooks told of orders, kept until the order is known, and then for as long as they may be told again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, delete, or_, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from worker.store.schema import hints, moment, now, orders, timers
from worker.store.timers import hasten_timer
from worker.store.transitions import State
from worker.store.watches import HINT

if TYPE_CHECKING:
    from worker.store.engine import Store

__all__ = ["Hint", "Hints", "StoredHint"]

#: Orders that a hint may tell something new of, whenever they were sent.
_OPEN = (State.SENDING, State.IN_DOUBT, State.QUEUED, State.UNRESOLVED)

#: An order that SIPS has is found by another name than its number for so many seconds.
CONFIRMED_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Hint:
    """What a webhook told of; a reference that it does not name is empty, and so is its time."""

    id: str
    event_type: str
    order_id: str
    po_number: str
    transaction_id: str
    time: str


@dataclass(frozen=True, slots=True)
class StoredHint:
    """A hint that is kept; `age` is in seconds."""

    hint: Hint
    age: float
    is_handled: bool


class Hints:
    """The hints of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, hint_id: str) -> StoredHint | None:
        """A hint that came before, or None."""
        statement = select(hints, (now() - hints.c.received_at).label("age")).where(hints.c.id == hint_id)
        with self._store.read() as connection:
            row = connection.execute(statement).first()
        if row is None:
            return None
        hint = Hint(**{name: getattr(row, name) for name in Hint.__slots__})
        return StoredHint(hint, row.age, row.handled_at is not None)

    def keep(self, hint: Hint, seconds: float) -> None:
        """Keep a hint that came to nothing yet; it is looked at again in so many seconds."""
        with self._store.write() as connection:
            connection.execute(self._insert(hint, handled_at=None).on_conflict_do_nothing(index_elements=[hints.c.id]))
            hasten_timer(connection, HINT, hint.id, seconds)

    def handled(self, hint: Hint) -> None:
        """What the hint told of was looked at; another one of the same id is dropped from here on."""
        with self._store.write() as connection:
            inserting = self._insert(hint, handled_at=now())
            told = {"handled_at": inserting.excluded.handled_at}
            connection.execute(inserting.on_conflict_do_update(index_elements=[hints.c.id], set_=told))
            connection.execute(delete(timers).where(timers.c.kind == HINT, timers.c.ref == hint.id))

    def order_of(self, base_url: str, hint: Hint) -> str | None:
        """The ledger's key of the order that a hint names by its transaction id or its PO number; None where none is near."""
        names = [orders.c.transaction_id == hint.transaction_id] if hint.transaction_id else []
        names += [orders.c.po_number == hint.po_number] if hint.po_number else []
        if not names:
            return None
        # Found by state and time, of which there is an index: few of the ledger's orders are near. For its address as it stands,
        # a database takes an index in which all of them have the same.
        here = orders.c.base_url + "" == base_url
        best = case((orders.c.transaction_id == hint.transaction_id, 0), else_=1).label("best")
        found = select(orders.c.key, best).where(here, or_(*names))
        recent = and_(orders.c.state == State.CONFIRMED, orders.c.updated_at > moment() - CONFIRMED_SECONDS)
        near = union_all(found.where(orders.c.state.in_(_OPEN)), found.where(recent)).order_by("best").limit(2)
        with self._store.read() as connection:
            rows = connection.execute(near).all()
        is_certain = len(rows) == 1 or (len(rows) > 1 and rows[0][1] == 0)  # a PO number may be of several customers
        return rows[0].key if is_certain else None

    def of_order(self, order_id: str) -> list[StoredHint]:
        """What came of an order, the oldest first."""
        statement = (
            select(hints, (now() - hints.c.received_at).label("age"))
            .where(hints.c.order_id == order_id)
            .order_by(hints.c.received_at)
        )
        with self._store.read() as connection:
            return [
                StoredHint(Hint(**{name: getattr(row, name) for name in Hint.__slots__}), row.age, row.handled_at is not None)
                for row in connection.execute(statement)
            ]

    def forget(self, hint_id: str) -> None:
        """Give a hint up that nobody ever knew the order of."""
        with self._store.write() as connection:
            connection.execute(delete(hints).where(hints.c.id == hint_id))

    def _insert(self, hint: Hint, *, handled_at: Any) -> sqlite.Insert | postgresql.Insert:
        add = sqlite.insert if self._store.dialect == "sqlite" else postgresql.insert
        return add(hints).values(asdict(hint) | {"received_at": now(), "handled_at": handled_at})
