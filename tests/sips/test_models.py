"""The shapes of SIPS' bodies, against the portal's examples (shortened)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from worker.sips.models import (
    DeliveryListAnswer,
    OrderListAnswer,
    OrderListRequest,
    OrderSubmitAnswer,
    OrderSubmitRequest,
    PriceLine,
    PriceRequest,
    SipsModel,
    TokenAnswer,
    TokenRequest,
)
from worker.sips.operations import OPERATIONS

ORDER: dict[str, Any] = {
    "sourceSystem": "SOURCENAME",
    "customerCode": "DEMO001",
    "jobAccountNumber": 1,
    "branchCode": "BRRIV",
    "accountNumber": "DEMO001",
    "transactionID": "3932cdd6-38e7-4d19-a05c-cd866473bdea",
    "transactionDate": "2023-05-11T10:49:34.187",
    "notes": "",
    "shipTo": {"name": "John", "addressLine1": "1234 COUNTY LINE ROAD", "city": "ONTARIO", "state": "NY", "zipCode": "14519"},
    "poDetails": {"poNumber": "5641-8Test", "orderDate": "2021-04-12", "orderType": "WHSE", "shippingMethod": "Ground Drop"},
    "orderLineItemDetails": [{"productId": 75664, "option": "Country Gray", "quantity": 1, "price": 12.5, "uom": "SQ"}],
    "customerContactInfo": {"customerContactName": "John Dough", "additionalContactEmails": ["test@example.com"]},
}

EXAMPLES: list[tuple[type[SipsModel], dict[str, Any]]] = [
    (TokenRequest, {"client_id": "a", "client_secret": "b", "grant_type": "client_credentials", "scope": "ALL"}),
    (TokenAnswer, {"token_type": "Bearer", "expires_in": 86400, "ext_expires_in": 86400, "access_token": "FAKE"}),
    (OrderSubmitRequest, ORDER),
    (OrderSubmitAnswer, {"message": "Order Submitted", "transactionID": "X", "orderID": "35818786", "queueID": None}),
    (OrderListRequest, {"branchCode": "string", "orderId": 0, "PONumber": "string"}),
    (
        PriceRequest,
        {
            "sourceSystem": "SOURCENAME",
            "customerCode": "DEMO001",
            "branchCode": "HWPLY",
            "transactionId": "SPR-1",
            "jobAccountNumber": 1,
            "productList": [{"productId": 77673, "productOptions": ["N/A"], "quantity": 1, "uom": "PC"}],
        },
    ),
    (
        PriceLine,
        {
            "itemCode": "ACEACEPLT3INI",
            "productId": 77673,
            "productOptions": ["N/A"],
            "priceUOM": "PC",
            "uomConversionFactor": 1,
            "price": 0.25,
            "availableStatus": "Call for Availability",
            "messageCode": 0,
        },
    ),
]


@pytest.mark.parametrize(("model", "example"), EXAMPLES)
def test_an_example_is_read_and_written_unchanged(model: type[SipsModel], example: dict[str, Any]) -> None:
    """No value changes its spelling or its type on the way."""
    assert example == model.model_validate(example).model_dump(exclude_unset=True)


@pytest.mark.parametrize("model", [OrderSubmitAnswer, PriceLine])
def test_an_answer_may_lack_everything(model: type[SipsModel]) -> None:
    """What is missing is for the handler to judge; what nobody knows is kept."""
    assert {"brandNew": [1]} == model.model_validate({"brandNew": [1]}).model_extra


@pytest.mark.parametrize("model", [OrderListAnswer, DeliveryListAnswer])
def test_an_answer_without_its_list_is_no_empty_list(model: type[SipsModel]) -> None:
    """An order is not absent because an answer has another shape."""
    with pytest.raises(ValidationError):
        model.model_validate({"message": "ok"})


def test_ids_are_read_as_text() -> None:
    """One page shows a number, another text; compared is text."""
    assert "35818786" == OrderSubmitAnswer.model_validate({"orderID": 35818786}).orderID
    assert "35818786" == OrderListAnswer.model_validate({"orderList": [{"orderId": 35818786}]}).orderList[0].orderId


def test_no_value_shows_in_a_repr_or_an_error() -> None:
    """Bodies hold names, addresses, tokens and secrets."""
    order = OrderSubmitRequest.model_validate(ORDER)
    assert "<OrderSubmitRequest> <OrderSubmitRequest>" == f"{order} {order!r}"
    with pytest.raises(ValidationError) as caught:
        OrderSubmitRequest.model_validate(ORDER | {"shipTo": "1234 COUNTY LINE ROAD"})
    assert "COUNTY" not in str(caught.value)


def test_the_table_names_the_models() -> None:
    """The operations that have a handler have their shapes."""
    shaped = {row.id for row in OPERATIONS.values() if row.answer is not None}
    assert {"authenticationToken", "ordersV2Submit", "ordersList", "deliveryDetails", "productsV2Price"} == shaped
