"""Prices: `sips.pricing.fetch`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    ValidationInfo,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from worker.messaging.topology import QUERIES
from worker.runtime.payload import IS_VERSION_1, ApiVersion, Code, Identity, Number, Payload, Quantity, Result, Text, Whole
from worker.runtime.registry import command
from worker.runtime.spelling import read_from, sent_to
from worker.sips import Sips

#: SIPS caches a price answer for four hours (portal page price-32656412e0).
PRICE_LIFETIME = timedelta(hours=4)

#: What must be shown instead of a price of 0; never "$0" (same page).
CALL_THE_BRANCH = "Please call branch for product pricing"

#: A price; 0, which may come as text, means that there is none.
Price = Annotated[Number | None, AfterValidator(lambda price: price or None)]

#: Which property of the payload says what to price, in which version of the operation.
LISTS = {"productList": 2, "itemCodeList": 1}

#: The same for those who read the contract.
SCHEMA: dict[str, JsonValue] = {
    "if": IS_VERSION_1,
    "then": {"required": ["itemCodeList"]},
    "else": {"required": ["productList"]},
}


class PricedProduct(Payload):
    """One product to price."""

    product_id: Whole
    quantity: Quantity
    uom: Text
    product_name: str | None = None
    product_options: list[str] | None = None


class PricedItem(Payload, alias_generator=sent_to("productsPricingV1")):
    """One item to price, by its item code (`apiVersion` 1)."""

    item_code: Code
    quantity: Quantity
    uom: Text
    option: str | None = None


class PriceRequest(Payload, alias_generator=sent_to("productsV2Price", "productsPricingV1"), json_schema_extra=SCHEMA):
    """What to price for a customer at a branch: products, or with `apiVersion` 1, which is deprecated, items by their codes."""

    api_version: ApiVersion = Field(default=2, exclude=True)
    customer_code: Code
    branch_code: Code
    job_account_number: Whole | None = None
    transaction_id: str | None = None
    product_list: list[PricedProduct] | None = Field(default=None, min_length=1)
    item_code_list: list[PricedItem] | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _must_say_what(cls, data: Any) -> Any:
        wanted = "itemCodeList" if isinstance(data, dict) and data.get("apiVersion") == 1 else "productList"
        return {wanted: None} | data if isinstance(data, dict) else data

    @field_validator("product_list", "item_code_list")
    @classmethod
    def _goes_with_its_version(cls, value: list[Any] | None, info: ValidationInfo) -> list[Any] | None:
        version = LISTS[to_camel(str(info.field_name))]
        asked = info.data.get("api_version")
        if value is None and asked == version:
            raise PydanticCustomError("missing", "Field required")
        if value is not None and asked not in {version, None}:
            raise PydanticCustomError("other_version", "Give it with apiVersion {version} only", {"version": version})
        return value

    def identity(self) -> Identity:
        """Customer and branch."""
        return Identity(customer_code=self.customer_code, branch_code=self.branch_code)


class PriceLine(Result, alias_generator=read_from("productsV2Price", "productsPricingV1")):
    """The price of one product or item; `price` is null where only the branch can tell it, and `display_text` says so.

    `product_id` to `availability` come with version 2, quantities and the requested item with version 1.
    """

    product_id: Whole | None = None
    product_name: str | None = None
    product_options: Annotated[list[str], BeforeValidator(lambda options: options or [])] = Field(default_factory=list)
    availability: str | None = None
    item_code: str | None = None
    requested_item_code: str | None = None
    requested_option: str | None = None
    requested_uom: str | None = None
    price_uom: str | None = None
    uom_conversion_factor: Number | None = None
    price: Price = None
    gross_price: Price = None
    net_price: Price = None
    available_quantity: Number | None = None
    on_hand_quantity: Number | None = None
    min_pack_quantity: Number | None = None
    order_quantity: Number | None = None
    stock: bool | None = None
    message: Annotated[str | None, AfterValidator(lambda message: message or None)] = None
    message_code: Whole | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def display_text(self) -> str | None:
        """What is to be shown instead of a price."""
        return None if self.price else CALL_THE_BRANCH


class PriceList(Result):
    """Prices as of `fetched_at`; SIPS itself caches them until `stale_at`."""

    customer_code: str
    branch_code: str
    fetched_at: datetime
    stale_at: datetime
    lines: list[PriceLine]


@command("sips.pricing.fetch", queue=QUERIES, calls=("productsV2Price", "productsPricingV1"))
def fetch_prices(request: PriceRequest, sips: Sips) -> PriceList:
    """Customer-specific prices for products at one branch."""
    now = datetime.now(UTC)
    body = request.to_sips({"sourceSystem": sips.source_system})
    if request.api_version == 1:
        body["customerId"] = body.pop("customerCode")
    answer = sips.call("productsPricingV1" if request.api_version == 1 else "productsV2Price", json=body)
    return PriceList(
        customer_code=request.customer_code,
        branch_code=request.branch_code,
        fetched_at=now,
        stale_at=now + PRICE_LIFETIME,
        lines=answer.parse(list[PriceLine]),
    )
