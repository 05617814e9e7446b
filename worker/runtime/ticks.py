"""Do what is due: a tick is the message by which a claimed timer reaches some worker thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import structlog
from pika.spec import BasicProperties

from worker.messaging.ladder import PERSISTENT
from worker.messaging.publisher import Message
from worker.messaging.topology import RETRY, WATCHES
from worker.runtime import order_events
from worker.runtime.reconcile import KINDS
from worker.sips import Deadline, Sips
from worker.store.ledger import PUBLISH
from worker.store.timers import Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.messaging.delivery import Delivery
    from worker.runtime.attempt import Attempt
    from worker.runtime.endings import Endings
    from worker.runtime.reconcile import Reconcile
    from worker.settings import Settings
    from worker.sips import SipsClient
    from worker.store.ledger import Ledger
    from worker.store.orders import Order, StoredEvent
    from worker.store.timers import Timers

__all__ = ["TICK", "Ticks", "is_tick", "tick"]

#: AMQP type of a tick; it is no command, and no binding of `sips.commands` leads to its queue.
TICK = "sips.tick"

log = structlog.get_logger("worker")


def tick(timer: Timer) -> Message:
    """The message for a claimed timer."""
    body = orjson.dumps({"kind": timer.kind, "ref": timer.ref, "claims": timer.claims})
    properties = BasicProperties(type=TICK, delivery_mode=PERSISTENT, content_type="application/json")
    return Message(exchange=RETRY, routing_key=WATCHES, body=body, properties=properties)


def is_tick(delivery: Delivery) -> bool:
    """Whether a delivery is a tick."""
    return delivery.queue == WATCHES and delivery.properties.type == TICK


class Ticks:
    """Executes ticks; one that is lost comes again when its timer's lease is over, one that comes twice does no harm."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        timers: Timers,
        reconcile: Reconcile,
        client: SipsClient,
        endings: Endings,
        published: Callable[[Sequence[str]], None],
        settings: Settings,
    ) -> None:
        self._ledger = ledger
        self._timers = timers
        self._reconcile = reconcile
        self._client = client
        self._endings = endings
        self._published = published
        self._settings = settings

    def execute(self, attempt: Attempt) -> None:
        """Do what the tick says; raises `PublishError` or `StoreError` where it did not get there."""
        timer = _read(attempt.delivery.body)
        attempt.outcome, attempt.final = "tick", True
        if timer is None:
            attempt.error = "tick: not one of ours; dropped"
            return
        if timer.kind == PUBLISH:
            self._publish(attempt, timer)
        elif (method := KINDS.get(timer.kind)) is not None:
            sips = attempt.sips = Sips(self._client, Deadline.after(self._settings.sips_call_seconds))
            seconds, moved = method(self._reconcile, timer.ref, sips)
            self._end(timer, seconds)
            if moved is not None:
                self._say(attempt, moved.order, moved.said)
            elif attempt.delivery.redelivered:
                self._say_waiting(attempt, timer.ref)  # what the earlier delivery wrote down and could not tell
        else:
            attempt.error = f"tick: no worker of this release knows the timer {timer.kind}"
            self._timers.again(timer, 60.0)

    def _end(self, timer: Timer, seconds: float | None) -> None:
        if seconds is None:
            self._timers.end(timer)
        else:
            self._timers.again(timer, seconds)

    def _publish(self, attempt: Attempt, timer: Timer) -> None:
        if not self._say_waiting(attempt, timer.ref):
            self._timers.end(timer)

    def _say_waiting(self, attempt: Attempt, key: str) -> bool:
        """Say what was stored of an order and is not known to be published; whether there was something."""
        order = self._ledger.find(key)
        waiting = [event for event in self._ledger.events(key) if not event.published]
        if order is None or not waiting:
            return False
        self._say(attempt, order, waiting)
        return True

    def _say(self, attempt: Attempt, order: Order, said: Sequence[StoredEvent]) -> None:
        attempt.run, attempt.order_id = order.run, order.order_id
        for event in said:
            self._endings.publish(attempt, order_events.message(event))
            self._endings.reply(order_events.reply(event, order) if event.type.startswith(order.command_type) else None)
            log.info("said", type=event.type, event_id=event.id, command=order.command_id, po_number=order.po_number)
        self._published([event.id for event in said])


def _read(body: bytes) -> Timer | None:
    try:
        given: Any = orjson.loads(body)
        return Timer(str(given["kind"]), str(given["ref"]), int(given["claims"]))
    except (ValueError, TypeError, KeyError):
        return None
