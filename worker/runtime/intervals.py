"""How long until the next look at a watch, and when it ends: pure decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from worker.runtime import matching
from worker.store.watched import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from worker.settings import Settings
    from worker.store.watched import Subscription, Watch

__all__ = ["ended", "interval", "is_completed", "is_terminal", "shipments"]

#: Days around the expected day of a delivery in which it is looked at often: from the day before until it is a week late.
NEAR = range(-7, 2)


def interval(watch: Watch, kind: Kind, settings: Settings, today: date) -> float:
    """Seconds between two looks: the shortest of what the subscribers want, without jitter.

    Args:
        watch: as it was last seen.
        kind: of what is looked at.
        settings: of the process.
        today: in SIPS' zone.
    """
    wanted = [subscription.interval for subscription in watch.of(kind)]
    explicit = [seconds for seconds in wanted if seconds is not None]
    return min(explicit + ([_adaptive(watch, settings, today)] if None in wanted or not explicit else []))


def _adaptive(watch: Watch, settings: Settings, today: date) -> float:
    if watch.status is None and watch.deliveries is None:
        return settings.watch_seconds  # nothing was seen of it yet: SIPS lists orders late
    days = [
        (expected - today).days
        for shipment in shipments(watch).values()
        if not is_completed(shipment.get("status"), settings) and (expected := matching.day(shipment.get("expectedDeliveryDate")))
    ]
    return settings.watch_seconds if any(day in NEAR for day in days) else settings.watch_far_seconds


def shipments(watch: Watch) -> dict[str, dict[str, str | None]]:
    """The deliveries of an order as they are known, by shipment number."""
    known: dict[str, dict[str, str | None]] = orjson.loads(watch.deliveries) if watch.deliveries else {}
    return known


def is_completed(status: str | None, settings: Settings) -> bool:
    """Whether a delivery's status says that nothing is to come."""
    return _is_one_of(status, settings.delivery_terminal)


def is_terminal(status: str | None, settings: Settings) -> bool:
    """Whether an order's status says that nothing is to come."""
    return _is_one_of(status, settings.order_terminal)


def ended(watch: Watch, settings: Settings) -> Iterator[Subscription]:
    """The subscriptions that have what they waited for, or have waited for long enough."""
    for subscription in watch.subscriptions:
        if subscription.until <= watch.read_at or _has_come(watch, subscription, settings):
            yield subscription


def _has_come(watch: Watch, subscription: Subscription, settings: Settings) -> bool:
    if subscription.kind is Kind.ORDER:
        return _is_one_of(watch.status, subscription.terminal or settings.order_terminal)
    states = [shipment.get("status") for shipment in shipments(watch).values()]
    if not states:
        # Such as cancelled: there will be none. Only a look after that tells, as all may have come since the one before.
        return is_terminal(watch.status, settings) and (watch.deliveries_seen_at or 0.0) > (watch.status_seen_at or 0.0)
    return all(_is_one_of(state, subscription.terminal or settings.delivery_terminal) for state in states)


def _is_one_of(status: str | None, words: Iterable[str]) -> bool:
    """Without regard to letter case; a status that nobody knows is none of them."""
    return status is not None and status.strip().casefold() in {word.casefold() for word in words}
