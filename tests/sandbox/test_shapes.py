"""What requests must hold, held against SIPS' description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import example
from tests.sandbox.description import problems, request_schema, resolved
from tests.sandbox.test_routes import places, replaced
from worker.sandbox import shapes

if TYPE_CHECKING:
    from worker.sandbox.shapes import Rule

#: Operation id to (shape, documented requests).
SHAPES: dict[str, tuple[Rule, list[str]]] = {
    "authenticationToken": (shapes.TOKEN, ["authenticationToken.request"]),
    "ordersV2Submit": (shapes.ORDER, ["ordersV2Submit.request", "ordersV2Submit.field.request"]),
    "ordersSubmitV1": (shapes.ORDER_V1, ["ordersSubmitV1.partial.request"]),
    "ordersList": (shapes.ORDER_LIST, ["ordersList.request"]),
    "productsV2Price": (shapes.PRICE, ["productsV2Price.request", "productsV2Price.introGuide.request"]),
}

#: Answered with 401 where missing, not with 400.
CREDENTIALS = {("client_id",), ("client_secret",)}

#: Demanded beyond the description's lists of what is required, where the object that it stands in is given: field evidence
#: (empty ones were refused).
FIELD_EVIDENCE = {
    ("poDetails", "poNumber"),
    ("poDetails", "orderDate"),
    ("customerContactInfo", "customerContactName"),
    ("customerContactInfo", "customerContactPhone"),
    ("customerContactInfo", "customerContactAddress"),
    ("customerContactInfo", "customerContactAddress", "addressLine1"),
}

#: Demanded of version 1, of which the description requires nothing: without these the order could not be told from others.
IDENTITY_V1 = {("customerCode",), ("branchId",), ("transactionID",), ("poDetails",)}
LINE_V1 = {("orderLineItemDetails", name) for name in ("itemCode", "quantity", "UOM")}

Path = tuple[str, ...]


def demanded(rule: Rule, path: Path = ()) -> set[Path]:
    """The properties of a shape that must be there."""
    if isinstance(rule, list):
        return demanded(rule[0], path)
    if not isinstance(rule, dict):
        return set()
    found = set()
    for name, inner in rule.items():
        if not name.endswith("?"):
            found |= {(*path, name)} | demanded(inner, (*path, name))
    return found


def named(rule: Rule, path: Path = ()) -> set[Path]:
    """All properties of a shape."""
    if isinstance(rule, list):
        return named(rule[0], path)
    if not isinstance(rule, dict):
        return set()
    inner = {(*path, name.rstrip("?")): below for name, below in rule.items()}
    return set(inner).union(*(named(below, place) for place, below in inner.items()))


def described(schema: dict[str, Any], path: Path = (), *, required_only: bool) -> set[Path]:
    """The properties of a schema, or those that it requires."""
    schema = resolved(schema)
    if "items" in schema:
        return described(schema["items"], path, required_only=required_only)
    found = set()
    for name, inner in schema.get("properties", {}).items():
        if not required_only or name in schema.get("required", []):
            found |= {(*path, name)} | described(inner, (*path, name), required_only=required_only)
    return found


def has(value: Any, path: Path) -> bool:
    """Whether a documented request has a property (each item of a list)."""
    if isinstance(value, list):
        return all(has(item, path) for item in value)
    return not path or (isinstance(value, dict) and path[0] in value and has(value[path[0]], path[1:]))


@pytest.mark.parametrize("operation", SHAPES)
def test_what_the_description_requires_is_demanded(operation: str) -> None:
    """But for what a documented request goes without: an example wins over the description's guess."""
    shape, examples = SHAPES[operation]
    required = described(request_schema(operation), required_only=True)
    shown = {path for path in required if all(has(example(name), path) for name in examples)}
    beyond = FIELD_EVIDENCE | (IDENTITY_V1 | LINE_V1 if operation == "ordersSubmitV1" else set())
    assert shown - CREDENTIALS == demanded(shape) - beyond


