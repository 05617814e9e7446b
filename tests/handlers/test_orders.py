"""`sips.order.submit`: what is sent, and what its answer means."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from handlers.order_payload import OrderRequest
from handlers.orders import submit_order
from tests.acceptance.conftest import example
from tests.handlers.conftest import SOURCE_SYSTEM, SUBMISSION
from tests.sandbox.calling import Control
from worker.runtime.payload import Identity
from worker.runtime.submission import InDoubtError, OrderResult
from worker.sips import Executed, SipsError
from worker.sips.errors import Rejected

if TYPE_CHECKING:
    from tests.handlers.conftest import Scripted
    from worker.sandbox import Sandbox
    from worker.sips import Sips

LINE = ("orderLineItemDetails", 0)

#: The worker's own properties, as they must reach SIPS.
OWN = {
    "sourceSystem": SOURCE_SYSTEM,
    "transactionID": SUBMISSION.transaction_id,
    "transactionDate": SUBMISSION.transaction_date,
}


def request(**changes: Any) -> OrderRequest:
    """The documented order with some properties changed."""
    return OrderRequest.model_validate(example("ordersV2Submit.request") | changes)


def sent(scripted: Scripted, order: OrderRequest) -> dict[str, Any]:
    """What SIPS is asked for an order."""
    submit_order(order, scripted.answers({"orderID": "1"}), SUBMISSION)
    body: dict[str, Any] = json.loads(scripted.sent[-1])
    return body


def judged(scripted: Scripted, body: Any) -> OrderResult:
    """What an answer means."""
    result = submit_order(request(), scripted.answers(body), SUBMISSION)
    assert isinstance(result, OrderResult)
    return result


# What is sent.


def test_the_documented_order_is_a_payload_as_it_stands(scripted: Scripted) -> None:
    """And reaches SIPS as it stands, to the last digit, but for what is the worker's."""
    payload = example("ordersV2Submit.request")
    order = sent(scripted, OrderRequest.model_validate(payload))
    assert json.dumps(payload | OWN, sort_keys=True) == json.dumps(order, sort_keys=True)


def test_unknown_properties_are_passed_on_untouched(scripted: Scripted) -> None:
    """At every level, and whatever they hold; null is a value."""
    new = {"deep": [{"a_b": None, "C": 1.50, "": "ü"}], "big": 2**63}
    payload = example("ordersV2Submit.request") | {"shipToSequenceNumber": 2, "brandNew": new, "memo": None}
    contact = payload["customerContactInfo"]
    for place in (payload["poDetails"], payload["orderLineItemDetails"][1], contact, contact["customerContactAddress"]):
        place["brandNew"] = new
    payload["shipTo"]["gateCode"] = 7
    assert payload | OWN == sent(scripted, OrderRequest.model_validate(payload))


@pytest.mark.parametrize(
    "spelled",
    [
        {"transactionId": "x"},
        {"TransactionID": "x", "transactionid": "y"},
        {"transactiondate": "x"},
        {"SourceSystem": "x"},
    ],
    ids=str,
)
def test_the_workers_own_properties_are_overwritten(scripted: Scripted, spelled: dict[str, str]) -> None:
    """However the payload spells them: the portal itself has transactionID and transactionId, and SIPS may read either."""
    order = sent(scripted, request(**spelled))
    assert OWN == {name: value for name, value in order.items() if name.lower() in {own.lower() for own in OWN}}


def test_an_order_in_sips_own_spelling_reaches_it_in_that_of_its_page(scripted: Scripted) -> None:
    """The pages have several; at every level, and also where another page has another one."""
    payload = example("ordersV2Submit.request")
    details, (line, *_) = payload.pop("poDetails"), payload["orderLineItemDetails"]
    other = payload | {
        "poDetails": {"PONumber" if name == "poNumber" else name: value for name, value in details.items()},
        "orderLineItemDetails": [{"productID": line["productId"], "quantity": 1, "UOM": "SQ"}],
    }
    order = sent(scripted, OrderRequest.model_validate(other))
    assert details == order["poDetails"]
    assert [{"productId": line["productId"], "quantity": 1, "uom": "SQ"}] == order["orderLineItemDetails"]


