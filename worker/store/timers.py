"""Timers: one row per kind and thing, claimed when due by whichever worker comes first."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Double, and_, bindparam, case, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from worker.store.schema import moment, now, timers
from worker.store.statements import Statement, Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Dialect
    from sqlalchemy.sql.dml import ReturningUpdate

    from worker.store.engine import Store

__all__ = ["Timer", "Timers", "hasten_timer", "or_moved", "start_timers"]


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer that was claimed.

    Attributes:
        kind: what is to be done, such as `reconcile`.
        ref: what it is about.
        claims: how often it was claimed or set anew; tells this claim from a later one.
    """

    kind: str
    ref: str
    claims: int


class Timers:
    """The timers of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, limit: int, *, lease_seconds: float) -> list[Timer]:
        """Take up to `limit` timers that are due; each becomes due again after the lease, unless it was ended or moved."""
        with self._store.write() as connection:
            return [Timer(row.kind, row.ref, row.claims) for row in connection.execute(_claiming(limit, lease_seconds))]

    def end(self, timer: Timer) -> None:
        """The timer did its work; one that was set anew meanwhile stays."""
        with self._store.write() as connection:
            connection.execute(delete(timers).where(_same(timer)))

    def again(self, timer: Timer, seconds: float) -> None:
        """The timer is due again in `seconds`, unless it was set anew meanwhile."""
        given = {"its_kind": timer.kind, "its_ref": timer.ref, "its_claims": timer.claims, "seconds": seconds}
        self._store.brief(Work(given, _moving, lambda _row: None))

    def give_back(self, claimed: Iterable[Timer]) -> None:
        """Nothing came of these claims: the timers are due at once, but for those that were set anew meanwhile."""
        theirs = tuple_(timers.c.kind, timers.c.ref, timers.c.claims)
        given_back = [(timer.kind, timer.ref, timer.claims) for timer in claimed]
        with self._store.write() as connection:
            connection.execute(update(timers).where(theirs.in_(given_back)).values(due=now()))

    def is_awaited(self, timer: Timer, *, within: float) -> bool:
        """Whether a claimed timer is still there and due within so many seconds; else it was ended or put off since."""
        of_it = and_(timers.c.kind == timer.kind, timers.c.ref == timer.ref, timers.c.due <= now() + within)
        with self._store.read() as connection:
            return connection.execute(select(timers.c.kind).where(of_it)).first() is not None

    def stop(self, timer: Timer) -> None:
        """End a timer, also one that was claimed or set anew meanwhile."""
        with self._store.write() as connection:
            connection.execute(delete(timers).where(timers.c.ref == timer.ref, timers.c.kind == timer.kind))

    def start(self, kind: str, ref: str, seconds: float) -> None:
        """Set a timer; one of the same kind for the same thing is moved."""
        with self._store.write() as connection:
            start_timers(connection, ref, {kind: seconds})

    def hasten(self, kind: str, ref: str, seconds: float) -> None:
        """Set a timer; one of the same kind for the same thing comes as soon as it would have, or sooner."""
        with self._store.write() as connection:
            hasten_timer(connection, kind, ref, seconds)

    def hasten_all(self, kind: str, seconds: Mapping[str, float]) -> None:
        """The same for many things: what each is about, to seconds."""
        if not seconds:
            return
        with self._store.write() as connection:
            for ref in sorted(seconds):  # whoever sets several locks them in one sequence
                hasten_timer(connection, kind, ref, seconds[ref])

    def start_missing(self, kind: str, ref: str, seconds: float) -> None:
        """Set a timer unless there is one of the same kind for the same thing."""
        insert = sqlite.insert if self._store.dialect == "sqlite" else postgresql.insert
        adding = insert(timers).values(kind=kind, ref=ref, due=now() + seconds, claims=0).on_conflict_do_nothing()
        with self._store.write() as connection:
            connection.execute(adding)

    def of(self, ref: str) -> dict[str, float]:
        """Kind to seconds until it is due, of everything that is set for a thing."""
        return self.of_all([ref])[ref]

    def of_all(self, refs: Sequence[str]) -> dict[str, dict[str, float]]:
        """The same of many things."""
        found: dict[str, dict[str, float]] = {ref: {} for ref in refs}
        statement = select(timers.c.ref, timers.c.kind, (timers.c.due - now()).label("seconds"))
        with self._store.read() as connection:
            for row in connection.execute(statement.where(timers.c.ref.in_(list(found)))):
                found[row.ref][row.kind] = row.seconds
        return found

    def waiting(self) -> int:
        """How many timers there are."""
        with self._store.read() as connection:
            number: int = connection.execute(select(func.count()).select_from(timers)).scalar_one()
            return number

    def late(self, seconds: float) -> tuple[int, float]:
        """How many timers have been due for more than so many seconds, and for how long the oldest of them."""
        late = now() - timers.c.due
        statement = select(func.count(), func.max(late)).where(timers.c.due < moment() - seconds)
        with self._store.read() as connection:
            number, longest = connection.execute(statement).one()
        return number, longest or 0.0


@functools.cache
def _claiming(limit: int, lease_seconds: float) -> ReturningUpdate[tuple[str, str, int]]:
    """Claim timers; made once, as that takes longer than to run it where nothing is due."""
    # A common table expression, as PostgreSQL may run a subquery more than once and so go over the limit.
    due = (
        select(timers.c.kind, timers.c.ref)
        .where(timers.c.due <= moment())
        .order_by(timers.c.due)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    return (
        update(timers)
        .where(tuple_(timers.c.kind, timers.c.ref).in_(select(due.c.kind, due.c.ref)))
        .values(due=now() + lease_seconds, claims=timers.c.claims + 1)
        .returning(timers.c.kind, timers.c.ref, timers.c.claims)
    )


def start_timers(connection: Connection, ref: str, from_now: Mapping[str, float]) -> None:
    """Set timers within a transaction of the caller's: kind to seconds from now."""
    for kind, seconds in from_now.items():
        connection.execute(_setting(connection.dialect.name), {"kind": kind, "ref": ref, "seconds": seconds})


