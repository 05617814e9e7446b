"""A command that kills its process is set aside; its queue keeps flowing, and what ran or waited beside it ends well."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance import deadly_worker
from tests.acceptance.conftest import SOURCE, settings_of
from tests.acceptance.test_commands import DELIVERY, SUBMIT, order
from tests.amqp import EventTap, channel, count, eventually, publish, take_all
from worker.client import CommandClient
from worker.local.stack import Worker
from worker.messaging.topology import COMMANDS, DEAD, DELIVERY_LIMIT, ORDERS, QUERIES, RETRY, SUSPECTS, UNDELIVERED, WATCHES
from worker.runtime.poison import POISON_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.local.stack import Sandbox


class DeadlyWorker(Worker):
    """A worker that knows deadly commands."""

    module = deadly_worker.__name__


class Supervisor:
    """Starts the worker again whenever it ends, as a container platform does."""

    def __init__(self, make: Callable[[], DeadlyWorker]) -> None:
        self._make = make
        self.worker = make().start()
        self.deaths = 0

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Keep the worker alive until the condition holds."""

        def holds() -> Any:
            if self.worker.process.poll() is not None:
                self.deaths += 1
                self.worker = self._make().start()
            return condition()

        eventually(holds, what, patience=90)


@pytest.fixture
def url(private_url: str) -> Iterator[str]:
    """The private node, without the deadly commands' bindings in the end."""
    yield private_url
    with channel(private_url) as opened:
        opened.queue_unbind(QUERIES, COMMANDS, deadly_worker.READ)
        opened.queue_unbind(ORDERS, COMMANDS, deadly_worker.ORDER)


@pytest.fixture
def supervisor(
    request: pytest.FixtureRequest, url: str, sandbox: Sandbox, sqlite_url: str, tmp_path: Path
) -> Iterator[Supervisor]:
    """Over a worker with few threads, so that something waits beside what runs."""
    settings = settings_of(url, sandbox, sqlite_url) | {"THREADS": "4", "PYTHONPATH": str(Path(__file__).parents[2])}
    settings |= getattr(request, "param", {})
    started = Supervisor(lambda: DeadlyWorker("deadly", tmp_path, settings))
    yield started
    started.worker.stop()


@contextlib.contextmanager
def publishing(url: str) -> Iterator[tuple[CommandClient, EventTap]]:
    """A client and a tap."""
    with EventTap(url) as tap, CommandClient(url, source=SOURCE) as client:
        yield client, tap


def is_consumed(url: str) -> bool:
    """Whether a worker is there; the deadly commands are bound before it consumes."""
    with channel(url) as opened:
        return bool(opened.queue_declare(SUSPECTS, passive=True).method.consumer_count)


@pytest.mark.parametrize("supervisor", [{"SLOW_TO_ACK": "0.5"}], ids=["slow to ack"], indirect=True)
def test_a_read_that_kills_its_process_is_set_aside_and_its_neighbours_succeed(
    url: str, supervisor: Supervisor, sandbox: Sandbox
) -> None:
    """After few kills: `.failed` and a dead letter. All that was published before, with and after it is answered.

    It is moved to the suspects, where it must not kill before it is acked where it was: there would be two of it.
    """
    supervisor.until(lambda: is_consumed(url), "the worker consumes")
    sandbox.set_faults(slow={"rate": 1, "seconds": 0.05, "operations": ["deliveryDetails"]})
    with publishing(url) as (client, tap):
        before = [client.publish(DELIVERY, {"orderId": "35818786"}) for _ in range(6)]
        deadly = client.publish(deadly_worker.READ, {})
        after = [client.publish(DELIVERY, {"orderId": "35818786"}) for _ in range(6)]

        supervisor.until(lambda: supervisor.deaths >= 2, "it was let run in company twice")
        later = [client.publish(DELIVERY, {"orderId": "35818786"}) for _ in range(6)]
        supervisor.until(lambda: tap.outcomes(deadly), "the deadly one has an outcome")
        innocent = [*before, *after, *later]
        supervisor.until(lambda: all(tap.outcomes(command) for command in innocent), "all the others have theirs")

        (outcome,) = tap.outcomes(deadly)
        assert (f"{deadly_worker.READ}.failed", "crash-loop") == (outcome["type"], outcome["data"]["type"])
        assert {f"{DELIVERY}.succeeded"} == {end["type"] for command in innocent for end in tap.outcomes(command)}
        assert 18 == len({end["id"] for command in innocent for end in tap.outcomes(command)})
    assert POISON_AT == supervisor.deaths
    assert 0 == supervisor.worker.stop()
    ((properties, _body),) = take_all(url, DEAD)
    headers = properties.headers or {}
    assert ("crash-loop", QUERIES, POISON_AT) == (headers["sips-reason"], headers["sips-queue"], headers["sips-crashes"])
    assert (0, 0, 0) == (count(url, QUERIES), count(url, SUSPECTS), count(url, UNDELIVERED))


