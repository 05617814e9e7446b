"""Statements as the driver takes them: SQLAlchemy writes the SQL once, and is not asked again.

Its way from a statement to the driver and back costs more than what SQLite does in between. Only what every order needs goes
this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sqlalchemy import Connection, Dialect
    from sqlalchemy.sql.elements import ClauseElement

__all__ = ["Statement", "Work", "first_row"]

T = TypeVar("T")


class Statement:
    """One statement for one kind of database.

    Args:
        clause: SQLAlchemy's; values that it holds itself stay as they are.
        dialect: of SQLAlchemy's engine, with the driver's style of parameters.
        given: names of the parameters that differ from one execution to the next.
        columns: names of those that are set, or inserted, from parameters of their own names.
    """

    def __init__(self, clause: ClauseElement, dialect: Dialect, given: Collection[str], columns: Collection[str] = ()) -> None:
        compiled: Any = clause.compile(dialect=dialect, column_keys=list(columns))
        self._sql = str(compiled)
        self._order: list[str] | None = compiled.positiontup
        names = {*given, *columns}
        self._fixed = {name: _plain(value) for name, value in compiled.params.items() if name not in names}

    def execute(self, driver: Any, given: Mapping[str, Any]) -> Any:
        """The driver's cursor; an error is the driver's own."""
        values = {**self._fixed, **given}
        return driver.execute(self._sql, values if self._order is None else [values[name] for name in self._order])


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """What is done in one transaction: a statement, and what depends on the row it returns, if it returns one.

    Attributes:
        given: parameters of all its statements.
        statements: for SQLAlchemy's dialect; where the first returns no row, the others are not executed.
        result: from that row, or None.
    """

    given: Mapping[str, Any]
    statements: Callable[[Dialect], Sequence[Statement]]
    result: Callable[[tuple[Any, ...] | None], T]

    def __call__(self, connection: Connection) -> T:
        """Execute all of it, within a transaction of the caller's."""
        driver: Any = connection.connection.driver_connection
        first, *others = self.statements(connection.dialect)
        row = first_row(first.execute(driver, self.given))
        if row is not None:
            for statement in others:
                first_row(statement.execute(driver, self.given))
        return self.result(row)


def first_row(cursor: Any) -> tuple[Any, ...] | None:
    """What a statement returned; read to the end, as SQLite has not done all before."""
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows[0] if rows else None


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
