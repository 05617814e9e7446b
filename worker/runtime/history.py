"""What a delivery's headers tell of its past, and what its copies must go on telling.

Headers come from publishers as well: whatever stands in them is read without trust.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.messaging import ladder, topology
from worker.messaging.envelope import MAX_COUNT
from worker.runtime.poison import CRASHES

if TYPE_CHECKING:
    from worker.messaging.delivery import Delivery
    from worker.messaging.envelope import Command

__all__ = ["count", "has_expired", "home", "marks", "may_have_been_sent", "order"]

#: Its AMQP `expiration` ran out in a work queue.
EXPIRED = "sips-expired"

#: The queue that a message among the suspects, or a dead letter, belongs to.
HOME = "sips-queue"

#: It was delivered before it was moved to this queue.
REDELIVERED = "sips-redelivered"


def count(delivery: Delivery, header: str) -> int:
    """The number in one of our own counting headers, 0 where there is none; a number beyond all reason is cut."""
    value = _headers(delivery).get(header)
    return min(value, MAX_COUNT) if isinstance(value, int) and value > 0 else 0


def has_expired(command: Command, delivery: Delivery, now: float) -> bool:
    """Whether a command's time was up at a time of the database's, or because the broker had set it aside for that."""
    late = command.expires_at is not None and command.expires_at.timestamp() <= now
    return late or bool(_headers(delivery).get(EXPIRED))


def may_have_been_sent(delivery: Delivery) -> bool:
    """Whether it was delivered before, here or in a queue that it was moved from: SIPS may have been asked then."""
    return delivery.redelivered or bool(_headers(delivery).get(REDELIVERED)) or count(delivery, CRASHES) > 0


def home(delivery: Delivery) -> str:
    """The queue that a message belongs to, also while it is among the suspects."""
    queue = _headers(delivery).get(HOME)
    return queue if delivery.queue == topology.SUSPECTS and isinstance(queue, str) else delivery.queue


def order(delivery: Delivery) -> str | None:
    """The ledger's key of its order, where a worker has noted it: known without reading the body."""
    key = _headers(delivery).get(ladder.ORDER)
    return key if isinstance(key, str) else None


def marks(delivery: Delivery) -> dict[str, Any]:
    """The headers with which a copy for another queue keeps the past, as the broker's own words do not come along.

    A redelivery may have a copy already, and a message over the delivery limit was delivered often.
    """
    found = {EXPIRED: _died(delivery, "expired"), REDELIVERED: delivery.redelivered or _died(delivery, "delivery_limit")}
    return {name: True for name, holds in found.items() if holds}


def _died(delivery: Delivery, reason: str) -> bool:
    """Whether the broker set it aside from a work queue for the reason; its own record of it is `x-death`."""
    deaths = _headers(delivery).get("x-death")
    return isinstance(deaths, list) and any(
        isinstance(death, dict) and death.get("reason") == reason and death.get("queue") in topology.WORK_QUEUES
        for death in deaths
    )


def _headers(delivery: Delivery) -> dict[str, Any]:
    return delivery.properties.headers or {}
