"""What holds for every command: a new one needs a row in `tests/handlers/commands.py`, and then all of this is asked of it."""

from __future__ import annotations

import ast
import base64
import inspect
import json
import textwrap
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
from openapi_schema_validator import OAS31Validator
from pydantic import TypeAdapter, ValidationError

from tests.acceptance.conftest import DATA, example
from tests.acceptance.test_readme import README
from tests.handlers.commands import CASES, Case
from worker.cli.contract import files
from worker.runtime.files import JSON
from worker.runtime.outcomes import invalid_payload
from worker.runtime.registry import registry
from worker.runtime.watching import Watching
from worker.sips import OPERATIONS, Confidence, Sips, Unreadable
from worker.sips.errors import NotFound, PathUnconfirmed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.handlers.conftest import Scripted
    from worker.runtime.registry import Handler

#: What no command asks of SIPS, as the worker itself does.
WITHOUT_A_COMMAND = {"authenticationToken"}

#: Documented examples that belong to no command.
OTHER_EXAMPLES = {
    "authenticationToken.guide.response",
    "authenticationToken.reference.response",
    "authenticationToken.request",
    "error.inferred.response",
    "webhookEvent.inferred.request",
}

#: Most lines of a handler without its docstring. They are short because a handler is one call and what it says of the
#: answer; what takes longer is a function beside it.
LONGEST_HANDLER = 12

#: Operations whose 404 speaks of the path.
GUESSES = {operation.id for operation in OPERATIONS.values() if operation.confidence is Confidence.PLACEHOLDER}

#: Those of watches are tried where the store is.
COMMANDS = [
    handler
    for handler in registry
    if handler.run.__module__.startswith("handlers.") and Sips in handler.ports and Watching not in handler.ports
]


def by_type(handler: Handler) -> str:
    """How a test is named."""
    return handler.type


# A command is whole.


def test_every_operation_has_its_command() -> None:
    """One that is added to the table needs a command as well."""
    called = [operation for handler in COMMANDS for operation in handler.calls]
    assert OPERATIONS.keys() - WITHOUT_A_COMMAND == set(called)
    assert len(set(called)) == len(called)


def test_every_command_is_tried_with_each_of_its_operations() -> None:
    """Else it would slip past the tests below."""
    assert {(case.type, case.operation) for case in CASES} == {(row.type, name) for row in COMMANDS for name in row.calls}


def test_every_documented_example_is_some_commands() -> None:
    """A payload or an answer of it; the copy of the examples holds no other."""
    used = {name for case in CASES for name in (*case.asks, *case.tells)}
    assert used | OTHER_EXAMPLES == {path.stem for path in DATA.glob("*.json")}


@pytest.mark.parametrize("handler", COMMANDS, ids=by_type)
def test_the_readme_names_what_a_command_must_have(handler: Handler) -> None:
    """Its row names every required property, and has the mark of a guessed path where it is called."""
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{handler.type}` |")]
    assert bool(GUESSES & set(handler.calls)) == ("°" in row)
    schema = TypeAdapter(handler.payload).json_schema()
    assert [] == [name for name in schema.get("required", []) if f"`{name}" not in row]


@pytest.mark.parametrize("handler", list(registry), ids=by_type)
def test_a_handler_is_as_short_as_its_neighbours(handler: Handler) -> None:
    """See LONGEST_HANDLER."""
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(handler.run))).body
    assert isinstance(function, ast.FunctionDef)
    lines = function.body[-1].end_lineno - function.body[0].end_lineno  # type: ignore[operator]
    assert lines <= LONGEST_HANDLER, f"{handler.type} has {lines} lines; move a part of it into a function beside it"


# What is asked.


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_payload_reaches_sips_as_the_description_wants_it(scripted: Scripted, case: Case) -> None:
    """Nothing of it is lost on the way but our own `apiVersion`; the fixture holds every request against the description."""
    before = len(scripted.received)
    case.run(scripted.answers(case.answers[0]))
    (request,) = scripted.received[before:]
    sent = request.target + request.body.decode()
    for value in leaves({name: value for name, value in case.payload.items() if name not in OWN}):
        assert json.dumps(value).strip('"') in sent or str(value).replace(" ", "%20") in sent


#: Properties that never reach SIPS as they were given.
OWN = {"apiVersion", "sourceSystem", "transactionID", "transactionDate", "poDetails"}


def leaves(value: Any) -> list[Any]:
    """Every value that holds no others, null and empty text left out."""
    if isinstance(value, dict | list):
        return [leaf for inner in (value.values() if isinstance(value, dict) else value) for leaf in leaves(inner)]
    return [] if value in (None, "") else [value]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_log_line_can_say_whom_a_command_is_about(case: Case) -> None:
    """Customer, branch and order, where the payload names them; all of them text."""
    payload = case.valid()
    named = {"customer_code": ("customer_code", "account_number"), "branch_code": ("branch_code",)}
    named["order_id"] = ("order_id", "order_number")
    if case.operation == "ordersSubmitV1":
        named["branch_code"] = ("branch_id",)  # which stands in its place
    for part, names in named.items():
        given = next((str(value) for name in names if (value := getattr(payload, name, None)) is not None), None)
        assert given == getattr(payload.identity(), part)