def test_what_is_for_the_worker_is_not_sent(scripted: Scripted) -> None:
    """SIPS was reported to drop orders with properties that it does not know."""
    payload = example("ordersV2Submit.request") | {"apiVersion": 2, "lookup": True, "strict": False}
    assert not {"apiVersion", "lookup", "strict"} & set(sent(scripted, OrderRequest.model_validate(payload)))


def version_1(**changes: Any) -> dict[str, Any]:
    """The documented order of version 1, and what of it stands on no page that was read."""
    contact = example("ordersV2Submit.request")["customerContactInfo"]
    line = {"itemCode": "TARMS300", "quantity": 2, "uom": "RL", "customerItem": "x", "brandNew": None}
    whole: dict[str, Any] = example("ordersSubmitV1.partial.request") | {
        "customerContactInfo": contact,
        "orderLineItemDetails": [line],
    }
    return whole | {"apiVersion": 1} | changes


def test_an_order_of_version_1_goes_to_its_own_call_in_its_own_spelling(sandbox: Sandbox, sips: Sips) -> None:
    """Which takes it; it is judged by the same rules."""
    result = submit_order(OrderRequest.model_validate(version_1()), sips, SUBMISSION)
    (placed,) = Control(sandbox.control_url).orders
    assert isinstance(result, OrderResult)
    assert ("confirmed", placed["orderId"], "SPR276") == (result.status, result.order_id, result.customer_code)
    assert {"200": 1} == Control(sandbox.control_url).requests("ordersSubmitV1")


def test_an_order_of_version_1_is_sent_as_it_stands(scripted: Scripted) -> None:
    """But for what is the worker's, and the unit."""
    body = sent(scripted, OrderRequest.model_validate(version_1()))
    whole = version_1()
    del whole["apiVersion"]
    (line,) = whole["orderLineItemDetails"]
    line["UOM"] = line.pop("uom")
    whole["poDetails"]["poNumber"] = SUBMISSION.po_number
    assert whole | OWN == body


def test_an_order_of_version_1_is_about_its_customer_branch_and_po_number() -> None:
    """The branch by its number, also where it came as one."""
    order = OrderRequest.model_validate(version_1(branchId=247))
    assert Identity(customer_code="SPR276", branch_code="247", po_number="5641-8") == order.identity()


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"branchId": None}, [("branchId",)]),
        (
            {"orderLineItemDetails": [{"itemCode": " ", "quantity": 0}]},
            [(*LINE, "quantity"), (*LINE, "uom"), (*LINE, "itemCode")],
        ),
        ({"orderLineItemDetails": [{"productId": 1, "quantity": 1, "uom": "EA"}]}, [(*LINE, "itemCode")]),
        ({"apiVersion": True}, [("apiVersion",)]),
        ({"apiVersion": "1"}, [("apiVersion",), ("branchCode",), (*LINE, "productId")]),
        ({"apiVersion": 3}, [("apiVersion",), ("branchCode",), (*LINE, "productId")]),
    ],
    ids=str,
)
def test_what_version_1_needs_is_told_by_its_place(changes: dict[str, Any], places: list[tuple[Any, ...]]) -> None:
    """Its own names, and a version that there is."""
    with pytest.raises(ValidationError) as caught:
        OrderRequest.model_validate(version_1(**changes))
    assert sorted(map(str, places)) == sorted(str(fault["loc"]) for fault in caught.value.errors())


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ({}, "DEMO001"),
        ({"accountNumber": None}, "DEMO001"),
        ({"accountNumber": ""}, "DEMO001"),
        ({"accountNumber": "  "}, "DEMO001"),
        ({"accountNumber": "A1"}, "A1"),
    ],
)
def test_the_account_number_is_the_customers_code_by_default(scripted: Scripted, given: dict[str, Any], number: str) -> None:
    """As in the documented example, where both are the same."""
    payload = example("ordersV2Submit.request")
    del payload["accountNumber"]
    assert number == sent(scripted, OrderRequest.model_validate(payload | given))["accountNumber"]


def test_the_po_number_is_the_submissions(scripted: Scripted) -> None:
    """The publisher's, or one that was made unique."""
    assert SUBMISSION.po_number == sent(scripted, request())["poDetails"]["poNumber"]


def test_codes_are_sent_without_white_space_around_them(scripted: Scripted) -> None:
    """And are what logs and look-ups know of the order."""
    order = request(
        customerCode=" DEMO001 ", branchCode="BRRIV\n", poDetails={"poNumber": "\t5641 8 ", "orderDate": "2021-04-12"}
    )
    body = sent(scripted, order)
    assert ("DEMO001", "BRRIV") == (body["customerCode"], body["branchCode"])
    assert Identity(customer_code="DEMO001", branch_code="BRRIV", po_number="5641 8") == order.identity()


