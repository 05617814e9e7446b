"""Orders: `sips.order.submit`, `sips.order.check`, `sips.order.withdraw`, `sips.order.get`, `sips.order.list`."""

from __future__ import annotations

from typing import Literal

from handlers.order_answers import judge
from handlers.order_lookup import Findings, NotLookedUp, look_up
from handlers.order_payload import OrderRequest
from worker.messaging.topology import CONTROL, ORDERS, QUERIES
from worker.runtime.payload import Code, Filters, Gleaned, Id, Identity, Payload, PayloadWarning, Result, Whole
from worker.runtime.registry import command
from worker.runtime.spelling import read_from, sent_to
from worker.runtime.submission import OrderResult, Submission
from worker.runtime.withdrawals import Withdrawals
from worker.sips import Sips


@command("sips.order.submit", queue=ORDERS, calls=("ordersV2Submit", "ordersSubmitV1"), changes=True)
def submit_order(order: OrderRequest, sips: Sips, submission: Submission) -> OrderResult:
    """Place an order, at most once."""
    answer = sips.call(order.operation, json=order.to_submit(sips.source_system, submission))
    taken = judge(answer, submission.transaction_id)
    return OrderResult(
        **taken._asdict(),
        transaction_id=submission.transaction_id,
        transaction_date=submission.transaction_date,
        source_system=sips.source_system,
        customer_code=order.customer_code,
        po_number=submission.po_number,
        warnings=order.warnings(),
    )


class OrderCheck(Result):
    """What there is to say of an order before it is sent.

    `warnings` are those that a submit would come back with. `drops` is what SIPS says that it would not take, for the parts in
    `looked_up`; it would say nothing of that in its answer to a submit. Of the parts in `not_looked_up` nothing is known.
    """

    customer_code: str
    branch_code: str | None
    po_number: str
    warnings: list[PayloadWarning]
    drops: list[PayloadWarning]
    looked_up: list[str]
    not_looked_up: list[NotLookedUp]


@command("sips.order.check", queue=QUERIES)
def check_order(order: OrderRequest, sips: Sips) -> OrderCheck:
    """An order as `sips.order.submit` takes it, checked and not sent; with `lookup` SIPS is asked for what it knows of it."""
    found = look_up(order, sips) if order.lookup else Findings()
    return OrderCheck(
        customer_code=order.customer_code,
        branch_code=order.identity().branch_code,
        po_number=order.po_details.po_number,
        warnings=order.warnings(),
        drops=found.drops,
        looked_up=found.looked_up,
        not_looked_up=found.not_looked_up,
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
