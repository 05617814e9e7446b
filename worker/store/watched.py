"""What is known of a watched order, as plain data."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.store.orders import StoredEvent

__all__ = ["Kind", "NewWatch", "Observed", "Part", "Subscription", "Watch", "customer_ref", "watch_key"]


class Kind(enum.StrEnum):
    """What a subscription is about."""

    ORDER = "order"
    DELIVERY = "delivery"


class Part(enum.StrEnum):
    """What is read and compared by itself; named like its column."""

    STATUS = "status"
    DELIVERIES = "deliveries"
    INVOICES = "invoices"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Somebody wants a watch to go on.

    Attributes:
        kind: of what.
        source: of the command that asked for it; one of each kind per source.
        command_id: that command's.
        until: the database's time at which it ends.
        interval: seconds between two looks; None = as the expected day of delivery has it.
        terminal: statuses that end it; None = those of the settings.
    """

    kind: Kind
    source: str
    command_id: str
    until: float
    interval: float | None = None
    terminal: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class NewWatch:
    """An order as somebody brings it.

    Attributes:
        base_url, order_id, customer_code, po_number: of it, as far as they are known.
        envelope: JSON of what its facts carry on.
        transaction_id: of its submit, where we know it.
        created_at: when it was submitted, by the database's clock, where we know it: SIPS dates it by that, not by its watch.
    """

    base_url: str
    order_id: str
    customer_code: str = ""
    po_number: str = ""
    envelope: str = "{}"
    transaction_id: str = ""
    created_at: float | None = None

    @property
    def key(self) -> str:
        """Of its row."""
        return watch_key(self.base_url, self.order_id)


@dataclass(frozen=True, slots=True)
class Watch:
    """One order, as it was last seen. The states are texts: SIPS' word, and JSON; None = never seen. Times are the database's."""

    key: str
    base_url: str
    order_id: str
    customer_code: str
    po_number: str
    envelope: str
    sequence: int
    status: str | None
    status_seen_at: float | None
    deliveries: str | None
    deliveries_seen_at: float | None
    invoices: str | None
    invoices_seen_at: float | None
    due: float | None
    created_at: float
    ended_at: float | None
    read_at: float
    subscriptions: tuple[Subscription, ...] = ()

    def state(self, part: Part) -> str | None:
        """What is known of a part."""
        state: str | None = getattr(self, part)
        return state

    def seen_at(self, part: Part) -> float | None:
        """When that was so."""
        seen_at: float | None = getattr(self, f"{part}_seen_at")
        return seen_at

    def of(self, kind: Kind) -> list[Subscription]:
        """Its subscriptions of a kind."""
        return [subscription for subscription in self.subscriptions if subscription.kind is kind]


@dataclass(frozen=True, slots=True)
class Observed:
    """What an observation came to.

    Attributes:
        watch: as it is now.
        changed: whether there was something to tell.
        waiting: everything said of the order that is not known to be published, in its sequence.
    """

    watch: Watch
    changed: bool
    waiting: Sequence[StoredEvent] = ()


def watch_key(base_url: str, order_id: str) -> str:
    """The key of an order's row."""
    return orjson.dumps([base_url, order_id]).decode()


def customer_ref(base_url: str, customer_code: str) -> str:
    """What the timer of a customer's orders is about."""
    return orjson.dumps([base_url, customer_code]).decode()
