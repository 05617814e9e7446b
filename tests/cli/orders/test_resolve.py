"""`sips-worker orders resolve`: what a person decides is asked for, carried out and written down."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.amqp import channel, count, take_all
from tests.cli.orders.conftest import place, set_faults
from worker.messaging.envelope import parse
from worker.runtime.looks import TRACK_TIMER
from worker.runtime.order_events import CONFIRMED
from worker.runtime.submission import order_key, transaction_id
from worker.store.ledger import PUBLISH
from worker.store.timers import Timers
from worker.store.transitions import State

if TYPE_CHECKING:
    from tests.cli.orders.conftest import CommandLine
    from tests.orders import Rows
    from worker.sandbox import Sandbox
    from worker.store.engine import Store
    from worker.store.ledger import Ledger
    from worker.store.orders import Order

QUEUE = "sips.orders"
BY_ANNA = ("--yes", "--by", "anna", "--note", "called the branch")


def decided(order: Order) -> dict[str, object]:
    """What is written down of the last decision, without its time."""
    record = json.loads(order.resolution or "{}")
    assert record.pop("at").endswith("Z")
    return dict(record)


def test_a_confirmed_order_is_said_at_once(rows: Rows, store: Store, ledger: Ledger, sips_worker: CommandLine) -> None:
    """The fact is stored, and its timer is due, so that any worker publishes it."""
    order = rows.unresolved("c-1")

    done = sips_worker.run("orders", "resolve", "c-1", "confirmed", "--order-id", "40000007", *BY_ANNA)

    order = rows.again(order)
    assert (0, State.CONFIRMED, "40000007") == (done.status, order.state, order.order_id)
    assert {
        "decision": "confirmed",
        "by": "anna",
        "note": "called the branch",
        "run": 1,
        "orderId": "40000007",
    } == decided(order)
    fact = ledger.events(order.key)[-1]
    assert (CONFIRMED, False, "40000007") == (fact.type, fact.published, json.loads(fact.body)["data"]["orderId"])
    timers = Timers(store).of(order.key)
    assert {PUBLISH, TRACK_TIMER} == timers.keys()
    assert timers[PUBLISH] <= 0


def test_an_order_id_that_another_order_has_is_refused(rows: Rows, sips_worker: CommandLine) -> None:
    """One of both would be wrong; nobody is asked first."""
    rows.confirmed("c-1", "40000007")
    order = rows.unresolved("c-2")

    done = sips_worker.run("orders", "resolve", "c-2", "confirmed", "--order-id", "40000007", "--yes")

    assert (1, "", State.UNRESOLVED) == (done.status, done.out, rows.again(order).state)
    assert "SIPS' order 40000007 is known already" in done.err


@pytest.mark.parametrize("options", [["confirmed"], ["abandoned", "--order-id", "7"], ["confirmed", "--order-id", "PO-7"]])
def test_only_confirmed_takes_an_order_id(rows: Rows, sips_worker: CommandLine, options: list[str]) -> None:
    """And it must be one."""
    order = rows.unresolved("c-1")

    done = sips_worker.run("orders", "resolve", "c-1", *options, "--yes")

    assert (2, State.UNRESOLVED) == (done.status, rows.again(order).state)
    assert "--order-id" in done.err


def test_an_abandoned_order_frees_its_po_number(rows: Rows, store: Store, sips_worker: CommandLine) -> None:
    """And is not looked up any more."""
    order = rows.unresolved("c-1")

    done = sips_worker.run("orders", "resolve", "PO-c-1", "abandoned", *BY_ANNA)

    order = rows.again(order)
    assert (0, State.ABANDONED, None) == (done.status, order.state, order.po_claim)
    assert "abandoned" == decided(order)["decision"]
    assert [PUBLISH] == list(Timers(store).of(order.key))


def test_what_will_happen_is_shown_and_without_a_terminal_nothing_does(rows: Rows, sips_worker: CommandLine) -> None:
    """A script must say --yes."""
    order = rows.unresolved("c-1")

    done = sips_worker.run("orders", "resolve", "c-1", "abandoned", "--by", "anna")

    assert (2, State.UNRESOLVED) == (done.status, rows.again(order).state)
    assert "then its PO number is free again, and nothing more is done for it written down as decided by anna" in done.squeezed()
    assert "sips-worker: nothing was changed: without a terminal to ask on, this needs --yes\n" == done.err


@pytest.mark.parametrize(("answer", "status", "state"), [(b"n\n", 1, State.UNRESOLVED), (b"y\n", 0, State.ABANDONED)])
def test_a_person_at_a_terminal_is_asked(rows: Rows, sips_worker: CommandLine, answer: bytes, status: int, state: State) -> None:
    """After the order was shown."""
    order = rows.unresolved("c-1")
    ours, theirs = pty.openpty()
    os.write(ours, answer)

    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "orders", "resolve", "c-1", "abandoned"],
        env=dict(os.environ) | sips_worker.settings,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)

    assert (status, state) == (process.returncode, rows.again(order).state)
    assert b"PO-c-1" in out.partition(b"Do it?")[0]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("sending", "wait: it is decided within minutes"),
        ("unsent", "call it off with `sips-worker orders withdraw c-1`"),
        ("in_doubt", "wait: it is found, or it becomes unresolved and you decide"),
        ("queued", "wait; or ask SIPS about the queue id"),
        ("gave_up", "run it again with `sips-worker dead redrive`"),
    ],
)
def test_in_another_state_one_line_says_what_is_possible(rows: Rows, sips_worker: CommandLine, state: str, says: str) -> None:
    """And names the state."""
    order = getattr(rows, state)("c-1")

    done = sips_worker.run("orders", "resolve", "c-1", "resubmit", "--yes")

    assert (1, "", 1, state) == (done.status, done.out, len(done.err.splitlines()), rows.again(order).state)
    assert f"the order is {state} (" in done.err
    assert says in done.err


def test_a_confirmed_order_leaves_nothing_to_decide(rows: Rows, sips_worker: CommandLine) -> None:
    """It names SIPS' order."""
    rows.confirmed("c-1", "40000007")

    done = sips_worker.run("orders", "resolve", "c-1", "abandoned", "--yes")

    assert 1 == done.status
    assert "(SIPS has it as order 40000007)" in done.err
    assert done.err.endswith("Possible now: there is nothing to decide\n")


