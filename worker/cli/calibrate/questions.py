"""What each operation is asked, from what is known: the customer, order and invoice that are given, and what SIPS told so far.

A question is the payload of the operation's command, so that SIPS is asked as a worker asks it. They stand in the order in
which they are asked: what tells a branch comes before what needs one. What changes something at SIPS has no question.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["QUESTIONS", "Fact", "Question", "UnknownFactError", "learn", "payload", "plan", "tellers"]


class Fact(StrEnum):
    """What must be known to ask; the value says it in words."""

    CUSTOMER = "a customer"
    ORDER = "an order"
    INVOICE = "an invoice"
    BRANCH = "a branch's code"
    BRANCH_NUMBER = "a branch's number"
    JOB_ACCOUNT = "a job account"
    PRODUCT = "a product"
    ITEM = "an item code"


class UnknownFactError(LookupError):
    """A question needs a fact that nobody told."""

    def __init__(self, fact: Fact) -> None:
        super().__init__(fact.value)
        self.fact = fact


@dataclass(frozen=True, slots=True)
class Question:
    """How one operation is asked.

    Attributes:
        operation: its id.
        asks: the payload; a fact stands for its value, and a name that ends with ? is left out where its fact is not known.
        tells: facts that the answer tells, by the names of the properties that hold them.
        expects: properties of the answer, where no model says them: from the description, or from field evidence.
        foreign: properties of the model that only another operation of the same command answers with.
    """

    operation: str
    asks: Mapping[str, Any]
    tells: Mapping[Fact, tuple[str, ...]] = field(default_factory=dict)
    expects: tuple[str, ...] = ()
    foreign: frozenset[str] = frozenset()


_OF_CUSTOMER = {"customerCode": Fact.CUSTOMER}
_OF_ORDER = {"orderId": Fact.ORDER}
_OF_INVOICE = {"invoiceNumber": Fact.INVOICE}
_OF_BRANCH = {"branchId": Fact.BRANCH_NUMBER}
_PRODUCT_ID = {Fact.PRODUCT: ("productId", "productID")}
_FEW = 5

#: Properties of a price line by the version of the operation that answers with them (`handlers.pricing.PriceLine`).
_ONLY_V2 = frozenset({"product_id", "product_name", "product_options", "availability"})
_ONLY_V1 = frozenset(
    {
        "requested_item_code",
        "requested_option",
        "gross_price",
        "net_price",
        "available_quantity",
        "on_hand_quantity",
        "min_pack_quantity",
        "order_quantity",
        "stock",
    }
)

QUESTIONS = (
    Question("customerDetails", _OF_CUSTOMER, {Fact.BRANCH: ("homeBranch",), Fact.BRANCH_NUMBER: ("homeBranchId",)}),
    Question("customersValidate", {"accountNumber": Fact.CUSTOMER, "invoiceNumber?": Fact.INVOICE}),
    Question(
        "customerBranchLocations",
        _OF_CUSTOMER | {"branchCode?": Fact.BRANCH},
        {Fact.BRANCH: ("branchCode",), Fact.JOB_ACCOUNT: ("jobAccountNumber",)},
    ),
    Question("nearestEligibleBranch", _OF_CUSTOMER, {Fact.BRANCH_NUMBER: ("branchId",), Fact.BRANCH: ("branchCode",)}),
    Question("shipToAddresses", _OF_CUSTOMER),
    Question("orderTemplatesV2", _OF_CUSTOMER, _PRODUCT_ID),
    Question("orderTemplatesV1", _OF_CUSTOMER | {"apiVersion": 1}, _PRODUCT_ID),
    Question("ordersList", _OF_CUSTOMER | {"orderId?": Fact.ORDER, "limit": _FEW}),
    Question("orderDetails", _OF_ORDER),
    Question("deliveriesList", _OF_CUSTOMER | {"orderId?": Fact.ORDER, "limit": _FEW}),
    Question("deliveryDetails", _OF_ORDER),
    Question("proofOfDelivery", _OF_ORDER, expects=("documents", "fileName", "url")),
    Question("deliveryCoordinates", _OF_ORDER),
    Question("invoicesList", _OF_CUSTOMER | {"limit": _FEW}),
    Question("invoiceDetails", _OF_INVOICE),
    Question("invoicePdf", _OF_INVOICE),
    Question("branchLocations", {"branchCode?": Fact.BRANCH}),
    Question("branchDetails", _OF_BRANCH),
    Question("activeBranchProducts", {"branchCode": Fact.BRANCH}, _PRODUCT_ID, expects=("productId", "productImageUrl")),
    Question("branchActiveItems", _OF_BRANCH, {Fact.ITEM: ("itemCode",)}),
    Question(
        "productsV2Price",
        {
            "customerCode": Fact.CUSTOMER,
            "branchCode": Fact.BRANCH,
            "jobAccountNumber?": Fact.JOB_ACCOUNT,
            "productList": [{"productId": Fact.PRODUCT, "quantity": 1, "uom": "EA"}],
        },
        {Fact.ITEM: ("itemCode",)},
        foreign=_ONLY_V1,
    ),
    Question(
        "productsPricingV1",
        {
            "apiVersion": 1,
            "customerCode": Fact.CUSTOMER,
            "branchCode": Fact.BRANCH,
            "itemCodeList": [{"itemCode": Fact.ITEM, "quantity": 1, "uom": "EA"}],
        },
        foreign=_ONLY_V2,
    ),
    Question("productsV2CatalogByItemCodes", {"branchCode": Fact.BRANCH, "itemCodes": [Fact.ITEM]}),
    Question("productsV2CatalogConvert", {"branchId": Fact.BRANCH_NUMBER, "items": [{"genericItemCode": Fact.ITEM}]}),
    Question("uomConversion", {"itemCode": Fact.ITEM}),
    Question("colorRecommendations", {"productId": Fact.PRODUCT}),
    Question("productsV2Catalog", {}, expects=("productId", "productName")),
)


def payload(question: Question, facts: Mapping[Fact, str]) -> dict[str, Any]:
    """The payload with the facts in their places.

    Raises:
        UnknownFactError: one is not known.
    """
    filled = _filled(question.asks, facts)
    assert isinstance(filled, dict)  # noqa: S101 - for the type checker
    return filled


def _filled(asks: Any, facts: Mapping[Fact, str]) -> Any:
    if isinstance(asks, Fact):
        if asks not in facts:
            raise UnknownFactError(asks)
        return facts[asks]
    if isinstance(asks, dict):
        left_out = {name for name, value in asks.items() if name.endswith("?") and value not in facts}
        return {name.rstrip("?"): _filled(value, facts) for name, value in asks.items() if name not in left_out}
    return [_filled(item, facts) for item in asks] if isinstance(asks, list) else asks


def learn(question: Question, body: Any) -> dict[Fact, str]:
    """The facts that an answer tells: of each the first that stands in it."""
    told = {fact: next(_values(body, names), None) for fact, names in question.tells.items()}
    return {fact: value for fact, value in told.items() if value is not None}


def _values(body: Any, names: Sequence[str]) -> Iterator[str]:
    if isinstance(body, dict):
        for name, value in body.items():
            if name in names and isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
                yield str(value).strip()
            else:
                yield from _values(value, names)
    elif isinstance(body, list):
        for item in body:
            yield from _values(item, names)


def tellers(fact: Fact) -> list[str]:
    """The operations that tell a fact."""
    return [question.operation for question in QUESTIONS if fact in question.tells]


def plan(only: Sequence[str] = ()) -> list[Question]:
    """The questions in their order: all, or those of some operations and of what tells the facts that these need."""
    wanted = set(only) or {question.operation for question in QUESTIONS}
    for question in reversed(QUESTIONS):
        if question.operation in wanted:
            needed = {fact for fact in _facts(question.asks) if fact not in {Fact.CUSTOMER, Fact.ORDER, Fact.INVOICE}}
            earlier = QUESTIONS[: QUESTIONS.index(question)]
            wanted |= {other.operation for other in earlier if needed & other.tells.keys()}
    return [question for question in QUESTIONS if question.operation in wanted]


def _facts(asks: Any) -> Iterator[Fact]:
    if isinstance(asks, Fact):
        yield asks
    elif isinstance(asks, dict | list):
        for value in asks.values() if isinstance(asks, dict) else asks:
            yield from _facts(value)
