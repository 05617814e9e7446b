"""Deliveries: `sips.delivery.get`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from worker.messaging.topology import QUERIES
from worker.runtime.payload import Code, Identity, Payload, Result, Whole
from worker.runtime.registry import command
from worker.sips import Sips, Unreadable


class DeliveryRequest(Payload):
    """The order whose deliveries are asked for."""

    order_id: Code = Field(coerce_numbers_to_str=True)

    def identity(self) -> Identity:
        """The order."""
        return Identity(order_id=self.order_id)


class Delivery(Result):
    """One delivery of an order. Dates are SIPS' own texts, without a zone."""

    shipment_number: Whole | None
    status: str | None
    expected_delivery_date: str | None
    delivered_date: str | None


class DeliveryList(Result):
    """The deliveries of one order, as SIPS reports them now."""

    order_id: str
    deliveries: list[Delivery]


@command("sips.delivery.get", queue=QUERIES)
def get_deliveries(request: DeliveryRequest, sips: Sips) -> DeliveryList:
    """Deliveries of one order and their status."""
    answer = sips.call("deliveryDetails", path={"orderId": request.order_id})
    rows = answer.body.get("deliveryList") if isinstance(answer.body, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Unreadable("deliveryDetails", "the answer has no deliveryList", answer=answer)
    return DeliveryList(order_id=request.order_id, deliveries=[_delivery(row) for row in rows])


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery(
        shipment_number=row.get("shipmentNumber"),
        status=row.get("deliveryStatus"),
        expected_delivery_date=row.get("expectedDeliveryDate"),
        delivered_date=row.get("deliveredDate"),
    )
