"""The life of an order: which changes it goes through and when, and so what it is at any moment.

A life is made once, when its order is accepted, from the order's own key and the seed. Nothing ticks: what is read is computed
from the life and the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

__all__ = ["DELIVERY", "INVOICE", "ORDER", "Change", "Life", "Lives", "Pace", "day", "moment"]

HOUR = 3_600.0

#: How many times as fast as in reality orders live; or the seconds from each change to the next (least, most), so that none is
#: too short to be seen.
Pace = float | tuple[float, float]

#: What has a state of its own.
ORDER, DELIVERY, INVOICE = "order", "delivery", "invoice"

#: What becomes of an order that is real: what changes, to which status, the webhook's type, and the hours since the change
#: before (least, most). Types and the delivery's words are those that integrations know (field evidence); SIPS' words for
#: orders and invoices are unknown, these are our own.
STEPS: tuple[tuple[str, str, str, tuple[float, float]], ...] = (
    (ORDER, "Acknowledged", "OA", (0.1, 0.5)),
    (ORDER, "Confirmed", "OU", (0.5, 3)),
    (DELIVERY, "Pending", "DU", (1, 4)),
    (DELIVERY, "En Route", "DU", (18, 40)),
    (DELIVERY, "Delivered", "DU", (1, 4)),
    (ORDER, "Delivered", "OU", (0.1, 0.5)),
    (DELIVERY, "Completed", "DU", (0.5, 2)),
    (INVOICE, "Issued", "IU", (4, 24)),
    (ORDER, "Invoiced", "OU", (0.1, 0.5)),
)

#: Hours that a queued order waits before it is real (least, most).
QUEUE_HOURS = (0.2, 2)


@dataclass(frozen=True, slots=True)
class Change:
    """Something gets a status, `at` in seconds since 1970; `event_type` is that of its webhook, None = it has none."""

    at: float
    subject: str
    status: str
    event_type: str | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """All changes of one order, the earliest first; it can be found and read from `listed_at`. A still one never changes."""

    changes: tuple[Change, ...]
    listed_at: float
    is_still: bool = False

    def seen(self, now: float) -> list[Change]:
        """The changes up to now."""
        return [change for change in self.changes if change.at <= now]

    def status(self, subject: str, now: float) -> str | None:
        """What the subject is now; None where there is none yet."""
        return next((change.status for change in reversed(self.changes) if change.subject == subject and change.at <= now), None)

    def at(self, subject: str, status: str) -> float:
        """When the subject gets the status; infinite = never."""
        return next((change.at for change in self.changes if (change.subject, change.status) == (subject, status)), math.inf)

    def has_ended(self, now: float) -> bool:
        """Whether nothing changes any more."""
        return self.changes[-1].at <= now


@dataclass(frozen=True, slots=True)
class Lives:
    """What makes lives.

    Args:
        pace: None = orders stand still from the moment they are real.
        seed: of the times between changes.
    """

    pace: Pace | None = None
    seed: int = 0

    def begin(self, key: str, now: float, *, queued: bool = False, dropped: bool = False, listed_after: float = 0.0) -> Life:
        """The life of an order that is accepted now; the same key has the same times between changes.

        A queued one becomes a real order after `listed_after` seconds and, where orders live, its time in the queue; a dropped
        one never does.
        """
        waits = Change(now, ORDER, "Queued")
        if dropped:
            return Life((waits,), math.inf, is_still=self.pace is None)
        chance = Random(f"{self.seed}/{key}")  # noqa: S311 - a rehearsal's chance, no secret
        listed_at = now + listed_after + self._seconds(chance, QUEUE_HOURS) if queued else now
        begun = (*((waits,) if queued else ()), Change(listed_at, ORDER, "Open"))
        if self.pace is None:
            return Life((*begun, Change(listed_at, DELIVERY, "Pending")), listed_at, is_still=True)
        return Life(begun + self._steps(chance, listed_at), listed_at)

    def _steps(self, chance: Random, at: float) -> tuple[Change, ...]:
        changes = []
        for subject, status, event_type, hours in STEPS:
            at += self._seconds(chance, hours)
            changes.append(Change(at, subject, status, event_type))
        return tuple(changes)

    def _seconds(self, chance: Random, hours: tuple[float, float]) -> float:
        """How long a step takes that takes so many hours in reality."""
        if isinstance(self.pace, tuple):
            return chance.uniform(*self.pace)
        return chance.uniform(*hours) * HOUR / self.pace if self.pace else 0.0


def day(at: float) -> str:
    """The day of a moment, in UTC, as SIPS writes one."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def moment(at: float) -> str:
    """A moment as RFC 3339 has it, to the microsecond where it is no whole second."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
