"""The sandbox's customers and their invoices: those that are there from the start, and those of orders that live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.sandbox import data, files, shapes
from worker.sandbox.calls import Answer, error, found, refusal
from worker.sandbox.data import BRANCHES, CUSTOMERS, INVOICES, JOB_ACCOUNTS, template
from worker.sandbox.life import INVOICE, day
from worker.sandbox.orders import limited

if TYPE_CHECKING:
    from worker.sandbox.calls import Call
    from worker.sandbox.data import Row
    from worker.sandbox.state import Order

__all__ = ["details", "invoice", "invoice_pdf", "list_invoices", "nearest_branch", "ship_tos", "templates", "validate"]


def details(call: Call) -> Answer:
    """One customer."""
    return found(CUSTOMERS.get(call.parameters["customerCode"]))


def validate(call: Call) -> Answer:
    """Whether an account is a customer's: with an invoice, whether that is one of the customer's."""
    account = call.query.get("accountNumber")
    if not account:
        return error(400, "Bad Request", (("accountNumber",), "is required"))
    customer = CUSTOMERS.get(account)
    if customer is None or not _is_theirs(account, call):
        return Answer(200, {"validIndicator": "N"})
    told = {
        "validIndicator": "Y",
        "customerId": customer["customerId"],
        "accountNumber": account,
        "customerName": customer["customerName"],
        "homeBranchId": str(customer["homeBranchId"]),
        "customerPhone": customer["phone"],
    }
    places = ("AddressLine1", "AddressLine2", "AddressLine3", "City", "State", "ZipCode")
    named = {f"customer{place.replace('Line', '')}": customer[place[0].lower() + place[1:]] for place in places}
    return Answer(200, told | named)


def _is_theirs(account: str, call: Call) -> bool:
    number = call.query.get("invoiceNumber")
    if not number:
        return True
    header = _invoices(call).get(number, {"header": {}})["header"]
    day, amount = call.query.get("invoiceDate"), call.query.get("billedAmount")
    return (
        header.get("customerCode") == account
        and (not day or header["invoiceDate"].startswith(day))
        and (not amount or str(header["invoiceTotal"]) == amount)
    )


def nearest_branch(call: Call) -> Answer:
    """The branches that a customer may buy from, its home branch first."""
    code = call.parameters["customerCode"]
    if code not in CUSTOMERS:
        return error(404, "Not Found")
    home = CUSTOMERS[code]["homeBranch"]
    codes = sorted(JOB_ACCOUNTS[code], key=lambda branch: branch != home)
    return Answer(200, {"branchList": [{"branchId": BRANCHES[branch]["id"], "branchCode": branch} for branch in codes]})


def ship_tos(call: Call) -> Answer:
    """The one address of a customer."""
    customer = CUSTOMERS.get(call.parameters["customerCode"])
    if customer is None:
        return error(404, "Not Found")
    names = ("addressLine1", "addressLine2", "addressLine3", "city", "state", "zipCode")
    address = {name: customer[name] for name in names}
    return Answer(200, {"shipToList": [{"shipToId": customer["customerId"], "shipToSequenceId": 1, **address}]})


def templates(call: Call) -> Answer:
    """The templates of a customer: one, in either version."""
    known = call.parameters["customerCode"] in CUSTOMERS
    return found([template(410, "Shingles with starter", 75664, 75621)] if known else None)


def _invoices(call: Call, order_id: object = None) -> dict[str, Row]:
    """Invoice number to invoice, of all that are issued by now; of the orders that live, one alone where it is named."""
    now = call.state.now()
    issued = [_invoice(order) for order in call.state.listed(now, order_id) if order.life.status(INVOICE, now)]
    return INVOICES | {row["header"]["invoiceNumber"]: row for row in issued}


def _invoice(order: Order) -> Row:
    """The invoice of an order, which charges what its lines ask for."""
    body, issued = order.body, day(order.life.at(INVOICE, "Issued"))
    total = round(sum((line.get("price") or 0) * line["quantity"] for line in body.get("orderLineItemDetails") or []), 2)
    branch = body.get("branchCode") or body["branchId"]
    row = data.invoice(int(order.order_id), body["customerCode"], branch, issued, total, order.po_number)
    named = {"shipToSequenceNumber": str(body.get("shipToSequenceNumber") or 1)}
    return row | {"header": row["header"] | named | {"jobNumber": str(body["poDetails"].get("jobNumber") or "")}}


def invoice(call: Call) -> Answer:
    """One invoice."""
    row = _invoices(call).get(call.parameters["invoiceNumber"])
    return found(None if row is None else {"invoiceHeader": row["header"], "invoiceDetails": []})


def invoice_pdf(call: Call) -> Answer:
    """One invoice as a document."""
    number = call.parameters["invoiceNumber"]
    if number not in _invoices(call):
        return error(404, "Not Found")
    return Answer(200, files.pdf(f"Invoice {number}", call.mib("invoicePdf")), media_type=files.PDF)


def list_invoices(call: Call) -> Answer:
    """The invoices that match every filter; empty and zero mean "any", and both dates count."""
    if refused := refusal(call, shapes.INVOICE_LIST):
        return refused
    headers = [row["header"] for row in _invoices(call, call.body.get("orderNumber")).values() if _is_wanted(row, call.body)]
    return Answer(200, {"invoiceList": limited(headers, call.body)})


def _is_wanted(row: Row, wanted: dict[str, Any]) -> bool:
    shown = row["header"] | {"branchCode": row["branchCode"]}
    names = ("branchCode", "customerCode", "shipToSequenceNumber", "orderNumber")
    if any(wanted.get(name) and wanted[name] != shown[name] for name in names):
        return False
    day: str = shown["invoiceDate"][:10]
    return bool((wanted.get("startInvoiceDate") or day) <= day <= (wanted.get("endInvoiceDate") or day))