def hasten_timer(connection: Connection, kind: str, ref: str, seconds: float) -> None:
    """Set a timer within a transaction of the caller's; one that is there already comes as soon as it would have, or sooner."""
    connection.execute(_hastening(connection.dialect.name), {"kind": kind, "ref": ref, "seconds": seconds})


@functools.cache
def _hastening(dialect: str) -> sqlite.Insert | postgresql.Insert:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    setting = insert(timers).values(due=now() + bindparam("seconds", type_=Double()), claims=0)
    sooner = case((timers.c.due < setting.excluded.due, timers.c.due), else_=setting.excluded.due)
    moved = {"due": sooner, "claims": timers.c.claims + 1}
    return setting.on_conflict_do_update(index_elements=[timers.c.kind, timers.c.ref], set_=moved)


@functools.cache
def _setting(dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Set a timer or move it; made once, as that takes longer than to run it."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return or_moved(insert(timers).values(due=now() + bindparam("seconds", type_=Double()), claims=0))


def or_moved(statement: sqlite.Insert | postgresql.Insert) -> sqlite.Insert | postgresql.Insert:
    """Insert timers; one that is there already is moved, and whoever has claimed it is told by its number of claims."""
    moved = {"due": statement.excluded.due, "claims": timers.c.claims + 1}
    return statement.on_conflict_do_update(index_elements=[timers.c.kind, timers.c.ref], set_=moved)


@functools.cache
def _moving(dialect: Dialect) -> list[Statement]:
    same = (
        timers.c.kind == bindparam("its_kind"),
        timers.c.ref == bindparam("its_ref"),
        timers.c.claims == bindparam("its_claims"),
    )
    clause = update(timers).where(*same).values(due=now() + bindparam("seconds", type_=Double())).returning(timers.c.claims)
    return [Statement(clause, dialect, ["its_kind", "its_ref", "its_claims", "seconds"])]


def _same(timer: Timer) -> ColumnElement[bool]:
    return and_(timers.c.kind == timer.kind, timers.c.ref == timer.ref, timers.c.claims == timer.claims)
