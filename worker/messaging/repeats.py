"""Say a thing again only now and then, for as long as it stays the same."""

from __future__ import annotations

import time

__all__ = ["Repeats"]

#: Seconds between two lines that say the same.
SECONDS = 60.0


class Repeats:
    """Tells which texts are worth a line: another one than before, or the same one after a minute. For one thread at a time."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._again_at = 0.0

    def is_news(self, text: str) -> bool:
        """Whether to say it now; then it counts as said."""
        now = time.monotonic()
        if text == self._text and now < self._again_at:
            return False
        self._text, self._again_at = text, now + SECONDS
        return True

    def forget(self) -> None:
        """It is over: the next text is news, whatever it is."""
        self._text = None
