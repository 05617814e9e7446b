"""`sips.pricing.fetch`: prices, and what is shown where there is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from handlers.pricing import PriceList, PriceRequest, fetch_prices
from tests.acceptance.conftest import example
from tests.handlers.conftest import SOURCE_SYSTEM
from worker.runtime.payload import Identity
from worker.sandbox.data import CALL_FOR_PRICE_PRODUCT
from worker.sips import Unreadable

if TYPE_CHECKING:
    from tests.handlers.conftest import Scripted
    from worker.sips import Sips

#: What SIPS demands to be shown instead of a price of 0 (portal page price-32656412e0).
CALL = "Please call branch for product pricing"


def request(**changes: Any) -> PriceRequest:
    """The documented request with some properties changed."""
    return PriceRequest.model_validate(example("productsV2Price.request") | changes)


def documented(**changes: Any) -> list[dict[str, Any]]:
    """The documented answer with some properties of its line changed."""
    (line,) = example("productsV2Price.response")
    return [line | changes]


def fetched(scripted: Scripted, body: Any) -> PriceList:
    """The prices of an answer."""
    prices = fetch_prices(request(), scripted.answers(body))
    assert isinstance(prices, PriceList)
    return prices


# The request.


@pytest.mark.parametrize("name", ["productsV2Price.request", "productsV2Price.introGuide.request"])
def test_a_documented_request_is_a_payload_as_it_stands(scripted: Scripted, name: str) -> None:
    """And reaches SIPS as it stands, to the last digit; only the partner's name is the worker's."""
    payload = example(name)
    fetch_prices(PriceRequest.model_validate(payload), scripted.answers([]))
    assert json.dumps(payload | {"sourceSystem": SOURCE_SYSTEM}, sort_keys=True) == json.dumps(
        json.loads(scripted.sent[-1]), sort_keys=True
    )


def test_unknown_properties_are_passed_on_untouched(scripted: Scripted) -> None:
    """At every level, and whatever they hold."""
    new = {"deep": [{"a_b": None, "C": 1.50, "": "ü"}], "big": 2**63}
    (line,) = example("productsV2Price.request")["productList"]
    fetch_prices(request(shipToSequenceNumber=7, brandNew=new, productList=[line | {"brandNew": new}]), scripted.answers([]))
    sent = json.loads(scripted.sent[-1])
    assert (7, new, new) == (sent["shipToSequenceNumber"], sent["brandNew"], sent["productList"][0]["brandNew"])


@pytest.mark.parametrize("name", ["sourceSystem", "SourceSystem", "SOURCESYSTEM"])
def test_the_partners_name_is_the_workers(scripted: Scripted, name: str) -> None:
    """However the payload spells it: SIPS may not care about letter case."""
    fetch_prices(request(**{name: "SOMEBODY"}), scripted.answers([]))
    sent = json.loads(scripted.sent[-1])
    assert [SOURCE_SYSTEM] == [value for key, value in sent.items() if key.lower() == "sourcesystem"]


@pytest.mark.parametrize(("quantity", "text"), [(1, "1"), (1.0, "1.0"), (2.5, "2.5"), (10**30, "1e+30")])
def test_a_quantity_keeps_its_spelling(scripted: Scripted, quantity: float, text: str) -> None:
    """The documented example says 1; nobody knows whether SIPS would take 1.0 for it."""
    line = {"productId": 1, "quantity": quantity, "uom": "EA"}
    fetch_prices(request(productList=[line]), scripted.answers([]))
    assert f'"quantity":{text},"uom"' in scripted.sent[-1].decode()


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"customerCode": " "}, ["customerCode"]),
        ({"branchCode": None}, ["branchCode"]),
        ({"productList": []}, ["productList"]),
        ({"jobAccountNumber": "x"}, ["jobAccountNumber"]),
        ({"transactionId": 1}, ["transactionId"]),
    ],
)
def test_a_wrong_payload_is_told_by_its_places(changes: dict[str, Any], places: list[str]) -> None:
    """Before SIPS is asked."""
    with pytest.raises(ValidationError) as caught:
        request(**changes)
    assert places == ["/".join(map(str, fault["loc"])) for fault in caught.value.errors()]


@pytest.mark.parametrize(
    ("line", "places"),
    [
        ({}, {"productId", "quantity", "uom"}),
        ({"productId": True, "quantity": True, "uom": 1}, {"productId", "quantity", "uom"}),
        ({"productId": "9" * 30, "quantity": "inf", "uom": " "}, {"productId", "quantity", "uom"}),
        ({"productId": 1.5, "quantity": 0, "uom": "EA"}, {"productId", "quantity"}),
        ({"productId": 1, "quantity": -1, "uom": "EA", "productOptions": "N/A"}, {"quantity", "productOptions"}),
    ],
)
def test_a_wrong_product_is_told_by_its_places(line: dict[str, Any], places: set[str]) -> None:
    """The second of two."""
    with pytest.raises(ValidationError) as caught:
        request(productList=[*example("productsV2Price.request")["productList"], line])
    assert {("productList", 1, name) for name in places} == {fault["loc"] for fault in caught.value.errors()}


def test_a_request_is_about_its_customer_and_branch() -> None:
    """For logs and subjects."""
    assert Identity(customer_code="DEMO001", branch_code="HWPLY") == request().identity()


# The answer.


def test_prices_are_fetched(sips: Sips) -> None:
    """A line for each product, in order; where only the branch can tell the price, that is said instead."""
    products = [{"productId": number, "quantity": 1, "uom": "EA"} for number in (77673, CALL_FOR_PRICE_PRODUCT)]
    prices = fetch_prices(request(productList=products), sips)
    assert isinstance(prices, PriceList)
    first, second = prices.lines
    assert sips.answer
    assert (77673, sips.answer.body[0]["price"], None) == (first.product_id, first.price, first.display_text)
    assert (CALL_FOR_PRICE_PRODUCT, None, CALL) == (second.product_id, second.price, second.display_text)
    assert ("DEMO001", "HWPLY") == (prices.customer_code, prices.branch_code)


def test_the_documented_answer_becomes_our_shape(scripted: Scripted) -> None:
    """In the names that other services read; an empty message is none, and so is what only version 1 tells."""
    lines = fetched(scripted, documented(requestedUOM="BX")).model_dump(mode="json")["lines"]
    of_version_1 = ["requestedItemCode", "requestedOption", "grossPrice", "netPrice", "availableQuantity", "onHandQuantity"]
    of_version_1 += ["minPackQuantity", "orderQuantity", "stock"]
    assert [
        dict.fromkeys(of_version_1)
        | {
            "productId": 77673,
            "itemCode": "ACEACEPLT3INI",
            "productName": "Ace Insulation Plates",
            "productOptions": ["N/A"],
            "requestedUom": "BX",
            "priceUom": "PC",
            "uomConversionFactor": 1.0,
            "price": 0.25,
            "displayText": None,
            "availability": "Call for Availability",
            "message": None,
            "messageCode": 0,
        }
    ] == lines


def test_prices_are_stale_after_four_hours(scripted: Scripted) -> None:
    """SIPS itself caches them that long; the time is from before SIPS was asked, with its zone."""
    before = datetime.now(UTC)
    prices = fetched(scripted, documented())
    assert before <= prices.fetched_at <= datetime.now(UTC)
    assert timedelta(hours=4) == prices.stale_at - prices.fetched_at
    assert prices.model_dump(mode="json")["fetchedAt"].endswith("Z")


@pytest.mark.parametrize("price", [0, 0.0, -0.0, "0", "0.00", None])
def test_a_price_of_zero_is_no_price(scripted: Scripted, price: Any) -> None:
    """However it is spelled, and never "$0"."""
    (line,) = fetched(scripted, documented(price=price)).lines
    assert (None, CALL) == (line.price, line.display_text)


def test_a_missing_price_is_no_price(scripted: Scripted) -> None:
    """Nor is anything else of a line that is empty."""
    (line,) = fetched(scripted, [{}]).model_dump()["lines"]
    assert {"productOptions": [], "displayText": CALL} == {name: value for name, value in line.items() if value is not None}


@pytest.mark.parametrize(("price", "shown"), [(0.01, 0.01), (12, 12.0), ("78.87", 78.87), (1e300, 1e300)])
def test_a_real_price_is_shown_without_a_text(scripted: Scripted, price: Any, shown: float) -> None:
    """Also where it came as text."""
    (line,) = fetched(scripted, documented(price=price)).lines
    assert (shown, None) == (line.price, line.display_text)


def test_no_line_is_invented(scripted: Scripted) -> None:
    """SIPS' answer is what there is."""
    assert [] == fetched(scripted, []).lines


