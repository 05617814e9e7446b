"""Orders that live: what changes at SIPS is told as facts, for as long as somebody waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import SOURCE, settings_of
from tests.acceptance.test_commands import SUBMIT, order
from tests.amqp import eventually, forget_the_store
from worker.client import CommandClient
from worker.local.stack import Sandbox, Worker
from worker.sandbox.life import DELIVERY, INVOICE, ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.amqp import EventTap

#: A life of two to four days in as many seconds.
FACTOR = "50000"

#: Looks are made so often.
SOON = {"WATCH_SECONDS": "0.5", "WATCH_FAR_SECONDS": "0.5"}

FACTS = {
    "sips.order.status_changed": ORDER,
    "sips.delivery.status_changed": DELIVERY,
    "sips.invoice.issued": INVOICE,
}


@pytest.fixture(scope="module")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Its orders live."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), options=["--live", FACTOR]) as started:
        yield started


@pytest.fixture(scope="module")
def worker(
    shared_url: str, sandbox_process: Sandbox, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """Looks often."""
    forget_the_store(shared_url)
    settings = settings_of(shared_url, sandbox_process, database_url) | SOON
    with Worker("worker", tmp_path_factory.mktemp("worker"), settings) as started:
        yield started


def facts(tap: EventTap, order_id: str) -> list[dict[str, Any]]:
    """What was told of an order, in the sequence in which it came."""
    return [event for event in tap.events if event["data"].get("orderId") == order_id and "sequence" in event["data"]]


def last(tap: EventTap, order_id: str, subject: str) -> str | None:
    """The last status that was told of it."""
    told = [event["data"]["current"] for event in facts(tap, order_id) if FACTS.get(event["type"]) == subject]
    return (told[-1].get("status") or "Issued") if told else None


@pytest.mark.usefixtures("worker")
def test_a_submitted_order_is_followed_to_its_end(client: CommandClient, tap: EventTap) -> None:
    """Nobody asked for it: order, delivery and invoice, with the correlation of the command that submitted it."""
    command = client.publish(SUBMIT, order(), extensions={"correlationid": "flow-7"})
    order_id = tap.outcome(command)["data"]["result"]["orderId"]

    ends = {ORDER: "Invoiced", DELIVERY: "Completed", INVOICE: "Issued"}
    tap.wait(lambda _events: ends == {subject: last(tap, order_id, subject) for subject in ends}, "all is over")

    told = facts(tap, order_id)
    assert [*range(1, len(told) + 1)] == [fact["data"]["sequence"] for fact in told]
    assert len(told) == len({fact["id"] for fact in told})
    assert {("flow-7", command, SOURCE, "poll")} == {
        (fact["correlationid"], fact["causationid"], fact["commandsource"], fact["data"]["source"]) for fact in told
    }
    (completed,) = [fact["data"] for fact in told if fact["type"] == "sips.delivery.completed"]
    assert (1, "Completed") == (completed["shipmentNumber"], completed["current"]["status"])
    for subject in FACTS.values():
        states = [(fact["data"]["previous"], fact["data"]["current"]) for fact in told if FACTS.get(fact["type"]) == subject]
        assert [None, *(current for _previous, current in states[:-1])] == [previous for previous, _current in states]


@pytest.mark.usefixtures("worker")
def test_a_watch_is_of_whoever_asks_for_it(client: CommandClient, amqp_url: str, tap: EventTap) -> None:
    """The order that stands still: two sources watch it, and each ends its own part."""
    still = {"orderId": "35818786", "watch": True, "intervalSeconds": 60}
    with CommandClient(amqp_url, source="others") as others:
        mine = tap.outcome(client.publish("sips.order.track", still))["data"]["result"]
        theirs = tap.outcome(others.publish("sips.delivery.poll", still))["data"]["result"]
        assert ("Open", True, 60) == (mine["status"], mine["watch"]["active"], mine["watch"]["intervalSeconds"])
        assert ("Pending", True) == (theirs["deliveries"][0]["status"], theirs["watch"]["active"])

        cancelled = tap.outcome(client.publish("sips.watch.cancel", {"orderId": "35818786"}))["data"]["result"]
        assert {"orderId": "35818786", "cancelled": 1, "stillWatched": True} == cancelled
        cancelled = tap.outcome(others.publish("sips.watch.cancel", {"orderId": "35818786"}))["data"]["result"]
        assert {"orderId": "35818786", "cancelled": 1, "stillWatched": False} == cancelled
    assert [None, None] == [fact["data"]["previous"] for fact in facts(tap, "35818786")]


@pytest.mark.usefixtures("worker")
def test_an_order_that_is_only_looked_at_is_not_watched(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """A list of an order that nobody placed is null, and no fact is told of it."""
    command = client.publish("sips.order.track", {"orderId": "99999999"})

    result = tap.outcome(command)["data"]["result"]

    assert {"orderId": "99999999", "status": None, "order": None, "watch": None} == result
    eventually(lambda: sandbox.stats()["requests"]["ordersList"].get("200"), "SIPS was asked")
    assert [] == facts(tap, "99999999")
