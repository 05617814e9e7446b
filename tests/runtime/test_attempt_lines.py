"""Lines of attempts: written here and now, or by a thread of their own; nothing of them is lost at the end."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from tests.runtime.standins import deliver
from worker.runtime import attempt_lines
from worker.runtime.attempt import Attempt
from worker.runtime.attempt_lines import MAX_WAITING, AttemptLines


@pytest.fixture
def attempt() -> Attempt:
    """One that came to nothing yet."""
    return Attempt(deliver("sips.delivery.get", {}, "sips.queries"), deadline=0.0)


def test_a_line_says_how_the_attempt_stood_when_it_was_left(attempt: Attempt) -> None:
    """The thread writes it later; the attempt may be another one's by then."""
    lines = AttemptLines()
    lines.start()
    with capture_logs() as written:
        attempt.outcome = "succeeded"
        lines.leave(attempt)
        attempt.outcome, attempt.error = "failed", "refused"
        lines.leave(attempt)
        lines.stop()

    assert [("succeeded", "info"), ("failed", "warning")] == [(line["outcome"], line["log_level"]) for line in written]


def test_who_leaves_a_line_does_not_wait_for_its_reader(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread of the connections must not: no heartbeat would be served. There comes an end to it, and none is lost."""
    may_read = threading.Event()
    written = []

    def wait_and_write(fields: dict[str, object]) -> None:
        assert may_read.wait(30)
        written.append(fields)

    monkeypatch.setattr(attempt_lines, "_write", wait_and_write)
    lines = AttemptLines()
    lines.start()

    for _ in range(MAX_WAITING):
        assert not lines.is_behind
        lines.leave(attempt)
    lines.leave(attempt)  # one is with the thread already
    assert lines.is_behind

    may_read.set()
    lines.stop()
    assert (MAX_WAITING + 1, False) == (len(written), lines.is_behind)


def test_without_its_thread_a_line_is_written_at_once(attempt: Attempt) -> None:
    """Before it was started, and after it was stopped."""
    lines = AttemptLines()
    with capture_logs() as written:
        lines.leave(attempt)
        lines.start()
        lines.stop()
        lines.leave(attempt)

    assert 2 == len(written)
