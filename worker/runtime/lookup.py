"""Look orders up at SIPS: its list of orders is the only place where a lost answer can be found again."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import orjson

from worker.runtime import matching
from worker.runtime.payload import spelled
from worker.runtime.submission import transaction_id_of
from worker.sips.models import OrderListAnswer, OrderListRequest
from worker.store.orders import Order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.runtime.matching import Found
    from worker.settings import Settings
    from worker.sips import Sips
    from worker.sips.models import OrderRow
    from worker.store.controls import Controls
    from worker.store.ledger import Ledger
    from worker.store.orders import NewOrder

__all__ = ["ControlLook", "Lookup"]


@dataclass(frozen=True, slots=True)
class ControlLook:
    """Whether the list has an order that SIPS has, and one whose PO number was made up for the look."""

    known_is_listed: bool
    invented: str
    invented_is_listed: bool

    @property
    def passed(self) -> bool:
        """Whether absence from the list means anything."""
        return self.known_is_listed and not self.invented_is_listed


class Lookup:
    """Looks for orders in SIPS' list; one per process."""

    def __init__(self, ledger: Ledger, controls: Controls, settings: Settings) -> None:
        self._ledger = ledger
        self._controls = controls
        self._settings = settings

    def find(self, sips: Sips, order: Order | NewOrder) -> Found:
        """What the list says of an order now, whichever of its runs SIPS may have it from: an earlier one may be listed late.

        Raises:
            SipsError: the list was not answered, or not in the expected shape; such a look does not count.
        """
        since = self._since(order, _first_sent_at(order) if isinstance(order, Order) else None)
        rows = self.rows(sips, order.po_number, since)
        transaction_ids = {order.transaction_id, *(transaction_id_of(order.key, earlier) for earlier in range(1, order.run))}
        wanted = matching.Wanted(order.customer_code, order.po_number, frozenset(transaction_ids), since, order.key)
        owners = self._ledger.owners(order.base_url, [row.orderId for row in rows if row.orderId])
        return matching.find(rows, wanted, owners)

    def rows(self, sips: Sips, po_number: str, since: date | None = None) -> Sequence[OrderRow]:
        """The rows that SIPS lists for a PO number.

        Raises:
            SipsError: as `find`.
        """
        first, last = matching.window(since, self._today()) if since is not None else (None, None)
        request = OrderListRequest(PONumber=po_number, orderFromDate=first, orderToDate=last, rowReturnLimit=matching.ROW_LIMIT)
        return sips.call("ordersList", json=request).parse(OrderListAnswer).orderList

    def is_absent(self, sips: Sips, new: NewOrder) -> bool | None:
        """Whether SIPS lacks an order that was never recorded here; None where its list cannot be believed yet.

        Raises:
            SipsError: as `find`.
        """
        found = self.find(sips, new)
        if found.finding is not matching.Finding.ABSENT:
            return False
        return True if self.is_controlled(sips) else None

    def is_controlled(self, sips: Sips) -> bool:
        """Whether absence from the list means anything; looks for itself where a known order allows it.

        The sandbox is ours, and lists what it has.
        """
        base_url = self._settings.base_url
        if self._settings.sips_environment == "sandbox" or self._controls.has(base_url):
            return True
        known = self._controls.known_order(base_url, self._settings.absence_seconds)
        return known is not None and self.control(sips, known.po_number).passed

    def control(self, sips: Sips, po_number: str) -> ControlLook:
        """Ask for an order that SIPS has and for one that nobody has, and remember if the list tells them apart.

        Raises:
            SipsError: as `find`.
        """
        known = any((row.PONumber or "").strip() == po_number for row in self.rows(sips, po_number))
        invented = f"NO-SUCH-PO-{secrets.token_hex(6)}"
        look = ControlLook(known_is_listed=known, invented=invented, invented_is_listed=bool(self.rows(sips, invented)))
        if look.passed:
            self._controls.add(self._settings.base_url, po_number)
        return look

    def _since(self, order: Order | NewOrder, sent_at: float | None) -> date:
        """The first day on which SIPS may date the order: that of its own date, or of its send."""
        sent = self._today() if sent_at is None else datetime.fromtimestamp(sent_at, self._settings.time_zone).date()
        payload = orjson.loads(order.payload) if order.payload else {}
        written = matching.day(str(spelled(spelled(payload, "poDetails"), "orderDate")))
        return min(sent, written) if written else sent

    def _today(self) -> date:
        return datetime.now(UTC).astimezone(self._settings.time_zone).date()


def _first_sent_at(order: Order) -> float | None:
    """When it was sent first, or not long before: the row has the time of its latest run only."""
    return order.created_at if order.resubmitted else order.sent_at