def test_a_read_that_was_given_back_a_thousand_times_is_innocent(
    amqp_url: str, tap: EventTap, make_worker: Callable[..., Worker]
) -> None:
    """By shutdowns and gates: it runs alone, and succeeds."""
    publish(amqp_url, RETRY, QUERIES, b'{"orderId": "35818786"}', message_id="back", app_id=SOURCE, type=DELIVERY)
    with channel(amqp_url) as opened:
        for _ in range(DELIVERY_LIMIT - 1):
            method, _properties, _body = opened.basic_get(QUERIES)
            opened.basic_nack(method.delivery_tag)

    worker = make_worker(amqp_url)

    assert f"{DELIVERY}.succeeded" == tap.outcome("back")["type"]
    assert 0 == worker.stop()
    attempts = [(line["queue"], line["outcome"]) for line in worker.lines() if line["event"] == "attempt"]
    assert [(QUERIES, "suspect"), (SUSPECTS, "succeeded")] == attempts
    assert 0 == count(amqp_url, DEAD)


def test_an_order_that_kills_its_process_is_unknown_after_the_first_time(url: str, supervisor: Supervisor) -> None:
    """Nobody knows what it did before; it is not tried again on a guess."""
    supervisor.until(lambda: is_consumed(url), "the worker consumes")
    with publishing(url) as (client, tap):
        deadly = client.publish(deadly_worker.ORDER, {})
        supervisor.until(lambda: tap.outcomes(deadly), "the deadly one has an outcome")
        beside = client.publish(DELIVERY, {"orderId": "35818786"})

        assert [f"{deadly_worker.ORDER}.unknown"] == [end["type"] for end in tap.outcomes(deadly)]
        assert f"{DELIVERY}.succeeded" == tap.outcome(beside)["type"]
    assert 1 == supervisor.deaths
    assert 0 == supervisor.worker.stop()
    assert (0, 0) == (count(url, ORDERS), count(url, SUSPECTS))


@pytest.mark.parametrize("supervisor", [{"DEADLY_LOOKS": "1"}], ids=["deadly looks"], indirect=True)
def test_a_look_that_kills_its_process_leaves_its_order_to_a_person(url: str, supervisor: Supervisor, sandbox: Sandbox) -> None:
    """After few kills, and for good: whatever was made for its timer meanwhile does nothing any more."""
    sandbox.set_faults(lost_answer={"operations": ["ordersV2Submit"]})
    with publishing(url) as (client, tap):
        command = client.publish(SUBMIT, order())

        supervisor.until(lambda: tap.outcomes(command), "the order has an outcome")
        supervisor.until(lambda: count(url, WATCHES) + count(url, SUSPECTS) == 0, "no tick is left")
        deaths = supervisor.deaths
        beside = client.publish(DELIVERY, {"orderId": "35818786"})

        assert f"{SUBMIT}.unknown" == tap.outcome(command)["type"]
        assert "crash-loop" in tap.outcome(command)["data"]["lastError"]
        assert f"{DELIVERY}.succeeded" == tap.outcome(beside)["type"]
    assert (0, deaths) == (supervisor.worker.stop(), supervisor.deaths)
    ((properties, _body),) = take_all(url, DEAD)
    assert ("sips.tick", "crash-loop", WATCHES) == (
        properties.type,
        (properties.headers or {})["sips-reason"],
        (properties.headers or {})["sips-queue"],
    )
