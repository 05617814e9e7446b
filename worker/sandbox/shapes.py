"""What the bodies of requests must hold, as the description has it: which properties, of which type, and which are required.

A shape maps a property's name to what it must be: a check, a shape for an object, or a list of one of them for a list.
A name that ends in `?` is of a property that may be missing, null or an empty list.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Shape: TypeAlias = "dict[str, Rule]"
    Rule: TypeAlias = "Callable[[Any], bool] | Shape | list[Rule]"

__all__ = [
    "ANY_OBJECT",
    "CONVERT",
    "DELIVERY_LIST",
    "INVOICE_LIST",
    "ITEM_CODES",
    "ORDER",
    "ORDER_LIST",
    "ORDER_V1",
    "PRICE",
    "PRICE_V1",
    "TOKEN",
    "faults",
]


def text(value: Any) -> bool:
    """Any text."""
    return isinstance(value, str)


def filled(value: Any) -> bool:
    """Text that says something: blank values of what is required were refused (field evidence)."""
    return isinstance(value, str) and bool(value.strip())


def whole(value: Any) -> bool:
    """A whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def number(value: Any) -> bool:
    """Any number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def positive(value: Any) -> bool:
    """A number above 0."""
    return number(value) and value > 0


def flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def day(value: Any) -> bool:
    """A date without a time."""
    try:
        return isinstance(value, str) and bool(date.fromisoformat(value))
    except ValueError:
        return False


_REST_OF_ADDRESS: Shape = {"addressLine2?": text, "addressLine3?": text, "city?": text, "state?": text, "zipCode?": text}

_SHIP_TO: Shape = {"name?": text, "addressLine1?": text, **_REST_OF_ADDRESS}

_PO_DETAILS: Shape = {
    "poNumber": filled,
    "reference?": text,
    "jobNumber?": text,
    "orderDate": day,
    "expectedDeliveryDate?": day,
    "expectedDeliveryTime?": text,
    "orderType?": text,
    "shippingMethod?": text,
}

_CONTACT: Shape = {
    "customerContactName": filled,
    "customerContactPhone": filled,
    "customerContactEmail?": text,
    "customerContactAddress": {"addressLine1": filled, **_REST_OF_ADDRESS},
    "additionalContactEmails?": [text],
}

#: Body of POST /orders/v2/Submit. What is required below the first level is field evidence, and so is that an order is taken
#: without a job account.
ORDER: Shape = {
    "sourceSystem": filled,
    "customerCode": filled,
    "jobAccountNumber?": whole,
    "shipToSequenceNumber?": whole,
    "branchCode": filled,
    "accountNumber": filled,
    "transactionID": filled,
    "transactionDate": filled,
    "notes?": text,
    "shipTo": _SHIP_TO,
    "poDetails": _PO_DETAILS,
    "orderLineItemDetails": [
        {
            "productId": whole,
            "productName?": text,
            "option?": text,
            "quantity": positive,
            "price?": number,
            "customerItem?": text,
            "uom": filled,
        }
    ],
    "customerContactInfo": _CONTACT,
}

#: Body of POST /orders/submit. Only the top of the documented example was read, so what follows there is not demanded: where
#: it is given, it must be as of the other version.
ORDER_V1: Shape = {
    "sourceSystem?": text,
    "customerCode": filled,
    "branchId": filled,
    "shipToSequenceNumber?": whole,
    "accountNumber?": text,
    "transactionID": filled,
    "transactionDate?": text,
    "notes?": text,
    "shipTo?": _SHIP_TO,
    "billTo?": _SHIP_TO,
    "poDetails": _PO_DETAILS,
    "orderLineItemDetails?": [
        {
            "itemCode": filled,
            "itemSize?": text,
            "itemDescription?": text,
            "option?": text,
            "quantity": positive,
            "UOM": filled,
            "price?": number,
            "customerItem?": text,
        }
    ],
    "customerContactInfo?": _CONTACT,
    "isTest?": flag,
}

#: Body of POST /Authentication/token; missing credentials are a 401, see the route.
TOKEN: Shape = {
    "client_id?": text,
    "client_secret?": text,
    "grant_type": lambda value: value == "client_credentials",
    "scope": lambda value: value == "ALL",
}

#: Filters of POST /orders/List; the documented example has placeholders for values, so dates are any text.
ORDER_LIST: Shape = {
    "branchCode?": text,
    "customerNumber?": text,
    "shipToSequenceNumber?": whole,
    "orderId?": whole,
    "orderFromDate?": text,
    "orderToDate?": text,
    "rowReturnLimit?": whole,
    "orderStatus?": text,
    "PONumber?": text,
    "jobNumber?": text,
    "shipToAddress?": text,
    "includeInvoices?": text,
}

#: Body of POST /products/v2/price. A documented example goes without three of the properties that the description's
#: guess requires (sourceSystem, transactionId, jobAccountNumber), so they are not demanded.
PRICE: Shape = {
    "sourceSystem?": text,
    "customerCode": filled,
    "branchCode": filled,
    "transactionId?": text,
    "jobAccountNumber?": whole,
    "productList": [
        {"productId": whole, "productName?": text, "productOptions?": [text], "quantity": number, "uom": filled},
    ],
}

#: Body of POST /products/pricing. The description requires nothing; this is what an answer can be made from.
PRICE_V1: Shape = {
    "sourceSystem?": text,
    "customerId": filled,
    "branchCode": filled,
    "shipToSequenceNumber?": text,
    "bypassItemValidation?": lambda value: isinstance(value, bool),
    "itemCodeList": [{"itemCode": filled, "option?": text, "quantity": number, "UOM": filled}],
}

#: Filters of POST /orders/deliveries/List.
DELIVERY_LIST: Shape = {"branchCode?": text, "customerCode?": text, "orderId?": whole, "rowReturnLimit?": whole}

#: Filters of POST /invoices/list.
INVOICE_LIST: Shape = {
    "branchCode?": text,
    "customerCode?": text,
    "shipToSequenceNumber?": text,
    "startInvoiceDate?": day,
    "endInvoiceDate?": day,
    "orderNumber?": whole,
    "rowReturnLimit?": whole,
}

#: Body of POST /products/v2/catalog/{branchCode}/byItemCodes.
ITEM_CODES: Shape = {"itemCodes": [text]}

#: Body of POST /products/v2/catalog/convert.
CONVERT: Shape = {"BranchId": whole, "Items": [{"GenericItemCode": text}]}

#: Body of POST /products/v2/colorRecommendations, of which nothing is known.
ANY_OBJECT: Shape = {}


def faults(value: Any, rule: Rule, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The path of each property that is not as it must be, with `is required` or `is invalid`."""
    if callable(rule):
        if not rule(value):
            yield path, _verdict(value)
    elif isinstance(rule, list):
        if not isinstance(value, list) or not value:
            yield path, _verdict(value)
        else:
            for item in value:
                yield from faults(item, rule[0], path)
    elif not isinstance(value, dict):
        yield path, _verdict(value)
    else:
        for name, inner in rule.items():
            key = name.rstrip("?")
            given = value.get(key)
            is_left_out = given is None or (isinstance(inner, list) and given == [])
            if not (name.endswith("?") and is_left_out):
                yield from faults(given, inner, (*path, key))


def _verdict(value: Any) -> str:
    is_missing = value is None or value == [] or (isinstance(value, str) and not value.strip())
    return "is required" if is_missing else "is invalid"
