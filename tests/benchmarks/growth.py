"""Whether a command costs more when many others wait behind it."""

from __future__ import annotations

import itertools
import time
import uuid
from typing import TYPE_CHECKING

from tests.benchmarks.contenders import CONTENDERS, OURS
from tests.benchmarks.session import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.contenders import Message
    from tests.benchmarks.session import Bench, Session

__all__ = ["BACKLOGS", "growth_cpu_us"]

#: Commands that wait while others are carried out.
BACKLOGS = (10, 10_000, 200_000)

#: Commands beyond the backlog that the worker has fetched, see PREFETCH_PER_THREAD of its broker.
FETCHED = 40

#: Seconds between two looks at how many have been carried out.
LOOK_SECONDS = 0.005


def growth_cpu_us(bench: Bench, backlogs: tuple[int, ...], messages: int) -> dict[int, float]:
    """CPU µs of a command, by backlog; for each that is carried out another is published, so that the backlog stays."""
    found = {}
    for backlog in backlogs:
        with running(bench, CONTENDERS[OURS]) as (session, _):
            commands = _commands()
            session.publisher.fill(itertools.islice(commands, backlog + FETCHED))
            _keep_up(session, commands, messages // 2)
            before, done = session.process.processor_seconds(), len(session.results)
            _keep_up(session, commands, messages)
            spent = session.process.processor_seconds() - before
            found[backlog] = spent * 1e6 / (len(session.results) - done)
    return found


def _keep_up(session: Session, commands: Iterator[Message], messages: int) -> None:
    """Replace what is carried out, until so many were."""
    start = seen = len(session.results)
    while seen < start + messages:
        session.results.wait(seen + 1, alive=lambda: session.process.is_running)
        time.sleep(LOOK_SECONDS)
        done = len(session.results)
        for message in itertools.islice(commands, done - seen):
            session.publisher.publish(message)
        seen = done


def _commands() -> Iterator[Message]:
    while True:
        yield CONTENDERS[OURS].message(str(uuid.uuid4()))
