"""What a person decides about an order; who, when and why is kept with the order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson

from worker.runtime.looks import LOOK_TIMER, TRACK_TIMER
from worker.runtime.matching import Finding
from worker.runtime.order_words import MEANING, name, person_can, printable
from worker.runtime.submission import transaction_id_of
from worker.runtime.withdrawals import call_off
from worker.sips import SipsError
from worker.store.ledger import PUBLISH
from worker.store.transitions import Event, State

if TYPE_CHECKING:
    from worker.runtime.lookup import Lookup
    from worker.runtime.order_events import OrderVoice
    from worker.sips import Sips
    from worker.sips.models import OrderRow
    from worker.store.ledger import Ledger
    from worker.store.orders import Order

__all__ = [
    "Decision",
    "DecisionError",
    "Signature",
    "abandon",
    "check_order_id",
    "confirm",
    "is_resubmitted",
    "look_once_more",
    "refuse",
    "refuse_withdrawal",
    "resubmit",
    "withdraw",
]


class Decision(StrEnum):
    """What can be decided about an order that was looked up without a result."""

    #: SIPS has the order.
    CONFIRMED = "confirmed"
    #: SIPS does not have it, and it is not wanted any more.
    ABANDONED = "abandoned"
    #: SIPS does not have it, and it shall be sent again.
    RESUBMIT = "resubmit"


class DecisionError(Exception):
    """The decision cannot be carried out, and nothing was changed; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who decides, and why."""

    by: str
    note: str | None = None

    def record(self, order: Order, decision: str, **more: Any) -> str:
        """The decision as JSON for the order's row; earlier ones stay in it."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"decision": decision, "by": self.by, "at": at, "note": self.note, "run": order.run, **more}
        if order.resolution:
            earlier = orjson.loads(order.resolution)
            record["earlier"] = [*earlier.pop("earlier", []), earlier]
        return orjson.dumps(record).decode()


def is_resubmitted(order: Order) -> bool:
    """Whether a person decided to send it again, and no worker has taken it yet."""
    return order.state is State.UNSENT and order.resubmitted


def refuse(order: Order, decision: Decision) -> str | None:
    """Why the order does not stand where this can be decided, and what is possible instead; None where it can."""
    if order.state is State.UNRESOLVED:
        if decision is Decision.RESUBMIT and order.payload is None:
            return "the order's payload was emptied, so it cannot be sent again; publish it as a new command"
        return None
    if is_resubmitted(order) and decision is Decision.RESUBMIT:
        return None
    return _instead(order, f"only an unresolved one can be {_DONE[decision]}")


def _instead(order: Order, rule: str) -> str:
    where = (
        f"SIPS has it as order {order.order_id}" if order.state is State.CONFIRMED and order.order_id else MEANING[order.state]
    )
    possible = "; or ".join(person_can(order)) or "there is nothing to decide"
    return f"the order is {order.state} ({where}), and {rule}. Possible now: {possible}"


_DONE = {Decision.CONFIRMED: "confirmed", Decision.ABANDONED: "abandoned", Decision.RESUBMIT: "resubmitted"}


def check_order_id(ledger: Ledger, order: Order, order_id: str) -> None:
    """See to it that no other order of the ledger has this id at SIPS.

    Raises:
        DecisionError: one has.
        StoreError: the ledger cannot be asked.
    """
    if other := ledger.owners(order.base_url, [order_id]).get(order_id):
        raise DecisionError(f"SIPS' order {order_id} is known already, as that of {other}; compare both at SIPS")


def confirm(ledger: Ledger, order: Order, voice: OrderVoice, signature: Signature, order_id: str) -> Order:
    """SIPS has it; a worker publishes the fact at once.

    Raises:
        DecisionError: the order id belongs to another order, or the order changed meanwhile.
        StoreError: the ledger cannot be asked.
    """
    check_order_id(ledger, order, order_id)
    moved = ledger.move(
        order,
        Event.CONFIRM,
        say=lambda row: [voice.confirmed(row)],
        timers_from_now={PUBLISH: 0.0, TRACK_TIMER: 0.0},
        timers_to_stop=[LOOK_TIMER],
        order_id=order_id,
        resolution=signature.record(order, Decision.CONFIRMED, orderId=order_id),
    )
    if moved is None:
        raise _changed(order)
    return moved.order


