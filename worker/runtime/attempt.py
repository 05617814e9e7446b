"""One execution for one command, and what its log line says."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.runtime.payload import Identity

if TYPE_CHECKING:
    from worker.messaging.delivery import Delivery
    from worker.messaging.envelope import Command
    from worker.runtime.payload import Payload
    from worker.runtime.submission import Submission
    from worker.sips import Sips

__all__ = ["Attempt"]


@dataclass(slots=True)
class Attempt:
    """What is known of an attempt so far.

    Attributes:
        deadline: its end in monotonic seconds, its publish included.
        pending: its outcome is on the way, and it ends with RabbitMQ's confirm.
    """

    delivery: Delivery
    deadline: float
    started: float = field(default_factory=time.monotonic)
    command: Command | None = None
    payload: Payload | None = None
    identity: Identity = field(default_factory=Identity)
    sips: Sips | None = None
    submission: Submission | None = None
    order_id: str | None = None
    run: int | None = None
    outcome: str = "requeued"
    final: bool = False
    pending: bool = False
    error: str | None = None

    def log_fields(self) -> dict[str, Any]:
        """The canonical line: one per attempt."""
        command, sips, now = self.command, self.sips, time.monotonic()
        return {
            "type": command.type if command else None,
            "id": command.id if command else None,
            "source": command.source if command else None,
            "correlation_id": command.correlation_id if command else None,
            "queue": self.delivery.queue,
            "outcome": self.outcome,
            "final": self.final,
            "attempt": command.attempt if command else None,
            "run": self.run or (command.run if command else None),
            "queue_ms": _milliseconds(self.started - self.delivery.received),
            "sips_ms": _milliseconds(sips.seconds) if sips else None,
            "duration_ms": _milliseconds(now - self.started),
            "sips_status": sips.status if sips else None,
            "customer_code": self.identity.customer_code,
            "po_number": self.identity.po_number,
            "order_id": self.order_id or self.identity.order_id,
            "transaction_id": self.submission.transaction_id if self.submission else None,
            "error": self.error,
        }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
