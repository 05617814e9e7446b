"""Find out what became of orders that were sent: look them up until they are found, or until a person must decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from worker.runtime import matching
from worker.runtime.looks import LOOK_TIMER, QUEUED_TIMER, UNRESOLVED_SECONDS, leave_to_a_person, not_sent_again
from worker.runtime.order_events import OrderVoice
from worker.runtime.orders import SENDER_LOST
from worker.sips import SipsError
from worker.store.schema import now
from worker.store.transitions import Event, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.runtime.lookup import Lookup
    from worker.runtime.matching import Found
    from worker.settings import Settings
    from worker.sips import Sips
    from worker.store.ledger import Ledger, Moved
    from worker.store.orders import Order, StoredEvent

__all__ = ["Reconcile"]

#: Seconds for which an order is looked for after its outcome was `.unknown`.
UNRESOLVED_FOR_SECONDS = 7 * 86_400.0

log = structlog.get_logger("worker")


class Reconcile:
    """What the timers `look` and `queued` do; each returns the seconds until the next look, or None when there is none.

    Args:
        ledger: of this installation.
        lookup: of orders at SIPS.
        settings: of the process.
        up_seconds: tells for how long SIPS has been there; behind closed gates no look is made that could fail.
    """

    def __init__(self, ledger: Ledger, lookup: Lookup, settings: Settings, up_seconds: Callable[[], float]) -> None:
        self._ledger = ledger
        self._lookup = lookup
        self._settings = settings
        self._up_seconds = up_seconds
        self._voice = OrderVoice(settings.sips_environment, max_bytes=settings.max_event_bytes)
        self._patience = matching.Patience(
            settings.absence_looks, settings.absence_seconds, settings.absence_after_trouble_seconds
        )

    def look(self, key: str, sips: Sips) -> tuple[float | None, Moved | None]:
        """One look for an order in doubt, or for one that was given up as `.unknown`."""
        order = self._ledger.find(key)
        if order is not None and order.state is State.SENDING:
            moved = self._ledger.move(order, Event.DOUBT, only_after_lease=True, last_error=SENDER_LOST)
            order = moved.order if moved else order
        if order is None or order.state not in {State.IN_DOUBT, State.UNRESOLVED, State.SENDING}:
            return None, None
        if order.state is State.SENDING:
            return max((order.lease_until or 0) - order.read_at, 0) + 1, None
        try:
            found = self._lookup.find(sips, order, order.sent_at)
        except SipsError as error:
            self._ledger.note(order, trouble_at=now(), last_error=f"{error.code}: {error}")
            return self._next(order), None
        return self._judge(order, found, sips)

    def _judge(self, order: Order, found: Found, sips: Sips) -> tuple[float | None, Moved | None]:
        is_refused = found.row is not None and matching.is_refused([found.row.orderStatus])
        if found.row is not None and not (is_refused and order.state is State.UNRESOLVED):
            return None, self._found(order, found.row.orderId or "", sips)
        if order.state is State.UNRESOLVED:
            still = order.read_at - (order.ended_at or order.updated_at) < UNRESOLVED_FOR_SECONDS
            return (UNRESOLVED_SECONDS if still else None), None
        if found.finding is matching.Finding.SEVERAL:
            return UNRESOLVED_SECONDS, self._unresolve(order, "SIPS lists several orders under this PO number")
        if found.finding is matching.Finding.CUT_OFF:
            return self._next(order), None
        looks = order.looks + 1
        if matching.conclude_absence(
            looks=looks,
            since_send=order.read_at - (order.sent_at or order.created_at),
            since_trouble=min(order.read_at - (order.trouble_at or 0.0), self._up_seconds()),
            patience=self._patience,
            controlled=looks >= self._patience.looks and self._is_controlled(sips),
        ):
            return UNRESOLVED_SECONDS, self._unresolve(order, f"{looks} looks did not find the order at SIPS", looks=looks)
        self._ledger.note(order, looks=looks)
        return self._next(order), None

    def _is_controlled(self, sips: Sips) -> bool:
        try:
            controlled = self._lookup.is_controlled(sips)
        except SipsError:
            return False
        if not controlled:
            log.error(
                "an order is in doubt, and SIPS' list of orders was never checked; "
                "run `sips-worker doctor --order-list PO` with a PO number that SIPS lists"
            )
        return controlled

    def _found(self, order: Order, order_id: str, sips: Sips) -> Moved | None:
        def say(row: Order) -> Sequence[StoredEvent]:
            confirmed = [self._voice.confirmed(row)]
            # After `.unknown` there is no second outcome: that the order is there after all is a fact.
            return confirmed if order.state is not State.IN_DOUBT else [self._voice.succeeded(row, sips.answer), *confirmed]

        return self._ledger.move(order, Event.CONFIRM, say=say, order_id=order_id)

    def _unresolve(self, order: Order, why: str, **changes: Any) -> Moved | None:
        known = f"{why}; the send ended with: {order.last_error}" if order.last_error else why
        return leave_to_a_person(self._ledger, order, self._voice, known, **changes)

    def _next(self, order: Order) -> float:
        """The step of the ladder of looks that the order has come to; SIPS lists late, so the last step repeats."""
        steps = self._settings.look_seconds
        return steps[min(order.looks + 1, len(steps) - 1)]

    def queued(self, key: str, sips: Sips) -> tuple[float | None, Moved | None]:
        """One look after an order in SIPS' queue."""
        order = self._ledger.find(key)
        if order is None or order.state is not State.QUEUED:
            return None, None
        age = order.read_at - (order.sent_at or order.created_at)
        if age >= self._settings.overdue_seconds:
            self._ledger.say(key, [self._voice.overdue(order)])
        try:
            found = self._lookup.find(sips, order, order.sent_at)
        except SipsError as error:
            self._ledger.note(order, trouble_at=now(), last_error=f"{error.code}: {error}")
            return self._next(order), None
        return self._judge_queued(order, found, sips, age)

    def _judge_queued(self, order: Order, found: Found, sips: Sips, age: float) -> tuple[float | None, Moved | None]:
        if found.row is not None and matching.is_refused([found.row.orderStatus]):
            return None, self._refused(order, f"SIPS lists the order as {found.row.orderStatus}")
        if found.row is not None:
            return None, self._found(order, found.row.orderId or "", sips)
        if age >= self._settings.queued_seconds:
            return UNRESOLVED_SECONDS, self._unresolve(order, "SIPS queued the order and never listed it")
        self._ledger.note(order, looks=order.looks + 1)
        return self._next(order), None

    def _refused(self, order: Order, why: str) -> Moved | None:
        if order.resubmitted:
            return self._unresolve(order, not_sent_again(order, why))
        return self._ledger.move(order, Event.REJECT, say=lambda row: [self._voice.rejected(row, why)])


#: Kind of timer to the method that does it.
KINDS = {LOOK_TIMER: Reconcile.look, QUEUED_TIMER: Reconcile.queued}
