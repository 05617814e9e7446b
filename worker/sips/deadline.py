"""Give a call one end in time, and enforce it by shutting its socket down.

Time-outs of sockets are per read: a server that drips one byte a second never meets one.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from dataclasses import dataclass
from typing import Self

__all__ = ["Deadline", "Watch", "Watchdog"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment (`time.monotonic`, seconds) at which a call must have ended."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The deadline that passes `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds that are left, never below 0."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self.at

    def or_after(self, seconds: float) -> Deadline:
        """This deadline, or the one `seconds` from now if that is sooner."""
        return Deadline(min(self.at, time.monotonic() + seconds))


class Watch:
    """One watched socket; `cut` tells whether it was shut down at its deadline."""

    __slots__ = ("at", "cut", "handle")

    def __init__(self, handle: socket.socket, deadline: Deadline) -> None:
        self.handle = handle
        self.at = deadline.at
        self.cut = False

    def shut(self) -> None:
        """End every read and write on the socket, in whatever thread it waits."""
        self.cut = True
        # The peer may have ended the connection a moment before.
        with contextlib.suppress(OSError):
            self.handle.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """One thread that shuts down every watched socket whose deadline has passed.

    The thread starts with the first watch. It sleeps until the earliest deadline it has seen, so a call that ends in
    time costs two short locks and wakes nobody.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._watches: set[Watch] = set()
        self._wakes_at = math.inf
        self._closing = False
        self._thread: threading.Thread | None = None

    def watch(self, handle: socket.socket, deadline: Deadline) -> Watch:
        """Shut `handle` down at the deadline, unless it is released before."""
        watch = Watch(handle, deadline)
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="sips-deadlines", daemon=True)
                thread.start()
                self._thread = thread
            self._watches.add(watch)
            if watch.at < self._wakes_at:
                self._changed.notify()
        return watch

    def release(self, watch: Watch) -> None:
        """Once this returns, the socket will not be shut down any more."""
        with self._changed:
            self._watches.discard(watch)
            if self._closing:
                self._changed.notify()

    def close(self) -> None:
        """End the thread; while sockets are still watched it goes on, and ends with the last of them."""
        with self._changed:
            self._closing = True
            thread = None if self._watches else self._thread
            self._changed.notify()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        with self._changed:
            while self._watches or not self._closing:
                self._wakes_at = min((watch.at for watch in self._watches), default=math.inf)
                # A lock cannot wait for infinity; a spurious wake-up does no harm.
                self._changed.wait(min(max(0.0, self._wakes_at - time.monotonic()), threading.TIMEOUT_MAX))
                now = time.monotonic()
                for watch in [watch for watch in self._watches if watch.at <= now]:
                    self._watches.discard(watch)
                    watch.shut()
            self._thread = None
