"""Hold calls back: at most so many at once, at most so many a second, and only a few at first after an outage."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from worker.sips.errors import CallLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.sips.deadline import Deadline

__all__ = ["Limits", "slow_start_ceiling"]

#: Share of a call's time that it waits for its turn at most: what is left must do for the call itself, or a limit of our
#: own would look like SIPS being slow.
WAITING_SHARE = 0.5


def slow_start_ceiling(seconds: float) -> int:
    """Calls at the same time that are allowed so long after SIPS came back: one, and twice as many with each second."""
    return 1 << min(int(seconds), 30)


class Limits:
    """The limits of one process; thread-safe. A call that SIPS refuses for its token, and repeats itself, counts once.

    Parameters:
        concurrency: Calls at the same time; `None` = as many as there are threads.
        per_second: Calls a second, evenly spaced; `None` = as many as come.
        threads: Calls that the process can make at the same time at all: where the slow start ends.

    Attributes:
        free: Whether nothing is limited now. Read without a lock: then a call need not ask for a turn.
    """

    def __init__(self, *, concurrency: int | None = None, per_second: float | None = None, threads: int = 1) -> None:
        self._concurrency = concurrency
        self._interval = None if per_second is None else 1 / per_second
        self._threads = threads
        self._changed = threading.Condition()
        self._running = 0
        self._next_at = 0.0
        self._slow_since: float | None = None
        self.free = self._is_free()

    def start_slowly(self) -> None:
        """SIPS came back: begin with one call at a time. Calls that run already do not count."""
        with self._changed:
            self._slow_since = time.monotonic()
            self.free = False

    @contextlib.contextmanager
    def turn(self, operation: str, deadline: Deadline) -> Iterator[None]:
        """Wait for this call's turn, and hold its place while the call is made inside.

        Raises:
            CallLimit: No turn came within half of the call's time; the call was not made.
        """
        until = deadline.or_after(deadline.remaining() * WAITING_SHARE)
        self._enter(operation, until)
        try:
            self._wait_for_the_rate(operation, until)
            yield
        finally:
            self._leave()

    def _enter(self, operation: str, until: Deadline) -> None:
        with self._changed:
            while not self._has_room():
                if until.passed:
                    raise CallLimit(operation, "no turn came in time under SIPS_MAX_CONCURRENCY or the slow start")
                self._changed.wait(min(until.remaining(), self._seconds_to_next_step()))
            self._running += 1

    def _leave(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify()

    def _wait_for_the_rate(self, operation: str, until: Deadline) -> None:
        if self._interval is None:
            return
        with self._changed:
            now = time.monotonic()
            at = max(now, self._next_at)
            if at > until.at:
                raise CallLimit(operation, "no turn came in time under SIPS_MAX_RPS")
            self._next_at = at + self._interval
        time.sleep(at - now)

    def _has_room(self) -> bool:
        if self._slow_since is not None:
            ceiling = slow_start_ceiling(time.monotonic() - self._slow_since)
            if self._running >= ceiling:
                return False
            if ceiling >= self._threads:
                self._slow_since = None
                self.free = self._is_free()
                self._changed.notify_all()
        return self._concurrency is None or self._running < self._concurrency

    def _seconds_to_next_step(self) -> float:
        if self._slow_since is None:
            return threading.TIMEOUT_MAX
        return 1 - (time.monotonic() - self._slow_since) % 1

    def _is_free(self) -> bool:
        return self._concurrency is None and self._interval is None
