"""dramatiq's hooks that note executions and report for as long as the process works; they decide nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dramatiq

if TYPE_CHECKING:
    from worker.ops.health import Beats
    from worker.ops.health_reports import Reporter

__all__ = ["HealthMiddleware"]


class HealthMiddleware(dramatiq.Middleware):
    """Told to the broker of a process whose health is asked for."""

    def __init__(self, beats: Beats, reporter: Reporter) -> None:
        self._beats = beats
        self._reporter = reporter

    def after_process_boot(self, _broker: dramatiq.Broker) -> None:
        """Report from the start on."""
        self._reporter.start()

    def before_process_message(self, _broker: dramatiq.Broker, _message: dramatiq.MessageProxy) -> None:
        """In the worker thread."""
        self._beats.begin()

    def after_process_message(
        self,
        _broker: dramatiq.Broker,
        _message: dramatiq.MessageProxy,
        *,
        result: Any = None,  # noqa: ARG002 - dramatiq passes it by name
        exception: BaseException | None = None,  # noqa: ARG002 - as above
    ) -> None:
        """In the worker thread, however it ended."""
        self._beats.end()

    def after_worker_shutdown(self, _broker: dramatiq.Broker, _worker: dramatiq.Worker) -> None:
        """Nothing is consumed and nothing runs any more."""
        self._reporter.stop()
