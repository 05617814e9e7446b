"""What stops a queue from being consumed while there is no point: a set of reasons; open while it is empty."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gate"]


class Gate:
    """The gate of one queue. Thread-safe; listeners are called in the thread that changed it, outside the lock."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self._lock = threading.Lock()
        self._reasons: frozenset[str] = frozenset()
        self._listeners: list[Callable[[], None]] = []

    @property
    def reasons(self) -> frozenset[str]:
        """Why the queue is not consumed; empty while it is."""
        return self._reasons

    @property
    def is_open(self) -> bool:
        """Whether the queue may be consumed."""
        return not self._reasons

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after the gate opened or closed."""
        self._listeners.append(listener)

    def close(self, reason: str) -> None:
        """Hold the gate closed for `reason` until `open` is called with the same one."""
        with self._lock:
            was_open = self.is_open
            self._reasons |= {reason}
        if was_open:
            self._tell()

    def open(self, reason: str) -> None:
        """Take `reason` away; the gate opens when it was the last."""
        with self._lock:
            was_open = self.is_open
            self._reasons -= {reason}
            opened = not was_open and self.is_open
        if opened:
            self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
