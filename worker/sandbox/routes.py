"""What SIPS answers, one small function per operation, as its description and the documented examples have it.

Dates of Order List are compared to the day the order was accepted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson

from worker.sandbox import shapes
from worker.sandbox.state import EXAMPLE_ORDER_ID, TOKEN_SECONDS, Order, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.sandbox.faults import Faults

__all__ = ["OPERATIONS", "ROUTES", "Answer", "Call", "Route", "error", "find", "parse", "parse_json"]

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

#: The product whose price only the branch can tell: SIPS answers 0 for it.
CALL_FOR_PRICE_PRODUCT = 1


@dataclass(slots=True)
class Answer:
    """A status and a JSON body; `order` is the order that was accepted by the call."""

    status: int
    body: Any
    order: Order | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and what it is answered from."""

    parameters: Mapping[str, str]
    body: Any
    state: State
    faults: Faults
    credentials: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Route:
    """One operation; names in braces match one segment of the path. A body of another media type is refused."""

    operation: str
    method: str
    path: str
    answer: Callable[[Call], Answer]
    media_types: tuple[str, ...] = ()


def error(status: int, message: str, *faults: tuple[tuple[str, ...], str]) -> Answer:
    """An error in the shape that integrators report; each fault is the path of a property and what is wrong with it."""
    errors = [
        {
            "domain": ".".join(path[:-1]) or "request",
            "reason": "invalid",
            "message": f"{'.'.join(path[-1:]) or 'body'} {what}",
            "parameter": ".".join(path[-1:]) or "body",
        }
        for path, what in faults
    ]
    return Answer(status, {"message": message, "errors": errors})


def _refusal(call: Call, shape: shapes.Rule) -> Answer | None:
    faults = tuple(shapes.faults(call.body, shape))
    return error(400, "Bad Request", *faults) if faults else None


def _token(call: Call) -> Answer:
    if refusal := _refusal(call, shapes.TOKEN):
        return refusal
    client, secret = call.body.get("client_id"), call.body.get("client_secret")
    if not client or not secret or (call.credentials is not None and call.credentials.get(client) != secret):
        return error(401, "Unauthorized")
    short = call.faults.strikes("token_short", "authenticationToken")
    seconds = short["expires_in"] if short else TOKEN_SECONDS
    token = call.state.issue_token(seconds)
    return Answer(200, {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token})


def _submit(call: Call) -> Answer:
    if refusal := _refusal(call, shapes.ORDER):
        return refusal
    customer = call.body["customerCode"]
    queued = call.faults.strikes("queued", "ordersV2Submit", customer)
    dropped = call.faults.strikes("queued_dropped", "ordersV2Submit", customer)
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


def _list_orders(call: Call) -> Answer:
    if refusal := _refusal(call, shapes.ORDER_LIST):
        return refusal
    wanted = call.body
    found = [order for order in call.state.orders() if order.is_listed and _matches(order, wanted)]
    limit = max(wanted.get("rowReturnLimit") or 0, 0) or len(found)
    return Answer(200, {"orderList": [_details(order) for order in found[:limit]]})


def _matches(order: Order, wanted: dict[str, Any]) -> bool:
    shown = _details(order)
    equal = {"PONumber": "PONumber", "customerNumber": "customerCode", "branchCode": "branchCode", "jobNumber": "jobNumber"}
    equal |= {"orderStatus": "orderStatus", "orderId": "orderId", "shipToSequenceNumber": "shipToSequenceNumber"}
    if any(wanted.get(asked) and str(wanted[asked]) != str(shown[name]) for asked, name in equal.items()):
        return False
    day = order.accepted_at.date()
    first, last = _day(wanted.get("orderFromDate")), _day(wanted.get("orderToDate"))
    return (first is None or day >= first) and (last is None or day <= last)


def _day(text: Any) -> date | None:
    try:
        return date.fromisoformat(str(text)[:10]) if text else None
    except ValueError:
        return None


