"""Write down what SIPS says of an order, and the facts of what changed; whoever publishes them is another matter.

What SIPS' API says is the truth, also where it goes back; what it does not list any more is left as it was.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson

from worker.runtime import intervals
from worker.runtime.watch_events import FactVoice, Origin
from worker.store.watched import Part
from worker.store.watches import DELIVERIES, INVOICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.runtime.readings import Delivery, InvoiceHead
    from worker.runtime.watch_events import State
    from worker.settings import Settings
    from worker.sips.models import OrderRow
    from worker.store.orders import StoredEvent
    from worker.store.watched import Observed, Watch
    from worker.store.watches import Watches

__all__ = ["POLL", "Observations"]

#: The watch itself made us look.
POLL = Origin()

#: Characters of a text of SIPS' that is kept.
MAX_TEXT_LENGTH = 200


class Observations:
    """Compares with what was known. Facts are stored with a timer that publishes them, if nobody does so before.

    Every method takes a watch as it was read just before the call that SIPS answered, and may raise `StoreError`.

    Args:
        watches: what is known.
        settings: of the process.
    """

    def __init__(self, watches: Watches, settings: Settings) -> None:
        self._watches = watches
        self._settings = settings
        self._voice = FactVoice(settings.sips_environment)

    def status(self, watch: Watch, row: OrderRow, origin: Origin = POLL) -> Observed | None:
        """What a list says of an order; None where it tells no status of it."""
        if not watch.customer_code and (customer := _text(row.customerCode)):
            watch = self._watches.customer_is(watch, customer, _text(row.PONumber))
        status = _text(row.orderStatus)
        if status is None:
            return None
        hasten = {INVOICES: 0.0, DELIVERIES: 0.0}  # also where all known deliveries ended: there may be another one

        def say(known: Watch) -> Sequence[StoredEvent]:
            return self._voice.status(known, status, origin, watch.read_at)

        return self._watches.observe(watch, Part.STATUS, lambda _known: status, say, hasten)

    def deliveries(self, watch: Watch, rows: Sequence[Delivery], origin: Origin = POLL) -> Observed:
        """The deliveries of one order."""
        found = _by_number(rows)

        def merged(known: Watch) -> dict[str, State]:
            return dict(sorted((intervals.shipments(known) | found).items()))

        def say(known: Watch) -> Sequence[StoredEvent]:
            was = intervals.shipments(known)
            completed = [
                number for number in found if self._is_completed(found[number]) and not self._is_completed(was.get(number))
            ]
            return self._voice.deliveries(known, was, found, completed, origin, watch.read_at)

        is_over = bool(found) and all(map(self._is_completed, merged(watch).values()))
        return self._watches.observe(
            watch,
            Part.DELIVERIES,
            lambda known: orjson.dumps(merged(known)).decode(),
            say,
            {INVOICES: 0.0} if is_over else {},
        )

    def invoices(self, watch: Watch, rows: Sequence[InvoiceHead], origin: Origin = POLL) -> Observed:
        """The invoices of one order."""
        heads = {head.invoice_number: head for row in rows if (head := _short(row)).invoice_number}

        def merged(known: Watch) -> str:
            return orjson.dumps(sorted(_numbers(known) | heads.keys())).decode()

        def say(known: Watch) -> Sequence[StoredEvent]:
            issued = [head for number, head in sorted(heads.items()) if number not in _numbers(known)]
            return self._voice.invoices(known, issued, origin, watch.read_at)

        return self._watches.observe(watch, Part.INVOICES, merged, say)

    def _is_completed(self, state: State | None) -> bool:
        return state is not None and intervals.is_completed(state["status"], self._settings)


def _by_number(rows: Sequence[Delivery]) -> dict[str, State]:
    """Of several rows with one number, or none, the second one is `1/2`, and so on: whichever SIPS lists first."""
    found: dict[str, State] = {}
    times: Counter[str] = Counter()
    for row in sorted(rows, key=lambda row: orjson.dumps(_state(row))):
        number = "" if row.shipment_number is None else str(row.shipment_number)
        times[number] += 1
        found[number if times[number] == 1 else f"{number}/{times[number]}"] = _state(row)
    return dict(sorted(found.items()))


def _state(row: Delivery) -> State:
    return {
        "status": _text(row.status),
        "expectedDeliveryDate": _text(row.expected_delivery_date),
        "deliveredDate": _text(row.delivered_date),
    }


def _short(head: InvoiceHead) -> InvoiceHead:
    """With texts as they are kept: a fact has to fit a message."""
    return head.model_copy(update={name: _text(value) for name, value in head if isinstance(value, str)})


def _numbers(watch: Watch) -> set[str]:
    return set(orjson.loads(watch.invoices)) if watch.invoices else set()


def _text(text: str | None) -> str | None:
    """As it is kept: PostgreSQL takes no NUL, and a text of SIPS' may be of any length."""
    return (text or "").replace("\0", "").strip()[:MAX_TEXT_LENGTH] or None
