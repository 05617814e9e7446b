"""The two transactions that each order takes: it is written down before it is sent, and then what came of it, with what is said.

They go to the driver without SQLAlchemy, and on PostgreSQL each of them is one statement: a transaction by itself, which waits
for the server once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Double, Integer, Text, bindparam, delete, literal, null, or_, select, true, union_all, update
from sqlalchemy.dialects import postgresql, sqlite

from worker.store.orders import ROW_VERSION, NewOrder, Order
from worker.store.schema import events, now, orders, timers
from worker.store.statements import Statement, Work
from worker.store.timers import or_moved
from worker.store.transitions import FAILED, SETTLED, State

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import CTE, BindParameter, ColumnElement, CompoundSelect, Delete, Dialect, Select, Update
    from sqlalchemy.sql.dml import ReturningInsert
    from sqlalchemy.types import TypeEngine

    from worker.store.orders import StoredEvent

__all__ = ["COLUMNS", "ROW", "Step", "inserting", "moving", "writing_down"]

#: Columns of a row that an `Order` has, and the whole row as it is read.
COLUMNS = tuple(field for field in Order.__slots__ if field != "read_at")
ROW = (*(orders.c[name] for name in COLUMNS), orders.c.row_version, now().label("read_at"))

#: What a step's order is not known to have. Of an order that is being sent that is the database's times: nobody but its sender
#: changes the rest.
_TIMES = ("lease_until", "sent_at", "created_at", "updated_at", "ended_at", "read_at")
_UNKNOWN = (*(name for name in COLUMNS if name not in {"key", "state", "resubmitted"}), "read_at")

#: What an order is inserted with, beside what it came with.
_AS_SENT: dict[str, Any] = dict.fromkeys(COLUMNS) | {"state": State.SENDING, "resubmitted": False, "attempts": 1, "looks": 0}

#: Columns of an event that are given.
_SAID: dict[str, TypeEngine[Any]] = {"id": Text(), "type": Text(), "run": Integer(), "body": Text()}

#: The same of a timer, but for its order; in seconds from now.
_STARTED: dict[str, TypeEngine[Any]] = {"kind": Text(), "seconds": Double()}

_KEY = bindparam("its_key", type_=Text())


def inserting(dialect: str, state: State, returning: Sequence[ColumnElement[Any]] = ROW) -> ReturningInsert[Any]:
    """Insert an order that is to be sent, with the seconds of its lease, or one that has ended; nothing if it is there."""
    add = sqlite.insert if dialect == "sqlite" else postgresql.insert
    sent = {"lease_until": now() + bindparam("lease_seconds", type_=Double()), "sent_at": now(), "attempts": 1}
    values = {
        "state": state,
        "row_version": ROW_VERSION,
        "resubmitted": False,
        "attempts": 0,
        "looks": 0,
        "created_at": now(),
        "updated_at": now(),
    } | (sent if state is State.SENDING else {"ended_at": now()})
    return add(orders).values(values).on_conflict_do_nothing().returning(*returning)


def moving(before: State, state: State, *, owned: bool) -> Update:
    """Move the order `its_key` where its state, its run and its owner are as they were read."""
    values: dict[str, Any] = {"state": state, "updated_at": now(), "row_version": ROW_VERSION}
    if before is State.SENDING:
        values |= {"owner": null(), "lease_until": null()}
    if state in SETTLED:
        values["ended_at"] = now()
    if state in FAILED:
        values["po_claim"] = null()
    owner = orders.c.owner == bindparam("its_owner") if owned else orders.c.owner.is_(None)
    same = (orders.c.key == bindparam("its_key"), orders.c.state == before, orders.c.run == bindparam("its_run"), owner)
    return update(orders).where(*same).values(values)


def writing_down(new: NewOrder, *, owner: str, lease_seconds: float) -> Work[Order | None]:
    """Insert an order that is sent next; gives None if its key or its PO number is taken."""
    row = {name: getattr(new, name) for name in NewOrder.__slots__} | {"owner": owner}

    def inserted(times: tuple[Any, ...] | None) -> Order | None:
        return None if times is None else Order(**_AS_SENT | row | dict(zip(_TIMES, times, strict=True)))

    return Work({**row, "lease_seconds": lease_seconds}, _inserting, inserted)


@functools.cache
def _inserting(dialect: Dialect) -> list[Statement]:
    clause = inserting(dialect.name, State.SENDING, _columns(_TIMES))
    return [Statement(clause, dialect, given=["lease_seconds"], columns=[*NewOrder.__slots__, "owner"])]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of an order, all of it in one transaction.

    Attributes:
        order: as it was read.
        after: as it is after the step, but for the database's times; see `expected`.
        changes: columns beside its state.
        said: events to store; one that was said before stays as it was, so that a repetition says the same.
        started: kind to seconds from now: its timers that are set, or moved.
        stopped: kinds of its timers that end.
        only_after_lease: whoever sends it must have had its time, by the database's clock.
    """

    order: Order
    after: Order
    changes: Mapping[str, Any]
    said: Sequence[StoredEvent]
    started: Mapping[str, float]
    stopped: Collection[str]
    only_after_lease: bool

    def taking(self) -> Work[Order | None]:
        """Take it; gives the order after it, and None where the order stands elsewhere by now, and nothing was changed."""
        returned = _returned(self.order.state)

        def taken(row: tuple[Any, ...] | None) -> Order | None:
            return None if row is None else replace(self.after, **dict(zip(returned, row, strict=True)))

        return Work(self._given(), functools.partial(_taking, kind=self._kind()), taken)

    def _kind(self) -> _Kind:
        return _Kind(
            self.order.state,
            self.after.state,
            self.order.owner is not None,
            tuple(self.changes),
            len(self.said),
            len(self.started),
            len(self.stopped),
            self.only_after_lease,
        )

    def _given(self) -> dict[str, Any]:
        order = self.order
        given = {"its_key": order.key, "its_run": order.run, "its_owner": order.owner}
        given |= {f"new_{name}": value for name, value in self.changes.items()}
        for number, event in enumerate(self.said):
            given |= {f"{name}_{number}": getattr(event, name) for name in _SAID}
        for number, (kind, seconds) in enumerate(self.started.items()):
            given |= {f"kind_{number}": kind, f"seconds_{number}": seconds}
        for number, kind in enumerate(self.stopped):
            given[f"stopped_{number}"] = kind
        return given


