"""`sips-worker` with one command more, whose handler never returns; run as a program."""

from __future__ import annotations

import threading

import handlers
from worker.cli import main
from worker.messaging.topology import QUERIES
from worker.runtime.payload import Payload, Result
from worker.runtime.registry import command
from worker.sips import Sips

assert handlers.__all__


@command("sips.test.block", queue=QUERIES)
def block(payload: Payload, sips: Sips) -> Result:
    """Hold the worker thread for ever, as a lock that nobody releases would."""
    threading.Event().wait()
    return Result()


if __name__ == "__main__":
    main()
