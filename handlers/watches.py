"""Watches: `sips.order.track`, `sips.delivery.track` (also as `sips.delivery.poll`), `sips.watch.cancel`."""

from __future__ import annotations

from typing import Literal

from handlers.orders import ListedOrder
from worker.messaging.topology import CONTROL, QUERIES
from worker.runtime.payload import Identity, Payload, Result
from worker.runtime.readings import Delivery  # noqa: TC001 - pydantic reads it
from worker.runtime.registry import command
from worker.runtime.watching import OrderId, TrackRequest, Watching, WatchState
from worker.sips import Sips


class TrackedOrder(Result):
    """One order now. `order` and `status` are null where SIPS does not list it, which it does late."""

    order_id: str
    status: str | None
    order: ListedOrder | None
    watch: WatchState | None


@command("sips.order.track", queue=QUERIES)
def track_order(request: TrackRequest, sips: Sips, watching: Watching) -> TrackedOrder:
    """The status of an order now and, with `watch`, a fact for each change from here on."""
    row, watch = watching.order(request, sips)
    order = None if row is None else ListedOrder.model_validate(row.model_dump())
    return TrackedOrder(order_id=request.order_id, status=row and row.orderStatus, order=order, watch=watch)


class TrackedDeliveries(Result):
    """The deliveries of one order now."""

    order_id: str
    deliveries: list[Delivery]
    watch: WatchState | None


@command("sips.delivery.track", queue=QUERIES)
@command("sips.delivery.poll", queue=QUERIES)
def track_deliveries(request: TrackRequest, sips: Sips, watching: Watching) -> TrackedDeliveries:
    """The deliveries of an order now and, with `watch`, a fact for each change from here on."""
    rows, watch = watching.deliveries(request, sips)
    return TrackedDeliveries(order_id=request.order_id, deliveries=list(rows), watch=watch)


class WatchReference(Payload):
    """Which watch is not wanted any more; without a kind both of the order's."""

    order_id: OrderId
    kind: Literal["order", "delivery"] | None = None

    def identity(self) -> Identity:
        """The order."""
        return Identity(order_id=self.order_id)


class WatchCancelled(Result):
    """How many watches of this source ended, and whether the order is still looked at for others."""

    order_id: str
    cancelled: int
    still_watched: bool


@command("sips.watch.cancel", queue=CONTROL)
def cancel_watch(request: WatchReference, watching: Watching) -> WatchCancelled:
    """End the watches that commands of the same source asked for; those of others go on."""
    cancelled, still_watched = watching.cancel(request.order_id, request.kind)
    return WatchCancelled(order_id=request.order_id, cancelled=cancelled, still_watched=still_watched)
