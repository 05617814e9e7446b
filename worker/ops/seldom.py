"""Say a thing that happens to many only now and then."""

from __future__ import annotations

import threading
import time

__all__ = ["Seldom"]


class Seldom:
    """Answers whether it is time again: True at the first call, then at most once in so many seconds; thread-safe."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next = 0.0

    def __call__(self) -> bool:
        """Whether nobody was told True within the last seconds."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return False
            self._next = now + self._seconds
            return True
