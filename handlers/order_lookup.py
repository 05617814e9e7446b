"""What SIPS itself says of an order that was not sent yet: its customer, its branch, its products, prices and units.

It answers to what it would not take, which it does not do when the order is submitted: then it is queued, and dropped without a
word. Each part is asked for once; one that SIPS does not answer is told as such, and the others go on.
"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handlers.order_payload import OrderV2
from worker.runtime.payload import PayloadWarning, Result, pointer
from worker.sips import SipsError, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handlers.order_payload import LineV2, OrderRequest
    from worker.sips import Answer, Sips

__all__ = ["DETAILS", "Findings", "NotLookedUp", "look_up"]

#: Items whose units are asked for, one call each: all calls of a check share one attempt's time.
MAX_UNIT_CALLS = 10

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
    def part(self, name: str) -> Iterator[None]:
        """A look for one part; where SIPS has no usable answer, that is told, and the next part goes on.

        Raises:
            SipsError: a repeat of the command may be answered, or no part will be.
        """
        try:
            yield
        except SipsError as error:
            if error.code not in ENDS_A_PART:
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
        with found.part("products"):
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
        answer = sips.call("customerDetails", path={"customerCode": order.customer_code})
    except SipsError as error:
        if error.code != "sips-not-found":
            raise
        found.drop("customer-unknown", "customerCode")
        return
    if not isinstance(answer.body, dict):
        raise Unreadable("customerDetails", "the answer is no customer", answer=answer)
    if answer.body.get("nonSaleableIndicator") == "Y":
        found.drop("customer-not-saleable", "customerCode")


def _branch(found: Findings, order: OrderV2, sips: Sips) -> None:
    path, query = {"customerCode": order.customer_code}, {"BranchCode": order.branch_code}
    rows = _rows(sips.call("customerBranchLocations", path=path, query=query))
    ours = [row for row in rows if row.get("branchCode") == order.branch_code]
    if not ours:
        found.drop("branch-not-for-customer", "branchCode")
    accounts = [account for row in ours for account in _list(row.get("jobAccounts")) if isinstance(account, dict)]
    numbers = {str(account.get("jobAccountNumber")) for account in accounts}
    if numbers and order.job_account_number is not None and str(order.job_account_number) not in numbers:
        found.drop("job-account-unknown", "jobAccountNumber")


def _products(found: Findings, order: OrderV2, known: list[_Known], sips: Sips) -> None:
    rows = _rows(sips.call("activeBranchProducts", path={"branchCode": order.branch_code}))
    products = {str(row.get("productId")): row for row in rows}
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
    lines = order.order_line_item_details
    request = {
        "sourceSystem": sips.source_system,
        "customerCode": order.customer_code,
        "branchCode": order.branch_code,
        "transactionId": str(uuid.uuid4()),
        "productList": [_to_price(line) for line in lines],
    }
    if order.job_account_number is not None:
        request["jobAccountNumber"] = order.job_account_number
    rows = _rows(sips.call("productsV2Price", json=request))
    for number, line in enumerate(lines):
        mine = [row for row in rows if str(row.get("productId")) == str(line.product_id)]
        row = next((row for row in mine if row.get("requestedUOM") == line.uom), mine[0] if mine else {})
        known[number].item_code = next(iter(_texts([row.get("itemCode")])), None)
        known[number].units |= _texts([row.get("priceUOM")])
        if not row or str(row.get("messageCode") or 0) != "0":
            found.drop("not-priced", "orderLineItemDetails", number)
        elif line.price is not None and line.price != (price := _price(row, line.uom) or line.price):
            found.drop("price-differs", "orderLineItemDetails", number, "price", price=price, unit=line.uom)


def _price(row: dict[str, Any], uom: str) -> int | float | None:
    """The price per unit of a line; None where SIPS names it for another unit, or only the branch can tell it."""
    price = row.get("price")
    return price if row.get("priceUOM") == uom and isinstance(price, int | float) and price else None


def _to_price(line: LineV2) -> dict[str, Any]:
    product = {"productId": line.product_id, "quantity": line.quantity, "uom": line.uom}
    return product | ({"productOptions": [line.option]} if isinstance(line.option, str) and line.option else {})


def _units(found: Findings, order: OrderRequest, known: list[_Known], sips: Sips) -> None:
    """SIPS is asked for the units of those items that it has not named the line's unit of already."""
    open_lines = [number for number, line in enumerate(order.order_line_item_details) if line.uom not in known[number].units]
    items = list(dict.fromkeys(code for number in open_lines if (code := known[number].item_code)))
    units: dict[str, set[str]] = {}
    for item in items[:MAX_UNIT_CALLS]:
        answer = sips.call("uomConversion", path={"itemCode": item})
        rows = answer.body.get("itemConversionList") if isinstance(answer.body, dict) else None
        if not isinstance(rows, list):
            raise Unreadable("uomConversion", "the answer has no itemConversionList", answer=answer)
        units[item] = _texts([row.get(name) for row in rows if isinstance(row, dict) for name in ("fromUOMCode", "toUOMCode")])
    for number in open_lines:
        listed = known[number].units | units.get(known[number].item_code or "", set())
        if listed and order.order_line_item_details[number].uom not in listed:
            found.drop("unit-unknown", "orderLineItemDetails", number, "uom", units=", ".join(sorted(listed)))
    if len(items) > MAX_UNIT_CALLS:
        found.skip("units", "too-many", f"only the units of the first {MAX_UNIT_CALLS} items were asked for, of {len(items)}")


def _rows(answer: Answer) -> list[dict[str, Any]]:
    if not isinstance(answer.body, list) or not all(isinstance(row, dict) for row in answer.body):
        raise Unreadable(answer.operation, "the answer is no list", answer=answer)
    return answer.body


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(values: Any) -> set[str]:
    """The texts among values, where they are a list."""
    return {value for value in _list(values) if isinstance(value, str) and value}
