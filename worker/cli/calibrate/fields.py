"""Hold an answer against the model that a handler reads it with: which properties are missing, new, or of another type.

Properties are named by JSON pointers (RFC 6901), never with their values. In a list all items are looked at: missing is what
no item has, and what is new or of another type is named where it stands first.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ConfigDict, TypeAdapter, ValidationError

from worker.sips.names import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

__all__ = ["Difference", "Expected", "differences", "share"]

#: Items of one list, and levels of nesting, that are looked at.
MOST_ITEMS = 200
DEEPEST = 64

#: Numbers are read as text by every model, as SIPS shows ids in both ways.
_TOLERANT = ConfigDict(coerce_numbers_to_str=True)


@dataclass(frozen=True, slots=True)
class Difference:
    """One property that is not as the model has it; `kind` is missing, new or type."""

    kind: str
    pointer: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """How a handler reads an answer: as `shape`, or what stands in it `under` a name; `foreign` fields come from elsewhere."""

    operation: str
    shape: Any
    under: str | None = None
    foreign: frozenset[str] = frozenset()


def share(body: Any, expected: Expected | None, names: tuple[str, ...] = ()) -> tuple[int, int]:
    """How many of the expected properties an answer has anywhere, and how many there are; `names` where there is no model.

    What stands in a list that is empty is not expected.
    """
    wanted = [frozenset({name.casefold()}) for name in names]
    if expected is not None:
        listed = body.get(expected.under) if isinstance(body, dict) else body
        wanted = [frozenset({expected.under.casefold()})] if expected.under else []
        is_empty = listed == [] and _model(expected.shape)[1]
        wanted += [] if is_empty else _spellings(expected.shape, expected)
    elif body == []:
        wanted = []
    found = {name.casefold() for name in _names(body)}
    return sum(bool(found & spellings) for spellings in wanted), len(wanted)


def differences(body: Any, expected: Expected) -> list[Difference]:
    """What is otherwise than the model has it; see the module."""
    if expected.under is None or not isinstance(body, dict):
        return list(_compared(body, expected.shape, "", expected))
    rest = [Difference("new", _at("", name), _type(value)) for name, value in body.items() if name != expected.under]
    if expected.under not in body:
        return [Difference("missing", _at("", expected.under)), *rest]
    return [*_compared(body[expected.under], expected.shape, _at("", expected.under), expected), *rest]


def _compared(value: Any, shape: Any, pointer: str, expected: Expected) -> Iterator[Difference]:
    model, is_list = _model(shape)
    if value is None and _may_be_null(shape):
        return
    if model is None:
        yield from _of_a_value(value, shape, pointer)
    elif is_list and isinstance(value, list):
        yield from _of_a_list(value, model, pointer, expected)
    elif not is_list and isinstance(value, dict):
        yield from _of_an_object(value, model, pointer, expected)
    else:
        yield Difference("type", pointer, f"{_type(value)}, where the model has {'a list' if is_list else 'an object'}")


def _of_a_value(value: Any, shape: Any, pointer: str) -> Iterator[Difference]:
    adapter: TypeAdapter[Any] = TypeAdapter(shape, config=_TOLERANT)
    try:
        adapter.validate_python(value)
    except ValidationError:
        yield Difference("type", pointer, f"{_type(value)}, where the model has {_words(adapter.json_schema())}")


def _of_a_list(items: list[Any], model: type[BaseModel], pointer: str, expected: Expected) -> Iterator[Difference]:
    seen: dict[tuple[str, str], Difference] = {}
    missing: list[set[str]] = []
    for index, item in enumerate(items[:MOST_ITEMS]):
        found = list(_compared(item, model, "", expected))
        missing.append({row.pointer for row in found if row.kind == "missing"})
        for row in found:
            seen.setdefault((row.kind, row.pointer), Difference(row.kind, f"{_at(pointer, str(index))}{row.pointer}", row.note))
    everywhere = set.intersection(*missing) if missing else set()
    yield from (row for (kind, inner), row in seen.items() if kind != "missing" or inner in everywhere)


def _of_an_object(value: Mapping[str, Any], model: type[BaseModel], pointer: str, expected: Expected) -> Iterator[Difference]:
    known: set[str] = set()
    for name, field in model.model_fields.items():
        spellings = _spelled(name, field, expected.operation)
        known |= set(spellings)
        given = next((spelling for spelling in spellings if spelling in value), None)
        if given is not None:
            yield from _compared(value[given], field.rebuild_annotation(), _at(pointer, given), expected)
        elif name not in expected.foreign:
            yield Difference("missing", _at(pointer, spellings[0]))
    yield from (Difference("new", _at(pointer, name), _type(inner)) for name, inner in value.items() if name not in known)


def _spelled(name: str, field: FieldInfo, operation: str) -> list[str]:
    """Every spelling that the model reads, the operation's own first."""
    alias = field.validation_alias or name
    spellings = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [str(alias)]
    own = NAMES.get(operation, {}).get(spellings[0], spellings[0])
    return list(dict.fromkeys([own, *spellings]))


def _spellings(shape: Any, expected: Expected) -> Iterator[frozenset[str]]:
    """Of every property of a shape, and of what stands in it."""
    model, _ = _model(shape)
    for name, field in model.model_fields.items() if model else ():
        if name not in expected.foreign:
            yield frozenset(spelling.casefold() for spelling in _spelled(name, field, expected.operation))
            yield from _spellings(field.rebuild_annotation(), expected)


def _names(body: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(body, dict):
        yield from body
    if depth < DEEPEST and isinstance(body, dict | list):
        for value in body.values() if isinstance(body, dict) else body[:MOST_ITEMS]:
            yield from _names(value, depth + 1)


def _model(shape: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model in a shape, and whether a list of it is meant; `X | None` is X."""
    for part in _parts(shape):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part, False
        if get_origin(part) is list and (inner := _model(get_args(part)[0])[0]):
            return inner, True
    return None, False


def _parts(shape: Any) -> tuple[Any, ...]:
    return get_args(shape) if get_origin(shape) in {Union, types.UnionType} else (shape,)


def _may_be_null(shape: Any) -> bool:
    return type(None) in _parts(shape)


def _at(pointer: str, name: str) -> str:
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


#: JSON types in words, by Python's type, and by JSON Schema's name.
_TYPES = {bool: "true or false", str: "text", int: "a whole number", float: "a number", list: "a list", dict: "an object"}
_SCHEMA_TYPES = {
    "boolean": "true or false",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _type(value: Any) -> str:
    return _TYPES.get(type(value), "null")


def _words(schema: Mapping[str, Any]) -> str:
    kinds = [part.get("type") for part in schema.get("anyOf", [schema])]
    return " or ".join(_SCHEMA_TYPES.get(str(kind), "something else") for kind in kinds)
