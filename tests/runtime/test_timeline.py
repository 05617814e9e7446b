"""What is told of an order, and in which order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.orders import VOICE, Rows, aged, empty_store, new
from worker.runtime.decisions import Signature, resubmit
from worker.runtime.order_words import duration, expectations
from worker.runtime.timeline import Moment, timeline
from worker.store.ledger import Ledger
from worker.store.transitions import Event, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.store.engine import Store
    from worker.store.orders import Order


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with empty_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def rows(store: Store) -> Rows:
    """Makes orders."""
    return Rows(Ledger(store))


def told(rows: Rows, order: Order, *others: Moment) -> list[str]:
    """The words of an order's timeline."""
    return [moment.what for moment in timeline(order, rows.ledger.events(order.key), others)]


def test_the_send_of_an_earlier_run_is_told_from_its_unknown(rows: Rows) -> None:
    """The row itself holds the last run only."""
    first = rows.unresolved("c-1")
    order = rows.taken(resubmit(rows.ledger, first, Signature("anna")))

    moments = timeline(order, rows.ledger.events(order.key))

    assert ["created", "sent", "said", "decision", "sent"] == [moment.what for moment in moments]
    assert f"run 1, transaction id {first.transaction_id}" == moments[1].text
    assert moments[4].text.startswith(f"run 2, transaction id {order.transaction_id}, ")
    assert first.transaction_id != order.transaction_id


def test_a_look_that_sips_did_not_answer_stands_at_its_time(rows: Rows) -> None:
    """It is trouble with SIPS, not the doubt about the order."""
    order = rows.in_doubt("c-1")
    order = replace(order, trouble_at=order.updated_at + 60, last_error="sips-error: ordersList: status 503")

    last = timeline(order, [])[-1]

    assert Moment(order.trouble_at, "error", "SIPS did not answer a look: sips-error: ordersList: status 503") == last


def test_a_try_that_sips_cannot_have_executed_is_not_called_sent(rows: Rows) -> None:
    """It would frighten whoever reads it."""
    assert ["created", "tried", "error"] == told(rows, rows.unsent("c-1"))


def test_nothing_is_told_before_the_order_came_in(rows: Rows) -> None:
    """The columns of one row are filled one after the other, in whatever order the database likes."""
    order = rows.in_doubt("c-1")

    assert ["created", "sent", "doubt"] == told(rows, replace(order, sent_at=order.created_at - 0.001))


def test_the_reason_of_a_failure_is_told_with_its_event(rows: Rows) -> None:
    """As its publisher was told."""
    order = rows.gave_up("c-1")

    (said,) = [moment for moment in timeline(order, rows.ledger.events(order.key)) if moment.what == "said"]

    assert ": idempotency-conflict: the key was used for another payload before" in said.text


def test_moments_from_elsewhere_stand_at_their_time(rows: Rows, store: Store) -> None:
    """Between those of the ledger."""
    order = rows.sending("c-1")
    aged(store, order, 60)
    order = rows.again(order)
    dead = Moment(order.created_at + 30, "dead", "")

    moved = rows.ledger.move(order, Event.CONFIRM, say=lambda row: [VOICE.confirmed(row)], order_id="7")

    assert moved
    assert "dead" == told(rows, moved.order, dead)[2]


def test_an_order_that_was_withdrawn_before_it_came_is_told(rows: Rows) -> None:
    """Nothing is known of it but its key."""
    blank: dict[str, Any] = dict.fromkeys(
        ("command_id", "po_number", "customer_code", "transaction_id", "payload", "fingerprint"), ""
    )
    order = rows.ledger.withdraw(replace(new("c-1", base_url=rows.base_url), **blank))

    moments = timeline(order, [])

    assert State.WITHDRAWN is order.state
    assert ["created", "ended"] == [moment.what for moment in moments]
    assert "withdrawn before it was seen, in the name of shop, key c-1" == moments[0].text


def test_a_timer_that_should_have_been_done_asks_for_a_worker(rows: Rows) -> None:
    """One that is merely due does not."""
    order = rows.in_doubt("c-1")

    late, due = (expectations(order, {"look": seconds})[0] for seconds in (-7_200.0, -5.0))

    assert (order.read_at - 7_200, "it is looked for in SIPS' list of orders (due for 2 h: is a worker running?)") == late
    assert "it is looked for in SIPS' list of orders" == due[1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "120 min"), (7_200, "2 h"), (200_000, "2 d")]
)
def test_a_duration_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    """Once there are two of it."""
    assert text == duration(seconds)


def test_a_decision_stands_after_what_was_said_before_it(rows: Rows) -> None:
    """In the same millisecond too: its own time is cut to that."""
    first = rows.unresolved("c-1")
    order = rows.taken(resubmit(rows.ledger, first, Signature("anna")))
    (said,) = rows.ledger.events(order.key)
    cut = datetime.fromisoformat(orjson.loads(order.resolution or "")["at"]).timestamp()

    moments = timeline(order, [replace(said, said_at=cut + 0.0009)])

    assert ["said", "decision"] == [moment.what for moment in moments if moment.what in {"said", "decision"}]
