"""Say a thing that happens again and again only now and then, for as long as it stays the same."""

from __future__ import annotations

import threading
import time

__all__ = ["Seldom"]

#: Seconds between two lines that say the same, where nothing else is wanted.
SECONDS = 60.0


class Seldom:
    """Answers whether a text is worth a line: another one than before, or the same one after so many seconds; thread-safe."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._said: tuple[str, float] | None = None

    def __call__(self, text: str = "") -> bool:
        """Whether to say it now; then it counts as said."""
        with self._lock:
            now = time.monotonic()
            if self._said is not None and self._said[0] == text and now < self._said[1]:
                return False
            self._said = (text, now + self._seconds)
            return True

    def forget(self) -> None:
        """It is over: the next text is worth a line, whatever it is."""
        with self._lock:
            self._said = None