@pytest.mark.parametrize(
    "place",
    [
        ("customerCode",),
        ("branchCode",),
        ("poDetails",),
        ("poDetails", "poNumber"),
        ("poDetails", "orderDate"),
        ("orderLineItemDetails",),
        ("orderLineItemDetails", 2, "productId"),
        ("orderLineItemDetails", 2, "quantity"),
        ("orderLineItemDetails", 2, "uom"),
        ("customerContactInfo",),
        ("customerContactInfo", "customerContactName"),
        ("customerContactInfo", "customerContactPhone"),
        ("customerContactInfo", "customerContactAddress"),
        ("customerContactInfo", "customerContactAddress", "addressLine1"),
    ],
    ids=lambda place: "/".join(map(str, place)),
)
@pytest.mark.parametrize("value", ["missing", None, "", " ", [], True])
def test_what_sips_refuses_an_order_without_is_demanded(place: tuple[Any, ...], value: Any) -> None:
    """Told by its place, before SIPS is asked."""
    payload = example("ordersV2Submit.request")
    at = payload
    for name in place[:-1]:
        at = at[name]
    if value == "missing":
        del at[place[-1]]
    else:
        at[place[-1]] = value
    with pytest.raises(ValidationError) as caught:
        OrderRequest.model_validate(payload)
    assert [place] == [fault["loc"] for fault in caught.value.errors()]


@pytest.mark.parametrize(
    ("line", "name"),
    [({"productId": "9" * 30}, "productId"), ({"quantity": "inf"}, "quantity"), ({"quantity": 0}, "quantity")],
)
def test_a_line_that_could_not_be_written_is_refused(line: dict[str, Any], name: str) -> None:
    """Else the order would be in doubt although SIPS was never asked."""
    with pytest.raises(ValidationError) as caught:
        request(orderLineItemDetails=[{"productId": 1, "quantity": 1, "uom": "SQ"} | line])
    assert [("orderLineItemDetails", 0, name)] == [fault["loc"] for fault in caught.value.errors()]


def test_a_po_number_is_not_longer_than_can_be_looked_up() -> None:
    """It is a key."""
    details = {"orderDate": "2021-04-12"}
    assert 100 == len(request(poDetails=details | {"poNumber": "x" * 100}).po_details.po_number)
    with pytest.raises(ValidationError):
        request(poDetails=details | {"poNumber": "x" * 101})


# With the stand-in for SIPS.


def test_an_order_is_placed(sandbox: Sandbox, sips: Sips) -> None:
    """Confirmed, and at SIPS under the worker's transaction id."""
    result = submit_order(request(), sips, SUBMISSION)
    (placed,) = Control(sandbox.control_url).orders
    assert {
        "status": "confirmed",
        "orderId": placed["orderId"],
        "queueId": None,
        "transactionId": SUBMISSION.transaction_id,
        "transactionDate": SUBMISSION.transaction_date,
        "sourceSystem": SOURCE_SYSTEM,
        "customerCode": "DEMO001",
        "poNumber": "5641-8Test",
        "warnings": [asdict(warning) for warning in request().warnings()],
    } == result.model_dump(mode="json")
    assert (SUBMISSION.transaction_id, Executed.YES) == (placed["transactionID"], sips.executed)


@pytest.mark.parametrize("fault", ["queued", "queued_dropped"])
def test_a_queued_order_is_not_called_real(sandbox: Sandbox, sips: Sips, fault: str) -> None:
    """It has the id of its place in the queue, and no order id although SIPS calls it one."""
    control = Control(sandbox.control_url)
    control.set_faults(**{fault: 1})
    result = submit_order(request(), sips, SUBMISSION)
    assert isinstance(result, OrderResult)
    assert ("queued", None, control.orders[0]["queueId"]) == (result.status, result.order_id, result.queue_id)