def expected(order: Order, state: State, changes: Mapping[str, Any]) -> Order:
    """An order as a step leaves it, but for the database's times: what is said of it is known before the step is taken."""
    cleared: dict[str, Any] = {"owner": None, "lease_until": None} if order.state is State.SENDING else {}
    if state in FAILED:
        cleared["po_claim"] = None
    return replace(order, **{**cleared, "state": state, **changes})


def _returned(state: State) -> tuple[str, ...]:
    return _TIMES if state is State.SENDING else _UNKNOWN


def _columns(names: Sequence[str]) -> list[ColumnElement[Any]]:
    return [now().label(name) if name == "read_at" else orders.c[name] for name in names]


class _Kind(NamedTuple):
    """What the statements of a step depend on: the columns that change, and how many events and timers there are."""

    before: State
    after: State
    is_owned: bool
    columns: tuple[str, ...]
    said: int
    started: int
    stopped: int
    only_after_lease: bool


@functools.cache
def _taking(dialect: Dialect, kind: _Kind) -> list[Statement]:
    """The statements of a step. Where the first returns nothing there is no step, and the others are not executed.

    PostgreSQL has them in one, where the others read what the first returns.
    """
    changes = {name: bindparam(f"new_{name}", type_=orders.c[name].type) for name in kind.columns}
    moved = moving(kind.before, kind.after, owned=kind.is_owned).values(changes).returning(*_columns(_returned(kind.before)))
    if kind.only_after_lease:
        moved = moved.where(orders.c.lease_until < now())
    cte = moved.cte("moved") if dialect.name == "postgresql" else None
    parts: list[Any] = [
        *([_saying(dialect.name, kind.said, cte)] if kind.said else []),
        *([_starting(dialect.name, kind.started, cte)] if kind.started else []),
        *([_stopping(kind.stopped, cte)] if kind.stopped else []),
    ]
    names = ["its_key", "its_run", "its_owner", *(f"new_{name}" for name in kind.columns)]
    names += [f"{name}_{number}" for name in _SAID for number in range(kind.said)]
    names += [f"{name}_{number}" for name in _STARTED for number in range(kind.started)]
    names += [f"stopped_{number}" for number in range(kind.stopped)]
    if cte is None:
        return [Statement(clause, dialect, names) for clause in (moved, *parts)]
    return [Statement(select(cte).add_cte(*(part.cte() for part in parts)), dialect, names)]


def _saying(dialect: str, number: int, moved: CTE | None) -> sqlite.Insert | postgresql.Insert:
    add = sqlite.insert if dialect == "sqlite" else postgresql.insert
    rows = _rows([[*_given(_SAID, row), _KEY, now()] for row in range(number)], moved)
    return add(events).from_select([*_SAID, "key", "created_at"], rows).on_conflict_do_nothing()


def _starting(dialect: str, number: int, moved: CTE | None) -> sqlite.Insert | postgresql.Insert:
    add = sqlite.insert if dialect == "sqlite" else postgresql.insert
    given = (_given(_STARTED, row) for row in range(number))
    rows = _rows([[kind, _KEY, now() + seconds, literal(0)] for kind, seconds in given], moved)
    return or_moved(add(timers).from_select(["kind", "ref", "due", "claims"], rows))


def _stopping(number: int, moved: CTE | None) -> Delete:
    kinds = or_(*(timers.c.kind == bindparam(f"stopped_{row}") for row in range(number)))
    its = _KEY if moved is None else select(_KEY).select_from(moved).scalar_subquery()
    return delete(timers).where(timers.c.ref == its, kinds)


def _given(columns: Mapping[str, TypeEngine[Any]], row: int) -> list[BindParameter[Any]]:
    return [bindparam(f"{name}_{row}", type_=type_) for name, type_ in columns.items()]


def _rows(rows: Sequence[Sequence[ColumnElement[Any]]], moved: CTE | None) -> Select[Any] | CompoundSelect[Any]:
    """These rows; none where nothing was moved."""
    selects = [select(*row).where(true()) for row in rows]  # SQLite's parser needs a WHERE before ON CONFLICT
    if moved is not None:
        selects = [each.select_from(moved) for each in selects]
    return selects[0] if len(selects) == 1 else union_all(*selects)
