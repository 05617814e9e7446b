"""How often an order is looked at, and until when."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from worker.runtime import intervals
from worker.settings import Settings
from worker.store.watched import Kind, Subscription, Watch

SETTINGS = Settings(_env_file=None)
NEAR, FAR = SETTINGS.watch_seconds, SETTINGS.watch_far_seconds
TODAY = date(2026, 7, 23)
NOW = 1e9


#: What is known of an order that has come to its end, and that no delivery was seen of.
CANCELLED = {"status": "Cancelled", "status_seen_at": NOW - 2, "deliveries": "{}"}


def watch(*subscriptions: Subscription, **known: Any) -> Watch:
    """An order as it was seen."""
    nothing = dict.fromkeys(("status", "status_seen_at", "deliveries", "deliveries_seen_at", "invoices", "invoices_seen_at"))
    row = {"key": "k", "base_url": "u", "order_id": "1", "customer_code": "C", "po_number": "P", "envelope": "{}", "sequence": 0}
    row |= {"due": None, "created_at": NOW, "ended_at": None, "read_at": NOW}
    return Watch(**nothing | row | known, subscriptions=subscriptions)  # type: ignore[arg-type]


def wanted(kind: Kind = Kind.ORDER, **changes: Any) -> Subscription:
    """A subscription for a day more."""
    values: dict[str, Any] = {"kind": kind, "source": "shop", "command_id": "c", "until": NOW + 86_400}
    return Subscription(**values | changes)


def shipments(*states: tuple[str, str | None]) -> str:
    """Deliveries of these statuses and expected days."""
    return json.dumps(
        {str(number): {"status": status, "expectedDeliveryDate": day} for number, (status, day) in enumerate(states, 1)}
    )


@pytest.mark.parametrize(
    ("known", "seconds"),
    [
        pytest.param({}, NEAR, id="nothing was seen yet"),
        pytest.param({"status": "Open"}, FAR, id="no day is known"),
        pytest.param({"deliveries": shipments(("Pending", "2026-07-30"))}, FAR, id="in a week"),
        pytest.param({"deliveries": shipments(("Pending", "2026-07-24T08:00:00"))}, NEAR, id="tomorrow"),
        pytest.param({"deliveries": shipments(("Pending", "2026-07-20"))}, NEAR, id="late"),
        pytest.param({"deliveries": shipments(("Pending", "2026-07-01"))}, FAR, id="very late"),
        pytest.param({"deliveries": shipments(("completed", "2026-07-23"))}, FAR, id="it is there"),
        pytest.param({"deliveries": shipments(("Completed", "2026-07-23"), ("Pending", "2026-07-24"))}, NEAR, id="one of two"),
        pytest.param({"deliveries": shipments(("Pending", "next week"))}, FAR, id="no date"),
    ],
)
def test_a_look_is_often_near_the_expected_day(known: dict[str, Any], seconds: float) -> None:
    """And seldom on others."""
    assert seconds == intervals.interval(watch(wanted(), **known), Kind.ORDER, SETTINGS, TODAY)


def test_who_names_an_interval_gets_it() -> None:
    """The shortest of all; those who name none have theirs by the day."""
    one, other = wanted(interval=3_600.0), wanted(source="b", interval=10_000.0)
    assert 3_600 == intervals.interval(watch(one, other, status="Open"), Kind.ORDER, SETTINGS, TODAY)
    assert FAR == intervals.interval(watch(other, wanted(), status="Open"), Kind.ORDER, SETTINGS, TODAY)


@pytest.mark.parametrize(
    ("subscription", "known", "is_over"),
    [
        (wanted(), {"status": "Confirmed"}, False),
        (wanted(), {"status": " invoiced "}, True),
        (wanted(), {"status": "Invoiced in part"}, False),
        (wanted(terminal=("Shipped",)), {"status": "Invoiced"}, False),
        (wanted(terminal=("Shipped",)), {"status": "SHIPPED"}, True),
        (wanted(until=NOW), {"status": "Confirmed"}, True),
        (wanted(Kind.DELIVERY), {}, False),
        (wanted(Kind.DELIVERY), CANCELLED | {"deliveries_seen_at": NOW - 1}, True),
        (wanted(Kind.DELIVERY), CANCELLED | {"deliveries_seen_at": NOW - 3}, False),
        (wanted(Kind.DELIVERY), CANCELLED | {"deliveries": None}, False),
        (wanted(Kind.DELIVERY), {"deliveries": shipments(("Completed", None), ("En Route", None))}, False),
        (wanted(Kind.DELIVERY), {"deliveries": shipments(("Completed", None), ("Completed", None))}, True),
        (wanted(Kind.DELIVERY, terminal=("Delivered",)), {"deliveries": shipments(("Delivered", None))}, True),
        (wanted(Kind.DELIVERY), {"deliveries": shipments(("Completed", None), ("Completed", None)), "status": "Open"}, True),
    ],
)
def test_a_watch_ends_with_what_it_waits_for(subscription: Subscription, known: dict[str, Any], is_over: bool) -> None:
    """Or at its deadline; a status that nobody knows ends nothing."""
    ended = list(intervals.ended(watch(subscription, **known), SETTINGS))

    assert ([subscription] if is_over else []) == ended