@pytest.mark.parametrize("body", [{}, None, 1, "[]", [None], [[]], [{}, 1], {"message": "ok"}])
def test_an_answer_that_is_no_list_of_lines_is_unreadable(scripted: Scripted, body: Any) -> None:
    """It is tried again, with SIPS' answer at hand."""
    with pytest.raises(Unreadable) as caught:
        fetched(scripted, body)
    assert caught.value.answer
    assert body == caught.value.answer.body or not isinstance(body, dict | list)


@pytest.mark.parametrize(
    "changes",
    [
        {"price": True},
        {"price": "call"},
        {"price": "nan"},
        {"price": "inf"},
        {"price": []},
        {"productId": "none"},
        {"productId": "9" * 30},
        {"productOptions": "N/A"},
        {"productOptions": [None]},
        {"messageCode": False},
        {"uomConversionFactor": True},
        {"uomConversionFactor": "1e400"},
        {"productName": []},
    ],
)
def test_a_value_of_another_type_is_not_passed_on_as_ours(scripted: Scripted, changes: dict[str, Any]) -> None:
    """Consumers may rely on our shape."""
    with pytest.raises(Unreadable, match="shape at /0/"):
        fetched(scripted, documented(**changes))


# Version 1.


def by_item_codes(**changes: Any) -> PriceRequest:
    """The documented request of version 1 with some properties changed."""
    return PriceRequest.model_validate(example("productsPricingV1.request") | {"apiVersion": 1} | changes)


