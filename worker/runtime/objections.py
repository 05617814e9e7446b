"""What SIPS objected to in a request that it refused: the names in its error body as JSON pointers into the payload.

The body of an error is not documented. The one that an integration reports (`error.inferred.response.json`) has `errors[]` of
`domain`, `reason`, `message` and `parameter` or `field`. What is not plainly a name is left out, as are the messages: they may
repeat what stands in the payload, which may be somebody's name or address.
"""

from __future__ import annotations

import functools
import re
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from worker.runtime.payload import pointer
from worker.runtime.spelling import by_spelling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from worker.runtime.payload import Payload, Place

__all__ = ["objections"]

#: How SIPS may write the place of a property (`poDetails.orderDate`, `lines[0].uom`, `$.lines/0`), and a reason that is a code.
NAME = re.compile(r"[A-Za-z_$][\w$.\[\]/-]{0,99}", re.ASCII)
CODE = re.compile(r"[A-Za-z][A-Za-z_-]{0,39}")

_PART = re.compile(r"[^.\[\]/$]+")
_WORD = re.compile(r"[^\W_]+")

#: Digits of an index at most.
INDEX_DIGITS = 6


def objections(body: Any, payload: Payload, limit: int) -> tuple[dict[str, str], ...]:
    """One `{"pointer", "detail"}` for each thing that SIPS names in the body of a refusal, of the first `limit`.

    The pointer is in our spelling, and as deep as the place is known: to a list where SIPS does not say which item. It is
    empty, which is the whole payload, where SIPS names something else, or what is in several places; the detail has SIPS' name.
    """
    rows = body.get("errors") if isinstance(body, dict) else None
    known = _Known(payload)
    found: dict[tuple[str, str], None] = {}
    for row in rows[:limit] if isinstance(rows, list) else ():
        name = row.get("parameter") or row.get("field") if isinstance(row, dict) else None
        if not isinstance(name, str):
            continue
        place = known.place(str(row.get("domain") or ""), name)
        if not place and not known.is_name(name):
            continue
        what = "SIPS refused it" if place else f"SIPS refused what it calls {name}"
        reason = row.get("reason")
        why = f" ({reason})" if isinstance(reason, str) and known.is_harmless(reason, CODE) else ""
        found[pointer(place), what + why] = None
    return tuple({"pointer": where, "detail": detail} for where, detail in found)


class _Known:
    """What is known of a payload: where its properties are, and which words stand in it."""

    def __init__(self, payload: Payload) -> None:
        self._payload = payload

    def place(self, domain: str, name: str) -> Place:
        """Where the name leads below the domain, or else from the top, or else to what alone is called so; empty = nowhere."""
        below, parts = _PART.findall(domain), _PART.findall(name)
        for path in ([*below, *parts], parts):
            if place := _follow(self._payload, path):
                return place
        return self._places.get(parts[-1].casefold(), ()) if parts else ()

    def is_name(self, text: str) -> bool:
        """Whether a text is the name of a property, or at least like one."""
        return text.casefold() in self._places or self.is_harmless(text, NAME)

    def is_harmless(self, text: str, form: re.Pattern[str]) -> bool:
        """Whether a text of SIPS' is a name or a code, and has no word of a value in the payload."""
        return form.fullmatch(text) is not None and self._words.isdisjoint(_words(text))

    @functools.cached_property
    def _places(self) -> dict[str, Place]:
        """Every spelling of a property to its place: of those of several items, the list; empty where others are called so."""
        found: dict[str, Place] = {}
        for place, spelling in _spelled(self._payload):
            found[spelling] = _common(found[spelling], place) if spelling in found else place
        return found

    @functools.cached_property
    def _words(self) -> frozenset[str]:
        """Every word and number of its values; without recursion, as what SIPS takes as it is may be nested deep."""
        found: set[str] = set()
        values: list[Any] = [self._payload]
        while values:
            value = values.pop()
            if isinstance(value, BaseModel):
                values += [*vars(value).values(), value.__pydantic_extra__]
            elif isinstance(value, dict | list):
                values += value.values() if isinstance(value, dict) else value
            else:
                found |= _words(str(value))
        return frozenset(found)


def _follow(value: Any, path: Iterable[str]) -> Place:
    """As far as the path leads; an index may be left out where a list has one item."""
    place: Place = ()
    for part in path:
        if isinstance(value, list) and len(value) == 1 and not part.isdecimal():
            place, value = (*place, 0), value[0]
        child = _child(value, part)
        if child is None:
            break
        place, value = (*place, child[0]), child[1]
    return place


def _child(value: Any, part: str) -> tuple[int | str, Any] | None:
    """The item or property of a value, under our name."""
    if isinstance(value, list):
        index = int(part) if part.isdecimal() and len(part) <= INDEX_DIGITS else len(value)
        return (index, value[index]) if index < len(value) else None
    if isinstance(value, BaseModel):
        if known := _properties(type(value)).get(part.casefold()):
            return known[0], getattr(value, known[1])
        value = value.__pydantic_extra__
    names = value if isinstance(value, dict) else {}
    return next(((name, names[name]) for name in names if name.casefold() == part.casefold()), None)


def _spelled(value: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """The place of every property that a payload has or could have, once for each of its spellings."""
    if isinstance(value, BaseModel):
        properties = _properties(type(value))
        yield from (((*place, ours), spelling) for spelling, (ours, _attribute) in properties.items())
        for ours, attribute in set(properties.values()):
            yield from _spelled(getattr(value, attribute), (*place, ours))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, BaseModel):
                yield from _spelled(item, (*place, index))


@functools.cache
def _properties(model: type[BaseModel]) -> dict[str, tuple[str, str]]:
    """Every spelling of a model's properties, without regard to letter case, to our name and the attribute."""
    spellings = by_spelling(model)
    attributes = {spellings[attribute.casefold()]: attribute for attribute in model.model_fields}
    return {spelling: (ours, attributes[ours]) for spelling, ours in spellings.items()}


def _common(one: Place, other: Place) -> Place:
    """What two places have in common, from the outside in."""
    return tuple(part for part, same in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}