def test_a_resubmitted_order_is_published_as_its_next_run(
    rows: Rows, store: Store, amqp_url: str, sips_worker: CommandLine
) -> None:
    """The command leads to the same row, which is ready to be sent under another transaction id."""
    order = rows.unresolved("c-1", key="key-1")

    done = sips_worker.run("orders", "resolve", "c-1", "resubmit", *BY_ANNA, AMQP_URL=amqp_url)

    order = rows.again(order)
    assert (0, State.UNSENT, 2, True, 0, 0) == (
        done.status,
        order.state,
        order.run,
        order.resubmitted,
        order.looks,
        order.attempts,
    )
    assert transaction_id(order.base_url, "shop", "key-1", 2) == order.transaction_id
    assert ("resubmit", "anna", 1) == tuple(decided(order)[name] for name in ("decision", "by", "run"))
    assert [PUBLISH] == list(Timers(store).of(order.key))
    ((properties, body),) = take_all(amqp_url, QUEUE)
    command = parse(body, properties, QUEUE, max_bytes=100_000)
    assert (order.key, 2) == (order_key(order.base_url, command.source, command.idempotency_key), command.run)
    assert order.payload is not None
    assert json.loads(order.payload) == command.data


def test_after_a_crash_before_the_publish_it_is_only_published(rows: Rows, amqp_url: str, sips_worker: CommandLine) -> None:
    """The decision stands, and is not made again: no third run, no second record, and no look."""
    order = rows.unresolved("c-1")
    sips_worker.run("orders", "resolve", "c-1", "resubmit", *BY_ANNA, AMQP_URL=amqp_url)
    take_all(amqp_url, QUEUE)
    before = rows.again(order)

    done = sips_worker.run("orders", "resolve", "c-1", "resubmit", "--yes", "--by", "bob", AMQP_URL=amqp_url)

    after = rows.again(order)
    assert (0, 2, before.resolution, before.updated_at) == (done.status, after.run, after.resolution, after.updated_at)
    assert "anna decided at " in done.out
    assert 1 == count(amqp_url, QUEUE)


