"""A worker that knows two more commands, which kill the process that carries them out, as a fault in a library does.

Run as `python -m tests.acceptance.deadly_worker run`, in place of `python -m worker run`. With DEADLY_LOOKS in the environment
every look for an order in doubt kills as well; with SLOW_TO_ACK, what is moved to another queue is acked so many seconds late.
"""

from __future__ import annotations

import os
import time
from typing import Any

from worker.cli import main
from worker.messaging.topology import ORDERS, QUERIES
from worker.runtime import reconcile
from worker.runtime.endings import Endings
from worker.runtime.looks import LOOK_TIMER
from worker.runtime.payload import Payload, Result
from worker.runtime.registry import command
from worker.runtime.submission import OrderResult, Submission  # noqa: TC001 - read by `command`
from worker.sips import Sips  # noqa: TC001 - read by `command`

#: Command types, and the exit status of a process that was killed by one.
READ = "sips.test.deadly_read"
ORDER = "sips.test.deadly_order"
DEADLY = 66


class Nothing(Payload):
    """Anything."""


class Never(Result):
    """What does not come."""


def deadly_read(_payload: Nothing, _sips: Sips) -> Never:
    """End the process, as a segmentation fault would."""
    os._exit(DEADLY)


def deadly_order(_payload: Nothing, _sips: Sips, _submission: Submission) -> OrderResult:
    """The same in the middle of a command that changes something."""
    os._exit(DEADLY)


def deadly_look(*_look: object) -> Never:
    """The same in a look for an order."""
    os._exit(DEADLY)


def slow_to_ack(seconds: float) -> None:
    """As a thread is that gets the processor late: what it has moved is there already for others."""
    suspect = Endings.suspect

    def late(*attempt: Any) -> None:
        suspect(*attempt)
        time.sleep(seconds)

    Endings.suspect = late  # type: ignore[method-assign,assignment]


if __name__ == "__main__":  # whoever only imports the names must not get the commands
    command(READ, queue=QUERIES)(deadly_read)
    command(ORDER, queue=ORDERS, changes=True)(deadly_order)
    slow_to_ack(float(os.environ.get("SLOW_TO_ACK", "0")))
    if "DEADLY_LOOKS" in os.environ:
        vars(reconcile)["KINDS"][LOOK_TIMER] = deadly_look
    main()