# What is wrong with a payload.


def properties(schema: dict[str, Any], value: Any, root: dict[str, Any], at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """(path, whether it is required, its schema) of each property that the contract knows at the places of a payload."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "if" in schema and "properties" not in schema:
        yield from properties(schema["then" if holds(schema, value) else "else"], value, root, at)
    if isinstance(value, list) and value:
        yield from properties(schema.get("items", {}), value[0], root, (*at, 0))
    if not isinstance(value, dict):
        return
    for name, inner in schema.get("properties", {}).items():
        one = next((option for option in inner.get("anyOf", []) if option.get("type") != "null"), inner)
        yield (*at, name), name in required(schema, value), one
        yield from properties(one, value.get(name), root, (*at, name))


def required(schema: dict[str, Any], value: dict[str, Any]) -> set[str]:
    """The names that a schema requires, also by its condition."""
    names = set(schema.get("required", []))
    if "if" in schema:
        names |= set(schema["then" if holds(schema, value) else "else"]["required"])
    return names


def holds(schema: dict[str, Any], value: dict[str, Any]) -> bool:
    """Whether a schema's condition does."""
    return bool(OAS31Validator(schema["if"]).is_valid(value))


def changed(value: Any, path: tuple[Any, ...], *new: Any) -> Any:
    """A copy with the value at a path replaced, or removed where there is no new one."""
    copy = orjson.loads(orjson.dumps(value))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at.pop(path[-1], None)
    if new:
        at[path[-1]] = new[0]
    return copy


def pointers(case: Case, payload: Any) -> list[str]:
    """The JSON pointers of what the command's `.failed` would tell."""
    with pytest.raises(ValidationError) as caught:
        case.handler.payload.model_validate(payload)
    return [fault["pointer"] for fault in invalid_payload(caught.value).errors]


def in_our_spelling(case: Case) -> dict[str, Any]:
    """The payload as the contract spells it, whatever SIPS' example does."""
    payload = case.valid()
    written = {name: getattr(payload, name) for name in payload.model_fields_set if name in type(payload).model_fields}
    return cast("dict[str, Any]", ours(payload)) if written else dict(case.payload)


def ours(value: Any) -> Any:
    """A payload by our names, without what its model does not know."""
    if isinstance(value, list):
        return [ours(item) for item in value]
    fields = getattr(type(value), "model_fields", None)
    if fields is None:
        return value
    spelled = {name: value._spellings[name.casefold()] for name in fields if name in value.model_fields_set}
    return {alias: ours(getattr(value, name)) for name, alias in spelled.items()}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_missing_or_of_the_wrong_type_is_told_by_its_place(case: Case) -> None:
    """Each property of the contract, at every depth; a wrong type alone, a required property also by its absence."""
    payload = in_our_spelling(case)
    schema = TypeAdapter(case.handler.payload).json_schema()
    found = list(properties(schema, payload, schema))
    assert found or case.type in {"sips.product.colors", "sips.product.catalog"}
    for path, is_required, one in found:
        pointer = "/" + "/".join(map(str, path))
        if "x-warned" in one:
            continue  # another type is passed on, with a warning
        wrong = 1 if one.get("type") == "array" or "$ref" in one else {"not": "this"}
        assert pointer in pointers(case, changed(payload, path, wrong)), pointer
        if is_required:
            assert [pointer] == pointers(case, changed(payload, path)), pointer
            assert pointer in pointers(case, changed(payload, path, None)), pointer


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("payload", [None, [], "text", 1])
def test_a_payload_is_an_object(case: Case, payload: Any) -> None:
    """Told of the whole."""
    assert [""] == pointers(case, payload)


@pytest.mark.parametrize("case", [case for case in CASES if len(case.handler.calls) > 1], ids=str)
@pytest.mark.parametrize("version", [True, False, 0, 3, "1", None])
def test_a_version_is_one_of_two_numbers(case: Case, version: Any) -> None:
    """True is no 1: whoever sends it means something else."""
    assert "/apiVersion" in pointers(case, case.payload | {"apiVersion": version})


@pytest.mark.parametrize("command_type", ["sips.order.list", "sips.delivery.list", "sips.invoice.list", "sips.product.colors"])
@pytest.mark.parametrize("payload", [{}, {"limit": 5}])
def test_what_asks_for_nothing_is_refused(command_type: str, payload: dict[str, Any]) -> None:
    """Nobody knows whether SIPS would answer with everything it has."""
    case = next(case for case in CASES if case.type == command_type)
    if not (command_type == "sips.product.colors" and payload):
        assert [""] == pointers(case, payload)


# What is told.


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_becomes_the_promised_result(scripted: Scripted, case: Case) -> None:
    """Of the shape of the contract, with every value of the answer that is not left to `sips.body`."""
    schema = json.loads(files()[f"{case.type}.result.v1.json"])
    for body in case.answers:
        result = case.run(scripted.answers(body))
        assert isinstance(result, case.handler.result)
        told = orjson.loads(orjson.dumps(result.model_dump(mode="json")))
        assert [] == [error.message for error in OAS31Validator(schema).iter_errors(told)]
        if told.get("mediaType") == JSON:
            told["data"] = orjson.loads(base64.b64decode(told["data"]))
        kept = {str(leaf) for leaf in leaves(told)}
        numbers = {float(leaf) for leaf in leaves(told) if isinstance(leaf, int | float)}
        lost = [leaf for leaf in leaves(body) if str(leaf) not in kept | case.lost | MEANT and leaf not in numbers]
        assert [] == lost


#: Values that a result has in another form: "Y" is true, and a price of 0 is none.
MEANT = {"Y", "0", "SPR-1"}


@pytest.mark.parametrize("case", [case for case in CASES if case.tells], ids=str)
@pytest.mark.parametrize("body", [{"message": "ok"}, [1], [[]], {"invoiceHeader": 1}, {"validIndicator": []}], ids=repr)
def test_another_shape_than_the_documented_one_is_unreadable(scripted: Scripted, case: Case, body: Any) -> None:
    """It is tried again, with SIPS' answer at hand. An order is judged otherwise, and a customer may lack every property."""
    if case.handler.changes or (case.type == "sips.customer.get" and isinstance(body, dict)):
        return
    with pytest.raises(Unreadable):
        case.run(scripted.answers(body))


def rows(body: Any) -> list[dict[str, Any]]:
    """An answer's objects: itself or those of its list, and those of the lists within."""
    outer = [row for row in (body if isinstance(body, list) else [body]) if isinstance(row, dict)]
    return [*outer, *(inner for row in outer for value in row.values() if isinstance(value, list) for inner in rows(value))]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_an_answer_lacks_is_null(scripted: Scripted, case: Case) -> None:
    """Each property of each row in turn: only what the result would be useless without is missed."""
    for body in case.answers:
        for row in rows(body):
            for name in row.keys() - NEEDED:
                value = row.pop(name)
                case.run(scripted.answers(body))
                row[name] = value


#: What an answer must hold: where its list is, whether a customer is one, by what an order is known, and a document.
NEEDED = {"orderList", "deliveryList", "invoiceHeader", "invoiceList", "itemConversionList", "validIndicator"}
NEEDED |= {"orderID", "queueID", "documents", "pdf", "url"}

#: Cases of answers that no page documents. Deliveries are promised as a list, and files as such: they are no such case.
INFERRED = [case for case in CASES if case.operation in GUESSES | {"branchLocations"} and not case.tells]
INFERRED = [case for case in INFERRED if case.operation not in {"deliveryDetails", "deliveriesList"}]
INFERRED = [case for case in INFERRED if not case.handler.keeps_files]


@pytest.mark.parametrize("case", INFERRED, ids=str)
def test_an_answer_of_another_shape_than_the_inferred_one_is_left_to_the_body(scripted: Scripted, case: Case) -> None:
    """The guess was wrong, not SIPS: beside what was asked for the result says null."""
    for body in ({"other": [1]}, [1], {"data": case.answers[0]}):
        result = case.run(scripted.answers(body)).model_dump(mode="json")
        assert {None} >= {value for name, value in result.items() if name not in case.payload}


@pytest.mark.parametrize("case", INFERRED, ids=str)
def test_a_property_that_was_inferred_wrongly_is_null_alone(scripted: Scripted, case: Case) -> None:
    """The others are read as before."""
    (body,) = case.answers
    whole = case.run(scripted.answers(body)).model_dump(mode="json")
    for row in rows(body):
        for name, value in list(row.items()):
            row[name] = {"not": "this"}
            result = case.run(scripted.answers(body)).model_dump(mode="json")
            row[name] = value
            assert len(leaves(whole)) - len(leaves(value)) <= len(leaves(result)) <= len(leaves(whole))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_404_on_a_guessed_path_says_nothing_of_what_was_asked_for(scripted: Scripted, case: Case) -> None:
    """It is no "not found": the path must be confirmed first. An order is another matter."""
    if case.handler.changes:
        return
    kind, code = (PathUnconfirmed, "sips-path-unconfirmed") if case.operation in GUESSES else (NotFound, "sips-not-found")
    with pytest.raises(kind) as caught:
        case.run(scripted.answers(example("error.inferred.response"), 404))
    assert (code, case.operation) == (caught.value.code, caught.value.operation)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_sandbox_carries_a_command_out(sips: Sips, case: Case) -> None:
    """What is asked for exists there, but for the account of an older guide; so the answer can be read."""
    result = case.run(sips)
    assert isinstance(result, case.handler.result)
    assert (1, 200) == (sips.calls, sips.status)
    may_say_null = case.type == "sips.customer.validate" or case.handler.changes or case.handler.keeps_files
    assert may_say_null or None not in result.model_dump().values()
