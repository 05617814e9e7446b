"""What the timers of watches do: look at what is due, in as few calls of SIPS as can be."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson
import structlog

from worker.runtime import intervals, matching, readings
from worker.runtime.looks import TRACK_TIMER
from worker.runtime.watch_events import of_order
from worker.sips import SipsError
from worker.sips.errors import NotFound, PathUnconfirmed, Rejected, UnsafePath
from worker.store.facts import TELL
from worker.store.transitions import State
from worker.store.watched import Kind, Subscription
from worker.store.watches import DELIVERIES, HINT, INVOICES, ORDERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from worker.runtime.attempt import Attempt
    from worker.runtime.daily import Daily
    from worker.runtime.hint_reading import HintReading
    from worker.runtime.observing import Observer
    from worker.settings import Settings
    from worker.sips import Sips
    from worker.sips.models import OrderRow
    from worker.store.ledger import Ledger
    from worker.store.watched import Watch
    from worker.store.watches import Watches

__all__ = ["WatchTicks", "since"]

#: Orders of one customer that are looked at together.
BATCH = 200

#: Orders that one tick asks SIPS for one by one, where their customer is not known, or its list lacks them.
SINGLY = 10

#: Share of the interval by which a look may come sooner, so that it is made together with others.
TOGETHER_SHARE = 0.2

#: Intervals differ by this share, so that looks spread.
JITTER = 0.1

#: An order may be dated so long before its watch begins: it is found late, or was in SIPS' queue.
DATED_BEFORE = timedelta(days=8)

#: What SIPS answers where it has no such thing, or no such path: asking again brings the same.
NOT_THERE = (NotFound, PathUnconfirmed, Rejected, UnsafePath)

log = structlog.get_logger("worker")


class WatchTicks:
    """Executes what is due; each method returns the seconds until the next time, or None when there is none.

    Args:
        watches: what is known.
        observer: looks and tells.
        ledger: has the submitted orders.
        hints: tries again those of orders that were not known.
        daily: compares what is open, whether somebody waits for it or not.
        settings: of the process.
    """

    def __init__(
        self, watches: Watches, observer: Observer, ledger: Ledger, hints: HintReading, daily: Daily, settings: Settings
    ) -> None:
        self._watches = watches
        self._observer = observer
        self._ledger = ledger
        self._settings = settings
        self._random = random.Random()  # noqa: S311 - jitter, no secret
        self._kinds = {TRACK_TIMER: self._track, ORDERS: self._orders, DELIVERIES: self._deliveries, INVOICES: self._invoices}
        self._kinds |= {TELL: self._tell, HINT: hints.again, **daily.kinds}

    def knows(self, kind: str) -> bool:
        """Whether a kind of timer is one of these."""
        return kind in self._kinds

    def execute(self, attempt: Attempt, kind: str, ref: str, sips: Sips) -> float | None:
        """Do what a timer says; a look that SIPS does not answer is made again. May raise `StoreError` and `PublishError`."""
        try:
            return self._kinds[kind](attempt, ref, sips)
        except SipsError as error:
            attempt.error = f"{error.code}: {error}"
            seconds = max(self._jittered(self._settings.watch_seconds), error.retry_after or 0.0)
            return seconds if self._goes_on(kind, ref, error) else None

    def _goes_on(self, kind: str, ref: str, error: SipsError) -> bool:
        """Whether a look that failed is made again: while somebody waits for it, else for as long as it may help."""
        if kind == ORDERS:
            return True
        watch = self._watches.find(ref)
        if watch is not None and kind == DELIVERIES and watch.of(Kind.DELIVERY):
            return True
        return not isinstance(error, NOT_THERE) and (watch is None or self._is_young(watch))

    def _tell(self, attempt: Attempt, key: str, _sips: Sips) -> None:
        """Publish what was said of an order and is not known to be published."""
        watch, waiting = self._find(attempt, key), self._watches.waiting(key)
        if watch is not None:
            self._observer.tell(attempt, watch, waiting)

    def _track(self, _attempt: Attempt, key: str, _sips: Sips) -> None:
        order = self._ledger.find(key)
        is_real = order is not None and order.state is State.CONFIRMED and order.order_id
        if order is None or not is_real or not self._settings.order_tracking:
            return
        watch = self._watches.open(of_order(order))
        until = watch.read_at + self._settings.watch_days * 86_400
        wanted = [Subscription(kind, order.command_source, order.command_id, until) for kind in Kind]
        self._watches.subscribe(watch, wanted, 0.0, keep=True)

    def _orders(self, attempt: Attempt, ref: str, sips: Sips) -> float | None:
        base_url, customer = orjson.loads(ref)
        if base_url != self._settings.base_url:
            return self._settings.watch_far_seconds  # of another SIPS; a worker for that one may be there again
        within = self._settings.watch_seconds * TOGETHER_SHARE
        due = self._watches.of_customer(base_url, customer, within=within, limit=BATCH)
        least = self._look_at(attempt, due, customer, sips) if due else 0.0
        seconds = self._watches.next_due(base_url, customer)
        return None if seconds is None else max(seconds, least)

    def _look_at(self, attempt: Attempt, due: Sequence[Watch], customer: str, sips: Sips) -> float:
        """One call for all of them, and a few for those that its answer lacks: cut off, dated otherwise, or not listed yet.

        Returns:
            Seconds that SIPS asks to wait before it is asked again.
        """
        attempt.identity = type(attempt.identity)(customer_code=customer or None)
        try:
            listed = readings.orders(sips, customer, since(due, self._settings)) if customer else {}
        except SipsError:
            for watch in due:
                self._observer.end_subscriptions(watch)  # a deadline does not wait for SIPS
            raise
        same, again, jitter = [], {}, self._jittered(1.0)
        singly, least = SINGLY, 0.0
        for watch in due:
            row = listed.get(watch.order_id)
            if row is None:
                if singly == 0:
                    continue  # still due: the next tick has it
                singly -= 1
                try:
                    row = readings.order(sips, watch.order_id)
                except SipsError as error:  # of this order maybe: it goes behind the others, which must not wait for it
                    attempt.error = f"{error.code}: {error} (order {watch.order_id})"
                    singly, least = 0, error.retry_after or 0.0
            if row is not None and row.orderStatus == watch.status and watch.customer_code:
                same.append(watch)
                seen = watch
            else:
                seen = self._seen(attempt, watch, row)
            if not self._observer.end_subscriptions(seen) or self._is_watched(seen.key):
                again[watch.key] = intervals.interval(seen, Kind.ORDER, self._settings, self._today()) * jitter
        self._watches.looked(same, again)
        return least

    def _seen(self, attempt: Attempt, watch: Watch, row: OrderRow | None) -> Watch:
        observed = self._observer.status(attempt, watch, row) if row is not None else None
        return watch if observed is None else observed.watch

    def _is_watched(self, key: str) -> bool:
        watch = self._watches.find(key)
        return watch is not None and watch.due is not None

    def _deliveries(self, attempt: Attempt, key: str, sips: Sips) -> float | None:
        watch = self._find(attempt, key)
        if watch is None:
            return None
        if watch.base_url != self._settings.base_url:
            return self._settings.watch_far_seconds
        try:
            observed, _rows = self._observer.look_at_deliveries(attempt, watch, sips)
        except SipsError:
            if self._observer.end_subscriptions(watch):
                return self._until_next(watch, Kind.DELIVERY)  # of an order that SIPS may never know
            raise
        return self._until_next(observed.watch, Kind.DELIVERY)

    def _until_next(self, watch: Watch, kind: Kind) -> float | None:
        left = self._watches.find(watch.key) if self._observer.end_subscriptions(watch) else watch
        if left is None or not left.of(kind):
            return None
        return self._jittered(intervals.interval(left, kind, self._settings, self._today()))

    def _invoices(self, attempt: Attempt, key: str, sips: Sips) -> float | None:
        """Once for each change; again and again where an order has come to its end and there is no invoice yet."""
        watch = self._find(attempt, key)
        if watch is None:
            return None
        if watch.base_url != self._settings.base_url:
            return self._settings.watch_far_seconds
        try:
            watch = self._observer.look_at_invoices(attempt, watch, sips).watch
        except NOT_THERE as error:  # yet, as far as can be told
            attempt.error = f"{error.code}: {error}"
        is_expected = self._is_over(watch) and not _has_invoice(watch)
        return self._jittered(self._settings.watch_far_seconds) if is_expected and self._is_young(watch) else None

    def _is_over(self, watch: Watch) -> bool:
        """Whether an order was carried out, as far as can be told."""
        if intervals.is_terminal(watch.status, self._settings):
            return not matching.is_refused([watch.status])
        states = [shipment.get("status") for shipment in intervals.shipments(watch).values()]
        return bool(states) and all(intervals.is_completed(state, self._settings) for state in states)

    def _is_young(self, watch: Watch) -> bool:
        """Whether an order is still worth a look that nobody waits for."""
        return watch.read_at - watch.created_at < self._settings.watch_days * 86_400

    def _find(self, attempt: Attempt, key: str) -> Watch | None:
        watch = self._watches.find(key)
        if watch is not None:
            attempt.order_id = watch.order_id
            attempt.identity = type(attempt.identity)(customer_code=watch.customer_code or None)
        return watch

    def _jittered(self, seconds: float) -> float:
        return seconds * self._random.uniform(1 - JITTER, 1 + JITTER)

    def _today(self) -> date:
        return datetime.now(UTC).astimezone(self._settings.time_zone).date()


def since(watches: Sequence[Watch], settings: Settings) -> date | None:
    """The first day on which SIPS may date one of these orders; None where one was not submitted by us, and may be of any day."""
    if any("order" not in orjson.loads(watch.envelope) for watch in watches):
        return None
    first = min(watch.created_at for watch in watches)
    return datetime.fromtimestamp(first, settings.time_zone).date() - DATED_BEFORE


def _has_invoice(watch: Watch) -> bool:
    return (watch.invoices or "[]") != "[]"
