"""Publish a dead letter again, as a new run of its command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.messaging import ladder
from worker.messaging.dead_letters import routing_key
from worker.messaging.publisher import Message
from worker.messaging.topology import RETRY, UNDELIVERED, WORK_QUEUES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.messaging.dead_letters import DeadLetter, Held

__all__ = ["message", "target"]


def target(letter: DeadLetter, queues: Mapping[str, str]) -> str | None:
    """The queue that a dead letter belongs to, or None where that cannot be told.

    Args:
        letter: the dead letter.
        queues: command type to work queue.
    """
    known = queues.get(letter.type or "")
    return known or (letter.queue if letter.queue in {*WORK_QUEUES, UNDELIVERED} else None)


def message(held: Held, queue: str, run: int) -> Message:
    """The message as it was first published, but for its run: what was counted and noted meanwhile starts anew."""
    properties = ladder.without_history(held.properties, routing_key(held.properties))
    properties.headers["sips-run"] = run
    return Message(exchange=RETRY, routing_key=queue, body=held.body, properties=properties)
