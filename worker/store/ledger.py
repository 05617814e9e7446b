"""The ledger of orders: every step is one transaction, and every transition one UPDATE that names the states it may leave.

Whoever reads a row and acts on it later may find it changed: `move` tells, and the caller looks again.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ClauseElement, Text, and_, any_, bindparam, delete, func, null, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from worker.store.errors import RowAhead
from worker.store.orders import ROW_VERSION, Claim, NewOrder, Order, StoredEvent
from worker.store.recording import COLUMNS, ROW, Step, expected, inserting, moving, writing_down
from worker.store.schema import events, now, orders, timers
from worker.store.timers import start_timers
from worker.store.transitions import Event, State, after

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement, Connection, CursorResult, Executable, Row
    from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

    from worker.store.engine import Store

__all__ = ["Ledger", "Moved", "Say"]

#: A confirmed order keeps its PO number for this long, in seconds (30 days).
PO_SECONDS = 30 * 86_400.0

#: Kind of the timer that publishes what was said and not yet published, and seconds until it does.
PUBLISH = "publish"
PUBLISH_SECONDS = 60.0

#: Columns in which a text is looked for.
_SEARCHED = ("key", "command_id", "po_number", "order_id", "queue_id", "transaction_id")

#: Gives what is to be said of an order, from its row.
Say = Callable[[Order], Sequence[StoredEvent]]

#: The states that this release knows.
_STATES = frozenset(State)


@dataclass(frozen=True, slots=True)
class Moved:
    """An order after a step, and what was stored to be said of it."""

    order: Order
    said: tuple[StoredEvent, ...] = ()


class Ledger:
    """The orders of one store; used by all threads of a process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, key: str) -> Order | None:
        """The order under a key, or None.

        Raises:
            RowAhead: a newer release wrote it.
        """
        with self._store.read() as connection:
            return _one(connection, orders.c.key == key)

    def claim(self, new: NewOrder, *, owner: str, lease_seconds: float) -> Claim:
        """Take an order for sending: insert it, or take it where nothing of it was executed yet.

        Only the command that made a row takes it again: its outcome is told under that command's id. Another command with
        the same key waits for it.

        Raises:
            RowAhead: a newer release wrote the row.
        """
        write_down = writing_down(new, owner=owner, lease_seconds=lease_seconds)
        order = self._store.brief(write_down)
        if order is not None:
            return Claim(order, claimed=True)
        with self._store.write() as connection:
            while True:
                found = _one(connection, orders.c.key == new.key)
                if found is not None:
                    return self._take(connection, found, new, owner, lease_seconds)
                other = _one(connection, orders.c.po_claim == new.po_claim)
                if other is not None and not self._released(connection, other):
                    return Claim(other, claimed=False, po_taken=True)
                order = write_down(connection)  # the number is free by now
                if order is not None:
                    return Claim(order, claimed=True)

    def _take(self, connection: Connection, found: Order, new: NewOrder, owner: str, lease_seconds: float) -> Claim:
        if found.state is State.SENDING and found.owner == owner:
            return Claim(found, claimed=True)  # an earlier try of this very claim, whose commit was not confirmed
        if found.state is not State.UNSENT or found.fingerprint != new.fingerprint or not _made_by(found, new):
            return Claim(found, claimed=False)
        taken = _move(
            connection,
            found,
            Event.CLAIM,
            owner=owner,
            lease_until=now() + lease_seconds,
            sent_at=now(),
            attempts=orders.c.attempts + 1,
            payload=func.coalesce(orders.c.payload, new.payload),  # emptied while it had given up
        )
        return Claim(taken, claimed=True) if taken else Claim(found, claimed=False)

    def _released(self, connection: Connection, other: Order) -> bool:
        """Whether a PO number that was confirmed long ago is free again."""
        if other.state is not State.CONFIRMED or (other.ended_at or other.updated_at) > other.read_at - PO_SECONDS:
            return False
        connection.execute(update(orders).where(orders.c.key == other.key).values(po_claim=null()))
        return True

    def refuse(self, new: NewOrder, say: Say) -> Order:
        """Write down that an order is not taken, so that it stays so; the row under its key, whatever it is by now."""
        with self._store.write() as connection:
            row = _insert(connection, new, State.REJECTED, po_claim=None).first()
            if row is not None:
                _say(connection, new.key, say(_order(row)))
            found = _one(connection, orders.c.key == new.key)
            assert found is not None  # noqa: S101 - inserted above, or there before
            return found

    def withdraw(self, new: NewOrder) -> Order:
        """Withdraw an order that was never seen, so that whoever brings it finds it so; the row under its key."""
        with self._store.write() as connection:
            _insert(connection, new, State.WITHDRAWN, po_claim=None)
            found = _one(connection, orders.c.key == new.key)
            assert found is not None  # noqa: S101 - inserted above, or there before
            return found

    def move(
        self,
        order: Order,
        event: Event,
        *,
        say: Say | None = None,
        timers_from_now: Mapping[str, float] | None = None,
        timers_to_stop: Iterable[str] = (),
        only_after_lease: bool = False,
        **changes: Any,
    ) -> Moved | None:
        """Let `event` happen to the order as it was read; None where it stands elsewhere by now, and nothing was changed.

        Args:
            order: as it was read; its state, run and owner must still be the same.
            event: what happens; `worker.store.transitions` has what may.
            say: gives the events to store with the moved order, whose times are those that were read. Each is published later, if
                nobody does so before.
            timers_from_now: kind to seconds: timers of the order that start, in the same transaction.
            timers_to_stop: kinds of its timers that end.
            only_after_lease: whoever sends it must have had its time, by the database's clock.
            changes: further columns.

        Raises:
            TransitionError: the event cannot happen in the state that was read.
        """
        moved = expected(order, after(order.state, event, resubmitted=order.resubmitted), changes)
        said = tuple(say(moved)) if say is not None else ()
        started = ({PUBLISH: PUBLISH_SECONDS} if said else {}) | dict(timers_from_now or {})
        stopped = frozenset(timers_to_stop) - started.keys()
        step = Step(order, moved, changes, said, started, stopped, only_after_lease)
        found = self._store.brief(step.taking())
        return None if found is None else Moved(found, said)

    def note(self, order: Order, **changes: Any) -> bool:
        """Write down what was seen of an order without moving it; False where it stands elsewhere by now."""
        with self._store.write() as connection:
            statement = update(orders).where(_unchanged(order)).values(updated_at=now(), **changes)
            done: bool = connection.execute(statement).rowcount == 1
            return done

    def say(self, key: str, said: Sequence[StoredEvent]) -> None:
        """Store events of an order, to be published."""
        with self._store.write() as connection:
            _say(connection, key, said)

    def start(self, key: str, from_now: Mapping[str, float]) -> None:
        """Start timers of an order without moving it: kind to seconds."""
        with self._store.write() as connection:
            start_timers(connection, key, from_now)

    def events(self, key: str) -> list[StoredEvent]:
        """Everything that was said of an order, the oldest first."""
        statement = select(events).where(events.c.key == key).order_by(events.c.created_at, events.c.id)
        with self._store.read() as connection:
            return [
                StoredEvent(
                    row.id,
                    row.type,
                    row.run,
                    row.body,
                    published=row.published_at is not None,
                    said_at=row.created_at,
                    published_at=row.published_at,
                )
                for row in connection.execute(statement)
            ]

    def mark_published(self, ids: Sequence[str]) -> None:
        """RabbitMQ is known to have these events; where all of an order's are out, its timer `publish` ends."""
        with self._store.write() as connection:
            given = {"ids": list(ids) if connection.dialect.name == "postgresql" else json.dumps(list(ids))}
            for statement in _marking(connection.dialect.name):
                connection.execute(statement, given)

    def redrive(self, order: Order, po_claim: str, **changes: Any) -> Claim:
        """Give an order that was never executed another run, if its PO number is still free.

        Returns:
            `claimed` with the order as it stands now; `po_taken` with the other order; neither where it stands elsewhere by now.
        """
        try:
            with self._store.write() as connection:
                other = _one(connection, orders.c.po_claim == po_claim)
                if other is not None and not self._released(connection, other):
                    return Claim(other, claimed=False, po_taken=True)
                anew = {"run": order.run + 1, "po_claim": po_claim, "attempts": 0, "sent_at": null(), "ended_at": null()}
                moved = _move(connection, order, Event.REDRIVE, **anew, **changes)
                return Claim(moved or order, claimed=moved is not None)
        except IntegrityError:  # another order took the number between the two statements, and is seen now
            return self.redrive(order, po_claim, **changes)

    def search(
        self,
        *,
        text: str | None = None,
        states: Iterable[State] = (),
        customer: str | None = None,
        older_than: float | None = None,
        limit: int = 100,
    ) -> list[Order]:
        """Orders, the newest first.

        Args:
            text: their key or its last part (the idempotency key), command id, PO number, order id, queue id or transaction id.
            states: any of these.
            customer: the customer's code.
            older_than: that came in at least so many seconds ago.
            limit: at most so many.
        """
        conditions: list[ColumnElement[bool]] = [orders.c.state.in_(list(states))] if states else []
        if text is not None:
            last_part = f",{json.dumps(text, ensure_ascii=False)}]"
            same = (orders.c[name] == text for name in _SEARCHED)
            conditions.append(or_(*same, orders.c.key.endswith(last_part, autoescape=True)))
        if customer is not None:
            conditions.append(orders.c.customer_code == customer)
        if older_than is not None:
            conditions.append(orders.c.created_at <= now() - older_than)
        newest_first = (orders.c.created_at.desc(), orders.c.key)
        statement = select(*ROW).where(and_(true(), *conditions)).order_by(*newest_first).limit(limit)
        with self._store.read() as connection:
            return [_order(row) for row in connection.execute(statement)]

    def standing(self, states: Iterable[State]) -> dict[State, tuple[int, float]]:
        """State to how many orders are in it, and the seconds since the oldest of them was sent (or came in)."""
        since = func.min(func.coalesce(orders.c.sent_at, orders.c.created_at))
        statement = (
            select(orders.c.state, func.count().label("number"), (now() - since).label("seconds"))
            .where(orders.c.state.in_(list(states)))
            .group_by(orders.c.state)
        )
        with self._store.read() as connection:
            return {State(row.state): (row.number, row.seconds) for row in connection.execute(statement)}

    def owners(self, base_url: str, order_ids: Sequence[str]) -> dict[str, str]:
        """Which of these SIPS order ids belong to which key."""
        statement = select(orders.c.order_id, orders.c.key).where(
            orders.c.base_url == base_url, orders.c.order_id.in_(list(order_ids))
        )
        with self._store.read() as connection:
            return {row.order_id: row.key for row in connection.execute(statement)}


