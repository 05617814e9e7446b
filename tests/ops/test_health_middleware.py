"""dramatiq's hooks around the executions of a real dramatiq worker."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from tests.amqp import PATIENCE, eventually
from worker.ops import health_reports
from worker.ops.health import Beats
from worker.ops.health_middleware import HealthMiddleware
from worker.ops.health_reports import Reporter

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("fails", [False, True])
def test_executions_are_reported_until_they_end_and_reports_until_the_worker_does(tmp_path: Path, *, fails: bool) -> None:
    """However an execution ends."""
    beats, permits, started = Beats(), threading.Semaphore(0), queue.Queue[None]()
    reporter = Reporter(tmp_path, beats, threads=1, stopping=threading.Event(), unready=list, silence=0.1)
    broker = StubBroker(middleware=[HealthMiddleware(beats, reporter)])

    @dramatiq.actor(broker=broker)
    def work() -> None:
        started.put(None)
        assert permits.acquire(timeout=PATIENCE)
        if fails:
            raise ValueError("on purpose")

    def running() -> list[int]:
        return [report.running for report in health_reports.read(tmp_path)]

    broker.emit_after("process_boot")
    assert [0] == running()
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    try:
        work.send()
        started.get(timeout=PATIENCE)
        eventually(lambda: running() == [1], "it is reported to run")
        permits.release()
        eventually(lambda: running() == [0], "it is reported to have ended")
    finally:
        worker.stop(timeout=5000)

    assert [] == running()
