"""`sips-worker reconcile`: what was missed of open orders is found in SIPS' list."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.cli.orders.conftest import place, set_faults
from tests.orders import aged
from worker.store.facts import TELL
from worker.store.timers import Timers
from worker.store.transitions import Event
from worker.store.watched import NewWatch, watch_key
from worker.store.watches import DELIVERIES, INVOICES, Watches

if TYPE_CHECKING:
    from tests.cli.orders.conftest import CommandLine
    from tests.orders import Rows
    from worker.sandbox import Sandbox
    from worker.store.engine import Store
    from worker.store.ledger import Ledger
    from worker.store.orders import Order

DAY = 86_400.0


@pytest.fixture
def placed(rows: Rows, sandbox: Sandbox) -> Order:
    """An order that SIPS has, and nobody watches."""
    order = rows.sending("c-1")
    moved = rows.ledger.move(order, Event.CONFIRM, order_id=place(sandbox, order))
    assert moved
    return moved.order


def told(ledger: Ledger, order: Order) -> list[str]:
    """Types of the facts of an order that wait to be published."""
    facts = ledger.events(watch_key(order.base_url, order.order_id or ""))
    return [fact.type for fact in facts if not fact.published]


def test_what_was_missed_is_written_down_and_told_by_workers(
    placed: Order, store: Store, ledger: Ledger, sips_worker: CommandLine
) -> None:
    """There is no RabbitMQ here: timers have the facts published, and deliveries and invoices read."""
    done = sips_worker.run("reconcile", "--since", "7d")

    assert (0, "") == (done.status, done.err)
    assert [
        "CUSTOMER COMPARED CHANGED NOT LISTED",
        "DEMO001 1 1 0",
        f"order {placed.order_id}: not known -> Open",
        "all 1 1 0",
        "workers publish what changed, and read deliveries and invoices, as soon as they run",
    ] == [" ".join(line.split()) for line in done.out.splitlines()]
    assert ["sips.order.status_changed"] == told(ledger, placed)
    timers = Timers(store).of(watch_key(placed.base_url, placed.order_id or ""))
    assert {TELL, DELIVERIES, INVOICES} == {kind for kind, seconds in timers.items() if seconds <= 0}


def test_nothing_new_is_said_so(placed: Order, ledger: Ledger, sips_worker: CommandLine) -> None:
    """A second time changes nothing."""
    sips_worker.run("reconcile", "--since", "7d")

    done = sips_worker.run("reconcile", "--since", "7d")

    assert (0, [["DEMO001", "1", "0", "0"], ["all", "1", "0", "0"]]) == (
        done.status,
        [line.split() for line in done.out.splitlines()[1:]],
    )
    assert 1 == len(told(ledger, placed))


def test_an_order_that_sips_does_not_list_is_told(placed: Order, rows: Rows, sips_worker: CommandLine) -> None:
    """Exit status 1."""
    rows.confirmed("c-2", "777", customer_code="ACME")

    done = sips_worker.run("reconcile", "--since", "7d")

    assert 1 == done.status
    assert "ACME 1 0 1 order 777: SIPS does not list it DEMO001 1 1 0" in done.squeezed()
    assert "all 2 1 1" in done.squeezed()
    assert "sips-worker: SIPS does not list all of them; look them up there, or ask the branch\n" == done.err


def test_machines_get_one_object_per_customer(placed: Order, rows: Rows, sips_worker: CommandLine) -> None:
    """And nothing else on standard output."""
    rows.confirmed("c-2", "777", customer_code="ACME")

    done = sips_worker.run("reconcile", "--since", "7d", "--json")

    assert [
        {"customerCode": "ACME", "compared": 1, "changed": [], "notListed": ["777"], "notCompared": []},
        {
            "customerCode": "DEMO001",
            "compared": 1,
            "changed": [{"orderId": placed.order_id, "previous": None, "current": "Open"}],
            "notListed": [],
            "notCompared": [],
        },
    ] == [json.loads(line) for line in done.out.splitlines()]
    only = sips_worker.run("reconcile", "--since", "7d", "--json", "--customer", "ACME").out
    assert ["ACME"] == [json.loads(line)["customerCode"] for line in only.splitlines()]


def test_only_orders_from_a_day_on_are_compared(placed: Order, rows: Rows, store: Store, sips_worker: CommandLine) -> None:
    """A day of SIPS' zone, or an age."""
    aged(store, placed, 3 * DAY)
    begun = rows.again(placed).created_at
    day, next_day = (datetime.fromtimestamp(begun + days * DAY, UTC).date().isoformat() for days in (0, 1))

    for since in ("2d", next_day):
        done = sips_worker.run("reconcile", "--since", since)
        assert (0, True) == (done.status, done.out.startswith("no open order that began at 20"))
    assert ["DEMO001", "1", "1", "0"] == sips_worker.run("reconcile", "--since", day).out.splitlines()[1].split()
    assert ["DEMO001", "1", "0", "0"] == sips_worker.run("reconcile", "--since", "4d").out.splitlines()[1].split()


