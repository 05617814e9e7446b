"""Wait for what other processes do."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["is_alive", "listens", "wait_until"]

#: Seconds after which a test gives up; a bound for a broken system, not an expectation.
LIMIT_SECONDS = 60.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return when `condition` is true; fail with `what` if it never becomes so."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT_SECONDS:.0f} s in vain: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether there is a process with this id that this user may signal."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def listens(port: int) -> bool:
    """Whether something listens on this loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
