"""`sips-worker explain`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.amqp import count, publish
from tests.orders import payload
from worker.messaging.topology import DEAD

if TYPE_CHECKING:
    from tests.cli.orders.conftest import CommandLine, Done
    from tests.orders import Rows

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def whats(done: Done) -> list[str]:
    """The words of the timeline, in its order."""
    timeline = done.out.split("\n\n")[1]
    return [line[22:].split()[0] for line in timeline.splitlines()]


def put_dead(url: str, command_id: str, source: str = "shop") -> None:
    """Set a command aside, as a worker does."""
    headers = {
        "sips-reason": "crash-loop",
        "sips-detail": "died 5 times",
        "sips-queue": "sips.orders",
        "sips-dead-at": 1_800_000_000,
    }
    body = orjson.dumps(payload("PO-7"))
    publish(url, "", DEAD, body, message_id=command_id, app_id=source, type="sips.order.submit", headers=headers)


def test_an_order_that_waits_for_a_person(rows: Rows, amqp_url: str, sips_worker: CommandLine) -> None:
    """Told from its beginning to what can be done, in plain words."""
    order = rows.unresolved("c-1", key="key-1")

    done = sips_worker.run("explain", "PO-c-1", AMQP_URL=amqp_url)

    assert (0, ["created", "sent", "doubt", "looks", "said"], "") == (done.status, whats(done), done.err)
    told = done.squeezed()
    for text in (
        "unresolved: looked up without a result; a person must decide",
        "created sips.order.submit c-1 of shop, key key-1",
        f"sent run 1, transaction id {order.transaction_id}, PO number PO-c-1 (1 attempt)",
        "doubt lost-answer: ordersV2Submit: the connection broke",
        "looks 4 looks at SIPS' list did not find it",
        "not known to be published yet: 4 looks did not find the order at SIPS",
        "sips-worker orders resolve c-1 abandoned",
    ):
        assert text in told
    assert TIME.match(done.out.split("next     ")[1])


def test_an_order_that_went_well(rows: Rows, amqp_url: str, sips_worker: CommandLine) -> None:
    """Both events with their ids, and nothing left to do."""
    order = rows.confirmed("c-1", "40000007")
    ids = [event.id for event in rows.ledger.events(order.key)]

    done = sips_worker.run("explain", "40000007", AMQP_URL=amqp_url)

    assert sorted(["created", "sent", "ended", "said", "said"]) == sorted(whats(done))
    assert all(re.search(rf"\(id {event_id}\), published \d{{4}}-", done.out) for event_id in ids)
    assert done.out.endswith("next     nothing: SIPS has the order\n")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("sending", ["the worker that sends it writes down what came of it", "its lease is over: "]),
        ("unsent", ["its command waits in RabbitMQ", "call it off with `sips-worker orders withdraw c-1`"]),
        ("in_doubt", ["it is looked for in SIPS' list of orders", "wait: it is found, or it becomes unresolved"]),
        ("queued", ["SIPS answered with the queue id q-1", "asked whether it has left the queue"]),
        ("gave_up", ["error connect-failed: ordersV2Submit: no connection", "`sips-worker dead redrive`"]),
    ],
)
def test_each_state_says_what_comes_next(rows: Rows, sips_worker: CommandLine, state: str, expected: list[str]) -> None:
    """And what a person can do."""
    getattr(rows, state)("c-1")

    told = sips_worker.run("explain", "c-1").squeezed()

    assert all(text in told for text in expected), told


def test_what_a_person_decided_stands_where_it_happened(rows: Rows, sips_worker: CommandLine) -> None:
    """Who, why, and what it led to."""
    rows.unresolved("c-1")
    sips_worker.run(
        "orders", "resolve", "c-1", "confirmed", "--order-id", "47", "--yes", "--by", "anna", "--note", "by telephone"
    )

    done = sips_worker.run("explain", "c-1")

    assert ["created", "sent", "doubt", "looks", "said"] == whats(done)[:5]
    assert sorted(["decision", "ended", "said"]) == sorted(whats(done)[5:])
    assert "decision confirmed as order 47, by anna: by telephone" in done.squeezed()


def test_a_dead_letter_of_the_order_is_part_of_it(rows: Rows, amqp_url: str, sips_worker: CommandLine) -> None:
    """Of this command, not of another source's with the same id; looking takes nothing out."""
    rows.gave_up("c-1")
    put_dead(amqp_url, "c-1")
    put_dead(amqp_url, "c-1", source="another shop")
    put_dead(amqp_url, "c-2")

    done = sips_worker.run("explain", "c-1", AMQP_URL=amqp_url)

    assert (0, 1) == (done.status, whats(done).count("dead"))
    assert "2027-01-15T08:00:00Z dead set aside from sips.orders: crash-loop: died 5 times" in done.squeezed()
    assert "its dead letter: `sips-worker dead show c-1`" in done.out
    assert 3 == count(amqp_url, DEAD)


def test_without_rabbitmq_the_ledger_still_speaks(rows: Rows, sips_worker: CommandLine) -> None:
    """And it is said what was not looked at."""
    rows.confirmed("c-1", "40000007")

    done = sips_worker.run("explain", "c-1")

    assert (0, "sent") == (done.status, whats(done)[1])
    assert "dead letters were not looked at: no connection to RabbitMQ (Connection refused)" in done.out.splitlines()[-1]


def test_what_nobody_knows_is_told_with_where_else_to_look(amqp_url: str, sips_worker: CommandLine) -> None:
    """Exit status 1."""
    done = sips_worker.run("explain", "c-9", AMQP_URL=amqp_url)

    assert (1, "Where else to look:") == (done.status, done.out.splitlines()[0])
    assert "sips-worker: the ledger has no order c-9, and no dead letter has this id\n" == done.err


def test_what_only_the_dead_letters_know_is_shown_from_there(amqp_url: str, sips_worker: CommandLine) -> None:
    """A command that was set aside before the ledger heard of it."""
    put_dead(amqp_url, "c-9")

    done = sips_worker.run("explain", "c-9", AMQP_URL=amqp_url)

    assert 1 == done.status
    assert "dead set aside from sips.orders: crash-loop: died 5 times" in done.squeezed()
    assert "`sips-worker dead show c-9` shows it whole" in done.err


def test_without_rabbitmq_nothing_is_claimed_of_dead_letters(sips_worker: CommandLine) -> None:
    """Where they could not be looked at, that is one of the places to look."""
    done = sips_worker.run("explain", "c-9")

    assert (1, "sips-worker: the ledger has no order c-9\n") == (done.status, done.err)
    assert "dead letters were not looked at: " in done.out.splitlines()[-1]


def test_several_matches_are_a_short_list(rows: Rows, sips_worker: CommandLine) -> None:
    """As `orders show` has it."""
    rows.confirmed("c-1", "40000007", po_number="PO-7")
    rows.confirmed("c-2", "40000008", po_number="PO-7", customer_code="ACME", po_claim="another")

    done = sips_worker.run("explain", "PO-7")

    assert (1, 3) == (done.status, len(done.out.splitlines()))
