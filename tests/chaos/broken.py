"""`sips-worker` without one of its protections: `BREAK=resend` or `early-ack`; the proof must notice.

resend: an order in doubt is sent again instead of looked up. early-ack: a command is acked before its outcome is recorded.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from worker.cli import main
from worker.messaging.delivery import Disposition
from worker.runtime.orders import Orders
from worker.runtime.pipeline import Pipeline
from worker.store.transitions import Event

if TYPE_CHECKING:
    from worker.messaging.delivery import Delivery
    from worker.runtime.attempt import Attempt
    from worker.store.orders import Order

__all__ = ["BREAKS"]


def _resend() -> None:
    def doubt(self: Orders, attempt: Attempt, order: Order, why: str, **_look: Any) -> None:
        attempt.error = why
        self._ledger.move(order, Event.NOT_EXECUTED, last_error=why)
        self._wait(attempt, 0.0)

    Orders._doubt = doubt  # type: ignore[method-assign]


def _early_ack() -> None:
    execute = Pipeline.execute

    def acked_first(self: Pipeline, delivery: Delivery) -> None:
        channel = delivery.channel
        delivery.disposition, delivery.settled = Disposition.ACK, True
        channel.connection.ioloop.add_callback_threadsafe(lambda: _ack(delivery))
        execute(self, delivery)

    Pipeline.execute = acked_first  # type: ignore[method-assign]


def _ack(delivery: Delivery) -> None:
    if delivery.channel.is_open:
        delivery.channel.basic_ack(delivery.tag)


#: What can be broken, and how. dramatiq forks its processes, so that what is changed here is changed in them.
BREAKS = {"resend": _resend, "early-ack": _early_ack}

if __name__ == "__main__":
    BREAKS[os.environ["BREAK"]]()
    main()
