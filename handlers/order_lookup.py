"""What SIPS itself says of an order that was not sent yet: its customer, its branch, its products, prices and units.

It answers to what it would not take, which it does not do when the order is submitted: then it is queued, and dropped without a
word. Each part is asked for once; one that SIPS does not answer is told as such, and the others go on.
"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handlers.branches import CustomerLocationRequest, list_customer_branches
from handlers.customers import CustomerRequest, get_customer
from handlers.order_payload import OrderV2
from handlers.pricing import PriceLine, PriceRequest, fetch_prices
from handlers.products import UnitsRequest, convert_units
from worker.runtime.payload import PayloadWarning, Result, pointer
from worker.sips import SipsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handlers.order_payload import LineV2, OrderRequest
    from worker.sips import Sips

__all__ = ["DETAILS", "Findings", "NotLookedUp", "look_up"]

#: Items whose units are asked for, one call each: all calls of a check share one attempt's time.
MAX_UNIT_CALLS = 10

#: Share of the time that is left which the long list of a branch's products may take; then the other parts go on without it.
PRODUCTS_SHARE = 0.5

#: Errors that say nothing of SIPS' health: the part is not looked up, and a repeat would end the same.
ENDS_A_PART = frozenset(
    {"path-parameter", "sips-not-found", "sips-path-unconfirmed", "sips-rejected", "sips-unexpected", "sips-unreadable"}
)

#: Code of a finding to what SIPS says, and what to do.
DETAILS: Mapping[str, str] = {
    "customer-unknown": "SIPS knows no such customer; check the code with sips.customer.validate",
    "customer-not-saleable": "SIPS marks the customer as one that nothing is sold to; call the branch",
    "branch-not-for-customer": "SIPS does not list the branch for this customer; sips.branch.customer_locations lists its own",
    "job-account-unknown": (
        "SIPS lists no such job account for the customer at this branch; sips.branch.customer_locations lists those it has"
    ),
    "product-not-at-branch": "the branch does not list the product as active; sips.branch.products lists those it has",
    "option-unknown": "the branch lists other options for the product; sips.branch.products has them",
    "unit-unknown": "SIPS lists other units for the product; send one of {units}",
    "not-priced": "SIPS gave no price for the line; call the branch",
    "price-differs": "SIPS' own price is {price} per {unit}; send that one, or none",
}


class NotLookedUp(Result):
    """A part of an order that SIPS was not asked for, or gave no usable answer for: nothing is known of it."""

    part: str
    code: str
    detail: str


@dataclass(slots=True)
class Findings:
    """What SIPS would drop, which parts of the order it was asked for, and which it was not."""

    drops: list[PayloadWarning] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    not_looked_up: list[NotLookedUp] = field(default_factory=list)

    def drop(self, code: str, *place: int | str, **words: Any) -> None:
        """SIPS would not take what stands there."""
        self.drops.append(PayloadWarning(code=code, pointer=pointer(place), detail=DETAILS[code].format(**words)))

    def skip(self, part: str, code: str, detail: str) -> None:
        """Nothing is known of a part."""
        self.not_looked_up.append(NotLookedUp(part=part, code=code, detail=detail))

    @contextlib.contextmanager
    def part(self, name: str, *more_ends: str) -> Iterator[None]:
        """A look for one part; where SIPS has no usable answer, that is told, and the next part goes on.

        So it does after errors with the codes `more_ends`.

        Raises:
            SipsError: a repeat of the command may be answered, or no part will be.
        """
        try:
            yield
        except SipsError as error:
            if error.code not in ENDS_A_PART.union(more_ends):
                raise
            self.skip(name, error.code, str(error))
        else:
            if all(one.part != name for one in self.not_looked_up):
                self.looked_up.append(name)


@dataclass(slots=True)
class _Known:
    """What SIPS says of one line: the item behind its product, and the units it comes in."""

    item_code: str | None = None
    units: set[str] = field(default_factory=set)


def look_up(order: OrderRequest, sips: Sips) -> Findings:
    """Ask SIPS for every part of an order that it can be asked for.

    Raises:
        SipsError: a repeat of the command may be answered, or no part will be.
    """
    found = Findings()
    with found.part("customer"):
        _customer(found, order, sips)
    if isinstance(order, OrderV2):
        known = [_Known() for _ in order.order_line_item_details]
        with found.part("branch"):
            _branch(found, order, sips)
        with found.part("products", "deadline"):
            _products(found, order, known, sips)
        with found.part("prices"):
            _prices(found, order, known, sips)
    else:
        known = [_Known(getattr(line, "item_code", None)) for line in order.order_line_item_details]
        for part in ("branch", "products", "prices"):
            found.skip(part, "api-version-1", "SIPS tells it by branch code and product id, which an order of version 1 has not")
    with found.part("units"):
        _units(found, order, known, sips)
    return found


def _customer(found: Findings, order: OrderRequest, sips: Sips) -> None:
    try:
        customer = get_customer(CustomerRequest(customer_code=order.customer_code), sips)
    except SipsError as error:
        if error.code != "sips-not-found":
            raise
        found.drop("customer-unknown", "customerCode")
        return
    if customer.non_saleable_indicator == "Y":
        found.drop("customer-not-saleable", "customerCode")


def _branch(found: Findings, order: OrderV2, sips: Sips) -> None:
    asked = CustomerLocationRequest(customer_code=order.customer_code, branch_code=order.branch_code)
    ours = [branch for branch in list_customer_branches(asked, sips).branches if branch.branch_code == order.branch_code]
    if not ours:
        found.drop("branch-not-for-customer", "branchCode")
    numbers = {str(account.job_account_number) for branch in ours for account in branch.job_accounts or []}
    if numbers and order.job_account_number is not None and str(order.job_account_number) not in numbers:
        found.drop("job-account-unknown", "jobAccountNumber")


def _products(found: Findings, order: OrderV2, known: list[_Known], sips: Sips) -> None:
    missing = {str(line.product_id) for line in order.order_line_item_details}

    def is_the_first(row: Mapping[str, Any]) -> bool:
        product = str(row.get("productId"))
        found = product in missing
        missing.discard(product)  # a list may repeat a product without end, and no more of it is held
        return found

    rows = sips.pick("activeBranchProducts", is_the_first, path={"branchCode": order.branch_code}, share=PRODUCTS_SHARE)
    products = {str(row["productId"]): row for row in rows}
    for number, line in enumerate(order.order_line_item_details):
        product = products.get(str(line.product_id))
        if product is None:
            found.drop("product-not-at-branch", "orderLineItemDetails", number, "productId")
            continue
        variants = [variant for variant in _list(product.get("productVariant")) if isinstance(variant, dict)]
        options = {*_texts(product.get("productOptions")), *_texts([variant.get("selectedOption") for variant in variants])}
        if options and isinstance(line.option, str) and line.option and line.option not in options:
            found.drop("option-unknown", "orderLineItemDetails", number, "option")
        for variant in variants:
            known[number].units |= _texts([variant.get("defaultUOM"), *_list(variant.get("uoMs"))])


def _prices(found: Findings, order: OrderV2, known: list[_Known], sips: Sips) -> None:
    rows = fetch_prices(_to_price(order), sips).lines
    for number, line in enumerate(order.order_line_item_details):
        mine = [row for row in rows if row.product_id == line.product_id]
        row = next((row for row in mine if row.requested_uom == line.uom), mine[0] if mine else PriceLine())
        known[number].item_code = row.item_code
        known[number].units |= _texts([row.price_uom])
        if not mine or row.message_code:
            found.drop("not-priced", "orderLineItemDetails", number)
        # Where SIPS names the price of another unit, or leaves it to the branch, the line's own may be right.
        elif row.price_uom == line.uom and row.price is not None and line.price not in (None, row.price):
            found.drop("price-differs", "orderLineItemDetails", number, "price", price=row.price, unit=line.uom)


def _to_price(order: OrderV2) -> PriceRequest:
    payload = {
        "customerCode": order.customer_code,
        "branchCode": order.branch_code,
        "transactionId": str(uuid.uuid4()),
        "productList": [_product(line) for line in order.order_line_item_details],
    }
    account = order.job_account_number
    return PriceRequest.model_validate(payload | ({"jobAccountNumber": account} if type(account) is int else {}))


def _product(line: LineV2) -> dict[str, Any]:
    product = {"productId": line.product_id, "quantity": line.quantity, "uom": line.uom}
    return product | ({"productOptions": [line.option]} if isinstance(line.option, str) and line.option else {})


def _units(found: Findings, order: OrderRequest, known: list[_Known], sips: Sips) -> None:
    """SIPS is asked for the units of those items that it has not named the line's unit of already."""
    open_lines = [number for number, line in enumerate(order.order_line_item_details) if line.uom not in known[number].units]
    items = list(dict.fromkeys(code for number in open_lines if (code := known[number].item_code)))
    units: dict[str, set[str]] = {}
    for item in items[:MAX_UNIT_CALLS]:
        rows = convert_units(UnitsRequest.model_construct(item_code=item), sips).conversions  # whatever its length
        units[item] = _texts([unit for row in rows for unit in (row.from_uom, row.to_uom)])
    for number in open_lines:
        listed = known[number].units | units.get(known[number].item_code or "", set())
        if listed and order.order_line_item_details[number].uom not in listed:
            found.drop("unit-unknown", "orderLineItemDetails", number, "uom", units=", ".join(sorted(listed)))
    if len(items) > MAX_UNIT_CALLS:
        found.skip("units", "too-many", f"only the units of the first {MAX_UNIT_CALLS} items were asked for, of {len(items)}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(values: Any) -> set[str]:
    """The texts among values, where they are a list."""
    return {value for value in _list(values) if isinstance(value, str) and value}
