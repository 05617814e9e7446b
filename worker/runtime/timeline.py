"""Everything that is known of an order in the order in which it happened: pure, from its row and what was said of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from worker.runtime.order_words import idempotency_key, printable, rfc3339
from worker.store.transitions import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.store.orders import Order, StoredEvent

__all__ = ["Moment", "recorded_decisions", "timeline"]

#: States in which `last_error` is the reason for the end, not the beginning of a doubt.
_ENDED_BY_ERROR = frozenset({State.UNSENT, State.REJECTED, State.GAVE_UP, State.WITHDRAWN})

#: The time of a decision is cut to the millisecond: it was at most this much (seconds) later.
DECISION_CUT = 0.001


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened.

    Attributes:
        at: seconds since 1970; None where the ledger does not keep when.
        what: one word.
        text: the rest.
    """

    at: float | None
    what: str
    text: str


def timeline(order: Order, events: Sequence[StoredEvent], others: Iterable[Moment] = ()) -> list[Moment]:
    """The moments of an order, the earliest first; what has no time of its own stands behind what it belongs to.

    Args:
        order: its row.
        events: what was said of it.
        others: moments from elsewhere, such as its dead letters.
    """
    # In the order of causes, which stays where times are the same.
    dated = [(order.created_at, _created(order))]
    dated += _told(order, [event for event in events if event.run < order.run])
    dated += [((moment.at or order.created_at) + DECISION_CUT, moment) for moment in _decided(order)]
    if order.sent_at is not None:
        dated.append((order.sent_at, _sent(order)))
    dated += [(_after_send(order), moment) for moment in _seen(order)]
    dated += _told(order, [event for event in events if event.run >= order.run])
    dated += [(moment.at or order.created_at, moment) for moment in others]
    if order.ended_at is not None:
        dated.append((order.ended_at, Moment(order.ended_at, "ended", _end(order))))
    # Times of one transaction differ by their place in the statement: nothing happened before the order came in.
    return [moment for _at, moment in sorted(dated, key=lambda pair: max(pair[0], order.created_at))]


def recorded_decisions(order: Order) -> list[dict[str, Any]]:
    """What people decided, the earliest first."""
    if not order.resolution:
        return []
    last = orjson.loads(order.resolution)
    return [*last.pop("earlier", []), last]


def _created(order: Order) -> Moment:
    of = f"{order.command_type} {order.command_id}" if order.command_id else "withdrawn before it was seen, in the name"
    key = idempotency_key(order)
    named = f", key {key}" if key != order.command_id else ""
    return Moment(order.created_at, "created", printable(f"{of} of {order.command_source}{named}"))


def _sent(order: Order) -> Moment:
    attempts = f"{order.attempts} attempts, the last one then" if order.attempts > 1 else "1 attempt"
    under = f"run {order.run}, transaction id {order.transaction_id}, PO number {printable(order.po_number)}"
    what = "tried" if order.state in _ENDED_BY_ERROR - {State.REJECTED} else "sent"
    return Moment(order.sent_at, what, f"{under} ({attempts})")


def _after_send(order: Order) -> float:
    return order.sent_at if order.sent_at is not None else order.created_at


def _seen(order: Order) -> list[Moment]:
    """What was seen of it between its send and its end."""
    seen = []
    if order.last_error:
        is_look = order.trouble_at is not None
        what = "error" if order.state in _ENDED_BY_ERROR or is_look else "doubt"
        text = f"SIPS did not answer a look: {order.last_error}" if is_look else order.last_error
        seen.append(Moment(order.trouble_at, what, printable(text)))
    if order.queue_id:
        seen.append(Moment(None, "queued", f"SIPS answered with the queue id {printable(order.queue_id)}"))
    if order.looks:
        looks = "1 look" if order.looks == 1 else f"{order.looks} looks"
        last = f", the last one {rfc3339(order.updated_at)}" if order.state in {State.IN_DOUBT, State.QUEUED} else ""
        seen.append(Moment(None, "looks", f"{looks} at SIPS' list did not find it{last}"))
    return seen


def _told(order: Order, events: Sequence[StoredEvent]) -> list[tuple[float, Moment]]:
    moments = [moment for event in events for moment in (*_earlier_send(order, event), _said(event))]
    return [(moment.at or order.created_at, moment) for moment in moments]


def _earlier_send(order: Order, event: StoredEvent) -> list[Moment]:
    """The send of a run before the row's own, which its `.unknown` tells of."""
    data = orjson.loads(event.body).get("data") or {}
    if event.run >= order.run or not data.get("sentAt"):
        return []
    at = datetime.fromisoformat(data["sentAt"]).timestamp()
    return [Moment(at, "sent", printable(f"run {event.run}, transaction id {data.get('transactionId')}"))]


def _said(event: StoredEvent) -> Moment:
    published = "not known to be published yet" if event.published_at is None else f"published {rfc3339(event.published_at)}"
    run = f", run {event.run}" if event.run > 1 else ""
    return Moment(event.said_at, "said", f"{event.type} (id {event.id}{run}), {published}{_reason(event)}")


def _reason(event: StoredEvent) -> str:
    """Why it failed or is not known, where the event says so."""
    data = orjson.loads(event.body).get("data") or {}
    if "type" in data and "detail" in data:
        return printable(f": {data['type']}: {data['detail']}")
    reason = data.get("lastError") or data.get("reason")
    return printable(f": {reason}") if reason else ""


def _decided(order: Order) -> list[Moment]:
    return [
        Moment(
            datetime.fromisoformat(decision["at"]).timestamp(),
            "decision",
            printable(_decision(decision)),
        )
        for decision in recorded_decisions(order)
    ]


def _decision(decision: dict[str, Any]) -> str:
    as_order = f" as order {decision['orderId']}" if decision.get("orderId") else ""
    note = f": {decision['note']}" if decision.get("note") else ""
    return f"{decision['decision']}{as_order}, by {decision['by']}{note}"


def _end(order: Order) -> str:
    number = f", SIPS' order {printable(order.order_id)}" if order.order_id else ""
    return f"{order.state}{number}"
