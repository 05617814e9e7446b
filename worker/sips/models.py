# ruff: noqa: N815 - the names are SIPS' own
"""The JSON bodies of SIPS as SIPS spells them, for the operations that have a handler.

Tolerant on purpose: most shapes were read from examples and many are inferred (`tests/data/sips/openapi.yaml` marks
which). So an answer's properties are optional, unknown ones are kept, and a number where text is expected is read as
text. Required is only what the answer would be useless without. Requests require what the description requires.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Address",
    "CustomerContactInfo",
    "Delivery",
    "DeliveryListAnswer",
    "OrderLine",
    "OrderListAnswer",
    "OrderListRequest",
    "OrderRow",
    "OrderSubmitAnswer",
    "OrderSubmitRequest",
    "PoDetails",
    "PriceLine",
    "PriceRequest",
    "PriceRequestLine",
    "SipsModel",
    "TokenAnswer",
    "TokenRequest",
]

Number = int | float
#: Ids and codes that one page shows as a number and another as text.
Id = int | str


class SipsModel(BaseModel):
    """What all bodies have in common; values stand neither in a validation error nor in a repr."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True, hide_input_in_errors=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class TokenRequest(SipsModel):
    """Body of POST /Authentication/token, form-urlencoded or JSON."""

    client_id: str
    client_secret: str
    grant_type: Literal["client_credentials"] = "client_credentials"
    scope: Literal["ALL"] = "ALL"


class TokenAnswer(SipsModel):
    """A bearer token; `expires_in` (seconds) is taken as it comes and judged by `worker.sips.token`."""

    access_token: str
    token_type: Any = None
    expires_in: Any = None


class Address(SipsModel):
    """A ship-to or contact address; `name` on a ship-to only."""

    name: str | None = None
    addressLine1: str | None = None
    addressLine2: str | None = None
    addressLine3: str | None = None
    city: str | None = None
    state: str | None = None
    zipCode: str | None = None


class PoDetails(SipsModel):
    """The purchase order; dates are YYYY-MM-DD without a zone."""

    poNumber: str
    orderDate: str
    reference: str | None = None
    jobNumber: str | None = None
    expectedDeliveryDate: str | None = None
    expectedDeliveryTime: str | None = None
    orderType: str | None = None
    shippingMethod: str | None = None


class CustomerContactInfo(SipsModel):
    """Whom the branch calls; an empty name, phone or address is refused (field evidence)."""

    customerContactName: str | None = None
    customerContactPhone: str | None = None
    customerContactEmail: str | None = None
    customerContactAddress: Address | None = None
    additionalContactEmails: list[str] | None = None


class OrderLine(SipsModel):
    """One product of an order; `option` is "N/A" for products without a colour."""

    productId: int
    quantity: Number
    uom: str
    productName: str | None = None
    option: str | None = None
    price: Number | None = None
    customerItem: str | None = None


class OrderSubmitRequest(SipsModel):
    """Body of POST /orders/v2/Submit; `transactionDate` is a date and time without a zone."""

    sourceSystem: str
    customerCode: str
    jobAccountNumber: int
    branchCode: str
    accountNumber: str
    transactionID: str
    transactionDate: str
    shipTo: Address
    poDetails: PoDetails
    orderLineItemDetails: list[OrderLine] = Field(min_length=1)
    customerContactInfo: CustomerContactInfo
    shipToSequenceNumber: int | None = None
    notes: str | None = None


class OrderSubmitAnswer(SipsModel):
    """What a submit answers: an order (orderID, no queueID) or a place in the queue (queueID)."""

    message: str | None = None
    transactionID: str | None = None
    orderID: str | None = None
    queueID: str | None = None


class OrderListRequest(SipsModel):
    """Filters of POST /orders/List, all optional as far as is known; `customerNumber` holds a customer code."""

    branchCode: str | None = None
    customerNumber: str | None = None
    shipToSequenceNumber: int | None = None
    orderId: int | None = None
    orderFromDate: str | None = None
    orderToDate: str | None = None
    rowReturnLimit: int | None = None
    orderStatus: str | None = None
    PONumber: str | None = None
    jobNumber: str | None = None
    shipToAddress: str | None = None
    includeInvoices: str | None = None


class OrderRow(SipsModel):
    """One order of a list (inferred shape); `orderId` as text, as the submit answer has it."""

    orderId: str | None = None
    orderStatus: str | None = None
    orderDate: str | None = None
    customerCode: str | None = None
    branchCode: str | None = None
    shipToSequenceNumber: Id | None = None
    PONumber: str | None = None
    jobNumber: str | None = None
    orderLineItemDetails: list[Any] | None = None


class OrderListAnswer(SipsModel):
    """The orders that match (inferred shape); an answer without the list says nothing, not "none"."""

    orderList: list[OrderRow]


class Delivery(SipsModel):
    """One delivery of an order (inferred shape)."""

    orderId: str | None = None
    shipmentNumber: Id | None = None
    deliveryStatus: str | None = None
    expectedDeliveryDate: str | None = None
    deliveredDate: str | None = None


class DeliveryListAnswer(SipsModel):
    """The deliveries of an order (inferred shape)."""

    deliveryList: list[Delivery]


class PriceRequestLine(SipsModel):
    """One product to price."""

    productId: int
    quantity: Number
    uom: str
    productName: str | None = None
    productOptions: list[str] | None = None


class PriceRequest(SipsModel):
    """Body of POST /products/v2/price; spelled `transactionId` here, `transactionID` on a submit."""

    sourceSystem: str
    customerCode: str
    branchCode: str
    transactionId: str
    jobAccountNumber: int
    productList: list[PriceRequestLine] = Field(min_length=1)


class PriceLine(SipsModel):
    """The price of one product; 0 means "ask the branch", a `messageCode` other than 0 that the line was not priced."""

    itemCode: str | None = None
    productId: Id | None = None
    productName: str | None = None
    productOptions: list[str | None] | None = None
    priceUOM: str | None = None
    requestedUOM: str | None = None
    uomConversionFactor: Number | None = None
    price: Number | None = None
    availableStatus: str | None = None
    transactionId: str | None = None
    message: str | None = None
    messageCode: Id | None = None
