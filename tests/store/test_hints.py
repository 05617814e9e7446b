"""Hints on SQLite and on PostgreSQL: kept until their order is known, and told apart from those that came before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.store.making import claimed
from worker.store.hints import Hint, Hints
from worker.store.ledger import Ledger
from worker.store.timers import Timers
from worker.store.transitions import Event
from worker.store.watched import NewWatch
from worker.store.watches import HINT, Watches

if TYPE_CHECKING:
    from worker.store.engine import Store

HINT_OF_ORDER = Hint("h1", "OU", "40000001", "PO-1", "t-1", "10:00")


@pytest.fixture
def hints(store: Store) -> Hints:
    """The hints of an empty store."""
    return Hints(store)


def test_a_hint_is_kept_once_until_it_is_handled(hints: Hints, store: Store) -> None:
    """Then its timer ends, and it is known where it comes again."""
    hints.keep(HINT_OF_ORDER, 2.0)
    hints.keep(HINT_OF_ORDER, 2.0)
    kept = hints.find("h1")
    assert kept
    assert (HINT_OF_ORDER, False, {HINT}) == (kept.hint, kept.is_handled, set(Timers(store).of("h1")))

    hints.handled(HINT_OF_ORDER)

    handled = hints.find("h1")
    assert handled
    assert (True, {}) == (handled.is_handled, Timers(store).of("h1"))
    assert [HINT_OF_ORDER] == [stored.hint for stored in hints.of_order("40000001")]


@pytest.mark.parametrize("named", ["order_id", "transaction_id"])
def test_opening_a_watch_has_its_hints_looked_at_now(hints: Hints, store: Store, named: str) -> None:
    """Whichever name of the order they have; those of others wait."""
    hints.keep(replace(HINT_OF_ORDER, **{named: "mine"}), 3_600.0)
    hints.keep(replace(HINT_OF_ORDER, id="h2"), 3_600.0)

    Watches(store).open(NewWatch("https://sips.example", "mine", transaction_id="mine"))

    assert (True, True) == (Timers(store).of("h1")[HINT] <= 0, Timers(store).of("h2")[HINT] > 3_000)


def test_an_order_is_found_by_its_transaction_id_or_po_number(hints: Hints, store: Store) -> None:
    """Also while it is being sent; of several customers a PO number says nothing."""
    ledger = Ledger(store)
    first, second = claimed(ledger), claimed(ledger)
    other = first.base_url
    by_transaction = replace(HINT_OF_ORDER, transaction_id=first.transaction_id, po_number=second.po_number)

    assert first.key == hints.order_of(other, by_transaction)
    assert second.key == hints.order_of(other, replace(HINT_OF_ORDER, transaction_id="", po_number=second.po_number))
    assert hints.order_of("https://another.example", by_transaction) is None
    assert hints.order_of(other, replace(HINT_OF_ORDER, transaction_id="", po_number="")) is None
    assert ledger.move(first, Event.CONFIRM, order_id="40000001")
    assert first.key == hints.order_of(other, replace(HINT_OF_ORDER, transaction_id=first.transaction_id))


def test_a_po_number_of_two_customers_names_no_order(hints: Hints, store: Store) -> None:
    """One of them would be told of a change of the other's."""
    ledger = Ledger(store)
    orders = [claimed(ledger, customer_code=code, po_number="5641", po_claim=code) for code in ("C1", "C2")]

    assert hints.order_of(orders[0].base_url, replace(HINT_OF_ORDER, transaction_id="", po_number="5641")) is None
