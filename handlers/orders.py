"""Orders: `sips.order.submit`, `sips.order.withdraw`, `sips.order.get`, `sips.order.list`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field

from worker.messaging.topology import CONTROL, ORDERS, QUERIES
from worker.runtime.payload import Code, Filters, Gleaned, Id, Identity, Payload, Quantity, Result, Text, Whole
from worker.runtime.registry import command
from worker.runtime.spelling import read_from, sent_to
from worker.runtime.submission import InDoubtError, OrderResult, Submission
from worker.runtime.withdrawals import Withdrawals
from worker.sips import Answer, Sips

#: Words that turn "queued" into its contrary; then nobody can tell what became of the order.
DENIALS = frozenset({"not", "never", "cannot", "can't", "couldn't", "wasn't", "failed", "unable", "error"})


class PoDetails(Payload):
    """The purchase order; `order_date` is a business date, passed on as it is."""

    po_number: Annotated[Text, Field(max_length=100)]
    order_date: Text


class OrderLine(Payload):
    """One line of an order."""

    product_id: Whole
    quantity: Quantity
    uom: Text


class ContactAddress(Payload):
    """Where the contact is."""

    address_line1: Text


class Contact(Payload):
    """Whom the branch calls; SIPS refuses an empty name, phone or address."""

    customer_contact_name: Text
    customer_contact_phone: Text
    customer_contact_address: ContactAddress


class OrderRequest(Payload):
    """An order. What SIPS needs beyond these fields, and any it may take, is passed on as given.

    `transactionID`, `transactionDate` and `sourceSystem` are the worker's and are overwritten.
    """

    customer_code: Code
    branch_code: Code
    account_number: str | None = None
    po_details: PoDetails
    order_line_item_details: list[OrderLine] = Field(min_length=1)
    customer_contact_info: Contact

    def identity(self) -> Identity:
        """Customer, branch and PO number."""
        return Identity(customer_code=self.customer_code, branch_code=self.branch_code, po_number=self.po_details.po_number)


@command("sips.order.submit", queue=ORDERS, calls=("ordersV2Submit",), changes=True)
def submit_order(order: OrderRequest, sips: Sips, submission: Submission) -> OrderResult:
    """Place an order, at most once."""
    own = {
        "sourceSystem": sips.source_system,
        "transactionID": submission.transaction_id,
        "transactionDate": submission.transaction_date,
    }
    body = order.to_sips(own) | {"accountNumber": order.account_number or order.customer_code}
    body["poDetails"] = body["poDetails"] | {"poNumber": submission.po_number}
    answer = sips.call("ordersV2Submit", json=body)
    return _judge(answer, order, submission)


def _judge(answer: Answer, order: OrderRequest, submission: Submission) -> OrderResult:
    """Judge a 200 by its content: SIPS also says 200 for orders that are only queued, and may for ones that failed.

    Raises:
        InDoubtError: the content proves neither an order nor a queue entry.
    """
    body: dict[str, Any] = answer.body if isinstance(answer.body, dict) else {}
    if body.get("errors"):
        raise InDoubtError("the answer of ordersV2Submit tells of errors")
    echoed = body.get("transactionID")
    if echoed is not None and str(echoed).lower() != submission.transaction_id.lower():
        raise InDoubtError("the answer of ordersV2Submit speaks of another transactionID")
    order_id, queue_id = _id(body.get("orderID")), _id(body.get("queueID"))
    if queue_id is None and body.get("queueID"):
        raise InDoubtError("the answer of ordersV2Submit holds a queue id that is none")
    queued = queue_id is not None or _says_queued(body.get("message"))
    if not queued and not (order_id and order_id.isascii() and order_id.isdigit() and order_id.strip("0")):
        raise InDoubtError("the answer of ordersV2Submit holds neither an order id nor a queue id")
    return OrderResult(
        status="queued" if queued else "confirmed",
        order_id=None if queued else order_id,
        queue_id=queue_id,
        transaction_id=submission.transaction_id,
        customer_code=order.customer_code,
        po_number=submission.po_number,
    )


class Withdrawal(Payload):
    """The order to call off: by the idempotency key of its submit command, which is that command's id by default."""

    idempotency_key: Code
    source: Code | None = None


class WithdrawalResult(Result):
    """It was not sent, and will not be."""

    status: Literal["withdrawn"]
    idempotency_key: str


@command("sips.order.withdraw", queue=CONTROL)
def withdraw_order(request: Withdrawal, withdrawals: Withdrawals) -> WithdrawalResult:
    """Call an order off that was not sent yet, or not even received; `.failed` (`too-late`) where it was sent."""
    withdrawals.withdraw(request.idempotency_key, request.source)
    return WithdrawalResult(status="withdrawn", idempotency_key=request.idempotency_key)


class OrderReference(Payload):
    """The order that is asked for."""

    order_id: Id

    def identity(self) -> Identity:
        """The order."""
        return Identity(order_id=self.order_id)


class OrderDetails(Gleaned, alias_generator=read_from("orderDetails")):
    """What SIPS tells of one order beside its lines, which stand in `sips.body`. Dates have no zone."""

    order_id: str | None = None
    order_status: str | None = None
    order_date: str | None = None
    customer_code: str | None = None
    branch_code: str | None = None
    ship_to_sequence_number: Whole | None = None
    po_number: str | None = None
    job_number: str | None = None


class OrderAnswer(Result):
    """One order; `order` is null where SIPS answers in another form than is known: see `sips.body`."""

    order_id: str
    order: OrderDetails | None


@command("sips.order.get", queue=QUERIES, calls=("orderDetails",))
def get_order(request: OrderReference, sips: Sips) -> OrderAnswer:
    """One order and its status, by its order id."""
    answer = sips.call("orderDetails", path={"orderId": request.order_id})
    return OrderAnswer(order_id=request.order_id, order=answer.glean(OrderDetails))


class OrderQuery(Filters, alias_generator=sent_to("ordersList")):
    """Which orders to list. Dates are SIPS' own, without a zone."""

    customer_code: Code | None = None
    branch_code: Code | None = None
    po_number: Code | None = None
    job_number: Code | None = None
    order_id: Whole | None = None
    order_status: Code | None = None
    from_date: Code | None = None
    to_date: Code | None = None

    def identity(self) -> Identity:
        """Customer, branch, PO number and order."""
        order_id = None if self.order_id is None else str(self.order_id)
        return Identity(self.customer_code, self.branch_code, self.po_number, order_id)


class ListedOrder(Result, alias_generator=read_from("ordersList")):
    """One order as SIPS lists it."""

    order_id: str | None = None
    order_status: str | None = None
    order_date: str | None = None
    customer_code: str | None = None
    branch_code: str | None = None
    po_number: str | None = None
    job_number: str | None = None


class ListedOrders(Result):
    """The orders that SIPS lists now. It lists them late: one that is missing may still be there."""

    orders: list[ListedOrder]


@command("sips.order.list", queue=QUERIES, calls=("ordersList",))
def list_orders(request: OrderQuery, sips: Sips) -> ListedOrders:
    """Orders by customer, PO number, dates and more."""
    answer = sips.call("ordersList", json=request.to_sips())
    return ListedOrders(orders=answer.parse(list[ListedOrder], under="orderList"))


def _id(value: Any) -> str | None:
    """An id as text; SIPS shows ids as text on one page and as a number on another."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None if value else None


def _says_queued(message: Any) -> bool:
    """Whether a message says that the order was queued, as "Order Queued" does, and not that it was not."""
    words = set(re.findall(r"[a-z']+", message.lower())) if isinstance(message, str) else set()
    return "queued" in words and not words & DENIALS
