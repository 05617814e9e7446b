"""Proves what a rendered line holds, whatever was logged."""

from __future__ import annotations

import math
import re
import uuid
from collections import namedtuple
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.dev import ConsoleRenderer

from worker.ops.lines import LineRenderer

RENDERER = LineRenderer("qa", "1.2.3")

Pair = namedtuple("Pair", "left right")  # noqa: PYI024 - untyped on purpose


class Colour(Enum):
    """An enumeration."""

    RED = "red"


@dataclass
class Grant:
    """A dataclass that keeps a value out of its repr."""

    scope: str
    value: str = field(repr=False)


class Shy:
    """Cannot describe itself."""

    def __repr__(self) -> str:
        """Fail."""
        raise ValueError("not today")


def rendered(**fields: Any) -> dict[str, Any]:
    """The parsed line of an event with these fields."""
    line = RENDERER.render("info", "worker.test", {"event": "seen", **fields})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    parsed: dict[str, Any] = orjson.loads(line)
    return parsed


def test_every_line_has_the_same_fields_in_the_same_order() -> None:
    """What an operator searches by is always there; the event's own fields stand after the event."""
    line = rendered(order="4711")

    assert list(line) == ["timestamp", "level", "event", "order", "environment", "version", "logger"]
    assert line["level"] == "info"
    assert line["event"] == "seen"
    assert line["environment"] == "qa"
    assert line["version"] == "1.2.3"
    assert line["logger"] == "worker.test"


def test_the_timestamp_is_rfc_3339_in_utc_with_milliseconds() -> None:
    """It has one form and is now."""
    before = datetime.now(UTC)
    timestamp = rendered()["timestamp"]

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp)
    assert abs((datetime.fromisoformat(timestamp) - before).total_seconds()) < 60


def test_a_line_that_waited_says_when_it_was_left() -> None:
    """Not when it was written; any other `timestamp` is not the line's."""
    at = datetime(2026, 3, 8, 7, 0, 1, 250_000, tzinfo=UTC)

    assert "2026-03-08T07:00:01.250Z" == rendered(timestamp=at)["timestamp"]
    assert not rendered(timestamp=at.replace(tzinfo=None))["timestamp"].startswith("2026-03-08")


def test_a_line_without_a_logger_names_none() -> None:
    """A logger got without a name has none to show."""
    assert b"logger" not in RENDERER.render("info", None, {"event": "seen"})


def test_a_field_cannot_pretend_to_be_one_of_ours() -> None:
    """Environment, version, level and time are the worker's to tell."""
    line = rendered(environment="x", version="x", level="x", timestamp="x", logger="x")

    assert line["environment"] == "qa"
    assert line["version"] == "1.2.3"
    assert line["level"] == "info"
    assert line["timestamp"] != "x"
    assert line["logger"] == "worker.test"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a\xff", "a\\xff"),
        ({"x"}, ["x"]),
        (Colour.RED, "red"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Pair(1, 2), "Pair(left=1, right=2)"),
        (Grant("all", "kept-out"), "Grant(scope='all')"),
        (math.nan, None),
        (2**70, str(2**70)),
        ({1: "a"}, "{1: 'a'}"),
        ("a\ud800", "a\\ud800"),
        (Shy(), "<Shy whose repr raised ValueError>"),
    ],
)
def test_any_value_can_be_logged(value: object, expected: object) -> None:
    """What JSON has no form for becomes text, and the fields beside it keep theirs."""
    line = rendered(value=value, beside={"a": [1]})

    assert expected == line["value"]
    assert line["beside"] == {"a": [1]}


def test_a_value_that_holds_itself_can_be_logged() -> None:
    """A circle becomes text."""
    circle: list[object] = []
    circle.append(circle)

    assert rendered(value=circle)["value"] == "[[...]]"


@given(st.dictionaries(st.text(), st.recursive(st.integers() | st.text() | st.binary() | st.floats(), st.lists), max_size=5))
def test_any_event_becomes_one_line_of_json(fields: dict[str, Any]) -> None:
    """Whatever names and values: one line, parsable, with our fields."""
    line = orjson.loads(RENDERER.render("error", None, {"event": "seen", **fields}).removesuffix(b"\n"))

    assert line["level"] == "error"
    assert line["environment"] == "qa"


def test_an_exception_among_the_fields_is_described() -> None:
    """`error=error` shows type and message as `exc_info` does."""
    line = rendered(error=OSError("refused"))

    assert line["error"] == {"type": "OSError", "message": "refused", "frames": []}


@pytest.mark.parametrize("form", ["true", "exception", "triple"])
def test_exc_info_becomes_a_structured_exception(form: str) -> None:
    """In each form that logging and structlog know."""
    try:
        raise ValueError("bad value")  # noqa: TRY301
    except ValueError as error:
        forms: dict[str, object] = {"true": True, "exception": error, "triple": (ValueError, error, error.__traceback__)}
        line = rendered(exc_info=forms[form])

    assert line["exception"]["message"] == "bad value"
    assert "test_lines.py" in line["exception"]["frames"][0]
    assert "exc_info" not in line


@pytest.mark.parametrize("exc_info", [None, False, True, (None, None, None), ()])
def test_no_exception_is_no_field(exc_info: object) -> None:
    """`exc_info` outside a handler says nothing."""
    line = rendered(exc_info=exc_info)

    assert "exception" not in line
    assert "exc_info" not in line


def test_a_line_that_cannot_be_rendered_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller goes on; the place of the line is not empty, and nothing unredacted gets out."""

    def fail(_line: bytes) -> bytes:
        raise RecursionError("too deep")

    monkeypatch.setattr("worker.ops.lines.redact", fail)
    line = rendered(order="4711")

    assert line["event"] == "a log line could not be rendered; it is left out"
    assert line["reason"] == "RecursionError"
    assert "order" not in line


def test_as_a_processor_it_takes_name_and_level_from_the_logger() -> None:
    """Structlog's last processor renders with the wrapped logger's name and the method's."""

    class Named:
        name = "worker.sips"

    line = orjson.loads(RENDERER(Named(), "warning", {"event": "seen"}))

    assert line["logger"] == "worker.sips"
    assert line["level"] == "warning"


def test_on_the_console_a_line_is_readable_and_redacted() -> None:
    """Fields as name=value, the exception with its chain below, secrets gone."""
    renderer = LineRenderer("qa", "1.2.3", ConsoleRenderer(colors=False))
    try:
        try:
            raise KeyError("inner")  # noqa: TRY301
        except KeyError as error:
            raise ExceptionGroup("outer", [OSError("member")]) from error
    except ExceptionGroup as error:
        event = {"event": "seen", "token": "h1dd3n", "order": 4711, "exc_info": error}
        text = renderer.render("info", "worker.test", event).decode()

    assert "[info     ] seen" in text
    assert "order=4711" in text
    assert "token=[redacted]" in text
    assert "ExceptionGroup: outer (1 sub-exception)\n    tests/ops/test_lines.py:" in text
    assert "\ncaused by KeyError: 'inner'\n" in text
    assert "\ntogether with OSError: member\n" in text


def test_it_fits_structlog() -> None:
    """Structlog accepts it as its only processor."""
    written: list[bytes] = []

    class Logger:
        info = staticmethod(written.append)

    log = structlog.wrap_logger(Logger(), processors=[RENDERER], wrapper_class=structlog.make_filtering_bound_logger(0))
    log.info("order %s", "4711", po="a")

    (line,) = map(orjson.loads, written)
    assert line["event"] == "order 4711"
    assert line["po"] == "a"
