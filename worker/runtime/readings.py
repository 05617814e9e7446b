"""Ask SIPS for what can be watched: orders and their status, deliveries, invoices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.runtime.payload import Number, Result, Whole
from worker.runtime.spelling import read_from
from worker.sips.models import OrderListAnswer, OrderListRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from worker.sips import Sips
    from worker.sips.models import OrderRow

__all__ = ["Delivery", "InvoiceHead", "deliveries", "invoices", "order", "orders"]

#: Orders of one customer that a list is asked for.
ROW_LIMIT = 1_000


class Delivery(Result, alias_generator=read_from("deliveryDetails")):
    """One delivery of an order. Dates are SIPS' own texts, without a zone."""

    shipment_number: Whole | None = None
    status: str | None = None
    expected_delivery_date: str | None = None
    delivered_date: str | None = None


class InvoiceHead(Result, alias_generator=read_from("invoicesList")):
    """What is told of an invoice when it is issued."""

    invoice_number: str | None = None
    invoice_date: str | None = None
    invoice_total: Number | None = None
    payment_status: str | None = None


def orders(sips: Sips, customer_code: str, since: date | None) -> dict[str, OrderRow]:
    """The orders of a customer that SIPS lists, those dated from a day on, or all, by their id. The list may be cut off.

    Raises:
        SipsError: the list was not answered, or not in the expected shape.
    """
    first = since.isoformat() if since is not None else None
    request = OrderListRequest(customerNumber=customer_code, orderFromDate=first, rowReturnLimit=ROW_LIMIT)
    rows = sips.call("ordersList", json=request).parse(OrderListAnswer).orderList
    return {row.orderId: row for row in rows if row.orderId}


def order(sips: Sips, order_id: str) -> OrderRow | None:
    """One order as SIPS lists it; None where it does not list it (yet), or the id is none that its list can be asked for.

    Raises:
        SipsError: as `orders`.
    """
    if not order_id.isdecimal():
        return None
    request = OrderListRequest(orderId=int(order_id))
    rows = sips.call("ordersList", json=request).parse(OrderListAnswer).orderList
    return next((row for row in rows if row.orderId == order_id), None)


def deliveries(sips: Sips, order_id: str) -> Sequence[Delivery]:
    """The deliveries of one order.

    Raises:
        SipsError: SIPS did not tell, or not in the expected shape; a 404 where it does not know the order (yet).
    """
    return sips.call("deliveryDetails", path={"orderId": order_id}).parse(list[Delivery], under="deliveryList")


def invoices(sips: Sips, order_id: str) -> Sequence[InvoiceHead]:
    """The invoices of one order; none where the id is none that SIPS' list can be asked for.

    Raises:
        SipsError: the list was not answered, or not in the expected shape.
    """
    if not order_id.isdecimal():
        return []
    answer = sips.call("invoicesList", json={"orderNumber": int(order_id)})
    return [head for head in answer.parse(list[InvoiceHead], under="invoiceList") if head.invoice_number]
