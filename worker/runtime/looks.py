"""The timers that look after an order at SIPS, and how an order is left to a person, who is the only one to decide further."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.store.transitions import Event, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.runtime.order_events import OrderVoice
    from worker.settings import Settings
    from worker.store.ledger import Ledger, Moved
    from worker.store.orders import Order

__all__ = ["LOOK_TIMER", "QUEUED_TIMER", "TRACK_TIMER", "UNRESOLVED_SECONDS", "leave_to_a_person", "not_sent_again", "tracking"]

#: Kinds of timers: look an order in doubt up, look after an order in SIPS' queue, watch an order that SIPS has.
LOOK_TIMER = "look"
QUEUED_TIMER = "queued"
TRACK_TIMER = "track"

#: Seconds between two looks for an order whose outcome was `.unknown`: it may still appear.
UNRESOLVED_SECONDS = 3_600.0


def tracking(settings: Settings) -> dict[str, float]:
    """The timers that start when SIPS is known to have an order."""
    return {TRACK_TIMER: 0.0} if settings.order_tracking else {}


def leave_to_a_person(
    ledger: Ledger,
    order: Order,
    voice: OrderVoice,
    why: str,
    *,
    timers_from_now: Mapping[str, float] | None = None,
    **changes: Any,
) -> Moved | None:
    """SIPS may have the order, and nobody can tell: its outcome is `.unknown`, or after `queued` a fact says so.

    Args:
        ledger: of the order.
        order: as it was read.
        voice: says it.
        why: nobody can tell, without payload values.
        timers_from_now: as for `Ledger.move`; by default the order is looked for every hour.
        changes: further columns of the row.

    Returns:
        None where the order stands elsewhere by now, and nothing was changed.

    Raises:
        StoreError: the ledger cannot be asked.
    """
    say = voice.unresolved if order.state is State.QUEUED else voice.unknown
    timers = {LOOK_TIMER: UNRESOLVED_SECONDS} if timers_from_now is None else timers_from_now
    return ledger.move(order, Event.UNRESOLVE, say=lambda row: [say(row, why)], timers_from_now=timers, **changes)


def not_sent_again(order: Order, why: str) -> str:
    """Why nobody can tell, where a run that a person asked for came to nothing."""
    return f"run {order.run} was not executed ({why}), but an earlier run was sent, and SIPS may have the order from that one"