def abandon(ledger: Ledger, order: Order, signature: Signature) -> Order:
    """SIPS does not have it and shall not: its PO number is free again.

    Raises:
        DecisionError: the order changed meanwhile.
        StoreError: the ledger cannot be asked.
    """
    resolution = signature.record(order, Decision.ABANDONED)
    moved = ledger.move(order, Event.ABANDON, timers_to_stop=[LOOK_TIMER], resolution=resolution)
    if moved is None:
        raise _changed(order)
    return moved.order


def resubmit(ledger: Ledger, order: Order, signature: Signature) -> Order:
    """SIPS does not have it and shall: the next run, to be sent when its command is published again.

    An order that stands there already is returned as it is, so that a publish which failed can be made up for.

    Raises:
        DecisionError: the order changed meanwhile.
        StoreError: the ledger cannot be asked.
    """
    if is_resubmitted(order):
        return order
    moved = ledger.move(
        order,
        Event.RESUBMIT,
        timers_to_stop=[LOOK_TIMER],
        run=order.run + 1,
        resubmitted=True,
        transaction_id=transaction_id_of(order.key, order.run + 1),
        attempts=0,
        looks=0,
        sent_at=None,
        trouble_at=None,
        last_error=None,
        resolution=signature.record(order, Decision.RESUBMIT),
    )
    if moved is None:
        raise _changed(order)
    return moved.order


def withdraw(ledger: Ledger, order: Order, voice: OrderVoice, signature: Signature) -> Order:
    """It was not sent yet, and is not wanted any more; a worker publishes `.failed` (`withdrawn`) at once.

    Raises:
        DecisionError: it was sent already, or ended otherwise; or it was to be sent again, and is left to a person now.
        StoreError: the ledger cannot be asked.
    """
    now = call_off(ledger, order, voice, resolution=signature.record(order, State.WITHDRAWN))
    if now.state is not State.WITHDRAWN:
        raise DecisionError(_too_late(now))
    return now


def refuse_withdrawal(order: Order) -> str | None:
    """Why the order cannot be called off any more, and what is possible instead; None where it can."""
    return None if order.state is State.UNSENT else _too_late(order)


def _too_late(order: Order) -> str:
    return _instead(order, "only one that was not sent yet can be withdrawn")


def look_once_more(lookup: Lookup, sips: Sips, order: Order) -> None:
    """Look for the order at SIPS, for the sends of all its runs, and return only if it is certainly not listed.

    Raises:
        DecisionError: it is listed, or the look says nothing.
    """
    try:
        found = lookup.find(sips, order)
        if found.finding is Finding.FOUND and found.row is not None:
            raise DecisionError(_listed(order, found.row))
        if found.finding is Finding.SEVERAL:
            raise DecisionError(
                f"SIPS lists several orders of customer {order.customer_code} under PO number {order.po_number}; "
                "find out there which one is this order, then decide `confirmed`"
            )
        if found.finding is Finding.CUT_OFF:
            raise DecisionError(f"SIPS' list for PO number {order.po_number} is cut off, so the look says nothing; {_WITHOUT}")
        if not lookup.is_controlled(sips):
            raise DecisionError(
                "SIPS does not list it, but its list was never checked, so that means nothing; run "
                f"`sips-worker doctor --order-list PO` with a PO number that SIPS lists, then repeat this; {_WITHOUT}"
            )
    except SipsError as error:
        raise DecisionError(f"the look at SIPS failed ({error.code}: {error}); repeat this later; {_WITHOUT}") from None


_WITHOUT = "or add --without-look if you looked yourself"


def _listed(order: Order, row: OrderRow) -> str:
    said = f" ({printable(row.orderStatus)})" if row.orderStatus else ""
    order_id = printable(row.orderId or "")
    return (
        f"SIPS lists the order after all, as {order_id}{said}: it must not be sent again. If that is right, run "
        f"`sips-worker orders resolve {name(order)} confirmed --order-id {order_id}`"
    )


def _changed(order: Order) -> DecisionError:
    return DecisionError(f"the order is not {order.state} any more; look again with `sips-worker explain {name(order)}`")
