"""Proves that lines are whole: between threads, processes and signal handlers, on slow, full and broken pipes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.amqp import eventually
from tests.ops.programs import FORKED, LINES, SIZE, THREADS, run
from worker.ops.stdout import MAX_WAITING, LineWriter

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


def write_numbers(lines: LineWriter, many: int) -> None:
    """As many lines, one after the other."""
    for number in range(many):
        lines.write(b"%04d\n" % number)


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


def test_who_has_a_line_while_another_is_written_leaves_it_and_goes_on(pipe: tuple[int, int]) -> None:
    """A worker thread does not wait for the kernel while another one does."""
    reading, writing = pipe
    lines = LineWriter(writing)
    writer = threading.Thread(target=lines.write, args=(LARGE,))
    writer.start()
    received = read_bytes(reading, 4096)  # the write is under way, and cannot end before the rest is read

    for number in range(3):
        leaving = threading.Thread(target=lines.write, args=(b"%d\n" % number,))
        leaving.start()
        leaving.join()
    received += read_bytes(reading, len(LARGE) - 4096 + len(b"0\n1\n2\n"))
    writer.join()

    assert received == LARGE + b"0\n1\n2\n"


def test_lines_wait_in_small_numbers_only(pipe: tuple[int, int]) -> None:
    """A reader that is slow slows down who writes; nothing piles up, nothing is lost."""
    reading, writing = pipe
    lines = LineWriter(writing)
    many = 10 * MAX_WAITING
    writer = threading.Thread(target=lines.write, args=(LARGE,))
    writer.start()
    received = read_bytes(reading, 4096)
    talker = threading.Thread(target=write_numbers, args=(lines, many))
    talker.start()

    eventually(lambda: len(lines._waiting) > MAX_WAITING, "as many lines wait as may")
    assert len(lines._waiting) == MAX_WAITING + 1
    received += read_bytes(reading, len(LARGE) - 4096 + many * len(b"0000\n"))
    for thread in (writer, talker):
        thread.join()

    assert received == LARGE + b"".join(b"%04d\n" % number for number in range(many))


def test_a_line_of_the_main_thread_is_out_when_its_write_returns(pipe: tuple[int, int]) -> None:
    """It may be the last one before the process is replaced or ended."""
    reading, writing = pipe
    lines = LineWriter(writing)
    writer = threading.Thread(target=lines.write, args=(LARGE,))
    writer.start()
    received = [read_bytes(reading, 4096)]

    def read() -> None:
        eventually(lambda: lines._waiting, "the main thread has its line")
        received.append(read_bytes(reading, len(LARGE) - 4096 + len(b"last\n")))

    reader = threading.Thread(target=read)
    reader.start()

    lines.write(b"last\n")
    was_out = not lines._waiting and not lines._is_writing
    for thread in (reader, writer):
        thread.join()

    assert was_out
    assert b"".join(received) == LARGE + b"last\n"


def test_a_line_that_comes_as_the_writer_is_about_to_leave_is_not_left_behind(pipe: tuple[int, int]) -> None:
    """Its thread found the lock taken; the owner has looked for the last time, and looks once more."""
    reading, writing = pipe
    lines = LineWriter(writing)

    class LateLock:
        comes_late = True
        acquire = lines._lock.acquire
        inner = lines._lock

        def release(self) -> None:
            if self.comes_late:
                self.comes_late = False
                lines._waiting.append(b"late\n")
            self.inner.release()

    lines._lock = LateLock()  # type: ignore[assignment]

    lines.write(b"early\n")

    assert os.read(reading, 100) == b"early\nlate\n"


@pytest.mark.parametrize("where", ["here", "child"])
def test_lines_that_were_left_to_a_thread_are_written_before_the_process_ends(where: str) -> None:
    """Daemon threads end with the process, at whatever they are."""
    process = run("end_while_writing", where)

    assert process.stderr == b""
    long, short = process.stdout.splitlines()
    assert len(long) == 20_000_000
    assert orjson.loads(short)["event"] == "short"


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

    child, *parent = process.stdout.splitlines()
    assert orjson.loads(child)["event"] == "from the child"
    assert [b"a line of the parent"] == parent
    assert process.stderr == b""
    assert process.returncode == 0
