"""Reads the body of a call: one event or several, each with an id that a repetition has as well.

Which properties there are is known second-hand only, so nothing is refused: what cannot be read goes on as it came.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from worker.nesting import is_deeper

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_EVENTS", "MAX_NESTING", "Event", "read"]

#: Namespace of events' ids (UUIDv5). It never changes: the consumer drops by id what came before.
NAMESPACE = uuid.UUID("0d9f4a52-6c1e-5b7e-9d3a-2f6f8c1b7e40")

#: The longest array whose items are told apart; a longer one goes on whole, so that one call is no flood of messages.
MAX_EVENTS = 1_000

#: The deepest JSON that goes on as JSON; deeper, a worker would refuse the message. What SIPS sends is one object.
MAX_NESTING = 32

#: The longest value of a field: it stands in a message twice.
MAX_TEXT_LENGTH = 500

#: Without all of these an event is known by its whole content: two changes of one order have its number and type in common.
TELLING = ("id", "type", "time")


@dataclass(frozen=True, slots=True)
class Event:
    """One event of SIPS.

    Attributes:
        id: the same for a repetition: a hash of type, id, status, time and references.
        fields: what was found of `id`, `type`, `status`, `time` and the references, as text; empty = unrecognized.
        content: the event as it came.
        is_json: whether that is JSON that a worker reads.
    """

    id: str
    fields: Mapping[str, str]
    content: bytes = field(repr=False)
    is_json: bool = True


def read(body: bytes, names: Mapping[str, str]) -> list[Event]:
    """The events in a body; an empty array has none.

    Args:
        body: of the call.
        names: field to the property it is in, whatever its letter case.
    """
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return [_raw(body)]
    if is_deeper(given, body, MAX_NESTING):
        return [_raw(body)]
    if isinstance(given, list) and len(given) <= MAX_EVENTS:
        return [_event(item, orjson.dumps(item), names) for item in given]
    return [_event(given, body, names)]


def _raw(body: bytes) -> Event:
    return Event(_id_of_bytes(body), {}, body, is_json=False)


def _event(given: Any, content: bytes, names: Mapping[str, str]) -> Event:
    fields = _fields(given, names) if isinstance(given, dict) else {}
    if all(name in fields for name in TELLING):
        return Event(_id([fields.get(name) for name in sorted(names)]), fields, content)
    return Event(_id_of_bytes(orjson.dumps(given, option=orjson.OPT_SORT_KEYS)), fields, content)


def _fields(given: dict[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    lowered = {name.lower(): value for name, value in given.items()}
    found = {name: _text(lowered.get(property_.lower())) for name, property_ in names.items()}
    return {name: text for name, text in found.items() if text}


def _text(value: Any) -> str:
    """A text or number; anything else, what is too long, and what no database takes (NUL), is no value of a field."""
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    return text if len(text) <= MAX_TEXT_LENGTH and "\0" not in text else ""


def _id(parts: list[str | None]) -> str:
    return str(uuid.uuid5(NAMESPACE, orjson.dumps(parts).decode()))


def _id_of_bytes(content: bytes) -> str:
    return str(uuid.uuid5(NAMESPACE, content.decode("latin-1")))
