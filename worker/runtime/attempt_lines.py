"""The canonical log line of each attempt, written where it ends, or in a thread of its own where nobody may wait."""

from __future__ import annotations

import queue
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from worker.runtime.attempt import Attempt

__all__ = ["MAX_WAITING", "AttemptLines"]

#: Lines that wait for the thread before attempts are to write their own again, and wait for whoever reads them.
MAX_WAITING = 1000

log = structlog.get_logger("worker")


class AttemptLines:
    """One per process; without its thread, which `start` starts, every line is written where the attempt ends."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; after the process was forked."""
        self._thread = threading.Thread(target=self._write_waiting, name="attempt-lines", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and wait for a slow reader, as with the last lines of a process."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    @property
    def is_behind(self) -> bool:
        """Whether so many lines wait that no more should be left to the thread."""
        return self._waiting.qsize() >= MAX_WAITING

    def write(self, attempt: Attempt) -> None:
        """Write its line; waits for a slow reader."""
        _write(attempt.log_fields())

    def leave(self, attempt: Attempt) -> None:
        """Have its line, as it is now, written by the thread."""
        if self._thread is None:
            self.write(attempt)
        else:
            self._waiting.put(attempt.log_fields() | {"timestamp": datetime.now(UTC)})

    def _write_waiting(self) -> None:
        while (fields := self._waiting.get()) is not None:
            _write(fields)


def _write(fields: dict[str, Any]) -> None:
    (log.info if fields["error"] is None else log.warning)("attempt", **fields)
