"""Whether the worker gets on: what each of its processes reports, and the judgement over it, without any I/O.

Live means progress, never success: a loop that tries to reach RabbitMQ again and again is alive, and what SIPS or the
broker do is no reason to restart this process.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.settings import Settings

__all__ = ["Beats", "Limits", "Report", "live", "ready"]

#: Seconds beyond GRACE_SECONDS for what a stopping process does after its commands: it gives back and closes.
CLOSING_SECONDS = 15.0


class Beats:
    """What one process notes of its own progress. Every method may be called from any thread, and takes no lock.

    A loop is watched from its first `touch`: touch once where it is made, and a loop that never starts is found as well.
    """

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._running: dict[int, float] = {}

    def touch(self, name: str, allow: float = 0.0) -> None:
        """The loop `name` goes round; its next round may take `allow` seconds longer than usual."""
        self._due[name] = time.monotonic() + allow

    def forget(self, name: str) -> None:
        """The loop `name` ended in order."""
        self._due.pop(name, None)

    def begin(self) -> None:
        """The calling thread starts an execution."""
        self._running[threading.get_ident()] = time.monotonic()

    def end(self) -> None:
        """The calling thread is done with it."""
        self._running.pop(threading.get_ident(), None)

    def report(self, pid: int, *, threads: int, stopping_since: float | None, unready: Iterable[str]) -> Report:
        """Everything noted, as of now."""
        starts = list(self._running.values())
        return Report(
            pid=pid,
            at=time.monotonic(),
            beats=self._due.copy(),
            threads=threads,
            running=len(starts),
            last_start=max(starts, default=0.0),
            stopping_since=stopping_since,
            unready=list(unready),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """The state of one process. Times are of the monotonic clock, which all processes of a machine share.

    Attributes:
        pid: of the process.
        at: when the report was made.
        beats: loop to the time from which its silence counts.
        threads: worker threads of the process.
        running: executions that have started and not ended.
        last_start: start of the latest of them.
        stopping_since: when the process was told to stop.
        unready: why it does not consume.
    """

    pid: int
    at: float
    beats: dict[str, float]
    threads: int
    running: int
    last_start: float
    stopping_since: float | None
    unready: list[str]


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that are too long: for a loop's or a process's silence, for an execution, for a stop."""

    silence: float
    execution: float
    stop: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that follow from the settings."""
        return cls(
            silence=settings.health_seconds,
            execution=settings.handler_seconds + settings.health_seconds,
            stop=settings.grace_seconds + CLOSING_SECONDS,
        )


def live(reports: Sequence[Report], now: float, limits: Limits, *, processes: int, draining: bool) -> list[str]:
    """Why the worker must be restarted; empty while it gets on.

    Args:
        reports: of all processes that have made one.
        now: on the monotonic clock.
        limits: what is too long.
        processes: how many there should be.
        draining: whether the worker was told to stop: its processes end one by one, and are not missed.
    """
    problems = [] if draining else _missing(reports, processes)
    for report in reports:
        problems += [f"process {report.pid}: {problem}" for problem in _stuck(report, now, limits)]
    return problems


def ready(reports: Sequence[Report], now: float, limits: Limits, *, processes: int, draining: bool) -> list[str]:
    """Why the worker does not take commands from all its queues; empty while it does. Arguments as for `live`."""
    if draining:
        return ["stopping"]
    reasons = _missing(reports, processes)
    for report in reports:
        reasons += [f"process {report.pid}: {reason}" for reason in _silent(report, now, limits) or report.unready]
    return reasons


def _missing(reports: Sequence[Report], processes: int) -> list[str]:
    return [f"{len(reports)} of {processes} processes report"] if len(reports) < processes else []


def _stuck(report: Report, now: float, limits: Limits) -> list[str]:
    if silent := _silent(report, now, limits):
        return silent  # what it said last says nothing about now
    if report.stopping_since is not None:
        stopping = now - report.stopping_since
        return [f"has been stopping for {stopping:.0f} s"] if stopping > limits.stop else []
    problems = [
        f"{name}: no progress for {now - due:.0f} s" for name, due in sorted(report.beats.items()) if now - due > limits.silence
    ]
    if report.running >= report.threads and now - report.last_start > limits.execution:
        problems.append(f"all {report.threads} threads: blocked for {now - report.last_start:.0f} s")
    return problems


def _silent(report: Report, now: float, limits: Limits) -> list[str]:
    silence = now - report.at
    return [f"no report for {silence:.0f} s"] if silence > limits.silence else []
