"""The data of outcomes."""

from __future__ import annotations

import json
import re

import orjson
import pytest
from pydantic import ValidationError

from handlers.order_payload import OrderRequest
from handlers.pricing import PriceRequest
from worker.messaging.envelope import Command
from worker.runtime import outcomes, problems
from worker.runtime.payload import pointer
from worker.sips import Answer

COMMAND = Command(
    id="c1",
    source="shop",
    type="sips.pricing.fetch",
    data=None,
    form="plain",
    correlation_id="c1",
    idempotency_key="c1",
    attempt=2,
    run=3,
)


def test_the_answer_of_sips_is_passed_on_byte_for_byte() -> None:
    """Also what no model knows and no number type can hold."""
    raw = b'{"price": 1.10, "serial": 123456789012345678901234567890, "new": {"field": true}}'
    answer = Answer(
        operation="productsV2Price", status=200, body=orjson.loads(raw), raw=raw, media_type="application/json", seconds=0.1
    )

    data = orjson.dumps(outcomes.succeeded_data(COMMAND, {"a": 1}, answer))

    assert raw in data
    assert {"id": "c1", "type": "sips.pricing.fetch", "run": 3, "attempts": 2} == json.loads(data)["command"]


def test_each_problem_of_a_payload_has_a_pointer_and_no_value() -> None:
    """RFC 6901; a name or an address in an error text would reach the log."""
    payload = {"customerCode": "Canary", "productList": [{"productId": "Canary", "quantity": -1, "uom": "PC"}]}
    with pytest.raises(ValidationError) as caught:
        PriceRequest.model_validate(payload)

    problem = outcomes.invalid_payload(caught.value)

    assert {"/branchCode", "/productList/0/productId", "/productList/0/quantity"} == {
        error["pointer"] for error in problem.errors
    }
    assert "Canary" not in str(problem)


def test_a_payload_with_very_many_problems_names_the_first_of_them() -> None:
    """The event that tells of them must stay small enough to be published."""
    with pytest.raises(ValidationError) as caught:
        PriceRequest.model_validate({"customerCode": "C", "branchCode": "B", "productList": [{}] * 10_000})

    problem = outcomes.invalid_payload(caught.value)

    assert outcomes.MAX_ERRORS == len(problem.errors)
    assert f"{caught.value.error_count()} problem(s), the first {outcomes.MAX_ERRORS}" in problem.detail


@pytest.mark.parametrize("payload", [None, [], "text", 7, True])
def test_a_payload_that_is_no_object_points_to_the_whole(payload: object) -> None:
    """The empty pointer means the document itself."""
    with pytest.raises(ValidationError) as caught:
        OrderRequest.model_validate(payload)

    assert [""] == [error["pointer"] for error in outcomes.invalid_payload(caught.value).errors]


@pytest.mark.parametrize("problem", [problems.unknown_type(COMMAND), problems.expired(COMMAND), problems.too_late("confirmed")])
def test_a_problem_says_what_to_do_next(problem: outcomes.Problem) -> None:
    """After what happened."""
    assert re.search(r"; (check|send|if SIPS has it, call)", problem.detail)


def test_pointers_escape_what_the_standard_says() -> None:
    """`~` and `/` have a meaning in a pointer."""
    assert "/a~1b/c~0d/0" == pointer(("a/b", "c~d", 0))