@pytest.mark.parametrize("fault", ["lost_answer", "error_after", "garbage"])
def test_an_order_whose_answer_is_lost_may_be_at_sips(sandbox: Sandbox, sips: Sips, fault: str) -> None:
    """It is sent once, and the error says that nobody can tell."""
    control = Control(sandbox.control_url)
    control.set_faults(**{fault: {"operations": ["ordersV2Submit"]}})
    with pytest.raises(SipsError) as caught:
        submit_order(request(), sips, SUBMISSION)
    assert (Executed.MAYBE, Executed.MAYBE) == (caught.value.executed, sips.executed)
    assert 1 == len(control.orders)


def test_an_order_that_sips_refuses_is_not_there(sandbox: Sandbox, sips: Sips) -> None:
    """Whatever SIPS knows of orders that this version does not."""
    payload = example("ordersV2Submit.request")
    payload["poDetails"]["orderDate"] = "12.04.2021"
    with pytest.raises(Rejected):
        submit_order(OrderRequest.model_validate(payload), sips, SUBMISSION)
    assert [] == Control(sandbox.control_url).orders


# What an answer means.


@pytest.mark.parametrize(
    ("body", "order_id"),
    [
        (example("ordersV2Submit.sync.response") | {"transactionID": SUBMISSION.transaction_id}, "35818786"),
        ({"orderID": 35818786}, "35818786"),
        ({"orderID": "0035818786", "queueID": ""}, "0035818786"),
        ({"orderID": " 1 ", "errors": [], "message": None}, "1"),
        ({"orderID": "1", "transactionID": SUBMISSION.transaction_id.upper()}, "1"),
        ({"orderID": "1", "transactionID": None, "errors": None, "brandNew": {}}, "1"),
        ({"orderID": "1", "message": ["Order Queued"]}, "1"),
    ],
    ids=str,
)
def test_an_order_id_confirms(scripted: Scripted, body: Any, order_id: str) -> None:
    """As text or as a number."""
    result = judged(scripted, body)
    assert ("confirmed", order_id, None) == (result.status, result.order_id, result.queue_id)


@pytest.mark.parametrize(
    ("body", "queue_id"),
    [
        (example("ordersV2Submit.queued.inferred.response") | {"transactionID": None}, "00000000-0000-4000-8000-000000000001"),
        ({"queueID": 7, "orderID": "35818786", "message": "Order Submitted"}, "7"),
        ({"queueID": "q"}, "q"),
        ({"message": "Order Queued"}, None),
        ({"message": "Your order is queued.", "orderID": "35818786"}, None),
    ],
    ids=str,
)
def test_a_queue_id_or_a_message_that_says_so_means_queued(scripted: Scripted, body: Any, queue_id: str | None) -> None:
    """Also where an order id stands beside it: it may be the queue's."""
    result = judged(scripted, body)
    assert ("queued", None, queue_id) == (result.status, result.order_id, result.queue_id)


@pytest.mark.parametrize(
    "body",
    [
        None,
        "35818786",
        35818786,
        [{"orderID": "35818786"}],
        {"orderId": "35818786"},
        {"orderID": True},
        {"orderID": 0},
        {"orderID": "000"},
        {"orderID": -1},
        {"orderID": 1.5},
        {"orderID": "٣"},
        {"orderID": ["1"]},
        {"orderID": "1", "queueID": {"id": 1}},
        {"orderID": "1", "queueID": True},
        {"orderID": "1", "transactionID": {}},
        {"queueID": "q", "transactionID": "another"},
        {"queueID": "q", "errors": [{"message": "x"}]},
        {"message": "Order Queued", "errors": [{}]},
        {"message": "Order could not be queued"},
        {"message": "The order failed to be queued"},
        {"message": "Order wasn't queued"},
        {"message": "dequeued"},
        {"message": ["queued"]},
    ],
    ids=repr,
)
def test_any_other_answer_proves_nothing(scripted: Scripted, body: Any) -> None:
    """A 200 that is neither an order nor a place in the queue; where it is no JSON object at all the client may say so."""
    with pytest.raises((InDoubtError, SipsError)) as caught:
        judged(scripted, body)
    if isinstance(caught.value, SipsError):
        assert Executed.MAYBE is caught.value.executed


def test_doubt_tells_nothing_of_the_answer(scripted: Scripted) -> None:
    """Its text goes into logs and events."""
    for body in ({"orderID": "Canary"}, {"queueID": {"Canary": 1}}, {"errors": ["Canary"]}, {"transactionID": "Canary"}):
        with pytest.raises(InDoubtError) as caught:
            judged(scripted, body)
        assert "Canary" not in str(caught.value)
