"""Run one server and end it with its owner: `python guard.py OWNER_PID FOLDER SIGNAL COMMAND...`, standard library only.

A server that a test or the demo starts must not outlive it, not even if the owner is killed and runs no clean-up. So
the owner starts this small process instead, which starts the server and then watches two things: its standard input, a
pipe from the owner, and its parent. `STOP` or the end of the pipe asks the server to stop, with the signal of number
SIGNAL; `KILL` kills it. Where the owner has died, FOLDER is deleted as well.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time

__all__ = ["KILL", "STOP", "STOP_SECONDS"]

#: The orders an owner may write to the pipe. An order rather than a closed pipe, because a process that the owner
#: forked may hold the pipe open.
STOP, KILL = b"s", b"k"

#: What is read where the pipe has ended.
PIPE_ENDED = b""

#: Seconds between two looks at the parent; needed only where a forked process holds the pipe of a dead owner open.
OWNER_SECONDS = 1.0

#: Seconds a server has to stop by itself before it is killed; RabbitMQ takes about one.
STOP_SECONDS = 20.0


def _main(owner: int, folder: str, stop: int, command: list[str]) -> int:
    wakeups = _signals()
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - it is what we are for
    order = _await_order(server, owner, wakeups)
    _end(server, order, stop)
    if _is_gone(owner, at_once=order != PIPE_ENDED):
        shutil.rmtree(folder, ignore_errors=True)
    return server.returncode


def _signals() -> int:
    """A file descriptor that becomes readable when a signal arrives: the number of each, as one byte."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return readable


def _await_order(server: subprocess.Popen[bytes], owner: int, wakeups: int) -> bytes:
    """Wait until the server ended by itself or shall end: `KILL`, `PIPE_ENDED`, or `STOP` for every other reason."""
    while server.poll() is None and os.getppid() == owner:
        readable, _, _ = select.select([sys.stdin.fileno(), wakeups], [], [], OWNER_SECONDS)
        if wakeups in readable and set(os.read(wakeups, 64)) - {signal.SIGCHLD}:
            return STOP
        if sys.stdin.fileno() in readable:
            return os.read(sys.stdin.fileno(), 1)
    return STOP


def _is_gone(owner: int, *, at_once: bool) -> bool:
    """Whether the owner has died. The pipe of one that dies ends a moment before it is gone."""
    until = time.monotonic() + (0.0 if at_once else OWNER_SECONDS)
    while (is_there := os.getppid() == owner) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_there


def _end(server: subprocess.Popen[bytes], order: bytes, stop: int) -> None:
    """End the server and whatever it has started in its process group."""
    if order != KILL:
        server.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says it the second way
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


if __name__ == "__main__":
    sys.exit(_main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
