"""The sandbox's orders and their deliveries. Dates of Order List are compared to the day on which it accepted the order."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from worker.sandbox import files, shapes
from worker.sandbox.calls import Answer, error, found, refusal
from worker.sandbox.data import BRANCHES
from worker.sandbox.life import DELIVERY, ORDER, Lives, day
from worker.sandbox.state import EXAMPLE_ORDER_ID

if TYPE_CHECKING:
    from worker.sandbox.calls import Call
    from worker.sandbox.life import Life
    from worker.sandbox.state import Order

__all__ = ["deliveries", "details", "list_deliveries", "list_orders", "locate", "proof", "submit", "submit_v1"]

#: The order of the documented examples: it is there from the start. Its PO number is not that of the documented request, which
#: somebody may place: the two would be taken for one another.
EXAMPLE: dict[str, Any] = {
    "orderId": int(EXAMPLE_ORDER_ID),
    "orderStatus": "Open",
    "orderDate": "2021-04-12",
    "customerCode": "DEMO001",
    "branchCode": "BRRIV",
    "shipToSequenceNumber": 1,
    "PONumber": "5641-7Test",
    "jobNumber": "",
    "orderLineItemDetails": [],
}
EXAMPLE_LIFE = Lives().begin("", 0.0)

#: Day on which a still order is expected.
STILL_DAY = "2021-04-15"

#: How far a truck drives from its branch, in degrees of latitude.
DRIVE = 0.1


def submit(call: Call) -> Answer:
    """Accept an order."""
    return refusal(call, shapes.ORDER) or _accept(call, "ordersV2Submit")


def submit_v1(call: Call) -> Answer:
    """Accept an order of version 1; it is answered like any other (inferred)."""
    return refusal(call, shapes.ORDER_V1) or _accept(call, "ordersSubmitV1")


def _accept(call: Call, operation: str) -> Answer:
    customer = call.body["customerCode"]
    queued = call.faults.strikes("queued", operation, customer)
    dropped = call.faults.strikes("queued_dropped", operation, customer)
    order = call.state.add_order(
        call.body,
        queued=queued is not None,
        dropped=dropped is not None,
        listed_after=queued["listed_after"] if queued else 0.0,
    )
    answer: dict[str, Any]
    if order.queue_id:
        answer = {"message": "Order Queued", "orderID": order.queue_id, "queueID": order.queue_id}
    else:
        answer = {"message": "Order Submitted", "orderID": order.order_id, "queueID": None}
    return Answer(200, answer | {"transactionID": order.transaction_id}, order)


def list_orders(call: Call) -> Answer:
    """The orders that match every filter; empty and zero mean "any"."""
    if refused := refusal(call, shapes.ORDER_LIST):
        return refused
    now = call.state.now()
    placed = [(_details(order, now), order.accepted_at.date()) for order in call.state.listed(now, call.body.get("orderId"))]
    known = [(EXAMPLE, date.fromisoformat(EXAMPLE["orderDate"])), *placed]
    listed = [shown for shown, accepted in known if _is_wanted(shown, accepted, call.body)]
    return Answer(200, {"orderList": limited(listed, call.body)})


def limited(rows: list[dict[str, Any]], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """The first rows, as many as are wanted."""
    return rows[: max(wanted.get("rowReturnLimit") or 0, 0) or len(rows)]


def _is_wanted(shown: dict[str, Any], accepted: date, wanted: dict[str, Any]) -> bool:
    equal = {"PONumber": "PONumber", "customerNumber": "customerCode", "branchCode": "branchCode", "jobNumber": "jobNumber"}
    equal |= {"orderStatus": "orderStatus", "orderId": "orderId", "shipToSequenceNumber": "shipToSequenceNumber"}
    if any(wanted.get(asked) and str(wanted[asked]) != str(shown[name]) for asked, name in equal.items()):
        return False
    first, last = _day(wanted.get("orderFromDate")), _day(wanted.get("orderToDate"))
    return (first is None or accepted >= first) and (last is None or accepted <= last)


def _day(text: Any) -> date | None:
    try:
        return date.fromisoformat(str(text)[:10]) if text else None
    except ValueError:
        return None


def _details(order: Order, now: float) -> dict[str, Any]:
    po = order.body["poDetails"]
    return {
        "orderId": int(order.order_id),
        "orderStatus": order.life.status(ORDER, now),
        "orderDate": str(po.get("orderDate")),
        "customerCode": order.body["customerCode"],
        "branchCode": order.body.get("branchCode") or order.body["branchId"],  # which an order of version 1 has instead
        "shipToSequenceNumber": order.body.get("shipToSequenceNumber") or 1,
        "PONumber": order.po_number,
        "jobNumber": str(po.get("jobNumber") or ""),
        "orderLineItemDetails": order.body.get("orderLineItemDetails") or [],
    }


def _find(call: Call, now: float) -> tuple[dict[str, Any], Life] | None:
    """The order that the path names, as it is now."""
    order_id = call.parameters["orderId"]
    if order_id == EXAMPLE_ORDER_ID:
        return EXAMPLE, EXAMPLE_LIFE
    order = call.state.find_order(order_id, now)
    return None if order is None else (_details(order, now), order.life)


def details(call: Call) -> Answer:
    """One order."""
    order = _find(call, call.state.now())
    return found(order and order[0])


def deliveries(call: Call) -> Answer:
    """The deliveries of one order."""
    now = call.state.now()
    order = _find(call, now)
    return found(order and {"deliveryList": _deliveries(*order, now)})


def list_deliveries(call: Call) -> Answer:
    """The deliveries of the orders that match."""
    if refused := refusal(call, shapes.DELIVERY_LIST):
        return refused
    now = call.state.now()
    listed = call.state.listed(now, call.body.get("orderId"))
    orders = [(EXAMPLE, EXAMPLE_LIFE), *((_details(order, now), order.life) for order in listed)]
    names = ("customerCode", "branchCode", "orderId")
    matching = [order for order in orders if all(not call.body.get(name) or call.body[name] == order[0][name] for name in names)]
    rows = [row for order in matching for row in _deliveries(*order, now)]
    return Answer(200, {"deliveryList": limited(rows, call.body)})


def _deliveries(order: dict[str, Any], life: Life, now: float) -> list[dict[str, Any]]:
    """The delivery of an order, from the moment there is one."""
    status, delivered_at = life.status(DELIVERY, now), life.at(DELIVERY, "Delivered")
    if status is None:
        return []
    row = {
        "orderId": order["orderId"],
        "shipmentNumber": 1,
        "deliveryStatus": status,
        "expectedDeliveryDate": STILL_DAY if life.is_still else day(delivered_at),
        "deliveredDate": day(delivered_at) if now >= delivered_at else None,
    }
    return [row]


def proof(call: Call) -> Answer:
    """The proofs of an order's delivery: none before it is delivered; a still order has one."""
    now = call.state.now()
    order = _find(call, now)
    if order is None:
        return error(404, "Not Found")
    shown, life = order
    proofs = files.proofs(shown["orderId"])
    is_delivered = life.is_still or now >= life.at(DELIVERY, "Delivered")
    return Answer(200, proofs if is_delivered else proofs | {"documents": []})


def locate(call: Call) -> Answer:
    """Where the truck with an order is: at the branch, on its way north, or there. Nowhere, before there is a delivery."""
    now = call.state.now()
    order = _find(call, now)
    if order is None:
        return error(404, "Not Found")
    shown, life = order
    status = life.status(DELIVERY, now)
    if status is None:
        return Answer(200, {"orderId": shown["orderId"]})
    branch = BRANCHES.get(shown["branchCode"], BRANCHES[EXAMPLE["branchCode"]])
    place = {"latitude": round(branch["latitude"] + DRIVE * _driven(life, now), 6), "longitude": branch["longitude"]}
    return Answer(200, {"orderId": shown["orderId"], "status": status, **place})


def _driven(life: Life, now: float) -> float:
    """How much of the way is driven, from 0 to 1."""
    start, end = life.at(DELIVERY, "En Route"), life.at(DELIVERY, "Delivered")
    return 0.0 if now < start else min((now - start) / (end - start), 1.0)