@pytest.mark.parametrize("operation", SHAPES)
def test_every_property_is_described(operation: str) -> None:
    """None is left out and none is invented; the pre-SIPS time zone is none of SIPS'."""
    left_out = {("poDetails", "timezone")}
    optional_name = {("customerContactInfo", "customerContactAddress", "name")}  # "Only on V2 shipTo"
    assert described(request_schema(operation), required_only=False) - left_out - optional_name == named(SHAPES[operation][0])


@pytest.mark.parametrize("operation", SHAPES)
@pytest.mark.parametrize("value", [True, 1, 1.5, "2021-04-12", [], [1], {}, {"a": 1}], ids=repr)
def test_a_value_of_another_type_is_refused_where_the_description_refuses_it(operation: str, value: Any) -> None:
    """At every place of every documented request."""
    shape, examples = SHAPES[operation]
    schema = request_schema(operation)
    for name in examples:
        whole = example(name)
        for place in places(whole):
            body = replaced(whole, place, value)
            wrong = {problem for problem in problems(schema, body) if "required property" not in problem}
            if wrong:
                assert list(shapes.faults(body, shape)), f"{place} of {name} was taken although {wrong}"


@pytest.mark.parametrize("operation", SHAPES)
def test_a_documented_request_has_no_fault(operation: str) -> None:
    """Nor has one whose optional properties are null or missing."""
    shape, examples = SHAPES[operation]
    for name in examples:
        whole = example(name)
        assert [] == list(shapes.faults(whole, shape))
        for path in [path for path in places(whole) if path and isinstance(path[-1], str)]:
            plain = tuple(part for part in path if isinstance(part, str))
            if plain not in demanded(shape) and plain in named(shape):
                assert [] == list(shapes.faults(replaced(whole, path, None), shape)), path


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({}, "is required"),
        ({"orderLineItemDetails": None}, "is required"),
        ({"orderLineItemDetails": []}, "is required"),
        ({"orderLineItemDetails": {}}, "is invalid"),
        ({"orderLineItemDetails": "x"}, "is invalid"),
    ],
)
def test_a_list_must_have_an_item(value: dict[str, Any], fault: str) -> None:
    """An order without lines is none."""
    assert [fault] == [what for path, what in shapes.faults(value, shapes.ORDER) if path == ("orderLineItemDetails",)]


@pytest.mark.parametrize("place", sorted(demanded(shapes.ORDER) - {("orderLineItemDetails",)}))
@pytest.mark.parametrize(
    ("value", "fault"), [(None, "is required"), ("", "is required"), (" ", "is required"), (["x"], "is invalid")]
)
def test_each_demanded_property_of_an_order_is_told_by_its_path(place: Path, value: Any, fault: str) -> None:
    """Whether it is missing, blank or of another type."""
    whole = example("ordersV2Submit.request")
    exact = (place[0], 0, *place[1:]) if place[0] == "orderLineItemDetails" else place
    assert [(place, fault)] == list(shapes.faults(replaced(whole, exact, value), shapes.ORDER))


@pytest.mark.parametrize("quantity", [0, -1, "1", None])
def test_an_order_line_needs_a_quantity_above_zero(quantity: Any) -> None:
    """Of any kind of number."""
    whole = example("ordersV2Submit.request")
    faults = shapes.faults(replaced(whole, ("orderLineItemDetails", 2, "quantity"), quantity), shapes.ORDER)
    assert [("orderLineItemDetails", "quantity")] == [path for path, _ in faults]
    assert [] == list(shapes.faults(replaced(whole, ("orderLineItemDetails", 2, "quantity"), 0.5), shapes.ORDER))


@pytest.mark.parametrize("day", ["2021-4-12", "12.04.2021", "2021-02-30", "string", "2021-04-12T00:00:00"])
def test_the_date_of_an_order_is_a_date(day: str) -> None:
    """The description says so, and the documented example has one."""
    whole = replaced(example("ordersV2Submit.request"), ("poDetails", "orderDate"), day)
    assert [(("poDetails", "orderDate"), "is invalid")] == list(shapes.faults(whole, shapes.ORDER))
