"""End a read when RabbitMQ confirms its outcome, with no thread that waits for that.

To wake a thread for each confirm, and the thread of the connections for each ack after it, is a seventh of what a read costs.
Where RabbitMQ takes the outcome, the rest is done in the latter; where it does not, a worker thread goes on as if it had waited.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from worker.messaging.delivery import Disposition
from worker.messaging.publisher import UnroutableError
from worker.messaging.topology import SUSPECTS
from worker.ops.crash_points import reached

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from typing import Any

    from worker.messaging.envelope import Command
    from worker.messaging.publisher import Message, PublishError
    from worker.runtime.attempt import Attempt
    from worker.runtime.attempt_lines import AttemptLines
    from worker.runtime.endings import Endings

__all__ = ["Deferring"]

log = structlog.get_logger("worker")


class Deferring:
    """One per process, for all its threads.

    Args:
        endings: of attempts.
        lines: takes the line of an attempt that ended in the thread of the connections.
        stopping: set when the process is to end.
        carry: carries the steps of an attempt to their end, whatever they raise, and sets its delivery's disposition.
    """

    def __init__(
        self,
        endings: Endings,
        lines: AttemptLines,
        *,
        stopping: threading.Event,
        carry: Callable[[Attempt, Callable[[Attempt], None]], None],
    ) -> None:
        self._endings = endings
        self._lines = lines
        self._stopping = stopping
        self._carry = carry

    def applies_to(self, attempt: Attempt) -> bool:
        """Whether it may end so.

        Suspects run one by one, a process that ends waits for its threads, and they for who reads the lines too slowly.
        """
        return not (attempt.delivery.queue == SUSPECTS or self._stopping.is_set() or self._lines.is_behind)

    def outcome(self, attempt: Attempt, command: Command, kind: str, data: dict[str, Any]) -> None:
        """As `Endings.outcome`, but the attempt is pending when this returns, unless its result is too large to be told."""
        message = self._endings.built(attempt, command, kind, data)
        if message is None:
            return
        attempt.pending = True
        attempt.delivery.defer()

        def then(error: PublishError | None) -> None:
            try:
                self._end(attempt, command, message, kind, error)
            except Exception:
                log.exception("an attempt broke at its end; its command goes back to the queue", queue=attempt.delivery.queue)
                attempt.delivery.conclude(None)

        self._endings.hand_over(attempt, message, then)

    # In the thread of the connections.

    def _end(self, attempt: Attempt, command: Command, message: Message, kind: str, error: PublishError | None) -> None:
        if error is None:
            self._confirmed(attempt, command, message, kind)
        elif self._stopping.is_set():
            self._give_back(attempt, error)
        else:
            # The thread that handed it over may still look at the attempt.
            self._resume(replace(attempt, pending=False), command, message, kind, error)

    def _confirmed(self, attempt: Attempt, command: Command, message: Message, kind: str) -> None:
        self._endings.confirmed(attempt, command, message, kind)
        reached("settled")
        attempt.delivery.conclude(Disposition.ACK)
        self._lines.leave(attempt)

    def _give_back(self, attempt: Attempt, error: PublishError) -> None:
        """For another process: this one has no time."""
        attempt.error = str(error)
        attempt.delivery.conclude(Disposition.REQUEUE)
        self._lines.leave(attempt)

    def _resume(self, attempt: Attempt, command: Command, message: Message, kind: str, error: PublishError) -> None:
        def step(_attempt: Attempt) -> None:
            if not isinstance(error, UnroutableError):
                raise error
            self._endings.publish_outcome(attempt, command, message, kind)  # which repairs what is missing

        def rest() -> None:
            if self._stopping.is_set():
                self._give_back(attempt, error)
                return
            try:
                self._carry(attempt, step)
            finally:
                attempt.delivery.conclude(attempt.delivery.disposition)

        attempt.delivery.resume(rest)
