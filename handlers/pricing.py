"""Prices: `sips.pricing.fetch`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from worker.messaging.topology import QUERIES
from worker.runtime.payload import Code, Identity, Number, Payload, Quantity, Result, Text, Whole
from worker.runtime.registry import command
from worker.sips import Sips, Unreadable

#: SIPS caches a price answer for four hours (portal page price-32656412e0).
PRICE_LIFETIME = timedelta(hours=4)

#: What must be shown instead of a price of 0; never "$0" (same page).
CALL_THE_BRANCH = "Please call branch for product pricing"


#: Reads a price before it is judged: 0 may come as text.
_PRICE: TypeAdapter[float | None] = TypeAdapter(Annotated[Number | None, Field(allow_inf_nan=False)])


class PricedProduct(Payload):
    """One product to price."""

    product_id: Whole
    quantity: Quantity
    uom: Text
    product_name: str | None = None
    product_options: list[str] | None = None


class PriceRequest(Payload):
    """Products to price for a customer at a branch."""

    customer_code: Code
    branch_code: Code
    job_account_number: Whole | None = None
    transaction_id: str | None = None
    product_list: list[PricedProduct] = Field(min_length=1)

    def identity(self) -> Identity:
        """Customer and branch."""
        return Identity(customer_code=self.customer_code, branch_code=self.branch_code)


class PriceLine(Result):
    """The price of one product; `price` is null where only the branch can tell it, and `display_text` says so."""

    product_id: Whole | None
    item_code: str | None
    product_name: str | None
    product_options: list[str]
    requested_uom: str | None
    price_uom: str | None
    uom_conversion_factor: Number | None
    price: Number | None
    display_text: str | None
    availability: str | None
    message: str | None
    message_code: Whole | None


class PriceList(Result):
    """Prices as of `fetched_at`; SIPS itself caches them until `stale_at`."""

    customer_code: str
    branch_code: str
    fetched_at: datetime
    stale_at: datetime
    lines: list[PriceLine]


@command("sips.pricing.fetch", queue=QUERIES)
def fetch_prices(request: PriceRequest, sips: Sips) -> PriceList:
    """Customer-specific prices for products at one branch."""
    now = datetime.now(UTC)
    answer = sips.call("productsV2Price", json=request.to_sips({"sourceSystem": sips.source_system}))
    if not isinstance(answer.body, list) or not all(isinstance(line, dict) for line in answer.body):
        raise Unreadable("productsV2Price", "the answer is not a list of lines", answer=answer)
    return PriceList(
        customer_code=request.customer_code,
        branch_code=request.branch_code,
        fetched_at=now,
        stale_at=now + PRICE_LIFETIME,
        lines=[_line(line) for line in answer.body],
    )


def _line(line: dict[str, Any]) -> PriceLine:
    price = _PRICE.validate_python(line.get("price"))
    return PriceLine(
        product_id=line.get("productId"),
        item_code=line.get("itemCode"),
        product_name=line.get("productName"),
        product_options=line.get("productOptions") or [],
        requested_uom=line.get("requestedUOM"),
        price_uom=line.get("priceUOM"),
        uom_conversion_factor=line.get("uomConversionFactor"),
        price=price or None,
        display_text=None if price else CALL_THE_BRANCH,
        availability=line.get("availableStatus"),
        message=line.get("message") or None,
        message_code=line.get("messageCode"),
    )
