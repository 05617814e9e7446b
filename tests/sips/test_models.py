"""The shapes of SIPS' bodies, against the portal's examples (shortened)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from worker.sips.models import OrderListAnswer, OrderListRequest, OrderRow, SipsModel, TokenAnswer, TokenRequest

EXAMPLES: list[tuple[type[SipsModel], dict[str, Any]]] = [
    (TokenRequest, {"client_id": "a", "client_secret": "b", "grant_type": "client_credentials", "scope": "ALL"}),
    (TokenAnswer, {"token_type": "Bearer", "expires_in": 86400, "ext_expires_in": 86400, "access_token": "FAKE"}),
    (OrderListRequest, {"branchCode": "string", "orderId": 0, "PONumber": "string"}),
]


@pytest.mark.parametrize(("model", "example"), EXAMPLES)
def test_an_example_is_read_and_written_unchanged(model: type[SipsModel], example: dict[str, Any]) -> None:
    """No value changes its spelling or its type on the way."""
    assert example == model.model_validate(example).model_dump(exclude_unset=True)


def test_an_answer_may_lack_everything() -> None:
    """What is missing is for the reader to judge; what nobody knows is kept."""
    assert {"brandNew": [1]} == OrderRow.model_validate({"brandNew": [1]}).model_extra


def test_an_answer_without_its_list_is_no_empty_list() -> None:
    """An order is not absent because an answer has another shape."""
    with pytest.raises(ValidationError):
        OrderListAnswer.model_validate({"message": "ok"})


def test_ids_are_read_as_text() -> None:
    """One page shows a number, another text; compared is text."""
    assert "35818786" == OrderListAnswer.model_validate({"orderList": [{"orderId": 35818786}]}).orderList[0].orderId


def test_no_value_shows_in_a_repr_or_an_error() -> None:
    """Bodies hold names, addresses, tokens and secrets."""
    row = OrderRow.model_validate({"shipTo": "1234 COUNTY LINE ROAD"})
    assert "<OrderRow> <OrderRow>" == f"{row} {row!r}"
    with pytest.raises(ValidationError) as caught:
        OrderRow.model_validate({"orderId": ["1234 COUNTY LINE ROAD"]})
    assert "COUNTY" not in str(caught.value)
