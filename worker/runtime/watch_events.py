"""Facts of watched orders: what is told of a change. Each has the next number of its order, and an id that follows from it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from worker.messaging import events
from worker.runtime.order_words import rfc3339
from worker.store.orders import StoredEvent
from worker.store.watched import NewWatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.messaging.envelope import Command
    from worker.runtime.readings import InvoiceHead
    from worker.store.orders import Order
    from worker.store.watched import Watch

__all__ = ["COMPLETED", "DELIVERY_CHANGED", "INVOICE_ISSUED", "ORDER_CHANGED", "FactVoice", "Origin", "of_command", "of_order"]

ORDER_CHANGED = "sips.order.status_changed"
DELIVERY_CHANGED = "sips.delivery.status_changed"
COMPLETED = "sips.delivery.completed"
INVOICE_ISSUED = "sips.invoice.issued"

State = dict[str, "str | None"]


@dataclass(frozen=True, slots=True)
class Origin:
    """What made us look: the watch itself, or a webhook with its `time` as SIPS wrote it."""

    source: Literal["poll", "webhook"] = "poll"
    time: str | None = None


def of_order(order: Order) -> NewWatch:
    """The watch of an order that was submitted by us: its facts carry on what its command began."""
    known: dict[str, Any] = orjson.loads(order.envelope)
    envelope = {
        "order": order.key,
        "correlationId": known.get("correlationId") or order.command_id,
        "causationId": order.command_id,
        "commandSource": order.command_source,
        "traceparent": known.get("traceparent"),
        "tracestate": known.get("tracestate"),
    }
    return NewWatch(
        base_url=order.base_url,
        order_id=order.order_id or "",
        customer_code=order.customer_code,
        po_number=order.po_number,
        envelope=orjson.dumps(envelope).decode(),
        transaction_id=order.transaction_id,
        created_at=order.created_at,
    )


def of_command(command: Command, base_url: str, order_id: str) -> NewWatch:
    """The watch of an order that somebody else placed: its facts carry on what the first command that asks for it began."""
    envelope = {
        "correlationId": command.correlation_id,
        "causationId": command.id,
        "commandSource": command.source,
        "traceparent": command.traceparent,
        "tracestate": command.tracestate,
    }
    return NewWatch(base_url=base_url, order_id=order_id, envelope=orjson.dumps(envelope).decode())


class FactVoice:
    """Says facts in the name of one environment."""

    def __init__(self, environment: str) -> None:
        self._environment = environment

    def status(self, before: Watch, status: str, origin: Origin, seen_at: float) -> Sequence[StoredEvent]:
        """The status of the order is another one."""
        previous = None if before.status is None else {"status": before.status}
        return self._said(before, origin, seen_at, [(ORDER_CHANGED, previous, {"status": status}, {})])

    def deliveries(
        self,
        before: Watch,
        known: Mapping[str, State],
        now: Mapping[str, State],
        completed: Iterable[str],
        origin: Origin,
        seen_at: float,
    ) -> Sequence[StoredEvent]:
        """Deliveries are there, or are not what they were; those with the numbers `completed` have come to their end."""
        changes: list[tuple[str, State | None, State, dict[str, Any]]] = []
        done = set(completed)
        for number, current in now.items():
            if known.get(number) != current:
                shown = number.partition("/")[0]
                about = {"shipmentNumber": int(shown) if shown.isdecimal() else None}
                changes.append((DELIVERY_CHANGED, known.get(number), current, about))
                changes += [(COMPLETED, known.get(number), current, about)] if number in done else []
        return self._said(before, origin, seen_at, changes)

    def invoices(self, before: Watch, issued: Sequence[InvoiceHead], origin: Origin, seen_at: float) -> Sequence[StoredEvent]:
        """There are invoices that were not there before."""
        changes = [
            (INVOICE_ISSUED, None, head.model_dump(mode="json"), {"invoiceNumber": head.invoice_number}) for head in issued
        ]
        return self._said(before, origin, seen_at, changes)

    def _said(
        self,
        before: Watch,
        origin: Origin,
        seen_at: float,
        changes: Iterable[tuple[str, Any, Any, dict[str, Any]]],
    ) -> Sequence[StoredEvent]:
        return [
            self._event(
                before,
                sequence,
                fact,
                {"orderId": before.order_id}
                | about
                | {
                    "sequence": sequence,
                    "previous": previous,
                    "current": current,
                    "source": origin.source,
                    "sipsTime": origin.time,
                    "observedAt": rfc3339(seen_at, "milliseconds"),
                },
            )
            for sequence, (fact, previous, current, about) in enumerate(changes, before.sequence + 1)
        ]

    def _event(self, watch: Watch, sequence: int, fact: str, data: dict[str, Any]) -> StoredEvent:
        known = _read(watch.envelope)
        context = events.EventContext(
            environment=self._environment,
            correlation_id=known.get("correlationId"),
            causation_id=known.get("causationId"),
            command_source=known.get("commandSource"),
            customer_code=watch.customer_code or None,
            order_key=watch.order_id,
            traceparent=known.get("traceparent"),
            tracestate=known.get("tracestate"),
        )
        event_id = events.fact_id(watch.base_url, watch.order_id, sequence)
        return StoredEvent(event_id, fact, sequence, events.body(fact, event_id, data, context).decode())


@functools.lru_cache(maxsize=64)
def _read(envelope: str) -> Mapping[str, Any]:
    known: dict[str, Any] = orjson.loads(envelope)
    return known
