"""Proves that lines are whole: between threads, processes and signal handlers, on slow, full and broken pipes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.ops.programs import FORKED, LINES, SIZE, THREADS, run
from worker.ops.stdout import LineWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

#: More than a pipe holds (64 KiB on Linux), so that a write has to wait for the reader.
LARGE = b"l" * 300_000 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end of a pipe."""
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def read_bytes(descriptor: int, wanted: int) -> bytes:
    """The next `wanted` bytes of a pipe."""
    parts = []
    while wanted > 0:
        parts.append(os.read(descriptor, min(wanted, 4096)))
        wanted -= len(parts[-1])
    return b"".join(parts)


@pytest.mark.parametrize("mode", ["blocking", "non-blocking"])
def test_lines_of_forked_processes_and_their_threads_never_mix(mode: str) -> None:
    """Lines of 20 KiB from many threads of many processes arrive whole, all of them, in one pipe."""
    process = run("interleave", mode)

    lines = [orjson.loads(line) for line in process.stdout.splitlines()]
    assert process.returncode == 0
    assert process.stderr == b""
    assert {(p, t, n) for p in range(FORKED + 1) for t in range(THREADS) for n in range(LINES)} == {
        (line["process"], line["thread"], line["number"]) for line in lines
    }
    assert len(lines) == (FORKED + 1) * THREADS * LINES
    assert {SIZE} == {len(line["filling"]) for line in lines}


def test_a_full_non_blocking_pipe_loses_nothing(pipe: tuple[int, int]) -> None:
    """Where the pipe is full the writer waits for the reader."""
    reading, writing = pipe
    os.set_blocking(writing, False)
    writer = threading.Thread(target=LineWriter(writing).write, args=(LARGE,))
    writer.start()

    received = read_bytes(reading, len(LARGE))
    writer.join()

    assert received == LARGE


def test_a_line_from_a_signal_handler_goes_out_after_the_one_it_interrupts(pipe: tuple[int, int]) -> None:
    """A handler that logs while its thread is writing neither blocks for ever nor tears the line."""
    reading, writing = pipe
    lines = LineWriter(writing)
    received = []
    main = threading.main_thread().ident
    assert main is not None

    def read() -> None:
        received.append(read_bytes(reading, 4096))  # the write is under way
        signal.pthread_kill(main, signal.SIGUSR1)
        received.append(read_bytes(reading, len(LARGE) - 4096 + len(b"small\n")))

    before = signal.signal(signal.SIGUSR1, lambda *_: lines.write(b"small\n"))
    try:
        reader = threading.Thread(target=read)
        reader.start()
        lines.write(LARGE)
        reader.join()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert b"".join(received) == LARGE + b"small\n"


def test_an_interrupted_line_does_not_hold_up_the_next(pipe: tuple[int, int]) -> None:
    """A signal handler that raises (a second SIGTERM ends dramatiq's child) leaves the writer usable."""
    reading, writing = pipe
    lines = LineWriter(writing)
    main = threading.main_thread().ident
    assert main is not None

    def stop(*_: object) -> None:
        raise SystemExit

    def interrupt() -> None:
        read_bytes(reading, 4096)
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(SystemExit):
            lines.write(LARGE)
        interrupter.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    drain = threading.Thread(target=lines.write, args=(b"next\n",))
    drain.start()
    received = b""
    while not received.endswith(b"next\n"):
        received += os.read(reading, 65536)
    drain.join()

    assert received.endswith(b"next\n")


def test_a_line_nobody_can_take_is_dropped_in_silence(pipe: tuple[int, int]) -> None:
    """The reader is gone or the descriptor closed: the caller goes on, and so does the writer."""
    reading, writing = pipe
    lines = LineWriter(writing)

    os.close(reading)
    lines.write(b"nobody reads\n")
    os.close(writing)
    lines.write(b"closed\n")

    assert not lines._waiting


def test_a_lost_process_lock_does_not_lose_the_line(pipe: tuple[int, int]) -> None:
    """A child that closed what it inherited still logs."""
    reading, writing = pipe
    lines = LineWriter(writing)
    lines.share()
    assert lines._shared is not None
    os.close(lines._shared)

    lines.write(b"alone\n")

    assert os.read(reading, 100) == b"alone\n"


def test_a_second_share_keeps_the_first_lock(pipe: tuple[int, int]) -> None:
    """A child that configures its logs again shares the lock of its parent."""
    lines = LineWriter(pipe[1])
    lines.share()
    first = lines._shared

    lines.share()

    assert first is not None
    assert first == lines._shared
    os.close(first)


def test_a_child_forked_while_a_thread_writes_can_log() -> None:
    """Locks that another thread of the parent held at the fork do not exist in the child."""
    process = run("fork_while_locked")

    assert [b"from the child"] == [orjson.loads(line)["event"].encode() for line in process.stdout.splitlines()]
    assert process.stderr == b""
    assert process.returncode == 0
