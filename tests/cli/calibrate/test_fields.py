"""An answer held against a model."""

from __future__ import annotations

from typing import Any

import pytest

from worker.cli.calibrate.fields import Difference, Expected, differences, share
from worker.runtime.payload import Number, Result, Whole
from worker.runtime.spelling import read_from


class Line(Result, alias_generator=read_from("orderDetails")):
    """A line with a number that SIPS spells otherwise."""

    product_id: Whole | None = None
    po_number: str | None = None


class Order(Result, alias_generator=read_from("orderDetails")):
    """An order as a model has it."""

    order_id: str | None = None
    po_number: str | None = None
    total: Number | None = None
    lines: list[Line] | None = None
    kinds: list[str] | None = None
    first: Line | None = None


WHOLE: dict[str, Any] = {
    "orderId": 35818786,
    "PONumber": "5641-8",
    "total": 1.5,
    "lines": [{"productId": 1, "PONumber": None}],
    "kinds": ["a"],
    "first": {"productID": 2, "poNumber": "EA"},
}


def without(*names: str, **more: Any) -> dict[str, Any]:
    """An order with changes."""
    return {name: value for name, value in WHOLE.items() if name not in names} | more


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (WHOLE, []),
        (without(total=None, lines=None, first=None), []),
        (without(poNumber="1", PONumber=None), []),
        (without("PONumber"), [("missing", "/PONumber", "")]),
        (without(extra={"a": 1}), [("new", "/extra", "an object")]),
        (without(**{"a/b~c": None}), [("new", "/a~1b~0c", "null")]),
        (without(total="no number"), [("type", "/total", "text, where the model has a number or null")]),
        (without(orderId=True), [("type", "/orderId", "true or false, where the model has text or null")]),
        (without(kinds="a"), [("type", "/kinds", "text, where the model has a list or null")]),
        (without(lines={}), [("type", "/lines", "an object, where the model has a list")]),
        (without(first=[]), [("type", "/first", "a list, where the model has an object")]),
        ([], [("type", "", "a list, where the model has an object")]),
        # Of a list: what one item lacks is not missing, and what is odd is named once, where it stands first.
        (without(lines=[{"productId": 1}, {"productId": 2, "PONumber": "EA"}]), []),
        (without(lines=[{"productId": 1}, {"productId": 2}]), [("missing", "/lines/0/PONumber", "")]),
        (
            without(lines=[{"productId": 1, "PONumber": 1}, {"productId": "x", "PONumber": 1}, {"productId": "x", "z": 1}]),
            [
                ("type", "/lines/1/productId", "text, where the model has a whole number or null"),
                ("new", "/lines/2/z", "a whole number"),
            ],
        ),
        (without(lines=[]), []),
    ],
)
def test_each_difference_is_named_by_its_place(body: Any, found: list[tuple[str, str, str]]) -> None:
    """Missing, new, of another type; a number for text is none, as the models read it so."""
    assert [Difference(*row) for row in found] == differences(body, Expected("orderDetails", Order))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"list": [WHOLE]}, []),
        ({"list": [WHOLE], "count": 1}, [("new", "/count", "a whole number")]),
        ({"list": []}, []),
        ({"rows": [WHOLE]}, [("missing", "/list", ""), ("new", "/rows", "a list")]),
        ([WHOLE], []),
    ],
)
def test_the_place_of_a_list_is_part_of_the_shape(body: Any, found: list[tuple[str, str, str]]) -> None:
    """What stands beside it is new."""
    assert [Difference(*row) for row in found] == differences(body, Expected("orderDetails", list[Order], "list"))


def test_what_another_operation_answers_with_is_not_missed() -> None:
    """Two operations may share a model."""
    assert [] == differences(without("total"), Expected("orderDetails", Order, foreign=frozenset({"total"})))


@pytest.mark.parametrize(
    ("body", "expected", "names", "of"),
    [
        (WHOLE, Expected("orderDetails", Order), (), (10, 10)),
        ({"data": {"order": {"OrderID": 1, "ponumber": "x"}}}, Expected("orderDetails", Order), (), (4, 10)),
        ({"message": "x"}, Expected("orderDetails", list[Order], "list"), (), (0, 11)),
        ({"list": []}, Expected("orderDetails", list[Order], "list"), (), (1, 1)),
        ([], Expected("orderDetails", list[Order]), (), (0, 0)),
        ([{"url": "x"}], None, ("url", "fileName"), (1, 2)),
        ([], None, ("url", "fileName"), (0, 0)),
        ({"anything": 1}, None, (), (0, 0)),
    ],
)
def test_expected_properties_count_wherever_they_stand(
    body: Any, expected: Expected | None, names: tuple[str, ...], of: tuple[int, int]
) -> None:
    """In any letter case; an answer that was put into another object is still the operation's."""
    assert of == share(body, expected, names)
