"""What each operation is asked, and what is learned from the answers."""

from __future__ import annotations

from typing import Any

import pytest

import worker.main
from worker.cli.calibrate.questions import QUESTIONS, Fact, Question, UnknownFactError, learn, payload, plan
from worker.runtime.registry import registry
from worker.sips import OPERATIONS, Kind

assert worker.main.__all__  # importing it registers the handlers

#: Every fact, as SIPS would tell it.
FACTS = {
    Fact.CUSTOMER: "DEMO001",
    Fact.ORDER: "35818786",
    Fact.INVOICE: "0019073403-001",
    Fact.BRANCH: "BRRIV",
    Fact.BRANCH_NUMBER: "3",
    Fact.JOB_ACCOUNT: "1",
    Fact.PRODUCT: "6706",
    Fact.ITEM: "TARMS300",
}


def question(operation: str) -> Question:
    """The question of an operation."""
    return next(row for row in QUESTIONS if row.operation == operation)


def test_every_read_has_its_question_and_nothing_else_has_one() -> None:
    """The token is asked for by itself."""
    reads = {operation.id for operation in OPERATIONS.values() if operation.kind is Kind.READ}

    assert sorted(reads - {"authenticationToken"}) == sorted(row.operation for row in QUESTIONS)


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda row: row.operation)
def test_each_command_takes_its_question(asked: Question) -> None:
    """With all facts, and with those only that it cannot do without; its other fields exist."""
    handler = next(row for row in registry if asked.operation in row.calls)
    needed = {fact: value for fact, value in FACTS.items() if fact in set(_needed(asked.asks))}

    for facts in (FACTS, needed):
        assert handler.payload.model_validate(payload(asked, facts))


def _needed(asks: Any) -> list[Fact]:
    if isinstance(asks, Fact):
        return [asks]
    if isinstance(asks, dict):
        return [fact for name, value in asks.items() if not name.endswith("?") for fact in _needed(value)]
    return [fact for item in asks for fact in _needed(item)] if isinstance(asks, list) else []


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda row: row.operation)
def test_what_is_needed_is_told_before(asked: Question) -> None:
    """By the person who asks, or by an operation that comes earlier."""
    earlier = QUESTIONS[: QUESTIONS.index(asked)]
    told = {Fact.CUSTOMER, Fact.ORDER, Fact.INVOICE, *(fact for row in earlier for fact in row.tells)}

    assert told >= set(_needed(asked.asks))


def test_a_fact_that_is_not_known_is_named() -> None:
    """There is nothing to ask with."""
    with pytest.raises(UnknownFactError) as caught:
        payload(question("branchDetails"), {Fact.CUSTOMER: "DEMO001"})

    assert Fact.BRANCH_NUMBER == caught.value.fact


def test_what_can_be_left_out_is_asked_with_where_it_is_known() -> None:
    """An invoice proves an account, and is not always at hand."""
    asked = question("customersValidate")

    assert {"accountNumber": "DEMO001", "invoiceNumber": "0019073403-001"} == payload(asked, FACTS)
    assert {"accountNumber": "DEMO001"} == payload(asked, {Fact.CUSTOMER: "DEMO001"})


@pytest.mark.parametrize(
    ("operation", "body", "told"),
    [
        ("customerDetails", {"homeBranch": "BRRIV", "homeBranchId": 3}, {Fact.BRANCH: "BRRIV", Fact.BRANCH_NUMBER: "3"}),
        ("customerDetails", {"homeBranch": "", "homeBranchId": None}, {}),
        ("branchActiveItems", {"branchItemList": [{"color": "x"}, {"itemCode": "A1"}, {"itemCode": "A2"}]}, {Fact.ITEM: "A1"}),
        ("activeBranchProducts", [{"productId": True}, {"productID": 7}], {Fact.PRODUCT: "7"}),
        ("activeBranchProducts", None, {}),
        ("ordersList", {"orderList": [{"branchCode": "BRRIV"}]}, {}),
    ],
)
def test_the_first_value_is_learned(operation: str, body: Any, told: dict[Fact, str]) -> None:
    """Wherever in the answer it stands; nothing where there is none."""
    assert told == learn(question(operation), body)


def test_a_plan_for_some_operations_has_what_they_need() -> None:
    """And that is itself planned: an item code needs a branch's number."""
    planned = [row.operation for row in plan(["uomConversion"])]

    assert "customerDetails" == planned[0]
    assert {"branchActiveItems", "uomConversion"} <= set(planned)
    assert not {"ordersList", "invoicePdf", "colorRecommendations"} & set(planned)
    assert ["orderDetails"] == [row.operation for row in plan(["orderDetails"])]
    assert list(QUESTIONS) == plan()
