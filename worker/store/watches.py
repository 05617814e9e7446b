"""Watches: what is known of orders at SIPS, who wants to hear of changes, and the facts that are told of them.

An observation counts by the database's time from before its call: the newest one stands, whichever is written last. Facts are
stored in the same transaction as the state that they tell of, and numbered in it.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Double, and_, bindparam, case, delete, func, null, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from worker.store import watch_rows
from worker.store.facts import mark_told, store_facts, unpublished
from worker.store.schema import hints, moment, now, subscriptions, timers, watches
from worker.store.statements import Statement, Work
from worker.store.timers import hasten_timer
from worker.store.watched import Kind, Observed, Part, Subscription, Watch, customer_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Dialect

    from worker.store.engine import Store
    from worker.store.orders import StoredEvent
    from worker.store.watched import NewWatch

__all__ = ["DELIVERIES", "HINT", "INVOICES", "ORDERS", "Watches"]

#: Kinds of timers: the status of a customer's orders, the deliveries and the invoices of one order, a hint of no known order.
ORDERS, DELIVERIES, INVOICES, HINT = "orders", "deliveries", "invoices", "hint"


class Watches:
    """The watches of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, key: str) -> Watch | None:
        """What is known of an order, with its subscriptions; `read_at` is from before any call that is made now."""
        with self._store.read() as connection:
            return watch_rows.find(connection, key)

    def find_all(self, keys: Sequence[str]) -> list[Watch]:
        """The same of many orders, in the sequence of their keys."""
        with self._store.read() as connection:
            return watch_rows.read(connection, watches.c.key.in_(list(keys)), order=watches.c.key)

    def search(
        self, *, text: str | None = None, customer: str | None = None, ended: bool = False, limit: int = 100
    ) -> list[Watch]:
        """Watches, the newest first.

        Args:
            text: their order id, PO number or key.
            customer: the customer's code.
            ended: those that nobody waits for as well.
            limit: at most so many.
        """
        wanted: list[ColumnElement[bool]] = [] if ended else [watches.c.ended_at.is_(None)]
        if text is not None:
            wanted.append(or_(watches.c.order_id == text, watches.c.po_number == text, watches.c.key == text))
        if customer is not None:
            wanted.append(watches.c.customer_code == customer)
        with self._store.read() as connection:
            return watch_rows.read(connection, and_(True, *wanted), order=watches.c.created_at.desc(), limit=limit)

    def of_customer(self, base_url: str, customer_code: str, *, within: float, limit: int) -> list[Watch]:
        """Those whose status is to be looked at within so many seconds, the first due first."""
        theirs = and_(watches.c.base_url == base_url, watches.c.customer_code == customer_code)
        with self._store.read() as connection:
            return watch_rows.read(connection, and_(theirs, watches.c.due <= moment() + within), order=watches.c.due, limit=limit)

    def next_due(self, base_url: str, customer_code: str) -> float | None:
        """Seconds until the next look at the status of a customer's orders; None = nobody waits for one."""
        statement = select(func.min(watches.c.due) - now()).where(
            watches.c.base_url == base_url, watches.c.customer_code == customer_code
        )
        with self._store.read() as connection:
            seconds: float | None = connection.execute(statement).scalar_one()
            return seconds

    def open(self, new: NewWatch) -> Watch:
        """The row of an order, made if it is not there; hints that wait for the order are looked at now."""
        add = sqlite.insert if self._store.dialect == "sqlite" else postgresql.insert
        row = {"key": new.key, "base_url": new.base_url, "order_id": new.order_id, "envelope": new.envelope, "sequence": 0}
        row |= {"customer_code": new.customer_code, "po_number": new.po_number, "ended_at": now()}
        row["created_at"] = now() if new.created_at is None else new.created_at
        inserting = add(watches).values(row)
        known = {
            name: case((watches.c[name] == "", inserting.excluded[name]), else_=watches.c[name])
            for name in ("customer_code", "po_number")
        }
        with self._store.write() as connection:
            connection.execute(inserting.on_conflict_do_update(index_elements=[watches.c.key], set_=known))
            names = [hints.c.order_id == new.order_id]
            names += [hints.c.transaction_id == new.transaction_id] if new.transaction_id else []
            theirs = select(hints.c.id).where(hints.c.handled_at.is_(None), or_(*names))
            # The number of claims tells whoever is trying one of them in vain just now.
            at_once = {"due": now(), "claims": timers.c.claims + 1}
            connection.execute(update(timers).where(timers.c.kind == HINT, timers.c.ref.in_(theirs)).values(at_once))
            watch = watch_rows.read(connection, watches.c.key == new.key)[0]
            if watch.due is not None:  # whose it is may have been learned now
                seconds = max(watch.due - watch.read_at, 0.0)
                hasten_timer(connection, ORDERS, customer_ref(watch.base_url, watch.customer_code), seconds)
            return watch

    def subscribe(self, watch: Watch, wanted: Iterable[Subscription], seconds: float, *, keep: bool = False) -> Watch:
        """Let somebody wait for changes; the first look is made in so many seconds, or sooner where others wait for it.

        Args:
            watch: what of.
            wanted: replaces what the same source asked for before.
            seconds: from now.
            keep: what the same source asked for before stays instead.
        """
        add = sqlite.insert if self._store.dialect == "sqlite" else postgresql.insert
        with self._store.write() as connection:
            for one in wanted:
                terminal = orjson.dumps(one.terminal).decode() if one.terminal is not None else None
                row = {name: getattr(one, name) for name in ("kind", "source", "command_id", "interval", "until")}
                adding = add(subscriptions).values(row | {"key": watch.key, "terminal": terminal, "created_at": now()})
                same = {name: adding.excluded[name] for name in ("command_id", "interval", "until", "terminal")}
                primary = ["key", "kind", "source"]
                connection.execute(
                    adding.on_conflict_do_nothing(index_elements=primary)
                    if keep
                    else adding.on_conflict_do_update(index_elements=primary, set_=same)
                )
                if one.kind is Kind.ORDER:
                    due = now() + seconds
                    sooner = case((watches.c.due < due, watches.c.due), else_=due)  # others may wait for it
                    connection.execute(update(watches).where(watches.c.key == watch.key).values(due=sooner))
                    hasten_timer(connection, ORDERS, customer_ref(watch.base_url, watch.customer_code), seconds)
                else:
                    hasten_timer(connection, DELIVERIES, watch.key, seconds)
            connection.execute(update(watches).where(watches.c.key == watch.key).values(ended_at=null()))
            return watch_rows.read(connection, watches.c.key == watch.key)[0]

    def end(self, key: str, ended: Iterable[Subscription]) -> int:
        """End subscriptions, but for those that their source has moved meanwhile; how many there were."""
        columns = (subscriptions.c.kind, subscriptions.c.source, subscriptions.c.command_id)
        return self._end(key, tuple_(*columns).in_([(str(one.kind), one.source, one.command_id) for one in ended]))

    def cancel(self, key: str, source: str, kinds: Iterable[Kind]) -> int:
        """End what a source has asked for; how many subscriptions there were."""
        return self._end(key, and_(subscriptions.c.source == source, subscriptions.c.kind.in_([str(kind) for kind in kinds])))

    def _end(self, key: str, theirs: ColumnElement[bool]) -> int:
        """A timer that is set ends with one more look."""
        with self._store.write() as connection:
            number: int = connection.execute(delete(subscriptions).where(subscriptions.c.key == key, theirs)).rowcount
            kinds = select(subscriptions.c.kind).where(subscriptions.c.key == key).distinct()
            left = set(connection.execute(kinds).scalars())
            ended_at: dict[str, Any] = {} if left else {"ended_at": func.coalesce(watches.c.ended_at, now())}
            due: dict[str, Any] = {} if Kind.ORDER in left else {"due": null()}
            if ended_at or due:
                connection.execute(update(watches).where(watches.c.key == key).values(ended_at | due))
            return number

    def observe(
        self,
        watch: Watch,
        part: Part,
        state_of: Callable[[Watch], str],
        say: Callable[[Watch], Sequence[StoredEvent]],
        hasten: Mapping[str, float] | None = None,
    ) -> Observed:
        """Write down what SIPS said of a part after `watch` was read; nothing where somebody saw it later.

        Args:
            watch: as it was read before the call.
            part: that was read.
            state_of: what is known of it from here on, given what is known by then.
            say: gives the facts of a change, numbered from the sequence of the watch as it is given to it.
            hasten: kind to seconds: timers of the watch that are set in the same transaction, where there is a change.
        """
        column, seen_at, state = watches.c[part], watches.c[f"{part}_seen_at"], state_of(watch)
        if self._store.brief(_seeing(watch, part, state)):
            return Observed(_with(watch, part, state, watch.read_at), changed=False)
        with self._store.write() as connection:
            found = watch_rows.read(connection, watches.c.key == watch.key, lock=True)
            if not found or (found[0].seen_at(part) or 0.0) >= watch.read_at:
                return Observed(found[0] if found else watch, changed=False)
            before, state = found[0], state_of(found[0])
            is_known = state == before.state(part)  # somebody wrote down the same while we waited for the row
            said = () if is_known else say(before)
            sequence = before.sequence + len(said)
            connection.execute(
                update(watches)
                .where(watches.c.key == watch.key)
                .values({column: state, seen_at: watch.read_at, watches.c.sequence: sequence})
            )
            for kind, seconds in (hasten or {}).items() if not is_known else ():
                hasten_timer(connection, kind, watch.key, seconds)
            after = replace(_with(before, part, state, watch.read_at), sequence=sequence)
            return Observed(after, changed=bool(said), waiting=store_facts(connection, watch.key, said))

    def looked(self, same: Sequence[Watch], due: Mapping[str, float]) -> None:
        """Orders were looked at together: these are as they were read, and the keys are looked at again in so many seconds."""
        pairs = [(watch.key, watch.status) for watch in same]
        seen_at = min((watch.read_at for watch in same), default=0.0)
        with self._store.write() as connection:
            if pairs:
                unchanged = tuple_(watches.c.key, watches.c.status).in_(pairs)
                older = watches.c.status_seen_at < seen_at
                connection.execute(update(watches).where(unchanged, older).values(status_seen_at=seen_at))
            by_seconds: dict[float, list[str]] = {}
            for key, seconds in due.items():
                by_seconds.setdefault(seconds, []).append(key)
            for seconds, keys in by_seconds.items():
                watched = and_(watches.c.key.in_(keys), watches.c.due.is_not(None))
                connection.execute(update(watches).where(watched).values(due=now() + seconds))

    def hasten_status(self, watch: Watch, seconds: float) -> bool:
        """Look at the status of an order in so many seconds, or sooner, where somebody waits for it; whether anybody does."""
        with self._store.write() as connection:
            later = and_(watches.c.key == watch.key, watches.c.due > now() + seconds)
            if connection.execute(update(watches).where(later).values(due=now() + seconds)).rowcount:
                hasten_timer(connection, ORDERS, customer_ref(watch.base_url, watch.customer_code), seconds)
                return True
            is_watched = and_(watches.c.key == watch.key, watches.c.due.is_not(None))
            return connection.execute(select(watches.c.key).where(is_watched)).first() is not None

    def customer_is(self, watch: Watch, customer_code: str, po_number: str | None) -> Watch:
        """SIPS tells whose order it is, of one whose customer was not known."""
        with self._store.write() as connection:
            told = {"customer_code": customer_code} | ({"po_number": po_number} if po_number and not watch.po_number else {})
            connection.execute(update(watches).where(watches.c.key == watch.key).values(told))
            if watch.due is not None:
                hasten_timer(connection, ORDERS, customer_ref(watch.base_url, customer_code), max(watch.due - watch.read_at, 0.0))
        return replace(watch, customer_code=customer_code, po_number=watch.po_number or po_number or "")

    def waiting(self, key: str) -> Sequence[StoredEvent]:
        """What was said of an order and is not known to be published, in its sequence."""
        with self._store.read() as connection:
            return unpublished(connection, key)

    def told(self, key: str, ids: Sequence[str]) -> Sequence[StoredEvent]:
        """RabbitMQ has these facts of an order; what was stored meanwhile and is to be published next."""
        with self._store.write() as connection:
            return mark_told(connection, key, ids)


def _seeing(watch: Watch, part: Part, state: str) -> Work[bool]:
    """A part is as it was known: only when it was seen moves. Nearly every look ends so."""
    given = {"its_key": watch.key, "its_state": state, "looked_at": watch.read_at}
    return Work(given, functools.partial(_marking, part=part), lambda row: row is not None)


@functools.cache
def _marking(dialect: Dialect, part: Part) -> list[Statement]:
    seen_at = watches.c[f"{part}_seen_at"]
    looked_at: ColumnElement[float] = bindparam("looked_at", type_=Double())
    same = (watches.c.key == bindparam("its_key"), watches.c[part] == bindparam("its_state"), seen_at < looked_at)
    clause = update(watches).where(*same).values({seen_at: looked_at}).returning(watches.c.key)
    return [Statement(clause, dialect, ["its_key", "its_state", "looked_at"])]


def _with(watch: Watch, part: Part, state: str, seen_at: float) -> Watch:
    changes: dict[str, Any] = {str(part): state, f"{part}_seen_at": seen_at}
    return replace(watch, **changes)
