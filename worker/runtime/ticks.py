"""Do what is due: a tick is the message by which a claimed timer reaches some worker thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import structlog
from pika.spec import BasicProperties

from worker.messaging.ladder import PERSISTENT
from worker.messaging.publisher import Message
from worker.messaging.topology import RETRY, WATCHES
from worker.runtime import history, order_events, poison, problems
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
    from worker.runtime.watch_ticks import WatchTicks
    from worker.settings import Settings
    from worker.sips import SipsClient
    from worker.store.ledger import Ledger
    from worker.store.orders import Order, StoredEvent
    from worker.store.timers import Timers

__all__ = ["CLAIM_SECONDS", "TICK", "Ticks", "is_tick", "tick"]

#: AMQP type of a tick; it is no command, and no binding of `sips.commands` leads to its queue.
TICK = "sips.tick"

#: Seconds for which a claimed timer is left to its tick; then another one is made for it.
CLAIM_SECONDS = 60.0

log = structlog.get_logger("worker")


def tick(timer: Timer) -> Message:
    """The message for a claimed timer."""
    body = orjson.dumps({"kind": timer.kind, "ref": timer.ref, "claims": timer.claims})
    properties = BasicProperties(type=TICK, delivery_mode=PERSISTENT, content_type="application/json")
    return Message(exchange=RETRY, routing_key=WATCHES, body=body, properties=properties)


def is_tick(delivery: Delivery) -> bool:
    """Whether a delivery is a tick."""
    return history.home(delivery) == WATCHES and delivery.properties.type == TICK


class Ticks:
    """Executes ticks; one that is lost comes again when its timer's lease is over, one that comes twice does no harm."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        timers: Timers,
        watch_ticks: WatchTicks,
        reconcile: Reconcile,
        client: SipsClient,
        endings: Endings,
        published: Callable[[Sequence[str]], None],
        settings: Settings,
    ) -> None:
        self._ledger = ledger
        self._timers = timers
        self._watch_ticks = watch_ticks
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
        elif not self._is_awaited(attempt, timer):
            self._say_rest(attempt, timer)
        elif timer.kind == PUBLISH:
            self._publish(attempt, timer)
        elif (method := KINDS.get(timer.kind)) is not None:
            sips = attempt.sips = Sips(self._client, Deadline.after(self._settings.sips_call_seconds))
            seconds, moved = method(self._reconcile, timer.ref, sips)
            self._end(attempt, timer, seconds)
            if moved is not None:
                self._say(attempt, moved.order, moved.said)
            else:
                self._say_rest(attempt, timer)
        elif self._watch_ticks.knows(timer.kind):
            sips = attempt.sips = Sips(self._client, Deadline.after(self._settings.sips_call_seconds))
            self._end(attempt, timer, self._watch_ticks.execute(attempt, timer.kind, timer.ref, sips))
        else:
            attempt.error = f"tick: no worker of this release knows the timer {timer.kind}"
            self._timers.again(timer, 60.0)

    def end_poison(self, attempt: Attempt) -> None:
        """A tick that killed its process each time: its timer ends, its order needs a person, the tick is a dead letter.

        The timer goes first and unseen: what kills may be the sight of the order.
        """
        timer, problem = _read(attempt.delivery.body), problems.crash_loop(poison.POISON_AT)
        attempt.error = f"{problem.code}: {problem.detail}"
        if timer is not None:
            self._timers.stop(timer)
            self._leave_to_a_person(attempt, timer, f"{attempt.error} (timer {timer.kind})")
        self._endings.set_aside(attempt, problem.code, problem.detail)

    def _leave_to_a_person(self, attempt: Attempt, timer: Timer, why: str) -> None:
        order = self._ledger.find(timer.ref)
        if order is None:
            log.error(
                "a timer killed the worker each time; it is stopped",
                timer=timer.kind,
                ref=timer.ref,
                next=f"mend the worker, then `sips-worker dead redrive --type {TICK}`",
            )
            return
        attempt.run, attempt.order_id = order.run, order.order_id
        moved = self._reconcile.give_up_looking(order, why) if timer.kind in KINDS else None
        if moved is None:
            self._ledger.note(order, last_error=why)
        log.error(
            "a timer killed the worker each time; it is stopped, and its order needs a person",
            timer=timer.kind,
            key=order.key,
            command=order.command_id,
            state=order.state,
            next=f"`sips-worker explain`, mend the worker, then `sips-worker dead redrive --type {TICK}`",
        )
        if moved is not None:
            self._say(attempt, moved.order, moved.said)

    def _is_awaited(self, attempt: Attempt, timer: Timer) -> bool:
        """Whether its timer still waits for it; what a person runs again needs none."""
        return _is_redriven(attempt) or self._timers.is_awaited(timer, within=CLAIM_SECONDS)

    def _say_rest(self, attempt: Attempt, timer: Timer) -> None:
        """Say what an earlier delivery of the tick wrote down and could not tell."""
        if timer.kind in KINDS and history.may_have_been_sent(attempt.delivery):
            self._say_waiting(attempt, timer.ref)

    def _end(self, attempt: Attempt, timer: Timer, seconds: float | None) -> None:
        if seconds is None:
            self._timers.end(timer)
        elif _is_redriven(attempt):
            self._timers.start(timer.kind, timer.ref, seconds)  # it was stopped
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
        if said:
            self._endings.publish(attempt, *map(order_events.message, said))
        for event in said:
            self._endings.reply(order_events.reply(event, order) if event.type.startswith(order.command_type) else None)
            log.info("said", type=event.type, event_id=event.id, command=order.command_id, po_number=order.po_number)
        self._published([event.id for event in said])


def _is_redriven(attempt: Attempt) -> bool:
    return history.count(attempt.delivery, "sips-run") > 1


def _read(body: bytes) -> Timer | None:
    try:
        given: Any = orjson.loads(body)
        return Timer(str(given["kind"]), str(given["ref"]), int(given["claims"]))
    except (ValueError, TypeError, KeyError):
        return None
