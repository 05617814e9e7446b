"""The payload of `sips.order.submit` and `sips.order.check`: an order as version 2 of SIPS' call takes it, or version 1.

What SIPS is known to refuse an order without is demanded. Every other property that SIPS' pages show is named here, so that
others can be told from it, and passed on as given: `handlers.order_checks` warns of what may not come to what is meant.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from handlers import order_checks
from handlers.order_checks import Shown
from worker.runtime.payload import (
    IS_VERSION_1,
    ApiVersion,
    Code,
    Id,
    Identity,
    Payload,
    Quantity,
    Text,
    Whole,
    no_boolean,
    refuse,
    spelled,
)
from worker.runtime.spelling import sent_to

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler, ModelWrapValidatorHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

    from worker.runtime.payload import PayloadWarning
    from worker.runtime.submission import Submission

__all__ = ["OrderRequest", "OrderV1", "OrderV2"]

#: Units, ways and times that the portal or an integration shows; no page with a whole list is known.
UNITS = ("SQ", "BD", "PC", "EA", "RL", "PAL", "BX", "LF", "GA", "PL", "BG", "TB", "SHT")
ORDER_TYPES = ("WHSE", "WILLCALL")
SHIPPING_METHODS = ("Ground Drop", "Ground drop", "Roof Load", "Will Call", "Willcall")
DELIVERY_TIMES = ("Anytime", "Morning", "Afternoon")

#: Passed on as given.
AnyText = Annotated[Any, Shown("string")]
AnyInteger = Annotated[Any, Shown("integer")]


class Address(Payload):
    """An address; all of it is passed on as given."""

    name: AnyText = None
    address_line1: AnyText = None
    address_line2: AnyText = None
    address_line3: AnyText = None
    city: AnyText = None
    state: AnyText = None
    zip_code: AnyText = None


class ContactAddress(Address):
    """Where the contact is."""

    address_line1: Text


class Contact(Payload):
    """Whom the branch calls; SIPS refuses an empty name, phone or address."""

    customer_contact_name: Text
    customer_contact_phone: Text
    customer_contact_email: AnyText = None
    customer_contact_address: ContactAddress
    additional_contact_emails: Annotated[Any, Shown("array")] = None


class PoDetails(Payload):
    """The purchase order; dates are business dates (YYYY-MM-DD), passed on as they are."""

    po_number: Annotated[Text, Field(max_length=100)]
    order_date: Text
    reference: AnyText = None
    job_number: AnyText = None
    expected_delivery_date: AnyText = None
    expected_delivery_time: Annotated[Any, Shown("string", DELIVERY_TIMES)] = None
    order_type: Annotated[Any, Shown("string", ORDER_TYPES)] = None
    shipping_method: Annotated[Any, Shown("string", SHIPPING_METHODS)] = None


class Line(Payload):
    """What the lines of both versions have in common."""

    quantity: Quantity
    uom: Annotated[Text, Shown("string", UNITS)]
    option: AnyText = None
    price: Annotated[Any, Shown("number")] = None
    customer_item: AnyText = None


class LineV2(Line):
    """One product of an order."""

    product_id: Whole
    product_name: AnyText = None


class LineV1(Line, alias_generator=sent_to("ordersSubmitV1")):
    """One item of an order, by its code at the branch; what a line of version 1 has is known from integrations only."""

    item_code: Text
    item_size: AnyText = None
    item_description: AnyText = None


class OrderRequest(Payload):
    """An order. Properties beyond those that SIPS' pages show are passed on to SIPS as given, with a warning.

    `transactionID`, `transactionDate` and `sourceSystem` are the worker's and are overwritten. `apiVersion`, `strict` and
    `lookup` are for the worker, and never sent.
    """

    #: The operation of SIPS that takes it.
    operation: ClassVar[str]

    api_version: ApiVersion = Field(default=2, exclude=True)
    strict: bool = Field(default=False, exclude=True, description="what is only warned of is an error")
    lookup: bool = Field(default=False, exclude=True, description="of a check: SIPS is asked for what it knows of the order")
    customer_code: Code
    account_number: str | None = Field(default=None, description="the customer's code by default")
    ship_to_sequence_number: AnyInteger = None
    notes: AnyText = None
    ship_to: Address | None = None
    po_details: PoDetails
    order_line_item_details: Sequence[Line] = Field(min_length=1)
    customer_contact_info: Contact

    _warnings: list[PayloadWarning] | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_version(cls, data: Any, read: ModelWrapValidatorHandler[Self]) -> Any:
        if cls is OrderRequest:
            return (OrderV1 if spelled(data, "apiVersion") == 1 else OrderV2).model_validate(data)
        return read(data)

    @model_validator(mode="after")
    def _strictly(self) -> Self:
        if self.strict and (found := list(order_checks.findings(self))):
            raise refuse((finding.place, finding.detail) for finding in found)
        return self

    def to_submit(self, source_system: str, submission: Submission) -> dict[str, Any]:
        """The body for SIPS, with what is the worker's own of it, and the customer's code for an account number."""
        own = {
            "sourceSystem": source_system,
            "transactionID": submission.transaction_id,
            "transactionDate": submission.transaction_date,
        }
        body = self.to_sips(own) | {"accountNumber": (self.account_number or "").strip() or self.customer_code}
        return body | {"poDetails": body["poDetails"] | {"poNumber": submission.po_number}}

    def warnings(self) -> list[PayloadWarning]:
        """What SIPS may not take as it is meant; found once, as the ledger and the result both want it."""
        if self._warnings is None:
            self._warnings = order_checks.warnings(self)
        return self._warnings

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, read: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Of both versions, and which of them is meant."""
        if cls is not OrderRequest:
            return read(schema)
        older, newer = read(OrderV1.__pydantic_core_schema__), read(OrderV2.__pydantic_core_schema__)
        return {"if": IS_VERSION_1, "then": older, "else": newer}


class OrderV2(OrderRequest):
    """An order by product ids."""

    operation = "ordersV2Submit"

    api_version: ApiVersion = Field(default=2, exclude=True, description="version of SIPS' call", json_schema_extra={"const": 2})
    branch_code: Code
    job_account_number: AnyInteger = None
    order_line_item_details: list[LineV2] = Field(min_length=1)

    def identity(self) -> Identity:
        """Customer, branch and PO number."""
        return Identity(customer_code=self.customer_code, branch_code=self.branch_code, po_number=self.po_details.po_number)


class OrderV1(OrderRequest):
    """An order by item codes; the branch is named by its number."""

    operation = "ordersSubmitV1"

    api_version: Annotated[Literal[1], BeforeValidator(no_boolean)] = Field(
        default=1, exclude=True, description="version of SIPS' call; this one is deprecated"
    )
    branch_id: Id
    bill_to: Address | None = None
    order_line_item_details: list[LineV1] = Field(min_length=1)

    def identity(self) -> Identity:
        """Customer, branch and PO number."""
        return Identity(customer_code=self.customer_code, branch_code=self.branch_id, po_number=self.po_details.po_number)
