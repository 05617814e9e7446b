"""Reports of processes as files: fresh, whole, and gone when the process ended in order."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.amqp import eventually
from worker.ops import health_reports
from worker.ops.health import Beats, Report
from worker.ops.health_reports import FOLDER, PREFIX, Reporter, folder, parent, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ops.conftest import Output


class Process:
    """What a process tells, in the test's hands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.beats = Beats()
        self.stopping = threading.Event()
        self.unready: list[str] = []
        self.reporter = Reporter(path, self.beats, threads=3, stopping=self.stopping, unready=lambda: self.unready, silence=0.1)

    def only(self) -> Report:
        """The one report that is there."""
        (report,) = health_reports.read(self.path)
        return report


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A process that reports a hundred times a second."""
    made = Process(tmp_path)
    yield made
    made.reporter.stop()


def test_a_report_is_there_as_soon_as_reporting_starts(process: Process) -> None:
    """So that nobody misses a process that has booted."""
    process.unready = ["starting"]
    process.beats.touch("a")

    process.reporter.start()

    report = process.only()
    assert (os.getpid(), 3, 0, ["starting"], {"a"}) == (
        report.pid,
        report.threads,
        report.running,
        report.unready,
        set(report.beats),
    )


def test_reports_are_renewed(process: Process) -> None:
    """With what has changed since."""
    process.reporter.start()
    first = process.only()
    process.beats.begin()
    process.unready = ["no connection to RabbitMQ"]

    eventually(lambda: process.only().unready == process.unready, "the report tells the new reason")

    assert (0, 1) == (first.running, process.only().running)
    assert first.at < process.only().at


def test_the_beginning_of_a_stop_is_told_and_stays(process: Process) -> None:
    """It is what the patience with a stop counts from."""
    process.reporter.start()
    assert process.only().stopping_since is None
    process.stopping.set()

    since = eventually(lambda: process.only().stopping_since, "the report tells the stop")
    seen = process.only().at
    eventually(lambda: process.only().at > seen, "another report")

    assert since == process.only().stopping_since


def test_no_report_is_left_behind(process: Process) -> None:
    """Neither a finished one nor half of one."""
    process.reporter.start()

    process.reporter.stop()

    assert [] == list(process.path.iterdir())


def test_a_folder_that_cannot_be_written_costs_one_line_until_it_can(process: Process, output: Output) -> None:
    """The reports get old, which is noticed; commands go on, and the log is not flooded."""
    process.reporter.start()
    away = process.path.with_name("away")
    process.path.rename(away)
    line = eventually(output.lines, "a warning")

    seen = health_reports.read(away)[0].at
    away.rename(process.path)
    eventually(lambda: process.only().at > seen, "reports are written again")

    assert ["the health of this process cannot be told"] == [entry["event"] for entry in line]
    assert "" == output.text()


def test_the_folder_is_known_to_the_processes_started_meanwhile() -> None:
    """It is for this user alone, and gone in the end."""
    assert folder() is None
    with temporary_folder() as path:
        (path / "7.json").touch()
        assert (path, 0o700) == (folder(), path.stat().st_mode & 0o777)

    assert (None, False) == (folder(), path.exists())


def test_what_a_program_left_that_this_one_has_replaced_is_deleted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SIGHUP executes another program in the same process, without an end; a folder of anybody else is left alone."""
    own, other = parent() / f"{PREFIX}{os.getpid()}-before", tmp_path / f"{PREFIX}1-other"
    for left, is_there in ((own, False), (other, True)):
        left.mkdir()
        monkeypatch.setenv(FOLDER, str(left))
        with temporary_folder():
            assert is_there == left.exists()
