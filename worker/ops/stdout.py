"""Writes whole lines to the inherited standard output, never mixed with those of another thread or process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import sys
import tempfile
import threading
from collections import deque

__all__ = ["STDOUT", "LineWriter"]


#: Lines that wait for the thread that is writing before others wait with theirs.
MAX_WAITING = 100


class LineWriter:
    """Writes lines to one file descriptor, past `sys.stdout`, which dramatiq replaces in its children.

    One thread writes at a time, for all: what others have to say meanwhile, they leave to it and go on. A pipe takes at most
    PIPE_BUF bytes (4096 on Linux) in one piece, so the writing is done, from `share` on, under a lock between processes too.

    Args:
        descriptor: of a file, pipe or terminal; blocking or not.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shared: int | None = None
        self.after_fork()

    def share(self) -> None:
        """Let the processes that are forked from here on write to the same descriptor; a second call changes nothing.

        The lock is a POSIX record lock, which belongs to a process and ends with it. (`flock` belongs to the open file,
        which parent and child share: it would not keep them apart.)

        Raises:
            OSError: There is neither an anonymous memory file nor a folder for temporary files.
        """
        if self._shared is None:
            self._shared = _anonymous_file()

    def after_fork(self) -> None:
        """Forget the locks and lines of the parent's threads, none of which live on in a forked child."""
        # Reentrant, because a signal handler that logs runs in the thread it interrupts, which may be writing.
        self._lock = threading.RLock()
        self._is_writing = False
        self._waiting: deque[bytes] = deque()

    def write(self, line: bytes) -> None:
        """Write `line`, which ends with a newline, or leave it to the thread that is writing; never raises an `OSError`.

        It blocks while the reader is slow: the main thread, whose lines are the last of a process, until its line is out,
        others when there are `MAX_WAITING` lines before theirs. The line is dropped where nothing can take it: the reader is
        gone, the descriptor is closed, the disk is full.
        """
        self._waiting.append(line)
        if len(self._waiting) > MAX_WAITING or threading.current_thread() is threading.main_thread():
            self.flush()
        else:
            self._write_waiting(blocking=False)

    def flush(self) -> None:
        """Return when all lines are written that were given before, whoever writes them."""
        self._write_waiting(blocking=True)

    def _write_waiting(self, *, blocking: bool) -> None:
        # Who finds the lock taken may go: its owner looks once more after letting go of it.
        while blocking or self._waiting:
            if not self._lock.acquire(blocking=blocking):
                return
            try:
                if self._is_writing:  # in a signal handler, of the thread that is inside a write: it goes out after that
                    return
                self._is_writing = True
                try:
                    while self._waiting:
                        self._write_together([self._waiting.popleft() for _ in range(len(self._waiting))])
                finally:
                    self._is_writing = False
            finally:
                self._lock.release()
            blocking = False

    def _write_together(self, lines: list[bytes]) -> None:
        locked = self._lock_processes()
        try:
            self._write_all(b"".join(lines))
        except OSError:
            pass  # nobody is left to be told
        finally:
            if locked is not None:
                fcntl.lockf(locked, fcntl.LOCK_UN)

    def _lock_processes(self) -> int | None:
        if self._shared is None:
            return None
        try:
            fcntl.lockf(self._shared, fcntl.LOCK_EX)
        except OSError:  # a mixed line is better than a lost one
            return None
        return self._shared

    def _write_all(self, lines: bytes) -> None:
        rest = memoryview(lines)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                self._await_reader()

    def _await_reader(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll()


def _anonymous_file() -> int:
    """A descriptor of a file without a name, which forked children inherit; needs no writable disk on Linux."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return os.memfd_create("log-lines")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


#: The one writer of this process's log lines.
STDOUT = LineWriter(1)

os.register_at_fork(after_in_child=STDOUT.after_fork)
