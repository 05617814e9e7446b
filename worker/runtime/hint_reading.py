"""What a webhook told of is looked up at SIPS, and what really changed is told.

A hint proves nothing: it may be late, come again, come out of order, or be of anybody's making. Its order is read, and the
fact is of what SIPS' API says then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from worker.messaging import events
from worker.messaging.topology import WEBHOOKS
from worker.runtime import history, poison, problems
from worker.runtime.hints import HINT
from worker.runtime.looks import LOOK_TIMER, QUEUED_TIMER
from worker.runtime.readings import order_number
from worker.runtime.watch_events import Origin, of_order
from worker.runtime.watching import watch_of_order_id
from worker.sips import Deadline, Sips, SipsError
from worker.store.hints import Hint
from worker.store.transitions import State
from worker.store.watched import Part, watch_key
from worker.store.watches import DELIVERIES, INVOICES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.messaging.delivery import Delivery
    from worker.runtime.attempt import Attempt
    from worker.runtime.endings import Endings
    from worker.runtime.observing import Observer
    from worker.settings import Settings
    from worker.sips import SipsClient
    from worker.store.hints import Hints
    from worker.store.ledger import Ledger
    from worker.store.timers import Timers
    from worker.store.watched import Observed, Watch
    from worker.store.watches import Watches

__all__ = ["UNRECOGNIZED", "HintReading", "is_hint"]

UNRECOGNIZED = "sips.webhook.unrecognized"

#: SIPS' types of events to what is read. `OC` may mean cancelled or confirmed: the order tells.
PARTS = {"OA": Part.STATUS, "OU": Part.STATUS, "OC": Part.STATUS, "DU": Part.DELIVERIES, "IU": Part.INVOICES}

#: Timer that looks an order up at SIPS, by the order's state: it is hastened by a hint that SIPS has the order.
LOOKS = {State.IN_DOUBT: LOOK_TIMER, State.UNRESOLVED: LOOK_TIMER, State.QUEUED: QUEUED_TIMER}

#: Seconds until a hint of no known order is tried again; later as long as it has waited.
FIRST_SECONDS = 2.0

#: Seconds until what a hint told of is looked at again where nothing has changed yet: SIPS may tell of it first.
AGAIN_SECONDS = 60.0

#: Characters of a reference.
MAX_TEXT_LENGTH = 200

log = structlog.get_logger("worker")


def is_hint(delivery: Delivery) -> bool:
    """Whether a delivery is a hint."""
    return history.home(delivery) == WEBHOOKS and delivery.properties.type == HINT


class HintReading:
    """Executes hints; may raise `PublishError` and `StoreError`, and is then to be repeated.

    Args:
        hints: those that came before.
        watches: what is known of orders.
        ledger: of the orders that were submitted here.
        timers: of what is looked at again.
        observer: looks and tells.
        client: of SIPS.
        endings: of attempts.
        settings: of the process.
    """

    def __init__(
        self,
        *,
        hints: Hints,
        watches: Watches,
        ledger: Ledger,
        timers: Timers,
        observer: Observer,
        client: SipsClient,
        endings: Endings,
        settings: Settings,
    ) -> None:
        self._hints = hints
        self._watches = watches
        self._ledger = ledger
        self._timers = timers
        self._observer = observer
        self._client = client
        self._endings = endings
        self._settings = settings

    def execute(self, attempt: Attempt) -> None:
        """Carry a hint to its end: looked up, or kept."""
        command = self._endings.read(attempt)
        if command is None:
            return
        attempt.outcome, attempt.final = "hint", True
        found = self._hints.find(command.id)
        if found is not None and found.is_handled:
            attempt.outcome = "repeated"
            return
        hint = _read(command.id, command.data)
        if hint.event_type not in PARTS or not _names_an_order(hint):
            self._tell_unrecognized(attempt, command.id, command.data)
        seconds = self._take(attempt, hint, 0.0, Sips(self._client, Deadline.after(self._settings.sips_call_seconds)))
        if seconds is not None:
            self._hints.keep(hint, seconds)

    def again(self, attempt: Attempt, hint_id: str, sips: Sips) -> float | None:
        """Try a hint again that was kept; the seconds until the next time, or None when there is none."""
        found = self._hints.find(hint_id)
        if found is None or found.is_handled:
            return None
        if found.age > self._settings.hint_days * 86_400:
            log.warning("a webhook named an order that was never known", hint=hint_id, event_type=found.hint.event_type)
            self._hints.forget(hint_id)
            return None
        return self._take(attempt, found.hint, found.age, sips)

    def end_poison(self, attempt: Attempt) -> None:
        """A hint that killed its process each time is a dead letter; the watch of its order goes on by itself."""
        problem = problems.crash_loop(poison.POISON_AT)
        attempt.error = f"{problem.code}: {problem.detail}"
        self._endings.set_aside(attempt, problem.code, problem.detail)

    def _take(self, attempt: Attempt, hint: Hint, age: float, sips: Sips) -> float | None:
        """Look a hint up that came `age` seconds ago; the seconds until it is tried again, or None where that is done."""
        attempt.sips, attempt.order_id = sips, hint.order_id or None
        watch = self._match(hint)
        if watch is None:
            if not _names_an_order(hint):
                self._hints.handled(hint)  # it names nothing that could ever be known
                return None
            attempt.outcome = "kept"
            return max(age, FIRST_SECONDS)
        try:
            observed, is_to_come = self._look(attempt, watch, PARTS.get(hint.event_type, Part.STATUS), hint, sips)
        except SipsError as error:
            attempt.error = f"{error.code}: {error}"
            attempt.outcome = "kept"
            return max(error.retry_after or 0.0, min(age, AGAIN_SECONDS), FIRST_SECONDS)
        if is_to_come and age < AGAIN_SECONDS:
            attempt.outcome = "kept"
            return AGAIN_SECONDS
        self._hints.handled(hint)
        if observed is not None:
            self._observer.end_subscriptions(observed.watch)
        return None

    def _match(self, hint: Hint) -> Watch | None:
        """What is known of the order that a hint names, as of now; its row is made where the ledger knows the order."""
        base_url = self._settings.base_url
        if hint.order_id:
            watch = self._watches.find(watch_key(base_url, hint.order_id))
            if watch is not None:
                return watch
            submitted = watch_of_order_id(self._ledger, base_url, hint.order_id)
            if submitted is not None:
                return self._watches.open(submitted)
        key = self._hints.order_of(base_url, hint)
        order = self._ledger.find(key) if key is not None else None
        if order is None:
            return None
        if order.state is State.CONFIRMED and order.order_id:
            return self._watches.open(of_order(order))
        if kind := LOOKS.get(order.state):
            self._timers.hasten(kind, order.key, 0.0)
        return None

    def _look(self, attempt: Attempt, watch: Watch, part: Part, hint: Hint, sips: Sips) -> tuple[Observed | None, bool]:
        """What was seen, and whether nothing has changed yet and no timer will look again."""
        origin = Origin("webhook", hint.time or None)
        attempt.order_id = watch.order_id
        match part:
            case Part.DELIVERIES:
                observed, _rows = self._observer.look_at_deliveries(attempt, watch, sips, origin)
                if not observed.changed:
                    self._timers.hasten(DELIVERIES, watch.key, AGAIN_SECONDS)
                return observed, False
            case Part.INVOICES:
                observed = self._observer.look_at_invoices(attempt, watch, sips, origin)
                if not observed.changed:
                    self._timers.hasten(INVOICES, watch.key, AGAIN_SECONDS)
                return observed, False
            case _:
                seen, _row = self._observer.look_at_status(attempt, watch, sips, origin)
                if seen is not None and seen.changed:
                    return seen, False
                return seen, not self._watches.hasten_status(watch, AGAIN_SECONDS)

    def _tell_unrecognized(self, attempt: Attempt, hint_id: str, data: Any) -> None:
        """What SIPS told in a way that nobody knows; under the hint's own id, so that it is told once."""
        known: Mapping[str, Any] = data if isinstance(data, dict) else {}
        told = {name: known[name] for name in ("fields", "body", "bodyBase64") if name in known}
        context = events.EventContext(environment=self._settings.sips_environment)
        self._endings.publish(attempt, events.event(UNRECOGNIZED, hint_id, told, context))


def _names_an_order(hint: Hint) -> bool:
    return any((hint.order_id, hint.po_number, hint.transaction_id))


def _read(hint_id: str, data: Any) -> Hint:
    """The names that an event has for its order. An invoice's number begins with that of its order, in ten digits."""
    fields = data.get("fields") if isinstance(data, dict) else None
    given = {name: _text(value) for name, value in fields.items()} if isinstance(fields, dict) else {}
    event_type, event_id = given.get("type", "").upper(), given.get("id", "")
    number = event_id.partition("-")[0] if event_type == "IU" else event_id
    return Hint(
        id=hint_id,
        event_type=event_type,
        order_id=order_number(given.get("reference2") or (number if number.isdecimal() else event_id)),
        po_number=given.get("reference", ""),
        transaction_id=given.get("reference3", ""),
        time=given.get("time", ""),
    )


def _text(value: object) -> str:
    return str(value).replace("\0", "").strip()[:MAX_TEXT_LENGTH] if isinstance(value, str) else ""
