"""Look at orders at SIPS, write down what it says, and publish what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.runtime import intervals, order_events, readings
from worker.runtime.observations import POLL, Observations
from worker.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.runtime.attempt import Attempt
    from worker.runtime.endings import Endings
    from worker.runtime.readings import Delivery
    from worker.runtime.watch_events import Origin
    from worker.settings import Settings
    from worker.sips import Sips
    from worker.sips.models import OrderRow
    from worker.store.orders import StoredEvent
    from worker.store.watched import Observed, Watch
    from worker.store.watches import Watches

__all__ = ["POLL", "Observer"]

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
        self._observations = Observations(watches, settings)

    def look_at_status(
        self, attempt: Attempt, watch: Watch, sips: Sips, origin: Origin = POLL
    ) -> tuple[Observed | None, OrderRow | None]:
        """The status of one order, and the order as SIPS lists it; None where it does not (yet)."""
        row = readings.order(sips, watch.order_id)
        return (None if row is None else self.status(attempt, watch, row, origin)), row

    def status(self, attempt: Attempt, watch: Watch, row: OrderRow, origin: Origin = POLL) -> Observed | None:
        """What a list says of an order; None where it tells no status of it."""
        observed = self._observations.status(watch, row, origin)
        if observed is not None:
            self.tell(attempt, watch, observed.waiting)
        return observed

    def look_at_deliveries(
        self, attempt: Attempt, watch: Watch, sips: Sips, origin: Origin = POLL
    ) -> tuple[Observed, Sequence[Delivery]]:
        """The deliveries of one order."""
        rows = readings.deliveries(sips, watch.order_id)
        observed = self._observations.deliveries(watch, rows, origin)
        self.tell(attempt, watch, observed.waiting)
        return observed, rows

    def look_at_invoices(self, attempt: Attempt, watch: Watch, sips: Sips, origin: Origin = POLL) -> Observed:
        """The invoices of one order."""
        observed = self._observations.invoices(watch, readings.invoices(sips, watch.order_id), origin)
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
            self._watches.end(watch.key, ended)
            log.info(
                "subscriptions ended",
                order_id=watch.order_id,
                subscriptions=len(ended),
                left=len(watch.subscriptions) - len(ended),
            )
        return bool(ended)
