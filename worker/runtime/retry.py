"""What to do after a failed attempt: a pure decision, no clock and no I/O."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.runtime.outage import End, end_of
from worker.sips import Executed, SipsError

if TYPE_CHECKING:
    from random import Random

    from worker.settings import Settings

__all__ = ["Decision", "Policy", "Verdict", "decide", "headers", "wait_seconds"]

#: Longest mean delay, in seconds, of a repeat that costs no attempt: SIPS is away, and comes back at any moment.
LONGEST_WAIT = 60.0

#: Waits per attempt that a read is granted when it fails as calls do while SIPS is away. Before the gate closes nobody can
#: tell an outage from a command that SIPS cannot answer, and nobody can while SIPS comes and goes: it uses up no attempt
#: then, but a command that is the cause itself must come to an end.
WAITS_PER_ATTEMPT = 2

#: Spread of every delay around its mean, so that commands that failed together do not come back together.
JITTER = 0.5


#: Statuses that mean: not with these credentials. One customer's, or a rotation that is under way: worth some attempts.
REFUSALS = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how long: attempts in total, seconds before the second one, longest mean delay in seconds."""

    attempts: int
    base_seconds: float
    max_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """The policy that the settings ask for."""
        return cls(settings.retry_attempts, settings.retry_base_seconds, settings.retry_max_seconds)


class Verdict(enum.Enum):
    """What becomes of the command."""

    #: Again after the delay; an attempt was used up.
    RETRY = "retry"
    #: Again after the delay; SIPS cannot have executed it or is away, so no attempt was used up.
    WAIT = "wait"
    #: SIPS refused it for good: `.failed`.
    FAIL = "fail"
    #: No attempts are left: `.failed` and a dead letter.
    EXHAUSTED = "exhausted"
    #: A command that changes something, and nobody can tell whether SIPS did it: never repeated on a guess.
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and, for RETRY and WAIT, the delay in seconds."""

    verdict: Verdict
    seconds: float = 0.0


def decide(error: SipsError, *, changes: bool, attempt: int, waits: int, policy: Policy, random: Random) -> Decision:
    """Decide after `error` ended an attempt.

    Args:
        error: says whether SIPS can have executed the call, and whether a repeat makes sense.
        changes: whether the command changes something at SIPS.
        attempt: the number of this attempt, from 1.
        waits: how often it waited without using up an attempt.
        policy: the settings.
        random: source of the jitter.
    """
    if changes and error.executed is Executed.MAYBE:
        return Decision(Verdict.DOUBT)
    refused_at_the_door = error.executed is Executed.NO and error.status in REFUSALS and not error.retryable
    if (error.executed is Executed.NO and error.retryable) or _is_an_outage(error, waits, policy):
        return Decision(Verdict.WAIT, _delay(waits, min(LONGEST_WAIT, policy.max_seconds), policy, error, random))
    if not error.retryable and not refused_at_the_door:
        return Decision(Verdict.FAIL)
    if attempt >= policy.attempts:
        return Decision(Verdict.EXHAUSTED)
    return Decision(Verdict.RETRY, _delay(attempt - 1, policy.max_seconds, policy, error, random))


def _is_an_outage(error: SipsError, waits: int, policy: Policy) -> bool:
    """Whether a failure is put down to SIPS as a whole: known to be away, or failing as it does then, not for too long."""
    end = end_of(error)
    if error.while_away:
        return end is not End.ANSWERED
    return end is End.FAILED and waits < policy.attempts * WAITS_PER_ATTEMPT


def _delay(doublings: int, longest: float, policy: Policy, error: SipsError, random: Random) -> float:
    """Exponential, capped, jittered; `Retry-After` only ever makes it longer."""
    mean: float = min(policy.base_seconds * 2 ** min(doublings, 30), longest)
    return max(mean * random.uniform(1 - JITTER, 1 + JITTER), error.retry_after or 0.0)


def wait_seconds(waits: int, policy: Policy, random: Random, *, longest: float = LONGEST_WAIT) -> float:
    """The delay of a repeat that costs no attempt, after so many of them; `longest` mean delay in seconds."""
    mean: float = min(policy.base_seconds * 2 ** min(waits, 30), longest, policy.max_seconds)
    return mean * random.uniform(1 - JITTER, 1 + JITTER)


def headers(decision: Decision, *, attempt: int, waits: int) -> dict[str, int]:
    """The counting header of the next delivery of a command that is tried again."""
    return {"sips-waits": waits + 1} if decision.verdict is Verdict.WAIT else {"sips-attempt": attempt + 1}
