"""What an order is warned of, and what makes it strict."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from handlers import order_lookup
from handlers.order_checks import DETAILS, LONGEST_NAME, MAX_WARNINGS
from handlers.order_payload import OrderRequest
from tests.acceptance.conftest import example
from tests.sandbox.test_routes import json_values, places, replaced
from worker.runtime.outcomes import invalid_payload

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")

ADDRESS = {"addressLine1": "5 Example Rd", "city": "Denver", "state": "CO", "zipCode": "80014"}

#: An order that there is nothing to warn of.
CLEAN: dict[str, Any] = {
    "customerCode": "DEMO001",
    "branchCode": "BRRIV",
    "accountNumber": "DEMO001",
    "jobAccountNumber": 43,
    "shipToSequenceNumber": 2,
    "notes": "",
    "shipTo": ADDRESS | {"name": "Pat Example", "addressLine2": None},
    "poDetails": {
        "poNumber": "5641-8",
        "reference": "",
        "jobNumber": "",
        "orderDate": "2026-05-18",
        "expectedDeliveryDate": "2026-05-19",
        "expectedDeliveryTime": "Anytime",
        "orderType": "WHSE",
        "shippingMethod": "Ground Drop",
    },
    "orderLineItemDetails": [{"productId": 75664, "option": "Country Gray", "quantity": 1, "uom": "SQ"}],
    "customerContactInfo": {
        "customerContactName": "Pat Example",
        "customerContactPhone": "555-0100",
        "customerContactAddress": ADDRESS,
        "additionalContactEmails": [],
    },
}
CLEAN_V1: dict[str, Any] = {name: value for name, value in CLEAN.items() if name not in {"branchCode", "jobAccountNumber"}} | {
    "apiVersion": 1,
    "branchId": "247",
    "billTo": dict(ADDRESS),
    "orderLineItemDetails": [{"itemCode": "TARMS300", "itemSize": "", "quantity": 1, "uom": "RL"}],
}
LINE, CONTACT = ("orderLineItemDetails", 0), ("customerContactInfo", "customerContactAddress")
MISSING = object()


def changed(place: tuple[Any, ...], value: Any, whole: Any = None) -> dict[str, Any]:
    """The clean order with one property changed, added or taken away."""
    order = copy.deepcopy(CLEAN if whole is None else whole)
    at = order
    for name in place[:-1]:
        at = at[name]
    if value is MISSING:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return order


def warned(payload: Any) -> list[tuple[str, str]]:
    """Codes and pointers of a payload's warnings."""
    return [(warning.code, warning.pointer) for warning in OrderRequest.model_validate(payload).warnings()]


@pytest.mark.parametrize(
    ("code", "place", "value"),
    [
        ("job-account-missing", ("jobAccountNumber",), MISSING),
        ("job-account-missing", ("jobAccountNumber",), None),
        ("job-account-placeholder", ("jobAccountNumber",), 1),
        ("unexpected-type", ("jobAccountNumber",), "43"),
        ("unexpected-type", ("jobAccountNumber",), 43.0),
        ("ship-to-missing", ("shipTo",), MISSING),
        ("ship-to-missing", ("shipTo",), None),
        ("ship-to-sequence-missing", ("shipToSequenceNumber",), MISSING),
        ("unexpected-type", ("shipToSequenceNumber",), "2"),
        ("unexpected-type", ("shipToSequenceNumber",), True),
        ("line-price", (*LINE, "price"), 12),
        ("line-price", (*LINE, "price"), 0),
        ("option-not-applicable", (*LINE, "option"), "N/A"),
        ("unexpected-type", (*LINE, "option"), 7),
        ("unexpected-type", (*LINE, "customerItem"), {}),
        ("state-name", ("shipTo", "state"), "Colorado"),
        ("state-name", (*CONTACT, "state"), "Utah"),
        ("state-name", (*CONTACT, "state"), "U1"),
        ("date-format", ("poDetails", "orderDate"), "12.04.2021"),
        ("date-format", ("poDetails", "orderDate"), "2026-05-18T00:00:00"),
        ("date-format", ("poDetails", "orderDate"), "2026-02-30"),
        ("date-format", ("poDetails", "expectedDeliveryDate"), "20260519"),
        ("unknown-value", (*LINE, "uom"), "XX"),
        ("unknown-value", (*LINE, "uom"), "sq"),
        ("unknown-value", ("poDetails", "orderType"), "STOCK"),
        ("unknown-value", ("poDetails", "shippingMethod"), "Delivery"),
        ("unknown-value", ("poDetails", "expectedDeliveryTime"), "Noon"),
        ("unexpected-type", ("poDetails", "expectedDeliveryTime"), 12),
        ("unexpected-type", ("customerContactInfo", "additionalContactEmails"), "pat@example.com"),
        ("unexpected-type", ("notes",), []),
        ("unknown-property", ("brandNew",), None),
        ("unknown-property", ("branchId",), "247"),
        ("unknown-property", (*LINE, "a/b~c"), 1),
        ("unknown-property", (*LINE, "itemCode"), "TARMS300"),
        ("unknown-property", ("poDetails", "timezone"), "x"),
        ("unknown-property", ("poDetails", "transactionID"), "x"),
        ("unknown-property", (*CONTACT, "gateCode"), "7"),
        ("unknown-property", ("shipTo", "gateCode"), "7"),
    ],
)
def test_one_thing_is_warned_of_once_at_its_place(code: str, place: tuple[Any, ...], value: Any) -> None:
    """And is an error at the same place, in the same words, where the order is meant strictly."""
    payload = changed(place, value)
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in place)
    assert [(code, pointer)] == warned(payload)

    (warning,) = OrderRequest.model_validate(payload).warnings()
    with pytest.raises(ValidationError) as caught:
        OrderRequest.model_validate(payload | {"strict": True})
    assert ({"pointer": pointer, "detail": warning.detail},) == invalid_payload(caught.value).errors


