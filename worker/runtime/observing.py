"""Compare what SIPS says of an order with what was known of it, and tell what changed.

What SIPS' API says is the truth, also where it goes back; what it does not list any more is left as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import structlog

from worker.runtime import intervals, order_events, readings
from worker.runtime.watch_events import FactVoice, Origin
from worker.store.errors import StoreError
from worker.store.watched import Part
from worker.store.watches import DELIVERIES, INVOICES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.runtime.attempt import Attempt
    from worker.runtime.endings import Endings
    from worker.runtime.readings import Delivery
    from worker.runtime.watch_events import State
    from worker.settings import Settings
    from worker.sips import Sips
    from worker.sips.models import OrderRow
    from worker.store.orders import StoredEvent
    from worker.store.watched import Observed, Watch
    from worker.store.watches import Watches

__all__ = ["POLL", "Observer"]

#: The watch itself made us look.
POLL = Origin()

#: Characters of a text of SIPS' that is kept.
MAX_TEXT_LENGTH = 200

log = structlog.get_logger("worker")


class Observer:
    """Looks at orders and tells what changed; one per process, used by all its threads.

    Every look takes a watch as it was read just before the call. All may raise `SipsError`, `StoreError` and `PublishError`.

    Args:
        watches: what is known.
        endings: publishes them.
        published: told of those that could not be marked, as nothing waits for it.
        settings: of the process.
    """

    def __init__(
        self,
        watches: Watches,
        endings: Endings,
        published: Callable[[Sequence[str]], None],
        settings: Settings,
    ) -> None:
        self._watches = watches
        self._endings = endings
        self._published = published
        self._settings = settings
        self._voice = FactVoice(settings.sips_environment)

    def look_at_status(
        self, attempt: Attempt, watch: Watch, sips: Sips, origin: Origin = POLL
    ) -> tuple[Observed | None, OrderRow | None]:
        """The status of one order, and the order as SIPS lists it; None where it does not (yet)."""
        row = readings.order(sips, watch.order_id)
        return (None if row is None else self.status(attempt, watch, row, origin)), row

    def status(self, attempt: Attempt, watch: Watch, row: OrderRow, origin: Origin = POLL) -> Observed | None:
        """What a list says of an order; None where it tells no status of it."""
        if not watch.customer_code and (customer := _text(row.customerCode)):
            watch = self._watches.customer_is(watch, customer, _text(row.PONumber))
        status = _text(row.orderStatus)
        if status is None:
            return None
        hasten = {INVOICES: 0.0, DELIVERIES: 0.0}  # also where all known deliveries ended: there may be another one

        def say(known: Watch) -> Sequence[StoredEvent]:
            return self._voice.status(known, status, origin, watch.read_at)

        observed = self._watches.observe(watch, Part.STATUS, lambda _known: status, say, hasten)
        self.tell(attempt, watch, observed.waiting)
        return observed

    def look_at_deliveries(
        self, attempt: Attempt, watch: Watch, sips: Sips, origin: Origin = POLL
    ) -> tuple[Observed, Sequence[Delivery]]:
        """The deliveries of one order."""
        rows = readings.deliveries(sips, watch.order_id)
        found = {_number(row): _state(row) for row in rows}

        def merged(known: Watch) -> dict[str, State]:
            return dict(sorted((intervals.shipments(known) | found).items()))

        def say(known: Watch) -> Sequence[StoredEvent]:
            was = intervals.shipments(known)
            completed = [
                number for number in found if self._is_completed(found[number]) and not self._is_completed(was.get(number))
            ]
            return self._voice.deliveries(known, was, found, completed, origin, watch.read_at)

        is_over = bool(found) and all(map(self._is_completed, merged(watch).values()))
        observed = self._watches.observe(
            watch,
            Part.DELIVERIES,
            lambda known: orjson.dumps(merged(known)).decode(),
            say,
            {INVOICES: 0.0} if is_over else {},
        )
        self.tell(attempt, watch, observed.waiting)
        return observed, rows

    def look_at_invoices(self, attempt: Attempt, watch: Watch, sips: Sips, origin: Origin = POLL) -> Observed:
        """The invoices of one order."""
        heads = {_text(head.invoice_number) or "": head for head in readings.invoices(sips, watch.order_id)}
        heads.pop("", None)

        def merged(known: Watch) -> str:
            return orjson.dumps(sorted(_numbers(known) | heads.keys())).decode()

        def say(known: Watch) -> Sequence[StoredEvent]:
            issued = [head for number, head in sorted(heads.items()) if number not in _numbers(known)]
            return self._voice.invoices(known, issued, origin, watch.read_at)

        observed = self._watches.observe(watch, Part.INVOICES, merged, say)
        self.tell(attempt, watch, observed.waiting)
        return observed

    def tell(self, attempt: Attempt, watch: Watch, waiting: Sequence[StoredEvent]) -> None:
        """Publish facts in their sequence, and those that others store meanwhile."""
        while waiting:
            self._endings.publish(attempt, *map(order_events.message, waiting))
            for fact in waiting:
                log.info("said", type=fact.type, event_id=fact.id, order_id=watch.order_id, sequence=fact.run)
            ids = [fact.id for fact in waiting]
            try:
                waiting = self._watches.told(watch.key, ids)
            except StoreError:
                self._published(ids)
                raise

    def end_subscriptions(self, watch: Watch) -> bool:
        """End those that have what they waited for, or have waited for long enough; whether there were any."""
        ended = list(intervals.ended(watch, self._settings))
        if ended:
            self._watches.unsubscribe(watch.key, ended)
            log.info(
                "subscriptions ended",
                order_id=watch.order_id,
                subscriptions=len(ended),
                left=len(watch.subscriptions) - len(ended),
            )
        return bool(ended)

    def _is_completed(self, state: State | None) -> bool:
        return state is not None and intervals.is_completed(state["status"], self._settings)


def _number(row: Delivery) -> str:
    return "" if row.shipment_number is None else str(row.shipment_number)


def _state(row: Delivery) -> State:
    return {
        "status": _text(row.status),
        "expectedDeliveryDate": _text(row.expected_delivery_date),
        "deliveredDate": _text(row.delivered_date),
    }


def _numbers(watch: Watch) -> set[str]:
    return set(orjson.loads(watch.invoices)) if watch.invoices else set()


def _text(text: str | None) -> str | None:
    """As it is kept: PostgreSQL takes no NUL, and a text of SIPS' may be of any length."""
    return (text or "").replace("\0", "").strip()[:MAX_TEXT_LENGTH] or None
