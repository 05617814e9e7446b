"""`sips-worker orders withdraw`: before a send it ends the order as the command does, later it is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.orders import VOICE
from worker.runtime import decisions
from worker.runtime.decisions import DecisionError, Signature
from worker.runtime.timeline import recorded_decisions
from worker.store.ledger import PUBLISH
from worker.store.timers import Timers
from worker.store.transitions import State

if TYPE_CHECKING:
    from tests.cli.orders.conftest import CommandLine
    from tests.orders import Rows
    from worker.store.engine import Store
    from worker.store.ledger import Ledger

BY_ANNA = ("--yes", "--by", "anna", "--note", "customer called")


def test_an_order_that_was_not_sent_ends_withdrawn(rows: Rows, store: Store, ledger: Ledger, sips_worker: CommandLine) -> None:
    """Its submit's outcome is stored, and its timer is due; its PO number is free; who decided is written down."""
    order = rows.unsent("c-1")

    done = sips_worker.run("orders", "withdraw", "PO-c-1", *BY_ANNA)

    order = rows.again(order)
    assert (0, State.WITHDRAWN, None) == (done.status, order.state, order.po_claim)
    assert done.out.endswith("withdrawn; a worker publishes its outcome within seconds\n")
    (outcome,) = ledger.events(order.key)
    assert ("sips.order.submit.failed", "withdrawn", False) == (
        outcome.type,
        json.loads(outcome.body)["data"]["type"],
        outcome.published,
    )
    timers = Timers(store).of(order.key)
    assert [PUBLISH] == list(timers)
    assert timers[PUBLISH] <= 0
    decided = json.loads(order.resolution or "")
    assert ("withdrawn", "anna", "customer called", 1) == tuple(decided[name] for name in ("decision", "by", "note", "run"))
    assert "withdrawn, by anna: customer called" in sips_worker.run("orders", "show", "c-1").out


def test_it_asks_first(rows: Rows, sips_worker: CommandLine) -> None:
    """After the order was shown; a script must say --yes."""
    order = rows.unsent("c-1")

    done = sips_worker.run("orders", "withdraw", "c-1", "--by", "anna")

    assert (2, State.UNSENT) == (done.status, rows.again(order).state)
    assert "PO number PO-c-1" in done.squeezed()
    assert "then it is not sent, and a worker publishes its outcome: .failed (withdrawn) written down as" in done.squeezed()
    assert "sips-worker: nothing was changed: without a terminal to ask on, this needs --yes\n" == done.err


def test_a_second_withdrawal_says_that_it_is_done(rows: Rows, ledger: Ledger, sips_worker: CommandLine) -> None:
    """As the command does, which then succeeds again."""
    order = rows.unsent("c-1")
    sips_worker.run("orders", "withdraw", "c-1", *BY_ANNA)
    before = rows.again(order).resolution

    done = sips_worker.run("orders", "withdraw", "c-1", "--yes", "--by", "bob")

    assert (0, "it is withdrawn already\n", before) == (done.status, done.out, rows.again(order).resolution)
    assert 1 == len(ledger.events(order.key))


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("sending", "wait: it is decided within minutes"),
        ("in_doubt", "wait: it is found, or it becomes unresolved and you decide"),
        ("queued", "wait; or ask SIPS about the queue id"),
        ("unresolved", "sips-worker orders resolve c-1 abandoned"),
        ("gave_up", "run it again with `sips-worker dead redrive`"),
    ],
)
def test_once_it_was_sent_or_has_ended_it_is_too_late(rows: Rows, sips_worker: CommandLine, state: str, says: str) -> None:
    """Nobody is asked, nothing is changed, and one line says what is possible."""
    order = getattr(rows, state)("c-1")

    done = sips_worker.run("orders", "withdraw", "c-1", *BY_ANNA)

    assert (1, "", 1, state) == (done.status, done.out, len(done.err.splitlines()), rows.again(order).state)
    assert f"the order is {state} (" in done.err
    assert "only one that was not sent yet can be withdrawn" in done.err
    assert says in done.err


def test_an_order_that_is_to_be_sent_again_waits_for_a_decision_anew(
    rows: Rows, ledger: Ledger, sips_worker: CommandLine
) -> None:
    """SIPS may have it from its first run, so nobody is told that it was withdrawn."""
    order = decisions.resubmit(ledger, rows.unresolved("c-1"), Signature("bob"))

    done = sips_worker.run("orders", "withdraw", "c-1", *BY_ANNA)

    order = rows.again(order)
    assert (1, State.UNRESOLVED) == (done.status, order.state)
    assert "then it is not sent again; as SIPS may have it from an earlier run" in done.squeezed()
    assert "only one that was not sent yet can be withdrawn" in done.err
    assert "sips-worker orders resolve c-1 abandoned" in done.err
    outcome = ledger.events(order.key)[-1]
    assert ("sips.order.submit.unknown", 2) == (outcome.type, outcome.run)
    assert ["anna", "bob"] == [decision["by"] for decision in reversed(recorded_decisions(order))]


def test_an_order_that_is_sent_while_a_person_thinks_is_not_withdrawn(rows: Rows) -> None:
    """What counts is where it stands when the answer is yes."""
    shown = rows.unsent("c-1")
    rows.taken(shown)

    with pytest.raises(DecisionError, match="the order is sending"):
        decisions.withdraw(rows.ledger, shown, VOICE, Signature("anna"))

    assert State.SENDING is rows.again(shown).state


def test_an_order_that_nobody_knows_is_not_found(sips_worker: CommandLine) -> None:
    """The same line as elsewhere."""
    done = sips_worker.run("orders", "withdraw", "no-such", *BY_ANNA)

    assert (1, True) == (done.status, "the ledger has no order no-such" in done.err)