def _details(order: Order) -> dict[str, Any]:
    po = order.body["poDetails"]
    return {
        "orderId": int(order.order_id),
        "orderStatus": "Open",
        "orderDate": str(po.get("orderDate")),
        "customerCode": order.body["customerCode"],
        "branchCode": order.body["branchCode"],
        "shipToSequenceNumber": order.body.get("shipToSequenceNumber") or 1,
        "PONumber": order.po_number,
        "jobNumber": str(po.get("jobNumber") or ""),
        "orderLineItemDetails": order.body["orderLineItemDetails"],
    }


def _order(call: Call) -> Answer:
    order = call.state.find_order(call.parameters["orderId"])
    return Answer(200, _details(order)) if order else error(404, "Not Found")


def _deliveries(call: Call) -> Answer:
    order_id = call.parameters["orderId"]
    if order_id != EXAMPLE_ORDER_ID and call.state.find_order(order_id) is None:
        return error(404, "Not Found")
    delivery = {
        "orderId": int(order_id),
        "shipmentNumber": 1,
        "deliveryStatus": "Pending",
        "expectedDeliveryDate": "2021-04-15",
        "deliveredDate": None,
    }
    return Answer(200, {"deliveryList": [delivery]})


def _price(call: Call) -> Answer:
    if refusal := _refusal(call, shapes.PRICE):
        return refusal
    return Answer(200, [_price_line(call.body, product) for product in call.body["productList"]])


def _price_line(body: dict[str, Any], product: dict[str, Any]) -> dict[str, Any]:
    number = product["productId"]
    return {
        "itemCode": f"ITEM{number}",
        "productId": number,
        "productName": product.get("productName") or f"Product {number}",
        "productOptions": product.get("productOptions") or ["N/A"],
        "priceUOM": product["uom"],
        "requestedUOM": product["uom"],
        "uomConversionFactor": 1,
        "price": 0 if number == CALL_FOR_PRICE_PRODUCT else round(number % 9973 / 100 + 0.25, 2),
        "availableStatus": "Call for Availability",
        "transactionId": body.get("transactionId") or "",
        "message": "",
        "messageCode": 0,
    }


def _branches(_call: Call) -> Answer:
    branch = {"brand": "Sandbox Supply", "branchCode": "HWPLY", "branchName": "Sandbox", "city": "Denver", "state": "CO"}
    return Answer(200, [branch])


ROUTES = (
    Route("authenticationToken", "POST", "/Authentication/token", _token, (FORM, JSON)),
    Route("authenticationToken", "POST", "/authentication/token", _token, (FORM, JSON)),
    Route("ordersV2Submit", "POST", "/orders/v2/Submit", _submit, (JSON,)),
    Route("ordersV2Submit", "POST", "/orders/v2/submit", _submit, (JSON,)),
    Route("ordersList", "POST", "/orders/List", _list_orders, (JSON,)),
    Route("orderDetails", "GET", "/orders/{orderId}", _order),
    Route("deliveryDetails", "GET", "/orders/{orderId}/deliveries", _deliveries),
    Route("productsV2Price", "POST", "/products/v2/price", _price, (JSON,)),
    Route("branchLocations", "GET", "/branches/v2/branchLocations", _branches),
)

#: The operations that can be answered.
OPERATIONS = frozenset(route.operation for route in ROUTES)

_FIXED = {(route.method, route.path): route for route in ROUTES if "{" not in route.path}
_PATTERNS = [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)), route) for route in ROUTES if "{" in route.path]


def find(method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
    """The route of a request and the parameters in its path (still percent-encoded)."""
    if route := _FIXED.get((method, path)):
        return route, {}
    for pattern, route in _PATTERNS:
        if route.method == method and (match := pattern.fullmatch(path)):
            return route, match.groupdict()
    return None


def parse(media_type: str, raw: bytes) -> Any:
    """The body as JSON has it, or a form's first value of each name; None where it is neither."""
    if media_type == FORM:
        return {name: values[0] for name, values in parse_qs(raw.decode(errors="replace")).items()}
    return parse_json(raw)


def parse_json(raw: bytes) -> Any:
    """The body as JSON, or None where it is not."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
