"""What is asked for all the time is found by an index, on SQLite and on PostgreSQL, however much there is beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from worker.store.hints import Hint, Hints
from worker.store.timers import Timers
from worker.store.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.store.engine import Store

URL = "https://sips.example"


def plan(store: Store, ask: Callable[[], object]) -> str:
    """How the database would carry out what is asked for."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    (statement,) = [one for one in asked if "timers" in one[0] or "watches" in one[0] or "orders" in one[0]]
    with store.read() as connection:
        if store.dialect == "postgresql":
            connection.execute(text("set enable_seqscan = off"))  # of a table that is empty nothing is looked up
        explain = "explain query plan " if store.dialect == "sqlite" else "explain "
        rows = connection.exec_driver_sql(explain + statement[0], statement[1]).all()
        if store.dialect == "postgresql":
            connection.execute(text("reset enable_seqscan"))
    return " ".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize(
    ("ask", "sqlite", "postgresql"),
    [
        (lambda store: Timers(store).claim(9, lease_seconds=60.0), "timers_due (due<?)", "Index Cond: (due <= "),
        (lambda store: Timers(store).late(60.0), "timers_due (due<?)", "Index Cond: (due < "),
        (
            lambda store: Watches(store).of_customer(URL, "C1", within=1.0, limit=9),
            "watches_due (base_url=? AND customer_code=? AND due<?)",
            "AND (due <= ",
        ),
        (
            lambda store: Hints(store).order_of(URL, Hint("h", "OU", "", "PO-1", "t-1", "")),
            "orders_state (state=? AND updated_at>?)",
            "Index Cond: ((state = 'confirmed'::text) AND (updated_at > ",
        ),
    ],
    ids=["due", "late", "customer", "named"],
)
def test_it_is_found_by_an_index(store: Store, ask: Callable[[Store], object], sqlite: str, postgresql: str) -> None:
    """By the time as well: of a hundred thousand timers few are due."""
    found = plan(store, lambda: ask(store))

    assert (sqlite if store.dialect == "sqlite" else postgresql) in found, found
