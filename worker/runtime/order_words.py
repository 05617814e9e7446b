"""Say in plain words where an order stands, what happens to it next, and what a person can do about it."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from worker.runtime.looks import LOOK_TIMER, QUEUED_TIMER, TRACK_TIMER
from worker.store.ledger import PUBLISH
from worker.store.transitions import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.store.orders import Order

__all__ = ["MEANING", "decisions", "duration", "expectations", "idempotency_key", "name", "person_can", "printable", "rfc3339"]

#: What each state means.
MEANING = {
    State.UNSENT: "not sent yet",
    State.SENDING: "being sent",
    State.CONFIRMED: "SIPS has it",
    State.QUEUED: "SIPS took it into its queue, and has not listed it as an order yet",
    State.REJECTED: "SIPS does not have it: it was refused",
    State.GAVE_UP: "SIPS does not have it: every attempt failed before SIPS could execute it",
    State.IN_DOUBT: "sent, and nobody knows what became of it",
    State.UNRESOLVED: "looked up without a result; a person must decide",
    State.ABANDONED: "a person said that SIPS does not have it and shall not",
    State.WITHDRAWN: "called off before it was sent",
}

#: What happens when a timer is due.
_TIMERS = {
    LOOK_TIMER: "it is looked for in SIPS' list of orders",
    QUEUED_TIMER: "SIPS' list of orders is asked whether it has left the queue",
    TRACK_TIMER: "it is watched from then on, and what changes is published",
    PUBLISH: "what was said of it and may not have reached RabbitMQ is published again, under the same id",
}

#: What happens without a timer.
_WITHOUT_TIMER = {
    State.UNSENT: "its command waits in RabbitMQ, and is tried again when it is delivered",
    State.SENDING: "the worker that sends it writes down what came of it",
}

#: What a person can do, where it is more than to wait.
_PERSON = {
    State.SENDING: ("wait: it is decided within minutes",),
    State.IN_DOUBT: ("wait: it is found, or it becomes unresolved and you decide",),
    State.QUEUED: ("wait; or ask SIPS about the queue id",),
    State.REJECTED: ("order again with a new command: a corrected order needs a new idempotency key",),
    State.GAVE_UP: ("run it again with `sips-worker dead redrive`",),
    State.ABANDONED: ("order again with a new command, if it is wanted after all",),
    State.WITHDRAWN: ("order again with a new command, if it is wanted after all",),
}


def expectations(order: Order, timers: Mapping[str, float]) -> list[tuple[float | None, str]]:
    """What happens next by itself: database time (None = when it is delivered), and what; the earliest first.

    Args:
        order: as it was read.
        timers: kind to seconds until due, of the timers that are set for it.
    """
    expected: list[tuple[float | None, str]] = []
    if order.state in _WITHOUT_TIMER:
        expected.append((None, _WITHOUT_TIMER[order.state]))
    if order.state is State.SENDING and order.lease_until is not None:
        over = "its lease is over: whoever is delivered its command takes its sender for dead, and it is looked up"
        expected.append((order.lease_until, over))
    for kind, seconds in sorted(timers.items(), key=lambda timer: timer[1]):
        what = _TIMERS.get(kind, f"the timer {kind}, which this release does not know, is due")
        late = f" (due for {duration(-seconds)}: is a worker running?)" if seconds < -60 else ""  # noqa: PLR2004 - a minute
        expected.append((order.read_at + seconds, what + late))
    return expected


def person_can(order: Order) -> list[str]:
    """What a person can do about the order, a line each."""
    if order.state is State.UNRESOLVED:
        return decisions(order)
    if order.state is State.UNSENT and order.resubmitted:
        again = f"sips-worker orders resolve {name(order)} resubmit"
        return [
            f"if nothing happens, publish its command once more (that sends nothing twice): {again}",
            f"have it not sent again, and be asked anew: sips-worker orders withdraw {name(order)}",
        ]
    if order.state is State.UNSENT:
        return [f"call it off with `sips-worker orders withdraw {name(order)}`"]
    return list(_PERSON.get(order.state, ()))


def decisions(order: Order) -> list[str]:
    """The three decisions, as they are typed."""
    resolve = f"sips-worker orders resolve {name(order)}"
    return [
        "look the PO number up at SIPS, then tell what you found:",
        f"SIPS has it, as order N              {resolve} confirmed --order-id N",
        f"it does not; it is not wanted now    {resolve} abandoned",
        f"it does not; it shall be sent again  {resolve} resubmit",
    ]


def name(order: Order) -> str:
    """What a person types for the order on a command line."""
    return shlex.quote(printable(order.command_id or idempotency_key(order)))


def idempotency_key(order: Order) -> str:
    """The key that the publisher gave the order."""
    return str(orjson.loads(order.key)[2])


def rfc3339(seconds: float, timespec: str = "seconds") -> str:
    """A time of the database in RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """A length of time in its largest unit, such as `3 h`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def printable(text: str) -> str:
    """The text with everything escaped that would move a terminal's cursor or change its colours."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
