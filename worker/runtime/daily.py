"""Once a day every open order is compared with what SIPS lists: whatever was missed of it, for whatever reason, is told then."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import orjson
import structlog

from worker.store.open_orders import COMPARE, DAILY
from worker.store.watched import customer_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.runtime.attempt import Attempt
    from worker.runtime.comparing import Comparing
    from worker.settings import Settings
    from worker.sips import Sips
    from worker.store.engine import Store
    from worker.store.timers import Timers

__all__ = ["Daily"]

#: Seconds between two rounds, and the share by which they differ: about once a day, not always at the same time.
DAY = 86_400.0
JITTER = 0.1

#: Seconds over which the customers of a round are spread.
SPREAD_SECONDS = 3_600.0

log = structlog.get_logger("worker")


class Daily:
    """What the timers `daily` and `compare` do; each gives the seconds until the next time, or None when there is none.

    Args:
        comparing: one customer.
        store: has the clock.
        timers: of the customers.
        settings: of the process.
    """

    def __init__(self, comparing: Comparing, store: Store, timers: Timers, settings: Settings) -> None:
        self._comparing = comparing
        self._store = store
        self._timers = timers
        self._settings = settings
        self._random = random.Random()  # noqa: S311 - jitter, no secret

    @property
    def kinds(self) -> Mapping[str, Callable[[Attempt, str, Sips], float | None]]:
        """Kind of timer to what it does."""
        return {DAILY: self._round, COMPARE: self._compare}

    def _round(self, _attempt: Attempt, base_url: str, _sips: Sips) -> float | None:
        """Set a timer for each customer; a round that is repeated sets the same."""
        settings = self._settings
        if base_url != settings.base_url:
            return settings.watch_far_seconds  # of another SIPS; a worker for that one may be there again
        if not settings.reconcile_days:
            return None
        customers = self._comparing.customers(self._first(), submitted=settings.order_tracking)
        due = {customer_ref(base_url, customer): self._random.uniform(0.0, SPREAD_SECONDS) for customer in customers}
        self._timers.hasten_all(COMPARE, due)
        log.info("open orders will be compared with SIPS' list", customers=len(customers))
        return DAY * self._random.uniform(1 - JITTER, 1 + JITTER)

    def _compare(self, attempt: Attempt, ref: str, sips: Sips) -> float | None:
        """Some orders of a customer, and then the next ones, by a timer of their own."""
        base_url, customer, *after = orjson.loads(ref)
        if base_url != self._settings.base_url:
            return self._settings.watch_far_seconds
        attempt.identity = type(attempt.identity)(customer_code=customer or None)
        submitted = self._settings.order_tracking
        compared = self._comparing.compare(sips, customer, self._first(), after="".join(after), submitted=submitted)
        log.info(
            "open orders were compared with SIPS' list",
            customer_code=customer,
            orders=compared.orders,
            changed=len(compared.changed),
            not_listed=len(compared.not_listed),
            unanswered=len(compared.unanswered),
        )
        if compared.unanswered:
            watch, error = compared.unanswered[0]
            attempt.error = f"{error.code}: {error} (order {watch.order_id}; the next round asks again)"
        if compared.after is not None:
            self._timers.hasten(COMPARE, orjson.dumps([base_url, customer, compared.after]).decode(), 0.0)
        return None

    def _first(self) -> float:
        """When the oldest of the orders began that are compared."""
        return self._store.now() - self._settings.reconcile_days * DAY
