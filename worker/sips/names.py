"""Where SIPS spells a property otherwise than we do: by operation, our camelCase name to SIPS' name in query, body and answer.

SIPS has no one spelling of its own (`transactionID` beside `transactionId`, `UOM` beside `uom`); ours has one. The models of
commands and results read this table (`worker.runtime.spelling`); a test finds each of SIPS' names in its description.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NAMES", "variants"]

_SUBMIT = {"transactionId": "transactionID", "orderId": "orderID", "queueId": "queueID"}
_INVOICE = {"poNumber": "PONumber", "soTypeCode": "SOTypeCode"}
_TEMPLATE = {"defaultUom": "defualtUOM"}
_PRICE = {"requestedUom": "requestedUOM", "priceUom": "priceUOM"}

#: Operation to our name to SIPS' name; names that are the same in both stand nowhere.
NAMES: Mapping[str, Mapping[str, str]] = {
    "ordersV2Submit": _SUBMIT,
    "ordersSubmitV1": _SUBMIT | {"uom": "UOM"},
    "ordersList": {
        "customerCode": "customerNumber",
        "poNumber": "PONumber",
        "fromDate": "orderFromDate",
        "toDate": "orderToDate",
        "limit": "rowReturnLimit",
    },
    "orderDetails": {"poNumber": "PONumber"},
    "deliveryDetails": {"status": "deliveryStatus"},
    "deliveriesList": {"status": "deliveryStatus", "limit": "rowReturnLimit"},
    "invoiceDetails": _INVOICE,
    "invoicesList": _INVOICE | {"fromDate": "startInvoiceDate", "toDate": "endInvoiceDate", "limit": "rowReturnLimit"},
    "customersValidate": {"valid": "validIndicator"},
    "orderTemplatesV1": _TEMPLATE,
    "orderTemplatesV2": _TEMPLATE,
    "productsPricingV1": _PRICE | {"customerCode": "customerId", "uom": "UOM", "onHandQuantity": "onHandQty"},
    "productsV2Price": _PRICE | {"availability": "availableStatus"},
    "productsV2CatalogByItemCodes": {"productId": "productID"},
    "productsV2CatalogConvert": {"branchId": "BranchId", "items": "Items", "genericItemCode": "GenericItemCode"},
    "uomConversion": {"fromUom": "fromUOMCode", "toUom": "toUOMCode", "description": "UOMConversionDescription"},
    "branchLocations": {"branchCode": "BranchCode"},
    "customerBranchLocations": {"branchCode": "BranchCode"},
}


def variants(name: str) -> list[str]:
    """Other letter cases in which SIPS itself has a name of ours, in whatever operation: `productID` for `productId`."""
    spelled = {theirs for names in NAMES.values() for theirs in names.values()}
    return sorted(theirs for theirs in spelled if theirs.casefold() == name.casefold() and theirs != name)
