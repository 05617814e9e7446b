"""The judgement over a worker's processes: what is a reason to restart it, and what is none."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from worker.ops.health import Beats, Limits, Report, live, ready
from worker.ops.health_reports import REPORT_SECONDS
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1000.0

LIMITS = Limits(silence=20, execution=40, stop=60)

#: A process that reported a second ago, when all its loops went round.
WELL = Report(
    pid=7,
    at=NOW - 1,
    beats={"sips.orders": NOW - 1, "publisher": NOW - 2},
    threads=2,
    running=0,
    last_start=0.0,
    stopping_since=None,
    unready=[],
)

BUSY = replace(WELL, running=2, last_start=NOW - 41)
HUNG = replace(WELL, at=NOW - 21)
STOPPING = replace(WELL, stopping_since=NOW - 59)


@pytest.mark.parametrize(
    ("report", "problems"),
    [
        (WELL, []),
        # Loops.
        (replace(WELL, beats={"a": NOW - 20}), []),
        (replace(WELL, beats={"a": NOW - 21}), ["process 7: a: no progress for 21 s"]),
        (replace(WELL, beats={"a": NOW + 100}), []),  # it was allowed to take longer
        (
            replace(WELL, beats={"b": NOW - 30, "ok": NOW, "a": NOW - 21}),
            ["process 7: a: no progress for 21 s", "process 7: b: no progress for 30 s"],
        ),
        # Threads.
        (BUSY, ["process 7: all 2 threads: blocked for 41 s"]),
        (replace(BUSY, last_start=NOW - 40), []),  # the latest one may still end in time
        (replace(BUSY, running=1), []),  # the other thread works
        # Whatever RabbitMQ and SIPS do.
        (replace(WELL, unready=["no connection to RabbitMQ"]), []),
        # The process itself: what it said last says nothing about now.
        (HUNG, ["process 7: no report for 21 s"]),
        (replace(HUNG, running=2, last_start=NOW - 100, beats={"a": NOW - 100}), ["process 7: no report for 21 s"]),
        # A stop: loops end one after the other, and running commands have their grace.
        (STOPPING, []),
        (replace(STOPPING, beats={"a": NOW - 50}, running=2, last_start=NOW - 50), []),
        (replace(STOPPING, stopping_since=NOW - 61), ["process 7: has been stopping for 61 s"]),
        (replace(STOPPING, at=NOW - 21), ["process 7: no report for 21 s"]),
    ],
)
def test_a_process_is_live_while_it_gets_on(report: Report, problems: list[str]) -> None:
    """Progress is what counts, and silence is what is not believed."""
    assert problems == live([report], NOW, LIMITS, processes=1, draining=False)


@pytest.mark.parametrize(
    ("report", "reasons"),
    [
        (WELL, []),
        (BUSY, []),  # that is for /livez
        (replace(WELL, unready=["starting"]), ["process 7: starting"]),
        (replace(WELL, unready=["a: sips.orders", "b: sips.bulk"]), ["process 7: a: sips.orders", "process 7: b: sips.bulk"]),
        (replace(HUNG, unready=["starting"]), ["process 7: no report for 21 s"]),
    ],
)
def test_a_process_is_ready_while_it_consumes(report: Report, reasons: list[str]) -> None:
    """And while it says so."""
    assert reasons == ready([report], NOW, LIMITS, processes=1, draining=False)


@pytest.mark.parametrize("judge", [live, ready])
def test_every_process_counts(judge: Callable[..., list[str]]) -> None:
    """One that has never reported, and one of several that hangs."""
    other = replace(WELL, pid=8)

    assert [] == judge([WELL, other], NOW, LIMITS, processes=2, draining=False)
    assert ["1 of 2 processes report"] == judge([WELL], NOW, LIMITS, processes=2, draining=False)
    assert ["process 7: no report for 21 s"] == judge([HUNG, other], NOW, LIMITS, processes=2, draining=False)


def test_a_worker_that_stops_is_live_and_not_ready() -> None:
    """Its processes end one by one, and are not missed."""
    assert [] == live([STOPPING], NOW, LIMITS, processes=2, draining=True)
    assert [] == live([], NOW, LIMITS, processes=2, draining=True)
    assert ["process 7: no report for 21 s"] == live([HUNG], NOW, LIMITS, processes=2, draining=True)
    assert ["stopping"] == ready([WELL], NOW, LIMITS, processes=1, draining=True)


def test_blocked_threads_are_told_within_a_minute_by_default() -> None:
    """The time of an attempt, the patience on top of it, and the age of a report."""
    limits = Limits.of(Settings())

    assert limits.execution + REPORT_SECONDS < 60
    assert Settings().handler_seconds < limits.execution


def report_of(beats: Beats) -> Report:
    """The state of a process with two threads."""
    return beats.report(7, threads=2, stopping_since=None, unready=())


def test_a_loop_is_watched_from_its_first_touch_until_it_is_forgotten() -> None:
    """A touch that allows for more counts from later on."""
    beats = Beats()
    beats.touch("a")
    beats.touch("b", allow=100)
    beats.touch("c")
    beats.forget("c")
    beats.forget("never there")

    report = report_of(beats)

    assert {"a", "b"} == report.beats.keys()
    assert report.beats["a"] <= report.at < report.beats["b"] <= report.at + 100


def test_executions_are_noted_per_thread() -> None:
    """From their start to their end; the latest start is the one that counts."""
    beats = Beats()
    beats.begin()
    first = report_of(beats)
    other = threading.Thread(target=beats.begin)
    other.start()
    other.join()
    second = report_of(beats)
    beats.end()
    third = report_of(beats)

    assert (1, 2, 1) == (first.running, second.running, third.running)
    assert first.last_start < second.last_start == third.last_start
