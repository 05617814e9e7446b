"""Named points at which a test ends the process as a power cut would; without CRASH_AT in the environment they do nothing."""

from __future__ import annotations

import os

__all__ = ["POINTS", "reached"]

#: Every point between the receipt of a command and its ack, in the order in which an order passes them.
POINTS = ("received", "claimed", "answered", "recorded", "published", "settled")

#: Exit status of a process that ended at a point.
STATUS = 70

_CRASH_AT = os.environ.get("CRASH_AT")


def reached(point: str) -> None:
    """End the process at once if it is to end here: no clean-up, no buffers, as after SIGKILL."""
    if point == _CRASH_AT:
        os._exit(STATUS)
