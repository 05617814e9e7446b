"""Let an order that was given up run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.orders import Rows, aged, empty_store
from worker.runtime.redrive import RedriveError, allow_redrive
from worker.runtime.submission import transaction_id
from worker.store.ledger import Ledger
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


def test_an_order_that_gave_up_gets_its_next_run(rows: Rows) -> None:
    """With its attempts before it, its PO number taken again and another transaction id."""
    gave_up = rows.gave_up("c-1")
    assert gave_up.po_claim is None

    run = allow_redrive(rows.ledger, gave_up.key)

    order = rows.again(gave_up)
    assert (2, State.UNSENT, 2, 0, None) == (run, order.state, order.run, order.attempts, order.ended_at)
    assert rows.unsent("c-2").po_claim != order.po_claim is not None
    assert transaction_id(rows.base_url, "shop", "c-1", 2) == order.transaction_id
    assert State.SENDING is rows.taken(order).state


def test_a_second_call_tells_the_same_run(rows: Rows) -> None:
    """A publish that failed is made up for, without a third run."""
    order = rows.gave_up("c-1")

    assert [2, 2] == [allow_redrive(rows.ledger, order.key) for _ in range(2)]


def test_a_po_number_that_another_order_took_stays_there(rows: Rows) -> None:
    """Both orders would carry it at SIPS."""
    order = rows.gave_up("c-1", po_number="PO-7")
    rows.confirmed("c-2", "40000007", po_number="PO-7")

    with pytest.raises(RedriveError, match=r"PO-7 was taken by another order meanwhile \(command c-2 of shop, confirmed\)"):
        allow_redrive(rows.ledger, order.key)

    assert State.GAVE_UP is rows.again(order).state


def test_a_po_number_that_was_confirmed_long_ago_is_free(rows: Rows, store: Store) -> None:
    """As it is for a new order."""
    order = rows.gave_up("c-1", po_number="PO-7")
    aged(store, rows.confirmed("c-2", "40000007", po_number="PO-7"), 31 * 86_400)

    assert 2 == allow_redrive(rows.ledger, order.key)


@pytest.mark.parametrize("state", ["sending", "unsent", "in_doubt", "unresolved", "queued"])
def test_nothing_that_may_have_been_executed_runs_again(rows: Rows, state: str) -> None:
    """Only what gave up."""
    order = getattr(rows, state)("c-1")

    with pytest.raises(RedriveError, match=f"the order is {state} "):
        allow_redrive(rows.ledger, order.key)

    assert (state, 1) == (rows.again(order).state, rows.again(order).run)


def test_an_order_that_the_ledger_does_not_have_is_named(rows: Rows) -> None:
    """It may be another store's."""
    with pytest.raises(RedriveError, match="the ledger has no order under nothing"):
        allow_redrive(rows.ledger, "nothing")