def _made_by(order: Order, new: NewOrder) -> bool:
    """Whether a row was made by the command that now brings its order."""
    return (order.command_id, order.command_source) == (new.command_id, new.command_source)


def _insert(connection: Connection, new: NewOrder, state: State, **values: Any) -> CursorResult[Any]:
    """Insert a row unless its key or PO number is taken; the row where it was inserted."""
    row = {name: getattr(new, name) for name in NewOrder.__slots__}
    return connection.execute(_inserting(connection.dialect.name, state), row | values)


@functools.cache
def _inserting(dialect: str, state: State) -> ReturningInsert[Any]:
    """Made once, as that takes longer than to run it."""
    return inserting(dialect, state)


def _one(connection: Connection, condition: ColumnElement[bool]) -> Order | None:
    row = connection.execute(select(*ROW).where(condition)).first()
    return None if row is None else _order(row)


def _order(row: Row[Any]) -> Order:
    if row.row_version > ROW_VERSION or row.state not in _STATES:
        raise RowAhead(row.key, row.row_version)
    values = {name: getattr(row, name) for name in COLUMNS}
    return Order(**values | {"state": State(row.state), "read_at": row.read_at})


def _unchanged(order: Order) -> ColumnElement[bool]:
    owner = orders.c.owner.is_(None) if order.owner is None else orders.c.owner == order.owner
    return and_(orders.c.key == order.key, orders.c.state == order.state, orders.c.run == order.run, owner)


