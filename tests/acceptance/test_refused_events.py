"""A subscriber's queue is full and has RabbitMQ refuse events: commands wait for it in RabbitMQ, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from tests.acceptance.test_commands import DELIVERY, SUBMIT, order, placed
from tests.acceptance.test_outage import waiting
from tests.amqp import channel, count, eventually
from worker.messaging.topology import DEAD, EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox, Worker

#: As in production: waits grow.
PATIENT = {"RETRY_MAX_SECONDS": "900"}


class Subscriber:
    """A queue bound to the events, with room for one message, which it has."""

    def __init__(self, opened: Any, binding: str) -> None:
        self._channel = opened
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        self._queue = opened.queue_declare("", exclusive=True, arguments=arguments).method.queue
        opened.basic_publish("", self._queue, b"full")
        opened.queue_bind(self._queue, EVENTS, binding)
        self.taken: list[dict[str, Any]] = []

    def drain(self) -> list[str]:
        """Take what is there, so that there is room again; the types of all events so far."""
        _method, _properties, body = self._channel.basic_get(self._queue, auto_ack=True)
        if body not in {None, b"full"}:
            self.taken.append(json.loads(body))
        return sorted(event["type"] for event in self.taken)


@contextlib.contextmanager
def full_subscriber(url: str, binding: str) -> Iterator[Subscriber]:
    """A subscriber to the events that match."""
    with channel(url) as opened:
        yield Subscriber(opened, binding)


def refusals(worker: Worker) -> list[dict[str, Any]]:
    """The lines that say what is wrong with the events, and what to do."""
    return [line for line in worker.lines() if "reject-publish" in str(line.get("check"))]


def test_a_read_whose_outcome_is_refused_waits_on_the_ladder(
    amqp_url: str, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """Longer each time, at no attempt's cost; it does not go round between its queue and SIPS, and ends as it should."""
    worker = make_worker(amqp_url, **PATIENT)
    with full_subscriber(amqp_url, f"{DELIVERY}.*") as subscriber:
        commands = [client.publish(DELIVERY, {"orderId": "35818786"}) for _ in range(3)]

        eventually(lambda: waiting(amqp_url) == {"delayed": 3}, "all of them wait")
        eventually(lambda: refusals(worker), "it is said what to do")
        eventually(lambda: subscriber.drain() == [f"{DELIVERY}.succeeded"] * 3, "the subscriber has all of them")

    assert set(commands) == {event["causationid"] for event in subscriber.taken}
    assert {1} == {event["data"]["command"]["attempts"] for event in subscriber.taken}
    (line,) = refusals(worker)
    assert ("error", True) == (line["level"], f"{EVENTS} {DELIVERY}.succeeded" in line["error"])
    assert 0 == count(amqp_url, DEAD)


def test_an_order_whose_outcome_is_refused_is_told_once_there_is_room(
    amqp_url: str, client: CommandClient, tap: EventTap, sandbox: Sandbox, make_worker: Callable[..., Worker]
) -> None:
    """SIPS is asked once; what is to be said stands in the ledger."""
    make_worker(amqp_url, **PATIENT)
    payload = order()
    with full_subscriber(amqp_url, f"{SUBMIT}.*") as subscriber:
        client.publish(SUBMIT, payload)
        eventually(lambda: waiting(amqp_url) == {"delayed": 1}, "it waits")
        eventually(lambda: subscriber.drain() == [f"{SUBMIT}.succeeded"], "the subscriber has it")

    tap.wait(lambda events: [event for event in events if event["type"] == "sips.order.confirmed"], "it is confirmed")
    assert 1 == len(placed(sandbox, payload))
    assert 0 == count(amqp_url, DEAD)
