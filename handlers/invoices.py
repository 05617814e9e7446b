"""Invoices: `sips.invoice.get`, `sips.invoice.list`."""

from __future__ import annotations

from worker.messaging.topology import QUERIES
from worker.runtime.payload import Code, Day, Filters, Id, Identity, Number, Payload, Result, Whole
from worker.runtime.registry import command
from worker.runtime.spelling import read_from, sent_to
from worker.sips import Sips


class InvoiceRequest(Payload):
    """The invoice that is asked for: as a rule the order's number in ten digits, a dash and the shipment's in three."""

    invoice_number: Id


class Invoice(Result, alias_generator=read_from("invoiceDetails")):
    """The head of an invoice; its lines, where SIPS shows them, stand in `sips.body`. Dates have no zone."""

    invoice_number: str | None = None
    order_number: Whole | None = None
    shipment_number: Whole | None = None
    ship_to_sequence_number: str | None = None
    customer_code: str | None = None
    invoice_date: str | None = None
    invoice_sub_total: Number | None = None
    invoice_charges: Number | None = None
    invoice_tax: Number | None = None
    invoice_total: Number | None = None
    payment_status: str | None = None
    so_type_code: str | None = None
    po_number: str | None = None
    sales_type_code: str | None = None
    job_number: str | None = None
    ship_to_address1: str | None = None
    ship_to_address2: str | None = None
    ship_to_address3: str | None = None


@command("sips.invoice.get", queue=QUERIES, calls=("invoiceDetails",))
def get_invoice(request: InvoiceRequest, sips: Sips) -> Invoice:
    """One invoice: amounts, payment, and what it is for."""
    return sips.call("invoiceDetails", path={"invoiceNumber": request.invoice_number}).parse(Invoice, under="invoiceHeader")


class InvoiceQuery(Filters, alias_generator=sent_to("invoicesList")):
    """Which invoices to list; the dates are those of the invoices, both included."""

    customer_code: Code | None = None
    branch_code: Code | None = None
    ship_to_sequence_number: Id | None = None
    from_date: Day | None = None
    to_date: Day | None = None
    order_number: Whole | None = None

    def identity(self) -> Identity:
        """Customer, branch and order."""
        order_id = None if self.order_number is None else str(self.order_number)
        return Identity(customer_code=self.customer_code, branch_code=self.branch_code, order_id=order_id)


class InvoiceList(Result):
    """The invoices that SIPS lists now."""

    invoices: list[Invoice]


@command("sips.invoice.list", queue=QUERIES, calls=("invoicesList",))
def list_invoices(request: InvoiceQuery, sips: Sips) -> InvoiceList:
    """Invoices by customer, order, branch and dates."""
    answer = sips.call("invoicesList", json=request.to_sips())
    return InvoiceList(invoices=answer.parse(list[Invoice], under="invoiceList"))
