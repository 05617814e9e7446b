"""Statements as the driver takes them: SQLAlchemy writes the SQL once, and is not asked again.

Its way from a statement to the driver and back costs more than what SQLite does in between. Only what every order needs goes
this way.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection, Dialect
    from sqlalchemy.sql.elements import ClauseElement

__all__ = ["Statement"]


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

    def first(self, connection: Connection, given: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Execute it; its first row, if it returns one. An error is the driver's own."""
        driver: Any = connection.connection.driver_connection
        values = {**self._fixed, **given}
        cursor = driver.execute(self._sql, values if self._order is None else [values[name] for name in self._order])
        rows: list[tuple[Any, ...]] = cursor.fetchall()  # to the end, as SQLite has not done all before
        return rows[0] if rows else None


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
