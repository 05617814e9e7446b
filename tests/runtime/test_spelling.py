"""One spelling of ours, and SIPS' own beside it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from worker.runtime.outcomes import invalid_payload
from worker.runtime.payload import Filters, Gleaned, Payload, Result, Text, Whole
from worker.runtime.spelling import read_from, sent_to


class Line(Payload, alias_generator=sent_to("productsPricingV1")):
    """A line of an operation that says UOM."""

    uom: Text
    product_id: Whole | None = None


class Query(Filters, alias_generator=sent_to("ordersList")):
    """A query of an operation with words of its own."""

    customer_code: Text | None = None
    po_number: Text | None = None
    lines: list[Line] | None = None


class Row(Result, alias_generator=read_from("ordersList", "orderTemplatesV2")):
    """A row of two operations' answers."""

    customer_code: str | None = None
    po_number: str | None = None
    default_uom: str | None = None


def told(payload: dict[str, Any], model: type[Payload] = Query) -> list[tuple[str, str]]:
    """Where and how a payload is wrong."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(payload)
    return [(fault["pointer"], fault["detail"]) for fault in invalid_payload(caught.value).errors]


@pytest.mark.parametrize(
    "payload",
    [
        {"customerCode": "A", "poNumber": "1", "limit": 5, "lines": [{"uom": "EA", "productId": 7}]},
        {"customerNumber": "A", "PONumber": "1", "rowReturnLimit": 5, "lines": [{"UOM": "EA", "productID": 7}]},
    ],
)
def test_both_spellings_are_read_and_that_of_the_operation_is_written(payload: dict[str, Any]) -> None:
    """`productId` has no other one in these operations, so it is written as ours."""
    lines = [{"UOM": "EA", "productId": 7}]
    expected = {"customerNumber": "A", "PONumber": "1", "rowReturnLimit": 5, "lines": lines}
    assert expected == Query.model_validate(payload).to_sips()


@pytest.mark.parametrize(
    ("payload", "pointer", "other", "ours"),
    [
        ({"customerCode": "A", "customerNumber": "A"}, "", "customerNumber", "customerCode"),
        ({"poNumber": "1", "PONumber": "2"}, "", "PONumber", "poNumber"),
        ({"customerCode": "A", "lines": [{"uom": "EA", "UOM": "EA"}]}, "/lines/0", "UOM", "uom"),
        # A letter case that SIPS was never seen to use: it would be passed on, and SIPS may not care about letter case.
        ({"customerCode": "A", "ponumber": "1"}, "", "ponumber", "poNumber"),
        # The names that the models have in Python are none of the contract's.
        ({"customerCode": "A", "customer_code": "B"}, "", "customer_code", "customerCode"),
    ],
)
def test_two_spellings_of_one_property_are_refused(payload: dict[str, Any], pointer: str, other: str, ours: str) -> None:
    """Nobody knows which one is meant."""
    assert [(pointer, f"{other} is another spelling of {ours}; give it once, as {ours}")] == told(payload)


def test_a_wrong_value_is_told_by_the_spelling_that_was_given() -> None:
    """So that its pointer leads somewhere; what is missing is told by ours."""
    assert ["/lines/0/UOM", "/lines/1/uom"] == [pointer for pointer, _ in told({"lines": [{"UOM": []}, {}]})]


def test_other_names_are_nobodys_spelling() -> None:
    """And are passed on."""
    assert {"customerNumber": "A", "brandNew": 1} == Query.model_validate({"customerCode": "A", "brandNew": 1}).to_sips()


def test_the_contract_speaks_our_spelling_only() -> None:
    """Of payloads as they are read, and of results as they are written, all properties of which are always there."""
    assert {"limit", "customerCode", "poNumber", "lines"} == set(TypeAdapter(Query).json_schema()["properties"])
    schema = TypeAdapter(Row).json_schema(mode="serialization")
    assert ["customerCode", "poNumber", "defaultUom"] == schema["required"] == list(schema["properties"])


def test_a_result_is_read_from_either_spelling_and_written_in_ours() -> None:
    """A number where text is expected is text; what is missing is null."""
    row = Row.model_validate({"customerNumber": "A", "PONumber": 7, "defualtUOM": "EA", "brandNew": 1})
    assert {"customerCode": "A", "poNumber": "7", "defaultUom": "EA"} == row.model_dump()
    assert {"customerCode": "B", "poNumber": None, "defaultUom": None} == Row.model_validate({"customerCode": "B"}).model_dump()


@pytest.mark.parametrize("payload", [{}, {"limit": 5}, {"customerCode": None, "rowReturnLimit": 5}, {"customer": "A"}])
def test_filters_ask_for_something(payload: dict[str, Any]) -> None:
    """A limit alone filters nothing, and a misspelled filter may list the orders of everybody."""
    assert [("", "give at least one filter beside limit, such as customerCode")] == told(payload)


def test_a_filter_that_is_null_is_not_sent() -> None:
    """SIPS documents none that may be null."""
    assert {"PONumber": "1"} == Query.model_validate({"poNumber": "1", "customerCode": None}).to_sips()


class Guess(Gleaned):
    """A shape that no page documents."""

    number: Whole | None = None
    text: str | None = None


@pytest.mark.parametrize(
    ("answer", "number", "text"),
    [
        ({"number": "7", "text": 7}, 7, "7"),
        ({"number": "seven", "text": "x"}, None, "x"),
        ({"number": 7, "text": {}}, 7, None),
        ({"number": []}, None, None),
    ],
)
def test_what_is_gleaned_is_null_where_it_cannot_be_read(answer: dict[str, Any], number: int | None, text: str | None) -> None:
    """Each property by itself."""
    assert {"number": number, "text": text} == Guess.model_validate(answer).model_dump()


@pytest.mark.parametrize("answer", [{}, {"other": 1}, [], None, "text"])
def test_where_no_property_is_known_nothing_is_gleaned(answer: Any) -> None:
    """An object full of nulls would look like an answer."""
    with pytest.raises(ValidationError):
        Guess.model_validate(answer)
