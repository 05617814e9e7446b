"""The database's clock, for those who cannot wait for the database.

Hosts' clocks differ, and whether a command is late must not depend on who takes it. Reads never look at the store, so
housekeeping compares the two clocks now and then, and between the looks this host's clock goes by what it found.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.store.engine import Store

__all__ = ["FAR", "StoreClock"]

#: Seconds by which two clocks must differ for somebody to be told.
FAR = 5.0

#: A look that took longer (seconds) says too little of when the database answered.
LONGEST_LOOK = 1.0


class StoreClock:
    """The database's time as of the last look; before the first one, this host's.

    `behind` is by how many seconds this host's clock is behind the database's; less than 0 where it is ahead.
    """

    def __init__(self) -> None:
        self.behind = 0.0

    def look(self, store: Store) -> None:
        """Compare the two clocks.

        Raises:
            StoreError: the store cannot be used.
        """
        before = time.time()
        theirs = store.now()
        after = time.time()
        if 0 <= after - before < LONGEST_LOOK:
            self.behind = theirs - (before + after) / 2

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.behind

    @property
    def is_far_off(self) -> bool:
        """Whether this host's clock and the database's differ by more than what a network explains."""
        return abs(self.behind) > FAR
