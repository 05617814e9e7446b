"""Orders as people and machines read them; never their payload, unless it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import orjson

from worker.cli import columns
from worker.runtime.order_words import MEANING, duration, expectations, idempotency_key, person_can, printable, rfc3339
from worker.runtime.timeline import recorded_decisions
from worker.store.transitions import FAILED, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.store.orders import Order

__all__ = ["as_object", "details", "heading", "outlook", "table"]

#: Columns of the table.
_COLUMNS = (("CAME IN", 20), ("STATE", 10), ("AGE", 6), ("CUSTOMER", 8), ("PO NUMBER", 9), ("ORDER ID", 8), ("COMMAND", 7))

_COLOURS = {
    State.CONFIRMED: "green",
    State.UNRESOLVED: "red",
    State.IN_DOUBT: "yellow",
    State.QUEUED: "yellow",
    State.SENDING: "cyan",
    State.UNSENT: "cyan",
}


def table(orders: Sequence[Order]) -> Iterator[str]:
    """One line per order under a line of titles."""
    return columns.table(_COLUMNS, [_cells(order) for order in orders], [{1: _COLOURS.get(order.state)} for order in orders])


def _cells(order: Order) -> list[str]:
    return [
        rfc3339(order.created_at),
        order.state,
        duration(order.read_at - order.created_at),
        order.customer_code,
        order.po_number,
        order.order_id or "",
        order.command_id,
    ]


def as_object(order: Order) -> dict[str, Any]:
    """One JSON object for machines."""
    return {
        "key": order.key,
        "state": order.state,
        "run": order.run,
        "attempts": order.attempts,
        "resubmitted": order.resubmitted,
        "commandId": order.command_id,
        "commandSource": order.command_source,
        "commandType": order.command_type,
        "customerCode": order.customer_code,
        "branchCode": order.branch_code,
        "poNumber": order.po_number,
        "transactionId": order.transaction_id,
        "orderId": order.order_id,
        "queueId": order.queue_id,
        "looks": order.looks,
        "lastError": order.last_error,
        "createdAt": _time(order.created_at),
        "sentAt": _time(order.sent_at),
        "updatedAt": _time(order.updated_at),
        "endedAt": _time(order.ended_at),
        "decisions": recorded_decisions(order),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds, "milliseconds")


def _seconds(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def heading(order: Order) -> Iterator[str]:
    """Which order, and where it stands."""
    what = (
        f"PO number {printable(order.po_number)} of customer {printable(order.customer_code)}" if order.po_number else "unknown"
    )
    state = click.style(order.state, fg=_COLOURS.get(order.state), bold=True)
    yield f"{click.style('order', bold=True)}  {what}"
    number = f", as order {printable(order.order_id)}" if order.order_id else ""
    again = f"; run {order.run}, by a person's decision" if order.resubmitted else ""
    yield f"       {state}: {MEANING[order.state]}{number}{again}"


def details(order: Order, *, payload: bool) -> Iterator[str]:
    """Everything the row holds, a line each; empty values are left out."""
    base_url, source, _key = orjson.loads(order.key)
    values = {
        "order id": order.order_id,
        "queue id": order.queue_id,
        "branch": order.branch_code,
        "command": f"{order.command_type} {order.command_id} of {source}" if order.command_id else None,
        "idempotency key": idempotency_key(order),
        "transaction id": order.transaction_id,
        "transaction date": f"{order.transaction_date} (SIPS' zone)" if order.transaction_date else None,
        "SIPS": base_url,
        "run": f"{order.run}, {order.attempts} attempt{'s' * (order.attempts != 1)}{_resubmitted(order)}",
        "came in": rfc3339(order.created_at),
        "sent": _seconds(order.sent_at),
        "looks": f"{order.looks} counted, without finding it" if order.looks else None,
        "SIPS failed": f"{rfc3339(order.trouble_at)}, to answer a look" if order.trouble_at is not None else None,
        "last error": order.last_error,
        "last change": rfc3339(order.updated_at),
        "ended": _seconds(order.ended_at),
        "ledger key": order.key,
        "payload": _payload(order, wanted=payload),
    }
    for name, value in values.items():
        if value:
            yield f"  {name:<16}  {printable(value)}"


def _resubmitted(order: Order) -> str:
    return ", sent again by a person's decision" if order.resubmitted else ""


def _payload(order: Order, *, wanted: bool) -> str | None:
    if order.payload is None:
        return "emptied: it held personal data, and the order ended long ago"
    if not order.payload:
        return None
    return order.payload if wanted else f"{len(order.payload)} characters; `orders show --payload` shows it: names and addresses"


def outlook(order: Order, timers: Mapping[str, float]) -> Iterator[str]:
    """What happens next and when, and what a person can do."""
    expected = expectations(order, timers)
    for number, (at, what) in enumerate(expected):
        title = "next" if number == 0 else ""
        yield f"{click.style(f'{title:<9}', bold=True)}{rfc3339(at) if at is not None else '':<20}  {what}"
    if not expected:
        ended = "SIPS has the order" if order.state is State.CONFIRMED else "it has ended"
        nothing = f"nothing: {ended}" if order.state in FAILED | {State.CONFIRMED} else "nothing by itself"
        yield f"{click.style('next     ', bold=True)}{nothing}"
    for number, line in enumerate(person_can(order)):
        title = "you can" if number == 0 else ""
        yield f"{click.style(f'{title:<9}', bold=True)}{line}"
