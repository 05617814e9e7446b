"""Tell from the ends of calls whether SIPS is away or refuses this worker altogether: pure decisions, no clock and no I/O."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.sips import PROBE
from worker.sips.errors import (
    Forbidden,
    Gateway,
    NoAnswer,
    SecretUnreadable,
    ServerFault,
    TokenRefused,
    TokenUnavailable,
    Unauthorized,
)

if TYPE_CHECKING:
    from worker.sips import SipsError

__all__ = ["DOWN_LENGTH", "SUSPICION", "End", "Row", "Verdict", "end_of"]

#: Ends in a row that raise a suspicion: one question costs SIPS little, and two lost connections are everyday life.
SUSPICION = 3

#: Failures in a row that are an outage. A restarting gateway takes the few calls that were under way with it; with many
#: threads the fifth comes milliseconds after the first, with one at a time the probe's failures make it up in seconds.
DOWN_LENGTH = 5

#: Operations that must be among them: one alone may be broken, or asked for something that takes too long.
DOWN_OPERATIONS = 2

#: Statuses of a gateway that finds nobody behind it, or nobody in time.
_NOBODY_THERE = frozenset({502, 503, 504})


class End(enum.Enum):
    """How a call ended, as far as it speaks of SIPS as a whole."""

    #: SIPS answered, whatever it said.
    ANSWERED = "answered"
    #: Nobody answered, or something before SIPS did: a connection, a time-out, a gateway, a page.
    FAILED = "failed"
    #: Turned away at the door, by 401 or 403, or stopped before it for want of a secret.
    REFUSED = "refused"


class Verdict(enum.Enum):
    """What a row of ends says of SIPS."""

    UP = "up"
    #: The row is long enough to ask SIPS about something else.
    SUSPECT = "suspect"
    DOWN = "down"
    REFUSED = "refused"


def end_of(error: SipsError | None) -> End:
    """How a call ended that raised `error`, or none."""
    if isinstance(error, TokenRefused | SecretUnreadable | Unauthorized | Forbidden):
        return End.REFUSED
    if isinstance(error, NoAnswer | Gateway | TokenUnavailable):
        return End.FAILED
    if isinstance(error, ServerFault) and error.status in _NOBODY_THERE:
        return End.FAILED
    return End.ANSWERED


@dataclass(frozen=True, slots=True)
class Row:
    """The latest ends of calls that are all alike: how many, and of which operations. An answer leaves none."""

    end: End = End.ANSWERED
    length: int = 0
    operations: frozenset[str] = frozenset()

    def then(self, operation: str, end: End) -> Row:
        """The row after one more call."""
        if end is End.ANSWERED:
            return Row()
        if end is not self.end:
            return Row(end, 1, frozenset({operation}))
        return Row(end, self.length + 1, self.operations | {operation})

    @property
    def verdict(self) -> Verdict:
        """What the row says of SIPS.

        A refusal may be one customer's, so it counts for SIPS as a whole only where the probe is refused as well.
        """
        if self.length < SUSPICION:
            return Verdict.UP
        if self.end is End.REFUSED:
            return Verdict.REFUSED if PROBE in self.operations else Verdict.SUSPECT
        down = self.length >= DOWN_LENGTH and len(self.operations) >= DOWN_OPERATIONS
        return Verdict.DOWN if down else Verdict.SUSPECT
