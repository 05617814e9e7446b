"""What SIPS names in the body of a refusal, as places in the payload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from handlers.deliveries import DeliveryQuery
from handlers.order_payload import OrderRequest
from handlers.pricing import PriceRequest
from tests.acceptance.conftest import example
from worker.runtime import problems
from worker.runtime.objections import objections
from worker.runtime.outcomes import MAX_ERRORS
from worker.sips import Answer
from worker.sips.errors import Forbidden, Rejected

if TYPE_CHECKING:
    from worker.runtime.payload import Payload

LINE = {"productId": 77673, "quantity": 1, "uom": "PC"}


def order(lines: int = 1, **others: Any) -> Payload:
    """The documented order, with so many lines."""
    given = example("ordersV2Submit.request")
    return OrderRequest.model_validate(given | {"orderLineItemDetails": given["orderLineItemDetails"][:1] * lines} | others)


def named(payload: Payload, *rows: Any) -> list[str]:
    """The pointers for rows of an error body."""
    return [objection["pointer"] for objection in objections({"errors": list(rows)}, payload, MAX_ERRORS)]


def test_the_reported_error_body_leads_to_the_property() -> None:
    """Without SIPS' message, which may repeat a value."""
    told = objections(example("error.inferred.response"), order(), MAX_ERRORS)

    assert ({"pointer": "/poDetails/orderDate", "detail": "SIPS refused it (invalid)"},) == told


@pytest.mark.parametrize(
    ("domain", "name", "lines", "pointer"),
    [
        ("", "poDetails.orderDate", 1, "/poDetails/orderDate"),
        ("request", "$.poDetails.PONumber", 1, "/poDetails/poNumber"),
        ("global", "orderDate", 1, "/poDetails/orderDate"),  # there is but one
        ("orderLineItemDetails", "UOM", 1, "/orderLineItemDetails/0/uom"),
        ("orderLineItemDetails", "uom", 2, "/orderLineItemDetails"),  # nobody knows which line
        ("orderLineItemDetails[1]", "uom", 2, "/orderLineItemDetails/1/uom"),
        ("", "orderLineItemDetails/1/productID", 2, "/orderLineItemDetails/1/productId"),
        ("", "orderLineItemDetails[7].uom", 2, "/orderLineItemDetails"),
        ("", "productId", 2, "/orderLineItemDetails"),
        ("", "customerCode", 1, "/customerCode"),
        ("", "gateCode", 1, "/gateCode"),  # of the publisher's own, and passed on
        ("gate", "CODE", 1, "/gate/code"),
        ("shipTo.name", "first", 1, "/shipTo/name"),
    ],
)
def test_a_name_is_found_however_it_is_written(domain: str, name: str, lines: int, pointer: str) -> None:
    """In our spelling, whichever SIPS uses."""
    payload = order(lines, gateCode="1", gate={"code": 1})

    assert [pointer] == named(payload, {"domain": domain, "parameter": name})
    assert [pointer] == named(payload, {"domain": domain, "field": name})


@pytest.mark.parametrize("name", ["gateCode", "city", "request.x-gate"])
def test_what_is_elsewhere_or_in_several_places_is_told_by_sips_own_name(name: str) -> None:
    """The pointer is then to the whole payload."""
    (told,) = objections({"errors": [{"parameter": name, "reason": "missing"}]}, order(), MAX_ERRORS)

    assert {"pointer": "", "detail": f"SIPS refused what it calls {name} (missing)"} == told


def test_names_that_sips_spells_otherwise_lead_to_ours() -> None:
    """By the table of its spellings."""
    prices = {"customerCode": "DEMO001", "branchCode": "BRRIV", "apiVersion": 1}
    items = PriceRequest.model_validate(prices | {"itemCodeList": [{"itemCode": "X", "quantity": 1, "uom": "PC"}]})

    assert ["/customerCode"] == named(items, {"domain": "request", "parameter": "customerId"})
    assert ["/limit"] == named(DeliveryQuery.model_validate({"orderId": 1}), {"parameter": "rowReturnLimit"})


@pytest.mark.parametrize(
    ("name", "reason"),
    [("Jane", "invalid"), ("Jane Canary", "x"), ("no.Canary.here", "x"), ("12 Elm Street", "x"), ("a" * 101, "x"), ("", "x")],
)
def test_no_value_of_the_payload_comes_along_as_a_name(name: str, reason: str) -> None:
    """Nor what does not look like a name."""
    payload = order(shipTo={"name": "Jane Canary", "addressLine1": "12 Elm Street"})

    assert () == objections({"errors": [{"parameter": name, "reason": reason}]}, payload, MAX_ERRORS)


@pytest.mark.parametrize("reason", ["Jane", "Jane Canary", "must not be 12 Elm Street", 7, None])
def test_nor_does_one_come_along_as_a_reason(reason: Any) -> None:
    """The place is told all the same."""
    payload = order(shipTo={"name": "Jane Canary", "addressLine1": "12 Elm Street"})

    told = objections({"errors": [{"domain": "shipTo", "parameter": "name", "reason": reason}]}, payload, MAX_ERRORS)

    assert ({"pointer": "/shipTo/name", "detail": "SIPS refused it"},) == told


@pytest.mark.parametrize("body", [None, [], {}, {"errors": None}, {"errors": {}}, {"errors": [1, None, {}, {"parameter": 7}]}])
def test_an_error_body_of_another_form_names_nothing(body: Any) -> None:
    """What SIPS' errors look like is not documented."""
    assert () == objections(body, order(), MAX_ERRORS)


def test_a_long_list_is_cut_and_told_once_each() -> None:
    """The event must stay small enough to be published, also of a very long order."""
    rows = [{"parameter": f"p{number % 200}", "domain": "x" * 1000} for number in range(100_000)]

    assert MAX_ERRORS == len(named(order(5_000), *rows))
    assert ["/customerCode"] == named(order(), *[{"parameter": "customerCode"}] * 50)


def test_what_is_nested_very_deep_breaks_nothing() -> None:
    """It is passed on to SIPS as it is."""
    deep: Any = "Canary"
    for _ in range(20_000):
        deep = [deep]

    assert [] == named(order(gate=deep, notes=deep), {"parameter": "Canary"})


def test_only_a_refusal_tells_of_it() -> None:
    """Any other answer says nothing of the payload."""
    body = example("error.inferred.response")
    answer = Answer(operation="ordersV2Submit", status=400, body=body, raw=b"", media_type="application/json", seconds=0.1)
    payload = order()

    told = [
        problems.from_sips(kind("ordersV2Submit", "no", answer=answer), exhausted=False, payload=payload).errors
        for kind in (Rejected, Forbidden)
    ]

    assert [1, 0] == [len(errors) for errors in told]
    assert () == problems.from_sips(Rejected("ordersV2Submit", "no", answer=answer), exhausted=False).errors
