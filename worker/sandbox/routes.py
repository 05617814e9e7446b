"""Which operation answers which request: one row for each path, as SIPS' description has them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

import orjson

from worker.sandbox import branches, customers, orders, products, shapes
from worker.sandbox.calls import JSON, Answer, Call, Route, error, refusal
from worker.sandbox.state import TOKEN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPERATIONS", "ROUTES", "Routes", "known", "parse", "parse_json", "parse_query"]

Changed = TypeVar("Changed")

FORM = "application/x-www-form-urlencoded"

_ITEM_CODES = "/products/v2/catalog/{branchCode}/byItemCodes"


def _token(call: Call) -> Answer:
    if refused := refusal(call, shapes.TOKEN):
        return refused
    client, secret = call.body.get("client_id"), call.body.get("client_secret")
    if not client or not secret or (call.credentials is not None and call.credentials.get(client) != secret):
        return error(401, "Unauthorized")
    short = call.faults.strikes("token_short", "authenticationToken")
    seconds = short["expires_in"] if short else TOKEN_SECONDS
    token = call.state.issue_token(seconds)
    return Answer(200, {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token})


ROUTES = (
    Route("authenticationToken", "POST", "/Authentication/token", _token, (FORM, JSON)),
    Route("authenticationToken", "POST", "/authentication/token", _token, (FORM, JSON)),
    Route("ordersV2Submit", "POST", "/orders/v2/Submit", orders.submit, (JSON,)),
    Route("ordersV2Submit", "POST", "/orders/v2/submit", orders.submit, (JSON,)),
    Route("ordersSubmitV1", "POST", "/orders/submit", orders.submit_v1, (JSON,)),
    Route("ordersList", "POST", "/orders/List", orders.list_orders, (JSON,)),
    Route("orderDetails", "GET", "/orders/{orderId}", orders.details),
    Route("deliveryDetails", "GET", "/orders/{orderId}/deliveries", orders.deliveries),
    Route("deliveriesList", "POST", "/orders/deliveries/List", orders.list_deliveries, (JSON,)),
    Route("proofOfDelivery", "GET", "/orders/{orderId}/proofOfDelivery", orders.proof),
    Route("deliveryCoordinates", "GET", "/deliveries/v2/coordinates/{orderId}", orders.locate),
    Route("invoiceDetails", "GET", "/invoices/{invoiceNumber}", customers.invoice),
    Route("invoicesList", "POST", "/invoices/list", customers.list_invoices, (JSON,)),
    Route("invoicePdf", "GET", "/invoices/{invoiceNumber}/pdf", customers.invoice_pdf),
    Route("customerDetails", "GET", "/customers/{customerCode}", customers.details),
    Route("customersValidate", "GET", "/customers/validate/", customers.validate),
    Route("nearestEligibleBranch", "GET", "/customers/{customerCode}/nearestEligibleBranch", customers.nearest_branch),
    Route("shipToAddresses", "GET", "/customers/{customerCode}/shipToAddresses", customers.ship_tos),
    Route("orderTemplatesV1", "GET", "/customers/orderTemplates/{customerCode}", customers.templates),
    Route("orderTemplatesV2", "GET", "/customers/v2/orderTemplates/{customerCode}", customers.templates),
    Route("productsPricingV1", "POST", "/products/pricing", products.price_items, (JSON,)),
    Route("productsV2Price", "POST", "/products/v2/price", products.price, (JSON,)),
    Route("productsV2Catalog", "GET", "/products/v2/catalog", products.catalog),
    Route("productsV2CatalogByItemCodes", "POST", _ITEM_CODES, products.by_item_codes, (JSON,)),
    Route("productsV2CatalogConvert", "POST", "/products/v2/catalog/convert", products.convert, (JSON,)),
    Route("colorRecommendations", "POST", "/products/v2/colorRecommendations", products.colors, (JSON,)),
    Route("uomConversion", "GET", "/products/UOMConversion/{itemCode}", products.units),
    Route("branchLocations", "GET", "/branches/v2/branchLocations", branches.locations),
    Route("activeBranchProducts", "GET", "/branches/v2/activeBranchProducts/{branchCode}", branches.products),
    Route("customerBranchLocations", "GET", "/branches/v2/customerBranchLocations/{customerCode}", branches.customer_branches),
    Route("branchDetails", "GET", "/branches/{branchId}", branches.details),
    Route("branchActiveItems", "GET", "/branches/{branchId}/activeItems", branches.items),
)

#: The operations that can be answered.
OPERATIONS = frozenset(route.operation for route in ROUTES)

_PARAMETER = re.compile(r"\{(\w+)\}")


def known(changed: Mapping[str, Changed]) -> Mapping[str, Changed]:
    """Operations and what is changed of each.

    Raises:
        ValueError: there is no such operation.
    """
    if unknown := changed.keys() - OPERATIONS:
        raise ValueError(f"the sandbox has no operation {', '.join(sorted(unknown))}")
    return changed


class Routes:
    """What finds the route of a request; `moved` gives operations other paths than SIPS' description does.

    Raises:
        ValueError: there is no such operation.
    """

    def __init__(self, moved: Mapping[str, str] | None = None) -> None:
        moved = known(moved or {})
        routes = [replace(route, path=moved.get(route.operation, route.path)) for route in ROUTES]
        self._fixed = {(route.method, route.path): route for route in routes if "{" not in route.path}
        self._patterns = [
            (re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", route.path)), route) for route in routes if "{" in route.path
        ]

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """The route of a request and the parameters in its path (still percent-encoded)."""
        if route := self._fixed.get((method, path)):
            return route, {}
        for pattern, route in self._patterns:
            if route.method == method and (match := pattern.fullmatch(path)):
                return route, match.groupdict()
        return None


def parse(media_type: str, raw: bytes) -> Any:
    """The body as JSON has it, or a form's first value of each name; None where it is neither."""
    if media_type == FORM:
        return parse_query(raw.decode(errors="replace"))
    return parse_json(raw)


def parse_json(raw: bytes) -> Any:
    """The body as JSON, or None where it is not."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def parse_query(text: str) -> dict[str, str]:
    """The first value of each name."""
    return {name: values[0] for name, values in parse_qs(text).items()}
