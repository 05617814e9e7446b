"""`sips.delivery.get`: the deliveries of one order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from handlers.deliveries import DeliveryList, DeliveryQuery, get_deliveries, list_deliveries, locate_delivery
from handlers.orders import OrderReference
from tests.sandbox.calling import Caller, order
from worker.runtime.payload import Identity
from worker.sandbox.state import EXAMPLE_ORDER_ID
from worker.sips import Unreadable
from worker.sips.errors import PathUnconfirmed, UnsafePath

if TYPE_CHECKING:
    from tests.handlers.conftest import Scripted
    from worker.sandbox import Sandbox
    from worker.sips import Sips

#: One delivery as the description has it.
ROW: dict[str, Any] = {
    "orderId": 35818786,
    "shipmentNumber": 1,
    "deliveryStatus": "Pending",
    "expectedDeliveryDate": "2021-04-15",
    "deliveredDate": None,
}


def request(order_id: Any) -> OrderReference:
    """The command's payload."""
    return OrderReference.model_validate({"orderId": order_id})


def told(scripted: Scripted, body: Any) -> list[dict[str, Any]]:
    """The deliveries that become of an answer."""
    asked = request(EXAMPLE_ORDER_ID)
    deliveries: list[dict[str, Any]] = get_deliveries(asked, scripted.answers(body)).model_dump(mode="json")["deliveries"]
    return deliveries


@pytest.mark.parametrize("order_id", ["35818786", 35818786, " 35818786 "])
def test_the_deliveries_of_the_documented_order_are_read(sips: Sips, order_id: Any) -> None:
    """Its id is text on one page and a number on another."""
    assert {
        "orderId": "35818786",
        "deliveries": [{"shipmentNumber": 1, "status": "Pending", "expectedDeliveryDate": "2021-04-15", "deliveredDate": None}],
    } == get_deliveries(request(order_id), sips).model_dump(mode="json")


def test_the_deliveries_of_a_placed_order_are_read(sandbox: Sandbox, sips: Sips) -> None:
    """By the id that the submit answered."""
    with Caller.of(sandbox) as caller:
        placed = caller.call("POST", "/orders/v2/Submit", order()).body["orderID"]
    deliveries = get_deliveries(request(placed), sips)
    assert isinstance(deliveries, DeliveryList)
    assert (placed, 1) == (deliveries.order_id, len(deliveries.deliveries))


@pytest.mark.parametrize("order_id", ["1", f"{EXAMPLE_ORDER_ID}/", "a/b", "?x=#", "ü"])
def test_an_unknown_order_does_not_reach_another_path(sips: Sips, order_id: str) -> None:
    """The path is a guess, so a 404 says nothing of the order."""
    with pytest.raises(PathUnconfirmed):
        get_deliveries(request(order_id), sips)


def test_an_id_that_would_change_the_path_is_not_sent(scripted: Scripted) -> None:
    """It is none of SIPS'."""
    before = len(scripted.sent)
    with pytest.raises(UnsafePath):
        get_deliveries(request(".."), scripted.answers({}))
    assert before == len(scripted.sent)


@pytest.mark.parametrize("order_id", [None, "", " ", True, [], {}])
def test_an_order_is_asked_for_by_its_id(order_id: Any) -> None:
    """The problem is told by its place."""
    with pytest.raises(ValidationError) as caught:
        request(order_id)
    assert [("orderId",)] == [fault["loc"] for fault in caught.value.errors()]


def test_unknown_properties_are_taken() -> None:
    """There is no body to pass them on in."""
    assert Identity(order_id="1") == OrderReference.model_validate({"orderId": 1, "brandNew": 1}).identity()


def test_what_is_missing_is_null(scripted: Scripted) -> None:
    """Unknown properties of a delivery stand in SIPS' own answer only."""
    nothing = {"shipmentNumber": None, "status": None, "expectedDeliveryDate": None, "deliveredDate": None}
    assert [nothing, nothing] == told(scripted, {"deliveryList": [{}, {"brandNew": [1]}], "more": True})
    assert [] == told(scripted, {"deliveryList": []})


def test_every_delivery_is_told_in_order(scripted: Scripted) -> None:
    """As SIPS spells its values; a number may come as text."""
    rows = [ROW, ROW | {"shipmentNumber": "2", "deliveryStatus": "Delivered", "deliveredDate": "2021-04-15T10:00:00"}]
    assert [(1, "Pending", None), (2, "Delivered", "2021-04-15T10:00:00")] == [
        (delivery["shipmentNumber"], delivery["status"], delivery["deliveredDate"])
        for delivery in told(scripted, {"deliveryList": rows})
    ]


def test_deliveries_of_another_order_are_left_out(scripted: Scripted) -> None:
    """They stand in SIPS' own answer only, should it not heed what it is asked for."""
    rows = [ROW | {"orderId": 1}, ROW | {"orderId": f"00{EXAMPLE_ORDER_ID}"}, ROW | {"orderId": None}]
    assert 2 == len(told(scripted, {"deliveryList": rows}))


@pytest.mark.parametrize("body", [[], None, 1, {}, {"deliveryList": None}, {"deliveryList": {}}, {"deliveryList": [ROW, None]}])
def test_an_answer_without_a_list_of_deliveries_is_unreadable(scripted: Scripted, body: Any) -> None:
    """It is no empty list: the order may well have deliveries."""
    with pytest.raises(Unreadable):
        told(scripted, body)


@pytest.mark.parametrize(
    "changes",
    [
        {"shipmentNumber": "one"},
        {"shipmentNumber": 1.5},
        {"shipmentNumber": True},
        {"shipmentNumber": "9" * 30},
        {"shipmentNumber": {"odd": 1}},
        {"deliveryStatus": {}},
        {"expectedDeliveryDate": []},
        {"deliveredDate": False},
    ],
)
def test_a_value_of_another_type_is_not_passed_on_as_ours(scripted: Scripted, changes: dict[str, Any]) -> None:
    """Consumers may rely on our shape."""
    with pytest.raises(Unreadable, match="shape at /deliveryList/0/"):
        told(scripted, {"deliveryList": [ROW | changes]})


def test_deliveries_are_listed_by_what_sips_filters_by(scripted: Scripted) -> None:
    """In its spelling, with what only it knows; each delivery says of which order it is."""
    payload = {"customerCode": "C", "orderId": "7", "limit": 5, "brandNew": 1}
    result = list_deliveries(DeliveryQuery.model_validate(payload), scripted.answers({"deliveryList": [ROW]}))
    assert {"customerCode": "C", "orderId": 7, "rowReturnLimit": 5, "brandNew": 1} == json.loads(scripted.sent[-1])
    assert [("35818786", "Pending")] == [(row["orderId"], row["status"]) for row in result.model_dump()["deliveries"]]


def test_a_truck_is_where_sips_says(sips: Sips) -> None:
    """In degrees."""
    position = {"status": "Pending", "latitude": 40.92, "longitude": -72.66}
    assert {"orderId": EXAMPLE_ORDER_ID, "position": position} == locate_delivery(request(EXAMPLE_ORDER_ID), sips).model_dump()
