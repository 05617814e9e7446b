"""`sips-worker orders show`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from tests.orders import aged, new
from worker.store.schema import orders as table

if TYPE_CHECKING:
    from tests.cli.orders.conftest import CommandLine
    from tests.orders import Rows
    from worker.store.engine import Store

PERSONAL = ("Pat Example", "555-0100", "5 Example Rd")


@pytest.mark.parametrize("how", [("orders", "show", "--payload"), ("explain",)])
def test_an_order_whose_payload_was_emptied_is_shown(
    rows: Rows, store: Store, sips_worker: CommandLine, how: tuple[str, ...]
) -> None:
    """What became of it is known for longer than what it held."""
    order = rows.confirmed("c-1", "40000007")
    aged(store, order, 60 * 86_400.0)
    with store.write() as connection:
        connection.execute(update(table).values(payload=None, updated_at=table.c.ended_at))

    done = sips_worker.run(*how, "c-1")

    assert 0 == done.status
    assert "confirmed: SIPS has it, as order 40000007" in done.squeezed()
    assert ("emptied: it held personal data, and the order ended long ago" in done.out) is (how[0] == "orders")


@pytest.mark.parametrize("called", ["order id", "PO", "idempotency key", "command id", "transaction id", "ledger key"])
def test_an_order_is_found_by_each_of_its_names(rows: Rows, sips_worker: CommandLine, called: str) -> None:
    """Whatever the person who asks was given."""
    order = rows.confirmed("c-1", "40000007", key="key-1")
    rows.confirmed("c-2", "40000008", key="other-key-1")
    names = {
        "order id": "40000007",
        "PO": "PO-c-1",
        "idempotency key": "key-1",
        "command id": "c-1",
        "transaction id": order.transaction_id,
        "ledger key": order.key,
    }

    done = sips_worker.run("orders", "show", names[called])

    assert 0 == done.status
    assert "order PO number PO-c-1 of customer DEMO001 confirmed: SIPS has it, as order 40000007" in done.squeezed()


def test_everything_but_the_payload_is_shown(rows: Rows, sips_worker: CommandLine) -> None:
    """The row, what was said, and what comes next."""
    order = rows.unresolved("c-1")

    shown = sips_worker.run("orders", "show", "c-1").squeezed()

    for text in (
        "command sips.order.submit c-1 of shop",
        f"transaction id {order.transaction_id}",
        "looks 4 counted, without finding it",
        "last error lost-answer: ordersV2Submit: the connection broke",
        f"ledger key {order.key}",
        "said sips.order.submit.unknown",
        "not known to be published yet",
        "it is looked for in SIPS' list of orders",
        "sips-worker orders resolve c-1 confirmed --order-id N",
    ):
        assert text in shown
    assert not any(value in shown for value in PERSONAL)


def test_the_payload_is_shown_to_who_asks_for_it(rows: Rows, sips_worker: CommandLine) -> None:
    """It holds personal data, so it takes a word."""
    rows.queued("c-1")

    shown = sips_worker.run("orders", "show", "c-1", "--payload").out

    assert all(value in shown for value in PERSONAL)


def test_several_matches_are_a_short_list(rows: Rows, sips_worker: CommandLine) -> None:
    """Two customers may use the same PO number."""
    rows.confirmed("c-1", "40000007", po_number="PO-7")
    rows.confirmed("c-2", "40000008", po_number="PO-7", customer_code="ACME", po_claim="another")

    done = sips_worker.run("orders", "show", "PO-7")

    assert (1, 3) == (done.status, len(done.out.splitlines()))
    assert "sips-worker: 2 orders match PO-7; name the one you mean by its command's id or its ledger key\n" == done.err


def test_an_unknown_order_is_one_line(sips_worker: CommandLine) -> None:
    """With the command that knows more."""
    done = sips_worker.run("orders", "show", "PO-7")

    assert (1, "") == (done.status, done.out)
    assert "sips-worker: the ledger has no order PO-7; `sips-worker explain PO-7` tells where else to look\n" == done.err


def test_an_order_that_was_withdrawn_before_it_came_is_shown(rows: Rows, sips_worker: CommandLine) -> None:
    """Nothing is known of it but its key."""
    blank: dict[str, Any] = dict.fromkeys(
        ("command_id", "po_number", "customer_code", "transaction_id", "payload", "fingerprint"), ""
    )
    rows.ledger.withdraw(replace(new("c-1", base_url=rows.base_url), **blank))

    done = sips_worker.run("orders", "show", "c-1")

    assert 0 == done.status
    assert "withdrawn: called off before it was sent" in done.squeezed()
    assert "payload" not in done.out
