"""How the processes of one worker tell their state to the process that answers for all: a small file each, always fresh.

A file outlives a hung or a stopped process without its help, and its age is what gives that process away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import structlog

from worker.ops.health import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from worker.ops.health import Beats

__all__ = ["FOLDER", "PREFIX", "Reporter", "folder", "parent", "read", "temporary_folder"]

#: The variable of the environment that tells the processes of one worker their folder.
FOLDER = "SIPS_WORKER_HEALTH_FOLDER"

#: Memory in the shape of a folder, on Linux: no disk is written to, and it is there where the root file system is
#: read-only. (multiprocessing, which starts our processes, prefers it as well.)
MEMORY = "/dev/shm"  # noqa: S108 - the folder in it is made by mkdtemp, for this user alone

#: How the folder's name begins; the process id of the manager follows, which it keeps over SIGHUP.
PREFIX = "sips-worker-health-"

#: Seconds between two reports, at most.
REPORT_SECONDS = 1.0

#: How often a process reports before its silence counts.
REPORTS_PER_LIMIT = 10

log = structlog.get_logger(__name__)


def parent() -> Path:
    """Where the folders are made."""
    return Path(MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else tempfile.gettempdir())


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A private folder for the reports, which the processes started meanwhile know; deleted at the end.

    SIGHUP puts another program in this one's place, without an end: the next one deletes what the process had before.
    """
    prefix = f"{PREFIX}{os.getpid()}-"
    if (before := folder()) and before.name.startswith(prefix):
        shutil.rmtree(before, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent()))
    os.environ[FOLDER] = str(path)
    try:
        yield path
    finally:
        os.environ.pop(FOLDER, None)
        shutil.rmtree(path, ignore_errors=True)


def folder() -> Path | None:
    """The folder of this worker; None where nobody asks for its health."""
    path = os.environ.get(FOLDER)
    return Path(path) if path else None


def read(path: Path) -> list[Report]:
    """The latest report of every process."""
    reports = []
    for file in sorted(path.glob("*.json")):
        with contextlib.suppress(FileNotFoundError):  # its process has ended just now
            reports.append(Report(**orjson.loads(file.read_bytes())))
    return reports


class Reporter:
    """Writes this process's report again and again, in a thread of its own, from `start` to `stop`.

    Args:
        path: the folder.
        beats: what the process notes.
        threads: worker threads of the process.
        stopping: set when the process was told to stop.
        unready: tells why the process does not consume.
        silence: seconds after which a missing report counts.
    """

    def __init__(
        self,
        path: Path,
        beats: Beats,
        *,
        threads: int,
        stopping: threading.Event,
        unready: Callable[[], Iterable[str]],
        silence: float,
    ) -> None:
        self._file = path / f"{os.getpid()}.json"
        self._beats = beats
        self._threads = threads
        self._stopping = stopping
        self._unready = unready
        self._period = min(REPORT_SECONDS, silence / REPORTS_PER_LIMIT)
        self._stopping_since: float | None = None
        self._failed = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report-health", daemon=True)

    def start(self) -> None:
        """Report now, and from now on."""
        self._report()
        self._thread.start()

    def stop(self) -> None:
        """Take the report back: the process ends in order."""
        self._ended.set()
        self._thread.join()
        self._file.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._ended.wait(self._period):
            self._report()

    def _report(self) -> None:
        if self._stopping_since is None and self._stopping.is_set():
            self._stopping_since = time.monotonic()
        report = self._beats.report(
            os.getpid(), threads=self._threads, stopping_since=self._stopping_since, unready=self._unready()
        )
        try:
            # Renamed into place, so that no reader sees half of it.
            unfinished = self._file.with_suffix(".new")
            unfinished.write_bytes(orjson.dumps(report))
            unfinished.replace(self._file)
        except OSError as error:
            if not self._failed:
                log.warning("the health of this process cannot be told", error=str(error))
            self._failed = True
        else:
            self._failed = False
