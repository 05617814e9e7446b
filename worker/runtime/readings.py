"""Ask SIPS for what can be watched: orders and their status, deliveries, invoices."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import AliasChoices, Field, ValidationError

from worker.runtime.payload import Number, Result, Whole
from worker.runtime.spelling import read_from
from worker.sips.errors import Unreadable
from worker.sips.models import OrderListAnswer, OrderListRequest, OrderRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from worker.sips import Answer, Sips

__all__ = ["Delivery", "InvoiceHead", "deliveries", "invoices", "order", "order_number", "orders"]

Row = TypeVar("Row")

#: Orders of one customer that a list is asked for.
ROW_LIMIT = 1_000

#: Digits of the numbers that SIPS' lists can be asked for: they must fit 64 bits.
MAX_DIGITS = 18


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


class _Owner(Result):
    """The order that a row is of, as far as it says so."""

    order_id: str | None = Field(None, validation_alias=AliasChoices("orderId", "orderNumber"))


def order_number(text: str) -> str:
    """An order's id as SIPS' lists have it, which count: without leading zeros, as its invoices' numbers write it."""
    return (text.lstrip("0") or "0") if text.isascii() and text.isdecimal() else text


def orders(sips: Sips, customer_code: str, since: date | None) -> dict[str, OrderRow]:
    """The orders of a customer that SIPS lists, those dated from a day on, or all, by their id. The list may be cut off.

    A row that cannot be read hides no other one: it is left out.

    Raises:
        SipsError: the list was not answered, or not in the expected shape.
    """
    first = since.isoformat() if since is not None else None
    request = OrderListRequest(customerNumber=customer_code, orderFromDate=first, rowReturnLimit=ROW_LIMIT)
    answer = sips.call("ordersList", json=request)
    try:
        rows = answer.parse(OrderListAnswer).orderList
    except Unreadable:
        rows = _readable(answer.parse(list[Any], under="orderList"))
    return {row.orderId: row for row in rows if row.orderId}


def order(sips: Sips, order_id: str) -> OrderRow | None:
    """One order as SIPS lists it; None where it does not list it (yet), or the id is none that its list can be asked for.

    Raises:
        SipsError: as `orders`.
    """
    if (number := _listed_as(order_id)) is None:
        return None
    request = OrderListRequest(orderId=number)
    rows = sips.call("ordersList", json=request).parse(OrderListAnswer).orderList
    return next((row for row in rows if row.orderId == order_id), None)


def deliveries(sips: Sips, order_id: str) -> Sequence[Delivery]:
    """The deliveries of one order; rows that say that they are of another one are left out.

    Raises:
        SipsError: SIPS did not tell, or not in the expected shape; a 404 where it does not know the order (yet).
    """
    answer = sips.call("deliveryDetails", path={"orderId": order_id})
    return _of_order(answer, answer.parse(list[Delivery], under="deliveryList"), "deliveryList", order_id)


def invoices(sips: Sips, order_id: str) -> Sequence[InvoiceHead]:
    """The invoices of one order, as `deliveries`; none where the id is none that SIPS' list can be asked for.

    Raises:
        SipsError: the list was not answered, or not in the expected shape.
    """
    if (number := _listed_as(order_id)) is None:
        return []
    answer = sips.call("invoicesList", json={"orderNumber": number})
    heads = _of_order(answer, answer.parse(list[InvoiceHead], under="invoiceList"), "invoiceList", order_id)
    return [head for head in heads if head.invoice_number]


def _listed_as(order_id: str) -> int | None:
    is_number = order_id.isascii() and order_id.isdecimal() and len(order_id) <= MAX_DIGITS
    return int(order_id) if is_number else None


def _readable(rows: list[Any]) -> list[OrderRow]:
    found = []
    for row in rows:
        with contextlib.suppress(ValidationError):
            found.append(OrderRow.model_validate(row))
    return found


def _of_order(answer: Answer, rows: list[Row], under: str, order_id: str) -> list[Row]:
    """SIPS might not heed what it was asked for, and a fact must not tell of another order's."""
    owners = answer.parse(list[_Owner], under=under)
    ours = {None, order_number(order_id)}
    return [row for row, owner in zip(rows, owners, strict=True) if (owner.order_id and order_number(owner.order_id)) in ours]
