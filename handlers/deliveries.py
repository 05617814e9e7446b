"""Deliveries: `sips.delivery.get`, `sips.delivery.list`, `sips.delivery.locate`."""

from __future__ import annotations

from handlers.orders import OrderReference
from worker.messaging.topology import QUERIES
from worker.runtime import readings
from worker.runtime.payload import Code, Filters, Gleaned, Identity, Number, Result, Whole
from worker.runtime.readings import Delivery
from worker.runtime.registry import command
from worker.runtime.spelling import sent_to
from worker.sips import Sips


class DeliveryList(Result):
    """The deliveries of one order, as SIPS reports them now."""

    order_id: str
    deliveries: list[Delivery]


@command("sips.delivery.get", queue=QUERIES, calls=("deliveryDetails",))
def get_deliveries(request: OrderReference, sips: Sips) -> DeliveryList:
    """Deliveries of one order and their status."""
    return DeliveryList(order_id=request.order_id, deliveries=list(readings.deliveries(sips, request.order_id)))


class DeliveryQuery(Filters, alias_generator=sent_to("deliveriesList")):
    """Which deliveries to list."""

    customer_code: Code | None = None
    branch_code: Code | None = None
    order_id: Whole | None = None

    def identity(self) -> Identity:
        """Customer, branch and order."""
        order_id = None if self.order_id is None else str(self.order_id)
        return Identity(customer_code=self.customer_code, branch_code=self.branch_code, order_id=order_id)


class ListedDelivery(Delivery):
    """One delivery of any order."""

    order_id: str | None = None


class ListedDeliveries(Result):
    """The deliveries that SIPS lists now."""

    deliveries: list[ListedDelivery]


@command("sips.delivery.list", queue=QUERIES, calls=("deliveriesList",))
def list_deliveries(request: DeliveryQuery, sips: Sips) -> ListedDeliveries:
    """Deliveries by customer, branch or order."""
    answer = sips.call("deliveriesList", json=request.to_sips())
    return ListedDeliveries(deliveries=answer.parse(list[ListedDelivery], under="deliveryList"))


class Position(Gleaned):
    """Where the truck is, in degrees, and what it does."""

    status: str | None = None
    latitude: Number | None = None
    longitude: Number | None = None


class DeliveryPosition(Result):
    """The truck of an order; `position` is null where SIPS answers in another form than is known: see `sips.body`."""

    order_id: str
    position: Position | None


@command("sips.delivery.locate", queue=QUERIES, calls=("deliveryCoordinates",))
def locate_delivery(request: OrderReference, sips: Sips) -> DeliveryPosition:
    """Where the truck with an order is."""
    answer = sips.call("deliveryCoordinates", path={"orderId": request.order_id})
    return DeliveryPosition(order_id=request.order_id, position=answer.glean(Position))
