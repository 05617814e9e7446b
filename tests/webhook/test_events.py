"""What is read of a body, and which events are the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webhook.calling import EVENT
from worker.settings import WEBHOOK_FIELDS
from worker.webhook import events

if TYPE_CHECKING:
    from worker.webhook.events import Event

FIELDS = {
    "id": "SO-1001",
    "type": "OU",
    "status": "Shipped",
    "time": "2026-07-23T10:00:00",
    "reference": "PO-77",
    "reference3": "T-5",
}

#: JSON, but deeper than most who read it get.
DEEP = b"[" * (events.MAX_NESTING + 1) + b"1" + b"]" * (events.MAX_NESTING + 1)

#: Any JSON.
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(WEBHOOK_FIELDS.values())) | st.text(), inner),
    max_leaves=10,
)


def read(content: Any, **names: str) -> list[Event]:
    """The events in a JSON body."""
    return events.read(json.dumps(content).encode(), WEBHOOK_FIELDS | names)


def test_an_object_is_one_event() -> None:
    """Its fields as text, its content as it came."""
    (event,) = read(EVENT)

    assert (FIELDS, json.dumps(EVENT).encode(), True) == (event.fields, event.content, event.is_json)


def test_an_array_is_several() -> None:
    """Each with an id of its own; an empty one has none."""
    both = read([EVENT, EVENT | {"eventId": "SO-1002"}])

    assert (["SO-1001", "SO-1002"], 2) == ([event.fields["id"] for event in both], len({event.id for event in both}))
    assert [] == read([])


def test_the_letter_case_of_names_is_not_looked_at() -> None:
    """Nor where a setting names another property; numbers are text."""
    shouted = {name.upper(): value for name, value in EVENT.items()}
    renamed = {"ORDERNumber" if name == "eventId" else name: value for name, value in EVENT.items()}

    assert [read(EVENT)[0].id] * 2 == [read(shouted)[0].id, read(renamed, id="orderNumber")[0].id]
    assert "1001" == read({"eventId": 1001})[0].fields["id"]


@pytest.mark.parametrize("name", sorted(EVENT))
def test_events_that_differ_in_one_field_are_two(name: str) -> None:
    """An order's number is the id of all its events, so that it alone tells nothing."""
    assert read(EVENT)[0].id != read(EVENT | {name: "other"})[0].id


def test_a_reference_in_another_place_is_another_event() -> None:
    """What the fields say and where they say it, not the text alone."""
    one, other = EVENT | {"subscriberReferenceNum2": "A"}, EVENT | {"subscriberReferenceNum3": "A"}

    assert read({**one, "subscriberReferenceNum3": ""})[0].id != read(other)[0].id


def test_a_repetition_has_the_same_id() -> None:
    """However it is written."""
    again = dict(reversed(EVENT.items())) | {"sentAt": "later", "subscriberReferenceNum2": None}

    assert read(EVENT)[0].id == read(again)[0].id


@pytest.mark.parametrize("missing", ["eventId", "eventType", "eventDateTime"])
def test_without_a_telling_field_the_whole_content_tells(missing: str) -> None:
    """Two changes must not pass for one, whatever else they hold; the order of properties says nothing."""
    event = {name: value for name, value in EVENT.items() if name != missing}

    assert read(event)[0].id != read(event | {"line": 2})[0].id
    assert read(event)[0].id == read(dict(reversed(event.items())))[0].id


@pytest.mark.parametrize("body", [b"", b"ping", b"{", b"\xff\xfe", b'{"a": NaN}', b"[" * 5_000, DEEP])
def test_what_is_no_json_is_kept_as_it_is(body: bytes) -> None:
    """And known again by its bytes."""
    (event,) = events.read(body, WEBHOOK_FIELDS)

    assert ({}, body, False) == (event.fields, event.content, event.is_json)
    assert event.id == events.read(body, WEBHOOK_FIELDS)[0].id != events.read(body + b"x", WEBHOOK_FIELDS)[0].id


@pytest.mark.parametrize(
    "content",
    [
        None,
        5,
        "ping",
        {},
        {"status": "x"},
        {"eventId": None, "eventType": {"a": 1}},
        {"eventId": "x" * 501},
        {"eventId": "x\0"},
        [[]],
    ],
)
def test_json_without_a_known_field_is_unrecognized(content: Any) -> None:
    """It goes on too."""
    (event,) = read(content)

    assert ({}, True) == (event.fields, event.is_json)


@given(st.binary() | st.builds(lambda content: json.dumps(content).encode(), ANYTHING))
def test_nothing_is_refused_and_nothing_is_lost(body: bytes) -> None:
    """Whatever comes is an event or several, with a content that is what `is_json` says, and fields of text."""
    found = events.read(body, WEBHOOK_FIELDS)

    assert found or orjson.loads(body) == []
    for event in found:
        assert not event.is_json or orjson.loads(event.content) is not ...
        assert event.is_json or event.content == body
        assert all(isinstance(text, str) and text for text in event.fields.values())


def test_a_very_long_array_goes_on_whole() -> None:
    """One call must not become a flood of messages."""
    assert events.MAX_EVENTS == len(read([EVENT] * events.MAX_EVENTS))

    (event,) = read([EVENT] * (events.MAX_EVENTS + 1))
    assert ({}, events.MAX_EVENTS + 1) == (event.fields, len(json.loads(event.content)))
