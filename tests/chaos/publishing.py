"""Publish the commands of a plan, whatever becomes of RabbitMQ meanwhile."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pika.exceptions

from tests.acceptance.conftest import example
from tests.chaos import plan as plans
from tests.chaos.judge import SOURCE
from tests.chaos.plan import When
from tests.handlers.commands import CASES
from worker.client import ClientError, CommandClient

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from tests.chaos.plan import Command, Plan, Publication
    from worker.local.stack import Sandbox

__all__ = ["publish_all"]

#: Seconds between two looks at what SIPS works on, and between two tries to publish.
LOOK_SECONDS = 0.3

#: The documented requests, by command type.
PAYLOADS: dict[str, Any] = {case.type: case.payload for case in CASES}


def publish_all(plan: Plan, started: float, url: str, sandbox: Sandbox, published: Counter[str]) -> None:
    """Publish every command at its time, or while its order runs; again until RabbitMQ took it.

    Args:
        plan: what to publish, and when.
        started: the plan's second 0, in monotonic seconds.
        url: RabbitMQ.
        sandbox: tells which orders are under way.
        published: counts how often each command was published, by id.
    """
    with contextlib.closing(Publisher(url, published)) as publisher:
        running: Sequence[Publication] = []
        for publication in plan.publications:
            while (left := started + publication.at - time.monotonic()) > 0:
                running = _publish_running(publisher, sandbox, running)
                time.sleep(min(left, LOOK_SECONDS))
            if publication.when is When.WHILE_RUNNING:
                running = [*running, publication]
            else:
                publisher.publish(publication.command)
        while running and time.monotonic() < started + plan.seconds:
            running = _publish_running(publisher, sandbox, running)
            time.sleep(LOOK_SECONDS)
        for publication in running:  # never met under way
            publisher.publish(publication.command)


def _publish_running(publisher: Publisher, sandbox: Sandbox, waiting: Sequence[Publication]) -> Sequence[Publication]:
    """Publish what SIPS works on now; the others."""
    if not waiting:
        return waiting
    under_way = {order["poNumber"] for order in sandbox.orders() if not order["answered"]}
    for publication in waiting:
        if publication.command.po in under_way:
            publisher.publish(publication.command)
    return [publication for publication in waiting if publication.command.po not in under_way]


class Publisher:
    """Publishes commands whatever becomes of RabbitMQ; a command whose confirm is lost is published again."""

    def __init__(self, url: str, published: Counter[str]) -> None:
        self._url = url
        self._published = published
        self._client: CommandClient | None = None

    def publish(self, command: Command) -> None:
        """Publish a command, and once more for each confirm that is lost."""
        extensions = {"idempotencykey": command.key} if command.key else None
        while True:
            try:
                self._client = self._client or CommandClient(f"{self._url}?heartbeat=60", source=SOURCE)
                self._published[command.id] += 1
                self._client.publish(
                    command.type, _payload(command), command_id=command.id, form=command.form, extensions=extensions
                )
            except ClientError:
                self.close()
                time.sleep(LOOK_SECONDS)
            else:
                return

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            with contextlib.suppress(pika.exceptions.AMQPError, OSError):
                self._client.close()
            self._client = None


def _payload(command: Command) -> Any:
    """The documented request, an order's under its own PO number."""
    if command.type == plans.SUBMIT:
        order: dict[str, Any] = example("ordersV2Submit.request")
        return order | {"poDetails": order["poDetails"] | {"poNumber": command.po}}
    return PAYLOADS[command.type]