@pytest.mark.parametrize(
    "payload",
    [
        CLEAN,
        changed(("notes",), MISSING),
        changed(("poDetails", "orderType"), ""),
        changed(("poDetails", "expectedDeliveryDate"), None),
        changed(("shipTo", "state"), ""),
        changed(("shipTo", "state"), "co"),
        changed((*LINE, "option"), MISSING),
        changed((*LINE, "option"), ""),
        changed((*LINE, "price"), None),
        CLEAN | {"transactionID": "x", "TransactionDate": "y", "sourceSystem": "z"},
        CLEAN | {"apiVersion": 2, "lookup": True, "strict": False},
    ],
    ids=str,
)
def test_what_is_as_it_was_seen_is_not_warned_of(payload: dict[str, Any]) -> None:
    """Nor is what is not given, and what the worker overwrites; so it goes through strictly too."""
    assert [] == warned(payload)
    OrderRequest.model_validate(payload | {"strict": True})


@pytest.mark.parametrize(
    ("payload", "others"),
    [
        (CLEAN_V1, []),
        (changed(("billTo", "state"), "Colorado", CLEAN_V1), [("state-name", "/billTo/state")]),
        (changed((*LINE, "UOM"), "XX", changed((*LINE, "uom"), MISSING, CLEAN_V1)), [("unknown-value", f"/{LINE[0]}/0/uom")]),
        (CLEAN_V1 | {"jobAccountNumber": 1}, [("unknown-property", "/jobAccountNumber")]),
        (CLEAN_V1 | {"branchCode": "BRRIV"}, [("unknown-property", "/branchCode")]),
    ],
)
def test_version_1_is_warned_of_as_such(payload: dict[str, Any], others: list[tuple[str, str]]) -> None:
    """It knows no job account, and other properties."""
    assert [("api-version-deprecated", "/apiVersion"), *others] == warned(payload)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        (
            "ordersV2Submit.request",
            {"job-account-placeholder", "ship-to-sequence-missing", "state-name", "line-price", "option-not-applicable"},
        ),
        ("ordersV2Submit.field.request", {"job-account-missing", "option-not-applicable"}),
    ],
)
def test_both_orders_that_are_known_to_be_taken_go_through(name: str, codes: set[str]) -> None:
    """Though each of them lacks what the other one has."""
    assert codes == {code for code, _ in warned(example(name))}


def test_an_order_is_not_warned_of_without_end() -> None:
    """A message may have 20 000 lines, and the warnings are kept with it."""
    lines = CLEAN["orderLineItemDetails"] * 3 + [CLEAN["orderLineItemDetails"][0] | {"price": 1}] * (MAX_WARNINGS + 1)
    found = warned(CLEAN | {"orderLineItemDetails": lines})
    assert (MAX_WARNINGS + 1, ("more-warnings", "")) == (len(found), found[-1])
    assert [("line-price", "/orderLineItemDetails/3/price")] == found[:1]
    assert MAX_WARNINGS == len(warned(CLEAN | {"orderLineItemDetails": lines[:-1]}))


def test_a_pointer_has_an_end() -> None:
    """A name that is longer than any is told by what it stands in."""
    assert [("unknown-property", "/shipTo")] == warned(changed(("shipTo", "x" * (LONGEST_NAME + 1)), 1))


@given(data=st.data(), name=st.sampled_from(["ordersV2Submit.request", "ordersV2Submit.field.request"]))
def test_whatever_stands_anywhere_in_an_order_is_refused_or_warned_of_or_nothing(data: st.DataObject, name: str) -> None:
    """Never anything else; no warning holds a value, and strictly it is taken if and only if there is none."""
    whole = example(name)
    place = data.draw(st.sampled_from([place for place in places(whole) if place]))
    payload = replaced(whole, place, data.draw(json_values | st.just("Canary")))
    try:
        order = OrderRequest.model_validate(payload)
    except ValidationError:
        return
    found = order.warnings()
    assert not any("Canary" in warning.detail for warning in found)
    assert all(warning.code in DETAILS for warning in found)
    try:
        OrderRequest.model_validate(payload | {"strict": True})
    except ValidationError as error:
        assert [warning.pointer for warning in found] == [one["pointer"] for one in invalid_payload(error).errors]
    else:
        assert [] == found


def test_every_warning_is_explained() -> None:
    """In the README, where a publisher looks; each says what to send instead."""
    section = README.partition("**Warnings.**")[2].partition("\n## ")[0]
    codes = {*DETAILS, *order_lookup.DETAILS}
    assert codes == set(re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", section)) - {"invalid-payload", "sips-rejected"}
