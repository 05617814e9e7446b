"""Compare open orders with what SIPS lists, and write down what was missed: a watch ended early, or there was none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from worker.runtime import intervals, readings
from worker.runtime.watch_events import of_order
from worker.runtime.watch_ticks import SINGLY, since
from worker.sips import SipsError
from worker.store.facts import TELL
from worker.store.watched import Kind
from worker.store.watches import DELIVERIES, INVOICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.runtime.observations import Observations
    from worker.settings import Settings
    from worker.sips import Sips
    from worker.sips.models import OrderRow
    from worker.store.ledger import Ledger
    from worker.store.open_orders import OpenOrders
    from worker.store.timers import Timers
    from worker.store.watched import Watch
    from worker.store.watches import Watches

__all__ = ["Changed", "Compared", "Comparing"]

#: Orders of one customer that are compared with one call.
BATCH = 200


class Changed(NamedTuple):
    """An order whose status is another one: as it was known, and the status now."""

    watch: Watch
    status: str | None


@dataclass(slots=True)
class Compared:
    """What a comparison came to.

    Attributes:
        orders: how many SIPS told something of.
        changed: those of which a fact was stored.
        not_listed: those that SIPS lists neither with others nor by themselves.
        unanswered: those that SIPS was asked for by themselves in vain, and why.
        after: where the next comparison goes on; None = there are no more.
    """

    orders: int = 0
    changed: list[Changed] = field(default_factory=list)
    not_listed: list[Watch] = field(default_factory=list)
    unanswered: list[tuple[Watch, SipsError]] = field(default_factory=list)
    after: str | None = None


class Comparing:
    """Compares the open orders of one customer at a time.

    Facts are stored, not published: their timers have a worker do that. Deliveries and invoices are not read here either; that
    is what other timers are set for.

    Args:
        open_orders: what is compared.
        ledger: of the orders that were submitted here.
        watches: what is known.
        observations: write down what SIPS says.
        timers: of what is read later.
        settings: of the process.
    """

    def __init__(
        self,
        *,
        open_orders: OpenOrders,
        ledger: Ledger,
        watches: Watches,
        observations: Observations,
        timers: Timers,
        settings: Settings,
    ) -> None:
        self._open_orders = open_orders
        self._ledger = ledger
        self._watches = watches
        self._observations = observations
        self._timers = timers
        self._settings = settings

    def customers(self, first: float, *, submitted: bool = True) -> Sequence[str]:
        """Whose orders are open, of those that began at this time (the database's) or later; as `compare`."""
        return self._open_orders.customers(first, submitted=submitted)

    def compare(self, sips: Sips, customer: str, first: float, *, after: str = "", submitted: bool = True) -> Compared:
        """Compare some orders of a customer, with one call and a few for those that its answer does not have.

        Args:
            sips: for these calls.
            customer: its code; empty = the orders whose customer is not known.
            first: time (the database's) at which the oldest of them began.
            after: where an earlier comparison ended.
            submitted: orders that were submitted here and never watched as well.

        Raises:
            SipsError: SIPS did not tell the list; nothing was changed.
            StoreError: the store cannot be used.
        """
        page = self._open_orders.page(customer, first, after=after, limit=BATCH, submitted=submitted)
        for one in page:
            order = self._ledger.find(one.submitted) if one.submitted else None
            if order is not None:
                self._watches.open(of_order(order))
        batch = self._watches.find_all([one.key for one in page])
        compared = Compared(after=page[-1].key if len(page) == BATCH else None)
        if rows := self._rows(sips, customer, batch, compared):
            self._observe(rows, compared)
        return compared

    def _rows(self, sips: Sips, customer: str, batch: Sequence[Watch], compared: Compared) -> list[tuple[Watch, OrderRow]]:
        """The orders of a batch as SIPS lists them; the rest is told, or left to the next comparison."""
        if not batch:
            return []
        listed = readings.orders(sips, customer, since(batch, self._settings)) if customer else {}
        rows, asked, known = [], 0, compared.after
        for watch in batch:
            row = listed.get(watch.order_id)
            if row is None and asked == SINGLY:
                compared.after = known
                break
            if row is None:
                asked += 1
                row = self._single(sips, watch, compared)
            if row is not None:
                rows.append((watch, row))
            known = watch.key
        compared.orders = len(rows) + len(compared.not_listed)
        return rows

    def _single(self, sips: Sips, watch: Watch, compared: Compared) -> OrderRow | None:
        """One order by its number: its customer is not known, or the list lacks it."""
        try:
            row = readings.order(sips, watch.order_id)
        except SipsError as error:
            compared.unanswered.append((watch, error))
            return None
        if row is None:
            compared.not_listed.append(watch)
        return row

    def _observe(self, rows: Sequence[tuple[Watch, OrderRow]], compared: Compared) -> None:
        """Whoever writes a change down sets the timers of what belongs to it; of the others, those that nobody looks after."""
        same = [watch for watch, row in rows if row.orderStatus == watch.status and watch.customer_code]
        are_same = {watch.key for watch in same}
        unsettled = [watch for watch in same if not self._is_settled(watch)]
        self._timers.hasten_all(INVOICES, {watch.key: 0.0 for watch in unsettled})
        self._timers.hasten_all(DELIVERIES, {watch.key: 0.0 for watch in unsettled if not watch.of(Kind.DELIVERY)})
        self._watches.looked(same, {})
        for watch, row in rows:
            observed = None if watch.key in are_same else self._observations.status(watch, row)
            if observed is not None and observed.changed:
                compared.changed.append(Changed(watch, observed.watch.status))
        self._timers.hasten_all(TELL, {watch.key: 0.0 for watch, _status in compared.changed})

    def _is_settled(self, watch: Watch) -> bool:
        """Whether an order whose status is no end is delivered and invoiced: SIPS' own word for its end is not known."""
        states = [shipment.get("status") for shipment in intervals.shipments(watch).values()]
        is_delivered = bool(states) and all(intervals.is_completed(state, self._settings) for state in states)
        return is_delivered and (watch.invoices or "[]") != "[]"
