"""Find out what became of orders that were sent: look them up until they are found, or until a person must decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from worker.runtime import matching
from worker.runtime.looks import LOOK_TIMER, QUEUED_TIMER, UNRESOLVED_SECONDS, leave_to_a_person, not_sent_again, tracking
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
    from worker.sips.models import OrderRow
    from worker.store.ledger import Ledger, Moved
    from worker.store.orders import Order, StoredEvent

__all__ = ["Reconcile"]

#: Seconds for which an order is looked for after its outcome was `.unknown`.
UNRESOLVED_FOR_SECONDS = 7 * 86_400.0

#: Why a person must decide.
SEVERAL = "SIPS lists, or has in its queue, several orders under this PO number"

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
        self._voice = OrderVoice.of(settings)
        self._patience = matching.Patience(
            settings.absence_looks, settings.absence_seconds, settings.absence_after_trouble_seconds
        )

    def look(self, key: str, sips: Sips) -> tuple[float | None, Moved | None]:
        """One look for an order in doubt, or for one that was given up as `.unknown`."""
        order = self._ledger.find(key)
        if order is not None:
            order = self._without_its_sender(order)
        if order is None or order.state not in {State.IN_DOUBT, State.UNRESOLVED, State.SENDING}:
            return None, None
        if order.state is State.SENDING:
            return max((order.lease_until or 0) - order.read_at, 0) + 1, None
        try:
            found = self._lookup.find(sips, order)
        except SipsError as error:
            self._ledger.note(order, trouble_at=now(), last_error=f"{error.code}: {error}")
            return self._next(order), None
        return self._judge(order, found, sips)

    def _without_its_sender(self, order: Order) -> Order:
        """In doubt, if whoever was sending it has had its time."""
        if order.state is not State.SENDING:
            return order
        moved = self._ledger.move(order, Event.DOUBT, only_after_lease=True, last_error=SENDER_LOST)
        return moved.order if moved else order

    def _judge(self, order: Order, found: Found, sips: Sips) -> tuple[float | None, Moved | None]:
        if order.state is State.UNRESOLVED:
            return self._judge_unresolved(order, found, sips)
        if found.row is not None and matching.is_refused([found.row.orderStatus]):
            return UNRESOLVED_SECONDS, self._unresolve(order, f"SIPS lists the order as {found.row.orderStatus}")
        if found.row is not None and _is_of_its_latest_run(order, found.row):
            return None, self._found(order, found.row, sips)
        if found.finding is matching.Finding.SEVERAL:
            return UNRESOLVED_SECONDS, self._unresolve(order, SEVERAL)
        if found.finding is matching.Finding.CUT_OFF:
            return self._next(order), None
        return self._judge_absence(order, found, sips)

    def _judge_absence(self, order: Order, found: Found, sips: Sips) -> tuple[float | None, Moved | None]:
        """The latest run's order is not listed (yet); an earlier run's may be."""
        looks = order.looks + 1
        if not matching.conclude_absence(
            looks=looks,
            since_send=order.read_at - (order.sent_at or order.created_at),
            since_trouble=min(order.read_at - (order.trouble_at or 0.0), self._up_seconds()),
            patience=self._patience,
            controlled=looks >= self._patience.looks and self._is_controlled(sips),
        ):
            self._ledger.note(order, looks=looks)
            return self._next(order), None
        if found.row is not None:
            return None, self._found(order, found.row, sips)
        return UNRESOLVED_SECONDS, self._unresolve(order, f"{looks} looks did not find the order at SIPS", looks=looks)

    def _judge_unresolved(self, order: Order, found: Found, sips: Sips) -> tuple[float | None, Moved | None]:
        if found.row is not None and not matching.is_refused([found.row.orderStatus]) and not _may_be_queued(order, found.row):
            return None, self._found(order, found.row, sips)
        still = order.read_at - (order.ended_at or order.updated_at) < UNRESOLVED_FOR_SECONDS
        return (UNRESOLVED_SECONDS if still else None), None

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

    def _found(self, order: Order, row: OrderRow, sips: Sips) -> Moved | None:
        def say(moved: Order) -> Sequence[StoredEvent]:
            confirmed = [self._voice.confirmed(moved)]
            # After `.unknown` there is no second outcome: that the order is there after all is a fact.
            return confirmed if order.state is not State.IN_DOUBT else [self._voice.succeeded(moved, sips.answer), *confirmed]

        transaction_id = matching.shown_transaction_id(row) or order.transaction_id
        return self._ledger.move(
            order,
            Event.CONFIRM,
            say=say,
            timers_from_now=tracking(self._settings),
            order_id=row.orderId or "",
            transaction_id=transaction_id,
        )

    def _unresolve(self, order: Order, why: str, **changes: Any) -> Moved | None:
        known = f"{why}; the send ended with: {order.last_error}" if order.last_error else why
        return leave_to_a_person(self._ledger, order, self._voice, known, **changes)

    def _next(self, order: Order) -> float:
        """The step of the ladder of looks that the order has come to; SIPS lists late, so the last step repeats."""
        steps = self._settings.look_seconds
        return steps[min(order.looks + 1, len(steps) - 1)]

    def give_up_looking(self, order: Order, why: str) -> Moved | None:
        """No look can be made any more: what waits for one is left to a person, and is not looked for."""
        order = self._without_its_sender(order)
        if order.state not in {State.IN_DOUBT, State.QUEUED}:
            return None
        return leave_to_a_person(self._ledger, order, self._voice, why, timers_from_now={})

    def queued(self, key: str, sips: Sips) -> tuple[float | None, Moved | None]:
        """One look after an order in SIPS' queue."""
        order = self._ledger.find(key)
        if order is None or order.state is not State.QUEUED:
            return None, None
        age = order.read_at - (order.sent_at or order.created_at)
        if age >= self._settings.overdue_seconds:
            self._ledger.say(key, [self._voice.overdue(order)])
        try:
            found = self._lookup.find(sips, order)
        except SipsError as error:
            self._ledger.note(order, trouble_at=now(), last_error=f"{error.code}: {error}")
            return self._next(order), None
        return self._judge_queued(order, found, sips, age)

    def _judge_queued(self, order: Order, found: Found, sips: Sips, age: float) -> tuple[float | None, Moved | None]:
        if found.finding is matching.Finding.SEVERAL or (found.row is not None and _may_be_queued(order, found.row)):
            return None, self._unresolve(order, SEVERAL)
        if found.row is not None and matching.is_refused([found.row.orderStatus]):
            return None, self._refused(order, f"SIPS lists the order as {found.row.orderStatus}")
        if found.row is not None:
            return None, self._found(order, found.row, sips)
        if age >= self._settings.queued_seconds:
            return UNRESOLVED_SECONDS, self._unresolve(order, "SIPS queued the order and never listed it")
        self._ledger.note(order, looks=order.looks + 1)
        return self._next(order), None

    def _refused(self, order: Order, why: str) -> Moved | None:
        if order.resubmitted:
            return self._unresolve(order, not_sent_again(order, why))
        return self._ledger.move(order, Event.REJECT, say=lambda row: [self._voice.rejected(row, why)])


def _is_of_its_latest_run(order: Order, row: OrderRow) -> bool:
    """Whether no other run of the order can have placed what SIPS lists."""
    return not order.resubmitted or matching.shown_transaction_id(row) == order.transaction_id


def _may_be_queued(order: Order, row: OrderRow) -> bool:
    """Whether SIPS lists what an earlier run placed, and has the latest run in its queue: it would be a second order."""
    return order.queue_id is not None and matching.shown_transaction_id(row) not in {None, order.transaction_id}


#: Kind of timer to the method that does it.
KINDS = {LOOK_TIMER: Reconcile.look, QUEUED_TIMER: Reconcile.queued}