def test_a_day_begins_in_the_zone_of_sips(placed: Order, rows: Rows, sips_worker: CommandLine) -> None:
    """Which has none in its dates: the day that has begun far in the east has not in the west."""
    day = datetime.fromtimestamp(rows.again(placed).created_at + 14 * 3_600, UTC).date().isoformat()

    west, east = (
        sips_worker.run("reconcile", "--since", day, "--json", SIPS_TIME_ZONE=zone).out for zone in ("Etc/GMT+12", "Etc/GMT-14")
    )

    assert ("", "DEMO001") == (west, json.loads(east)["customerCode"])


@pytest.mark.parametrize(
    ("since", "says"),
    [
        ("yesterday", "'yesterday' is neither a day such as 2026-01-15 nor an age such as 7d"),
        ("2026-02-31", "'2026-02-31' is no day of the calendar"),
    ],
)
def test_a_time_that_is_none_is_refused(sips_worker: CommandLine, since: str, says: str) -> None:
    """With examples of what is one."""
    done = sips_worker.run("reconcile", "--since", since)

    assert (2, True) == (done.status, says in done.err)


def test_what_sips_does_not_answer_for_is_told(placed: Order, rows: Rows, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """The next customer is compared all the same; exit status 2."""
    rows.confirmed("c-2", "777", customer_code="ACME")
    set_faults(sandbox, error_before={"rate": 1, "status": 500, "operations": ["ordersList"], "count": 1})

    done = sips_worker.run("reconcile", "--since", "7d")

    assert 2 == done.status
    assert "ACME 0 0 0 its orders: not compared, sips-error: ordersList:" in done.squeezed()
    assert "DEMO001 1 1 0" in done.squeezed()
    assert done.err.startswith("sips-worker: SIPS did not answer for all of them; `sips-worker doctor` looks at SIPS")


def test_one_order_that_is_not_answered_for_is_named(
    store: Store, ledger: Ledger, sandbox: Sandbox, sips_worker: CommandLine
) -> None:
    """It was asked for by itself, as nobody knows whose it is."""
    Watches(store).open(NewWatch(sandbox.url, "35818786"))
    set_faults(sandbox, error_before={"rate": 1, "status": 500, "operations": ["ordersList"], "count": 1})

    done = sips_worker.run("reconcile", "--since", "7d")

    assert 2 == done.status
    assert "(not known) 0 0 0 order 35818786: not compared, sips-error: ordersList:" in done.squeezed()
    done = sips_worker.run("reconcile", "--since", "7d")
    assert (0, True) == (done.status, "(not known) 1 1 0 order 35818786: not known -> Open" in done.squeezed())


@pytest.mark.parametrize(
    ("fault", "operation", "code"),
    [("token_error", "authenticationToken", "sips-token-unavailable"), ("throttle", "ordersList", "sips-throttled")],
)
def test_where_no_call_can_succeed_it_stops_at_once(
    placed: Order, rows: Rows, ledger: Ledger, sandbox: Sandbox, sips_worker: CommandLine, fault: str, operation: str, code: str
) -> None:
    """Every customer would wait for the same."""
    rows.confirmed("c-2", "777", customer_code="ZZZ")
    set_faults(sandbox, **{fault: {"rate": 1, "operations": [operation]}})

    done = sips_worker.run("reconcile", "--since", "7d")

    assert (2, "", []) == (done.status, done.out, told(ledger, placed))
    assert done.err.startswith(f"sips-worker: SIPS cannot be asked ({code}: ")
    assert "customer DEMO001 and those behind are not compared" in done.err
