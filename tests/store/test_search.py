"""What a person asks the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.orders import Rows, aged, empty_store
from worker.store.ledger import Ledger
from worker.store.timers import Timers
from worker.store.transitions import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.store.engine import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with empty_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def rows(store: Store) -> Rows:
    """Makes orders."""
    return Rows(Ledger(store))


@pytest.mark.parametrize("key", ["key-1", "100%_sure", 'with "quotes" and \\', "größe"])
def test_an_order_is_found_by_its_whole_idempotency_key_only(rows: Rows, key: str) -> None:
    """Whatever characters it has; a part of it is another key."""
    rows.unsent("c-1", key=key)
    rows.unsent("c-2", key=f"x{key}")
    rows.unsent("c-3", key=f"{key}x")
    rows.unsent("c-4", key=f'x"{key}')
    if (resembling := key.replace("%", "00").replace("_", "-")) != key:
        rows.unsent("c-5", key=resembling)

    assert ["c-1"] == [order.command_id for order in rows.ledger.search(text=key)]


def test_the_newest_comes_first_whatever_happened_to_the_others(rows: Rows, store: Store) -> None:
    """A look at an old order does not make it new."""
    old = rows.in_doubt("c-1")
    aged(store, old, 60)
    rows.unsent("c-2")
    assert rows.ledger.note(rows.again(old), looks=1)

    assert ["c-2", "c-1"] == [order.command_id for order in rows.ledger.search()]


def test_orders_are_counted_by_state_with_the_age_of_the_oldest(rows: Rows, store: Store) -> None:
    """Only in the states that were asked for."""
    aged(store, rows.in_doubt("c-1"), 3_600)
    rows.in_doubt("c-2")
    rows.unsent("c-3")

    standing = rows.ledger.standing((State.IN_DOUBT, State.QUEUED))

    assert [State.IN_DOUBT] == list(standing)
    number, seconds = standing[State.IN_DOUBT]
    assert 2 == number
    assert 3_600 <= seconds < 7_200


def test_an_event_tells_when_it_was_said_and_published(rows: Rows) -> None:
    """By the database's clock."""
    order = rows.unresolved("c-1")
    (event,) = rows.ledger.events(order.key)
    assert (False, None) == (event.published, event.published_at)

    rows.ledger.mark_published([event.id])

    (event,) = rows.ledger.events(order.key)
    assert event.said_at is not None
    assert event.published_at is not None
    assert order.created_at <= event.said_at <= event.published_at


def test_late_timers_are_told_from_ones_that_are_merely_due(store: Store) -> None:
    """With how late the latest is."""
    timers = Timers(store)
    assert (0, 0.0) == timers.late(60)
    for number, seconds in enumerate((-7_200.0, -90.0, -5.0, 3_600.0)):
        timers.start("look", str(number), seconds)

    number, longest = timers.late(60)

    assert 2 == number
    assert 7_200 <= longest < 10_000
