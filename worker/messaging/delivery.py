"""One delivered message and what is to become of it."""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pika.channel import Channel
    from pika.spec import BasicProperties

__all__ = ["Delivery", "Disposition"]


class Disposition(enum.Enum):
    """What the broker is told about a delivery."""

    #: Done: its outcome, its retry or its dead letter is confirmed.
    ACK = "ack"
    #: Not done: back to its queue.
    REQUEUE = "requeue"


class Delivery:
    """A message as it came, bound to the channel it came on. Its `repr` shows no payload.

    Attributes:
        queue: where it was consumed from.
        body, properties, routing_key, redelivered: as RabbitMQ sent them.
        received: monotonic seconds.
        disposition: set by the pipeline; None counts as REQUEUE.
        revoked: given back before it started.
        settled: RabbitMQ was told, or its channel is gone.
    """

    __slots__ = (
        "_running",
        "_waiting",
        "body",
        "channel",
        "disposition",
        "properties",
        "queue",
        "received",
        "redelivered",
        "revoked",
        "routing_key",
        "settled",
        "tag",
    )

    def __init__(  # noqa: PLR0913 - a delivery is these things
        self,
        *,
        queue: str,
        channel: Channel,
        tag: int,
        body: bytes,
        properties: BasicProperties,
        routing_key: str,
        redelivered: bool,
        waiting: dict[int, Delivery],
        running: dict[int, Delivery],
    ) -> None:
        self.queue = queue
        self.channel = channel
        self.tag = tag
        self.body = body
        self.properties = properties
        self.routing_key = routing_key
        self.redelivered = redelivered
        self.received = time.monotonic()
        self.disposition: Disposition | None = None
        self.revoked = False
        self.settled = False
        self._waiting = waiting
        self._running = running
        waiting[id(self)] = self

    def start(self) -> bool:
        """Take the delivery for execution; False if it was given back meanwhile and must not be touched.

        Whoever pops it from the waiting ones has it: dict.pop is atomic, so nothing is both started and given back. It
        stands among the running ones before that, so that a connection lost in between knows that it runs.
        """
        self._running[id(self)] = self
        if self._waiting.pop(id(self), None) is not None:
            return True
        self._running.pop(id(self), None)
        return False

    def revoke(self) -> bool:
        """Take the delivery back before it started; False if it runs."""
        self.revoked = self._waiting.pop(id(self), None) is not None
        return self.revoked

    def __repr__(self) -> str:
        return f"<Delivery {self.tag} from {self.queue}, {len(self.body)} bytes>"