def test_earlier_decisions_stay_written_down(rows: Rows, ledger: Ledger, amqp_url: str, sips_worker: CommandLine) -> None:
    """Who sent it again is still known when another one gives it up."""
    order = rows.unresolved("c-1")
    sips_worker.run("orders", "resolve", "c-1", "resubmit", *BY_ANNA, AMQP_URL=amqp_url)
    rows.unresolve(rows.doubted(rows.taken(rows.again(order))))

    sips_worker.run("orders", "resolve", "c-1", "abandoned", "--yes", "--by", "bob")

    last = json.loads(rows.again(order).resolution or "")
    assert [("abandoned", "bob", 2), ("resubmit", "anna", 1)] == [
        (decision["decision"], decision["by"], decision["run"]) for decision in (last, *last["earlier"])
    ]


def test_an_order_that_sips_lists_after_all_is_not_sent_again(
    rows: Rows, sandbox: Sandbox, amqp_url: str, sips_worker: CommandLine
) -> None:
    """The look before anything is changed finds it, and names the right decision."""
    order = rows.unresolved("c-1")
    order_id = place(sandbox, order)

    done = sips_worker.run("orders", "resolve", "c-1", "resubmit", "--yes", AMQP_URL=amqp_url)

    assert (1, State.UNRESOLVED, 0) == (done.status, rows.again(order).state, count(amqp_url, QUEUE))
    assert f"SIPS lists the order after all, as {order_id} (Open)" in done.err
    assert f"`sips-worker orders resolve c-1 confirmed --order-id {order_id}`" in done.err


def test_several_orders_under_the_number_are_for_a_person(
    rows: Rows, sandbox: Sandbox, amqp_url: str, sips_worker: CommandLine
) -> None:
    """Nobody can tell which one it is."""
    order = rows.unresolved("c-1")
    place(sandbox, order)
    place(sandbox, order)

    done = sips_worker.run("orders", "resolve", "c-1", "resubmit", "--yes", AMQP_URL=amqp_url)

    assert (1, State.UNRESOLVED, 0) == (done.status, rows.again(order).state, count(amqp_url, QUEUE))
    assert "SIPS lists several orders of customer DEMO001 under PO number PO-c-1" in done.err


def test_a_look_that_fails_changes_nothing(rows: Rows, sandbox: Sandbox, amqp_url: str, sips_worker: CommandLine) -> None:
    """It says nothing of the order."""
    order = rows.unresolved("c-1")
    set_faults(sandbox, error_before={"rate": 1, "operations": ["ordersList"]})

    done = sips_worker.run("orders", "resolve", "c-1", "resubmit", "--yes", AMQP_URL=amqp_url)

    assert (1, State.UNRESOLVED, 0) == (done.status, rows.again(order).state, count(amqp_url, QUEUE))
    assert "the look at SIPS failed (sips-error: ordersList: " in done.err
    assert done.err.endswith("or add --without-look if you looked yourself\n")


def test_a_person_may_answer_for_it_without_the_look(
    rows: Rows, sandbox: Sandbox, amqp_url: str, sips_worker: CommandLine
) -> None:
    """Even while SIPS answers nothing."""
    order = rows.unresolved("c-1")
    set_faults(sandbox, error_before={"rate": 1, "operations": ["ordersList"]})

    done = sips_worker.run("orders", "resolve", "c-1", "resubmit", "--yes", "--without-look", AMQP_URL=amqp_url)

    assert (0, State.UNSENT, 1) == (done.status, rows.again(order).state, count(amqp_url, QUEUE))


def test_without_rabbitmq_nothing_is_decided(rows: Rows, sips_worker: CommandLine) -> None:
    """What cannot be carried out is not written down."""
    order = rows.unresolved("c-1")

    done = sips_worker.run("orders", "resolve", "c-1", "resubmit", "--yes")

    assert (2, State.UNRESOLVED) == (done.status, rows.again(order).state)
    assert "RabbitMQ cannot be reached" in done.err


def test_the_rabbitmq_of_another_store_is_refused(rows: Rows, amqp_url: str, sips_worker: CommandLine) -> None:
    """Its workers would know nothing of the order's first run."""
    order = rows.unresolved("c-1")
    with channel(amqp_url) as opened:
        opened.exchange_declare("sips.store", "fanout", durable=True, arguments={"alternate-exchange": "another"})

    done = sips_worker.run("orders", "resolve", "c-1", "resubmit", "--yes", AMQP_URL=amqp_url)

    assert (2, State.UNRESOLVED, 0) == (done.status, rows.again(order).state, count(amqp_url, QUEUE))
    assert "this RabbitMQ belongs to another store" in done.err
