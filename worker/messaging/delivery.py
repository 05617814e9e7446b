"""One delivered message and what is to become of it."""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.channel import Channel
    from pika.spec import BasicProperties

__all__ = ["Delivery", "Disposition", "Subscription"]


class Disposition(enum.Enum):
    """What the broker is told about a delivery."""

    #: Done: its outcome, its retry or its dead letter is confirmed.
    ACK = "ack"
    #: Not done: back to its queue.
    REQUEUE = "requeue"


class Subscription(Protocol):
    """What a delivery came over.

    Attributes:
        waiting, running: its deliveries that have not started, and those that have and are not settled; by `id`.
    """

    waiting: dict[int, Delivery]
    running: dict[int, Delivery]

    def settle(self, delivery: Delivery) -> None:
        """Apply its disposition; from any thread."""

    def run_again(self, delivery: Delivery) -> None:
        """Have what is left to do for it done in a worker thread; from any thread."""


class Delivery:
    """A message as it came, bound to the channel it came on. Its `repr` shows no payload.

    Attributes:
        queue: where it was consumed from.
        body, properties, routing_key, redelivered: as RabbitMQ sent them.
        received: monotonic seconds.
        disposition: set by the pipeline; None counts as REQUEUE.
        deferred: not settled when its execution returns, but when it is concluded.
        revoked: given back before it started.
        settled: RabbitMQ was told, or its channel is gone.
    """

    __slots__ = (
        "_rest",
        "_subscription",
        "body",
        "channel",
        "deferred",
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

    def __init__(
        self,
        *,
        queue: str,
        channel: Channel,
        tag: int,
        body: bytes,
        properties: BasicProperties,
        routing_key: str,
        redelivered: bool,
        subscription: Subscription,
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
        self.deferred = False
        self.revoked = False
        self.settled = False
        self._rest: Callable[[], None] | None = None
        self._subscription = subscription
        subscription.waiting[id(self)] = self

    def start(self) -> bool:
        """Take the delivery for execution; False if it was given back meanwhile and must not be touched.

        Whoever pops it from the waiting ones has it: dict.pop is atomic, so nothing is both started and given back. It
        stands among the running ones before that, so that a connection lost in between knows that it runs.
        """
        self._subscription.running[id(self)] = self
        if self._subscription.waiting.pop(id(self), None) is not None:
            return True
        self._subscription.running.pop(id(self), None)
        return False

    def revoke(self) -> bool:
        """Take the delivery back before it started; False if it runs."""
        self.revoked = self._subscription.waiting.pop(id(self), None) is not None
        return self.revoked

    def defer(self) -> None:
        """Have it settled by `conclude`, not when its execution returns; once said, it stays so."""
        self.deferred = True

    def conclude(self, disposition: Disposition | None) -> None:
        """Settle what was deferred, from any thread."""
        self.disposition = disposition
        self._subscription.settle(self)

    def resume(self, rest: Callable[[], None]) -> None:
        """Have something done for it in a worker thread, which concludes it; from any thread, and at once."""
        self._rest = rest
        self._subscription.run_again(self)

    def finish(self) -> bool:
        """Do what is left to do for it, in the thread that calls; False if nothing is."""
        # What holds the answer and its event must not stay as long as the latest deliveries are remembered.
        rest, self._rest = self._rest, None
        if rest is None:
            return False
        rest()
        return True

    def __repr__(self) -> str:
        return f"<Delivery {self.tag} from {self.queue}, {len(self.body)} bytes>"
