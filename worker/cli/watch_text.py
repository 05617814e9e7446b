"""Watches as people and machines read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import orjson

from worker.cli import columns
from worker.runtime import intervals
from worker.runtime.order_words import duration, printable, rfc3339
from worker.runtime.timeline import Moment
from worker.store.facts import TELL
from worker.store.watched import Part
from worker.store.watches import DELIVERIES, INVOICES, ORDERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from worker.store.hints import StoredHint
    from worker.store.orders import StoredEvent
    from worker.store.watched import Subscription, Watch

__all__ = ["as_object", "details", "heading", "moments", "outlook", "standing", "subscriptions", "table"]

_COLUMNS = (
    ("ORDER ID", 8),
    ("CUSTOMER", 8),
    ("PO NUMBER", 9),
    ("WATCHED AS", 10),
    ("STATUS", 6),
    ("DELIVERIES", 10),
    ("NEXT LOOK", 9),
    ("LAST LOOK", 9),
    ("ENDS", 4),
)

#: What is looked at when a timer is due.
_LOOKS = {
    ORDERS: "its status is looked at, with the other orders of its customer",
    DELIVERIES: "its deliveries are looked at",
    INVOICES: "its invoices are looked at",
    TELL: "what was said of it and may not have reached RabbitMQ is published again, under the same id",
}

#: Seconds that a look may be late before it is said.
_LATE_SECONDS = 60.0


def table(watches: Sequence[Watch], timers: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """One line per watch under a line of titles; `timers` has those of each key."""
    return columns.table(_COLUMNS, [_cells(watch, timers[watch.key]) for watch in watches])


def _cells(watch: Watch, timers: Mapping[str, float]) -> list[str]:
    kinds = [subscription.kind for subscription in watch.subscriptions]
    looks, last = [seconds for seconds, _what in _looks(watch, timers)], _last_look(watch)
    ends = max((subscription.until for subscription in watch.subscriptions), default=None)
    return [
        watch.order_id,
        watch.customer_code,
        watch.po_number,
        ", ".join(f"{kind} {kinds.count(kind)}" for kind in sorted(set(kinds))),
        watch.status or "",
        ", ".join(shipment.get("status") or "?" for shipment in intervals.shipments(watch).values()),
        "" if not looks else f"in {duration(min(looks))}" if min(looks) > 0 else "now",
        f"{duration(watch.read_at - last)} ago" if last is not None else "",
        f"in {duration(ends - watch.read_at)}" if ends is not None else _ended(watch),
    ]


def _ended(watch: Watch) -> str:
    return "" if watch.ended_at is None else f"{duration(watch.read_at - watch.ended_at)} ago"


def _last_look(watch: Watch) -> float | None:
    return max((seen_at for part in Part if (seen_at := watch.seen_at(part)) is not None), default=None)


def _looks(watch: Watch, timers: Mapping[str, float]) -> list[tuple[float, str]]:
    """Seconds until each look, and what is looked at; the first one first."""
    looks = [(timers[kind], _LOOKS[kind]) for kind in (DELIVERIES, INVOICES) if kind in timers]
    if watch.due is not None:
        looks.append((watch.due - watch.read_at, _LOOKS[ORDERS]))
    return sorted(looks)


def as_object(watch: Watch, timers: Mapping[str, float]) -> dict[str, Any]:
    """One JSON object for machines."""
    next_look = min((seconds for seconds, _what in _looks(watch, timers)), default=None)
    return {
        "key": watch.key,
        "orderId": watch.order_id,
        "customerCode": watch.customer_code or None,
        "poNumber": watch.po_number or None,
        "status": watch.status,
        "statusSeenAt": _time(watch.status_seen_at),
        "deliveries": intervals.shipments(watch),
        "deliveriesSeenAt": _time(watch.deliveries_seen_at),
        "invoices": _invoices(watch),
        "invoicesSeenAt": _time(watch.invoices_seen_at),
        "sequence": watch.sequence,
        "subscriptions": [_subscription_object(subscription) for subscription in watch.subscriptions],
        "nextLookAt": _time(None if next_look is None else watch.read_at + next_look),
        "lastLookAt": _time(_last_look(watch)),
        "createdAt": _time(watch.created_at),
        "endedAt": _time(watch.ended_at),
    }


def _subscription_object(subscription: Subscription) -> dict[str, Any]:
    return {
        "kind": subscription.kind,
        "source": subscription.source,
        "commandId": subscription.command_id,
        "intervalSeconds": subscription.interval,
        "until": _time(subscription.until),
        "terminalStatuses": subscription.terminal,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds, "milliseconds")


def _invoices(watch: Watch) -> list[str]:
    numbers: list[str] = orjson.loads(watch.invoices) if watch.invoices else []
    return numbers


def heading(watch: Watch) -> Iterator[str]:
    """Which order, and whether somebody waits for what becomes of it."""
    of = f", PO number {watch.po_number}" if watch.po_number else ""
    of += f" of customer {watch.customer_code}" if watch.customer_code else ""
    yield f"{click.style('order', bold=True)}  {printable(watch.order_id + of)}"
    if watch.subscriptions:
        yield f"       {click.style('watched', fg='green', bold=True)} {_for(watch)}"
    else:
        since = "" if watch.ended_at is None else f", since {rfc3339(watch.ended_at)}"
        only = "what changes is told where a webhook or the daily comparison finds it"
        yield f"       {click.style('not watched', bold=True)}{since}: {only}"


def _for(watch: Watch) -> str:
    return f"for {printable(', '.join(sorted({subscription.source for subscription in watch.subscriptions})))}"


def standing(watch: Watch) -> str:
    """The same in a few words, and who tells the rest."""
    status = "its status was not seen yet" if watch.status is None else f"its status is {printable(watch.status)}"
    who = _for(watch) if watch.subscriptions else "by nobody now"
    return f"{who}; {status}: `sips-worker watches show {printable(watch.order_id)}` tells more"


def details(watch: Watch) -> Iterator[str]:
    """Everything that is known of it and when that was seen, a line each."""
    yield from _detail("status", watch.status or "not seen yet", watch.status_seen_at, watch)
    shipments = intervals.shipments(watch)
    for number, shipment in shipments.items():
        dates = {"expected": shipment.get("expectedDeliveryDate"), "delivered": shipment.get("deliveredDate")}
        told = "".join(f", {what} {day}" for what, day in dates.items() if day)
        yield from _detail(
            f"delivery {number}", f"{shipment.get('status') or 'no status'}{told}", watch.deliveries_seen_at, watch
        )
    if not shipments:
        yield from _detail("deliveries", _none_seen(watch, Part.DELIVERIES), watch.deliveries_seen_at, watch)
    invoices = ", ".join(_invoices(watch)) or _none_seen(watch, Part.INVOICES)
    yield from _detail("invoices", invoices, watch.invoices_seen_at, watch)
    known = orjson.loads(watch.envelope)
    begun = {
        "known since": rfc3339(watch.created_at),
        "begun by": f"command {known.get('causationId')} of {known.get('commandSource')}",
        "ledger key": known.get("order"),
        "SIPS": watch.base_url,
    }
    for name, value in begun.items():
        if value:
            yield from _detail(name, value, None, watch)


def _none_seen(watch: Watch, part: Part) -> str:
    return "not looked at yet" if watch.seen_at(part) is None else "none yet"


def _detail(name: str, value: str, seen_at: float | None, watch: Watch) -> Iterator[str]:
    seen = "" if seen_at is None else f", seen {rfc3339(seen_at)} ({duration(watch.read_at - seen_at)} ago)"
    yield f"  {printable(name):<16}  {printable(value)}{seen}"


def subscriptions(wanted: Iterable[Subscription]) -> Iterator[str]:
    """Who waits for what, how often it is looked at and until when, a line each."""
    for subscription in wanted:
        interval = subscription.interval
        often = "as the expected day of delivery has it" if interval is None else f"every {duration(interval)}"
        words = "those of the settings" if subscription.terminal is None else ", ".join(subscription.terminal)
        who = f"{subscription.source} (command {subscription.command_id})"
        until = f"until {rfc3339(subscription.until)} or a terminal status ({words})"
        yield f"  {f'{subscription.kind} for':<16}  {printable(f'{who}: {often}, {until}')}"


def moments(watch: Watch, facts: Iterable[StoredEvent], hints: Iterable[StoredHint]) -> list[Moment]:
    """What was told of it, and what webhooks told us, the earliest first."""
    told = [(fact.said_at or 0.0, fact.run, _said(fact)) for fact in facts]
    told += [(watch.read_at - kept.age, 0, _hint(watch.read_at - kept.age, kept)) for kept in hints]
    return [moment for _at, _run, moment in sorted(told, key=lambda one: one[:2])]


def _said(fact: StoredEvent) -> Moment:
    data = orjson.loads(fact.body)["data"]
    named = {"shipmentNumber": "delivery", "invoiceNumber": "invoice"}
    about = "".join(f" {what} {data[name]}" for name, what in named.items() if data.get(name) is not None)
    status = (data["current"] or {}).get("status")
    before = (data["previous"] or {}).get("status")
    change = "" if status is None else f": {status}" if before is None else f": {before} -> {status}"
    published = "not known to be published yet" if fact.published_at is None else f"published {rfc3339(fact.published_at)}"
    text = f"{fact.run}. {fact.type}{about}{change} (id {fact.id}, {data['source']}), {published}"
    return Moment(fact.said_at, "said", printable(text))


def _hint(at: float, kept: StoredHint) -> Moment:
    when = f" of {kept.hint.time} (SIPS' own time)" if kept.hint.time else ""
    what = "SIPS was asked" if kept.is_handled else "SIPS is not asked yet"
    return Moment(at, "webhook", printable(f"{kept.hint.event_type}{when}: {what}"))


def outlook(watch: Watch, timers: Mapping[str, float]) -> Iterator[str]:
    """What happens next and when, and what a person can do."""
    expected = _looks(watch, timers) + ([(timers[TELL], _LOOKS[TELL])] if TELL in timers else [])
    for number, (seconds, what) in enumerate(sorted(expected)):
        late = f" (due for {duration(-seconds)}: is a worker running?)" if seconds < -_LATE_SECONDS else ""
        yield f"{_title('next', number)}{rfc3339(watch.read_at + seconds):<20}  {what}{late}"
    if not expected:
        yield f"{_title('next', 0)}nothing by itself"
    order = printable(watch.order_id)
    if watch.subscriptions:
        yield f"{_title('you can', 0)}end it with `sips-worker watches cancel {order}`"
    else:
        again = f'{{"orderId": "{order}", "watch": true}}'
        yield f"{_title('you can', 0)}have it watched again with a command: sips.order.track {again}"
    yield f"{_title('', 1)}compare all open orders with SIPS' list now: `sips-worker reconcile --since 30d`"


def _title(text: str, number: int) -> str:
    return click.style(f"{text if number == 0 else '':<9}", bold=True)
