"""The decisions about a bearer token: how long it lives, when it is refreshed, what a failure costs; no I/O."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.sips.token_storage import Entry

__all__ = [
    "FALLBACK_LIFETIME",
    "Grant",
    "Held",
    "Standing",
    "Token",
    "back_off",
    "fingerprint_of",
    "is_better",
    "issue",
    "lifetime_of",
    "standing",
    "taken_over",
]

#: Lifetime (seconds) where `expires_in` is missing or no positive number: short, so that a wrong guess heals soon.
FALLBACK_LIFETIME = 300.0

#: Longest lifetime (seconds) that is believed: the 24 h that SIPS documents. Beyond, `expires_in` is a mistake of units.
MAX_LIFETIME = 86_400.0

#: A token is refreshed when this share of its lifetime is left, ...
MARGIN_SHARE = 0.2
#: ... and at most this long (seconds) before its end, which is what counts for lifetimes over 25 minutes.
MAX_MARGIN = 300.0

#: Waits (seconds) after failed refreshes: the first, and the longest; they double in between.
FIRST_BACK_OFF = 1.0
MAX_BACK_OFF = 60.0

#: The longest wait (seconds) that the token endpoint can ask for: one answer must not stop a fleet for a day.
MAX_RETRY_AFTER = 300.0


@dataclass(frozen=True, slots=True)
class Grant:
    """What the token endpoint gave; `expires_in` as it came."""

    value: str = field(repr=False)
    expires_in: object = None


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; times are `time.monotonic` seconds."""

    value: str = field(repr=False)
    #: Start of the value's SHA-256: names a token where it must not be shown.
    fingerprint: str
    obtained_at: float
    refresh_at: float
    expires_at: float


#: A token from the storage may seem older by so much (seconds) than it is, as its age is told before a slow read ends.
SLOW_READ = 5.0


class Standing(Enum):
    """What a token is good for at a moment."""

    #: Serves.
    FRESH = "fresh"
    #: Serves, but a new one should be fetched.
    DUE = "due"
    #: Does not serve: there is none, it expired, or SIPS refused it.
    GONE = "gone"


@dataclass(slots=True)
class Held:
    """What one process has; every thread reads it as it is."""

    token: Token | None = None
    #: Fingerprint of the last token that SIPS refused since this one came, and when that was.
    refused: str | None = None
    refused_at: float = 0.0

    def take(self, token: Token) -> None:
        """Have it serve from now on."""
        self.token, self.refused = token, None

    def fresh(self, now: float) -> Token | None:
        """The token where nothing is to be done about it."""
        token = self.token
        return token if standing(token, self.refused, now) is Standing.FRESH else None

    def serving(self, now: float) -> Token | None:
        """The token where a call can be made with it."""
        token = self.token
        return None if standing(token, self.refused, now) is Standing.GONE else token


def lifetime_of(expires_in: object) -> float:
    """Seconds that a token lives, from whatever stands in `expires_in`."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        return FALLBACK_LIFETIME
    try:
        seconds = float(expires_in)
    except (ValueError, OverflowError):
        return FALLBACK_LIFETIME
    if not math.isfinite(seconds) or seconds < 1:
        return FALLBACK_LIFETIME
    return min(seconds, MAX_LIFETIME)


def issue(grant: Grant, now: float, jitter: float, held: Held | None = None) -> Token:
    """The token that a grant makes at `now`; `jitter` (0 to 1) spreads the refreshes of a fleet.

    The margin before its end is 10 to 20 % of the lifetime, and no more than 2.5 to 5 minutes. Where it is the one that is held
    it is as old as that, unless it was refused: then it has to be young, so that it is not asked for again at once.
    """
    lifetime = lifetime_of(grant.expires_in)
    margin = min(lifetime * MARGIN_SHARE, MAX_MARGIN) * (0.5 + jitter / 2)
    fingerprint = fingerprint_of(grant.value)
    same = held.token if held and held.token and held.token.fingerprint == fingerprint != held.refused else None
    return Token(grant.value, fingerprint, same.obtained_at if same else now, now + lifetime - margin, now + lifetime)


def taken_over(value: str, entry: Entry, now: float, jitter: float) -> Token:
    """The token that another process has fetched, as it is kept.

    Its refresh is spread once more, over a fifth of its margin: the first process makes it, the others find it made. One that
    seems to come from the future is due at once, and as old as can be.
    """
    age, left, due = entry.age or 0.0, entry.expires_in or 0.0, entry.refresh_in or 0.0
    if age < 0:
        return Token(value, fingerprint_of(value), now - MAX_LIFETIME, now, now + left + age)
    later = jitter * MARGIN_SHARE * (left - due) if due > 0 else 0.0
    return Token(value, fingerprint_of(value), now - age, now + due + later, now + left)


def is_better(other: Token, held: Held, now: float) -> bool:
    """Whether another process's token is to be used: it serves, and the one that is held does not or ends before it.

    One that was refused counts only if it was fetched since: then SIPS gave the same again. SIPS may also give it again while it
    serves: then it is fresh and the one that is held is not.
    """
    if standing(other, held.refused if other.obtained_at < held.refused_at else None, now) is Standing.GONE:
        return False
    if held.refused is not None and held.token is not None and other.obtained_at < held.token.obtained_at - SLOW_READ:
        return False  # SIPS gave the one that it refused in place of this one
    mine = held.serving(now)
    if mine is None:
        return True
    if other.fingerprint == mine.fingerprint:
        return now < other.refresh_at and now >= mine.refresh_at
    return other.expires_at > mine.expires_at


def fingerprint_of(value: str) -> str:
    """What a token is called."""
    return hashlib.sha256(value.encode()).hexdigest()[:12]


def standing(token: Token | None, refused: str | None, now: float) -> Standing:
    """What the token is good for; `refused` is the fingerprint of the last token that SIPS refused."""
    if token is None or token.fingerprint == refused or now >= token.expires_at:
        return Standing.GONE
    return Standing.FRESH if now < token.refresh_at else Standing.DUE


def back_off(failures: int, retry_after: float | None, jitter: float) -> float:
    """Seconds to wait after the given number of failures in a row; a Retry-After lengthens it, up to `MAX_RETRY_AFTER`."""
    seconds = min(FIRST_BACK_OFF * 2.0 ** min(failures - 1, 32), MAX_BACK_OFF)
    return max(seconds * (0.5 + jitter / 2), min(retry_after or 0.0, MAX_RETRY_AFTER))