def _move(connection: Connection, order: Order, event: Event, *conditions: ColumnElement[bool], **changes: Any) -> Order | None:
    state = after(order.state, event, resubmitted=order.resubmitted)
    statement = _moving(order.state, state, owned=order.owner is not None)
    if conditions:
        statement = statement.where(*conditions)
    if computed := {name: value for name, value in changes.items() if isinstance(value, ClauseElement)}:
        statement = statement.values(computed)
    given = {name: value for name, value in changes.items() if name not in computed}
    row = connection.execute(statement, given | {"its_key": order.key, "its_run": order.run, "its_owner": order.owner}).first()
    return None if row is None else _order(row)


@functools.cache
def _moving(before: State, state: State, *, owned: bool) -> ReturningUpdate[Any]:
    """Made once, as that takes longer than to run it."""
    return moving(before, state, owned=owned).returning(*ROW)


def _say(connection: Connection, key: str, said: Sequence[StoredEvent]) -> None:
    """Store events; one that was said before stays as it was, so that a repetition says the same."""
    if not said:
        return
    rows = [{"id": event.id, "key": key, "type": event.type, "run": event.run, "body": event.body} for event in said]
    connection.execute(_saying(connection.dialect.name), rows)
    start_timers(connection, key, {PUBLISH: PUBLISH_SECONDS})


@functools.cache
def _marking(dialect: str) -> list[Executable]:
    """Mark events `ids` as published; one parameter for all, as hundreds cost more than what is done with them."""
    theirs: ColumnElement[bool]
    if dialect == "sqlite":
        theirs = events.c.id.in_(select(func.json_each(bindparam("ids", type_=Text())).table_valued("value").c.value))
    else:
        theirs = events.c.id == any_(bindparam("ids", type_=postgresql.ARRAY(Text())))
    keys = select(events.c.key).where(theirs)
    waiting = select(events.c.key).where(events.c.key.in_(keys), events.c.published_at.is_(None))
    done = and_(timers.c.kind == PUBLISH, timers.c.ref.in_(keys))
    return [
        update(events).where(theirs, events.c.published_at.is_(None)).values(published_at=now()),
        # Locked by a statement of its own: only the next one sees what was said of these orders until then.
        select(timers.c.ref).where(done).with_for_update(),
        delete(timers).where(done, timers.c.ref.not_in(waiting)),
    ]


@functools.cache
def _saying(dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Insert events; made once, as that takes longer than to run it."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(events).values(created_at=now()).on_conflict_do_nothing()
