"""What failed when a token was fetched, and until when nobody tries again: as one process remembers it, and as the fleet does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.sips.errors import TokenError, TokenRefused, TokenUnavailable
from worker.sips.token_rules import back_off

if TYPE_CHECKING:
    from worker.sips.token_storage import Entry

__all__ = ["OPERATION", "OTHER_PAIR_SECONDS", "Setbacks", "again"]

OPERATION = "authenticationToken"

#: Seconds between two tries of the pair that is not in use, after the one in use was refused.
OTHER_PAIR_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class _Setback:
    """A failure; times are `time.monotonic` seconds."""

    failures: int
    at: float
    retry_at: float
    error: TokenError


class Setbacks:
    """The last failure of this process with each pair of credentials, by the key of its entry; `now` is `time.monotonic`."""

    def __init__(self) -> None:
        self._last: dict[str, _Setback] = {}

    def add(self, key: str, error: TokenError, entry: Entry | None, now: float, jitter: float) -> float:
        """Note a failure; seconds until the next try."""
        before = self._last.get(key)
        failures = 1 + max(before.failures if before else 0, entry.failures if entry else 0)
        wait = back_off(failures, error.retry_after, jitter)
        self._last[key] = _Setback(failures, now, now + wait, error)
        return wait

    def forget(self, key: str) -> None:
        """The last try went well."""
        self._last.pop(key, None)

    def respect(self, key: str, entry: Entry | None, now: float, pause: float = 0.0) -> None:
        """Fail as the last try with these credentials did, here or elsewhere, while it is too early for the next.

        Credentials that were refused are left alone for `pause` seconds at least.
        """
        mine = self._last.get(key)
        if mine is not None:
            until = max(mine.retry_at, mine.at + pause) if isinstance(mine.error, TokenRefused) else mine.retry_at
            if now < until:
                raise again(mine.error, until - now)
        if entry is not None and (wait := _wait(entry, pause)) > 0:
            raise again(_failure_of(entry), wait)


def _is_refused(entry: Entry | None) -> bool:
    """Whether the fleet's last try with these credentials ended in a refusal."""
    return entry is not None and entry.failures > 0 and entry.error_code == TokenRefused.code


def again(failure: TokenError, wait: float) -> TokenError:
    """The error of a try that is not made, as it would fail like the last one."""
    error = type(failure)(
        OPERATION,
        f"the last attempt failed ({failure.code}), the next is made in {wait:.1f} s: {failure.reason}",
        status=failure.status,
        retry_after=wait,
    )
    error.reason = failure.reason  # so that what is told of a failure that is told again does not grow
    return error


def _wait(entry: Entry, pause: float) -> float:
    """Seconds until the fleet tries again; none where the last try seems to be in the future."""
    ago = entry.failed_ago
    if ago is None or ago < 0:
        return 0.0
    wait = entry.retry_in or 0.0
    return max(wait, pause - ago) if _is_refused(entry) else wait


def _failure_of(entry: Entry) -> TokenError:
    kind = TokenRefused if entry.error_code == TokenRefused.code else TokenUnavailable
    return kind(OPERATION, entry.error or "", status=entry.error_status)
