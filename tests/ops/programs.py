"""Small programs that tests run as processes of their own: what forks, crashes or needs a terminal."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import dramatiq
import structlog
from dramatiq.brokers.stub import StubBroker
from dramatiq.cli import main as dramatiq_main
from dramatiq.cli import make_argument_parser

from worker.ops import configure_logs, register_secret
from worker.ops.known_secrets import KNOWN
from worker.ops.stdout import STDOUT

#: Processes forked, threads in each, lines of each thread, and characters in each line.
FORKED, THREADS, LINES, SIZE = 4, 4, 12, 20_000

#: What the programs must not show.
SECRET = "s3cr3t-Val-9xQ"

ROOT = Path(__file__).parents[2]

log = structlog.get_logger("programs")


def command(program: str, *arguments: str) -> list[str]:
    """The command line of one of the functions below."""
    return [sys.executable, "-m", "tests.ops.programs", program, *arguments]


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run one of the functions below to its end, its standard output and error being pipes."""
    return subprocess.run(command(program, *arguments), cwd=ROOT, capture_output=True, timeout=60, check=False)


def configure(log_format: str = "json") -> None:
    """Configure logs as `sips-worker run` does."""
    configure_logs("console" if log_format == "console" else "auto", "sandbox", "0.0.1", [SECRET])


def interleave(mode: str) -> None:
    """Write long lines from threads of several processes at once."""
    os.set_blocking(1, mode == "blocking")
    configure()
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier((FORKED + 1) * THREADS)
    children = [fork.Process(target=write_lines, args=(number, start)) for number in range(FORKED)]
    for child in children:
        child.start()
    write_lines(FORKED, start)
    for child in children:
        child.join()


def write_lines(process: int, start: threading.Barrier) -> None:
    """One process's part of `interleave`."""
    threads = [threading.Thread(target=write_some, args=(process, number, start)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def write_some(process: int, thread: int, start: threading.Barrier) -> None:
    """One thread's part of `interleave`; the characters differ so that a mixed line shows."""
    start.wait()
    for number in range(LINES):
        log.info("long", process=process, thread=thread, number=number, filling=chr(97 + process * 5 + thread) * SIZE)


def fork_while_locked() -> None:
    """Fork while another thread holds every lock there is."""
    configure()
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with STDOUT._lock, KNOWN._lock:
            STDOUT._waiting.append(b"a line of the parent\n")
            held.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = multiprocessing.get_context("fork").Process(target=log_from_child)
    child.start()
    child.join(30)
    child.kill()
    release.set()
    holder.join()
    sys.exit(child.exitcode)


def log_from_child() -> None:
    """The child of `fork_while_locked`."""
    register_secret("another-secret")
    log.info("from the child")


def end_while_writing(where: str) -> None:
    """End, in this process or a forked one, while one thread is writing a long line and has been left a short one."""
    configure()
    if where == "child":
        child = multiprocessing.get_context("fork").Process(target=leave_lines)
        child.start()
        child.join()
    else:
        leave_lines()


def leave_lines() -> None:
    """One process's part of `end_while_writing`."""
    configure()
    long = b"l" * 20_000_000 + b"\n"
    threading.Thread(target=STDOUT.write, args=(long,), daemon=True).start()
    while not STDOUT._is_writing:
        pass
    leaving = threading.Thread(target=log.info, args=("short",), daemon=True)
    leaving.start()
    leaving.join()


def crash() -> None:
    """End with an uncaught exception whose text, cause and locals hold a secret."""
    configure()
    local = SECRET
    try:
        raise OSError(f"refused: {local}")  # noqa: TRY301
    except OSError as error:
        raise ValueError(f"cannot connect with {SECRET}") from error


def crash_in_thread() -> None:
    """Let a thread end with an uncaught exception."""
    configure()

    def work() -> None:
        raise ValueError(f"cannot connect with {SECRET}")

    thread = threading.Thread(target=work, name="worker-7")
    thread.start()
    thread.join()


def exit_in_thread() -> None:
    """Let a thread end as threads may."""
    configure()
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()


def crash_in_destructor() -> None:
    """Raise where no caller is."""
    configure()

    class Connection:
        def __del__(self) -> None:
            raise ValueError(f"cannot close {SECRET}")

    Connection()


def console(log_format: str) -> None:
    """Log for a person."""
    configure(log_format)
    try:
        raise OSError(f"refused: {SECRET}") from KeyError("no route")  # noqa: TRY301
    except OSError:
        log.exception("a look failed", token="tok-123", password_hint=SECRET, order="4711")
    logging.getLogger("pika").warning("Socket closed: %s", SECRET)


def dramatiq_boot() -> None:
    """Configure a worker process: what dramatiq calls in each child."""
    configure()
    dramatiq.set_broker(StubBroker(middleware=[]))
    log.info("booted", stdout=type(sys.stdout).__name__)
    logging.getLogger("pika.connection").error("Socket failed to connect with %s", SECRET)
    logging.getLogger("dramatiq.worker.WorkerThread").debug("Received message")


def dramatiq_master() -> None:
    """Run dramatiq's command line in this process, two workers below it."""
    multiprocessing.set_start_method("fork")
    configure()
    log.info("master")
    arguments = ["tests.ops.programs:dramatiq_boot", "--skip-logging", "--processes", "2", "--threads", "1"]
    sys.exit(dramatiq_main(make_argument_parser().parse_args(arguments)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("arguments", nargs="*")
    chosen = parser.parse_args()
    globals()[chosen.program](*chosen.arguments)