def test_the_documented_request_of_version_1_reaches_sips_as_it_stands(scripted: Scripted) -> None:
    """With the names of that version, in which customerId holds a code; only the partner's name is the worker's."""
    fetch_prices(by_item_codes(), scripted.answers([]))
    assert "/products/pricing" == scripted.received[-1].target
    assert example("productsPricingV1.request") | {"sourceSystem": SOURCE_SYSTEM} == json.loads(scripted.sent[-1])


def test_our_spelling_becomes_that_of_version_1(scripted: Scripted) -> None:
    """One payload for both versions, but for what is priced."""
    item = {"itemCode": "A", "quantity": 2, "uom": "EA"}
    payload = {"apiVersion": 1, "customerCode": "C", "branchCode": "B", "itemCodeList": [item]}
    fetch_prices(PriceRequest.model_validate(payload), scripted.answers([]))
    line = {"itemCode": "A", "quantity": 2, "UOM": "EA"}
    expected = {"customerId": "C", "branchCode": "B", "itemCodeList": [line], "sourceSystem": SOURCE_SYSTEM}
    assert expected == json.loads(scripted.sent[-1])


def test_the_documented_answer_of_version_1_becomes_our_shape(scripted: Scripted) -> None:
    """The same as of version 2, with what is in stock."""
    (line,) = fetch_prices(by_item_codes(), scripted.answers(example("productsPricingV1.response"))).model_dump()["lines"]
    assert {
        "itemCode": "GAFSARBAW",
        "requestedItemCode": "GAFSARBAW",
        "requestedUom": "BD",
        "priceUom": "BD",
        "uomConversionFactor": 1.0,
        "price": 77.25,
        "grossPrice": 77.25,
        "netPrice": 77.25,
        "availableQuantity": 251.0,
        "onHandQuantity": 395.0,
        "minPackQuantity": 0.0,
        "orderQuantity": 0.0,
        "stock": True,
        "messageCode": 0,
        "productOptions": [],
    } == {name: value for name, value in line.items() if value is not None}


def test_no_price_of_version_1_is_shown_as_zero(sips: Sips) -> None:
    """Neither gross nor net; an unknown item says so beside it."""
    item = {"itemCode": "NOTHING", "quantity": 1, "uom": "EA"}
    (line,) = fetch_prices(by_item_codes(itemCodeList=[item]), sips).model_dump()["lines"]
    assert (None, None, None, CALL, 1) == (
        line["price"],
        line["grossPrice"],
        line["netPrice"],
        line["displayText"],
        line["messageCode"],
    )


@pytest.mark.parametrize(
    ("payload", "places"),
    [
        ({}, ["productList"]),
        ({"apiVersion": 2}, ["productList"]),
        ({"apiVersion": 1}, ["itemCodeList"]),
        ({"apiVersion": 1, "productList": [{"productId": 1, "quantity": 1, "uom": "EA"}]}, ["productList", "itemCodeList"]),
        ({"productList": None}, ["productList"]),
        ({"apiVersion": 3}, ["apiVersion"]),
    ],
)
def test_each_version_has_its_own_list(payload: dict[str, Any], places: list[str]) -> None:
    """SIPS would drop the other one silently."""
    with pytest.raises(ValidationError) as caught:
        PriceRequest.model_validate({"customerCode": "C", "branchCode": "B"} | payload)
    assert places == ["/".join(map(str, fault["loc"])) for fault in caught.value.errors()]
