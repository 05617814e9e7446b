"""Proves how exceptions are described: chained, short, without local variables, source lines and payloads."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict

from worker.ops.exceptions import MAX_CHAIN, MAX_FRAMES, describe_exception


class RudeError(Exception):
    """An exception that has no text."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("no")


class Address(BaseModel):
    """A payload with personal data."""

    model_config = ConfigDict(title="Address")

    zip_code: int


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """`error` as it looks after it was raised here."""
    local = "value-of-a-local-variable"
    try:
        raise error from cause  # noqa: TRY301
    except BaseException as caught:  # noqa: BLE001
        del local
        return caught


def test_an_exception_is_its_type_message_and_frames() -> None:
    """The type is qualified unless builtin, and a frame is file, line and function."""
    described = describe_exception(raised(ValueError("bad value")))

    assert described["type"] == "ValueError"
    assert described["message"] == "bad value"
    (frame,) = described["frames"]
    place, function = frame.split(" ")
    assert place.startswith("tests/ops/test_exceptions.py:")
    assert function == "raised"


def test_neither_locals_nor_source_lines_are_described() -> None:
    """A frame tells where, never what stood there."""
    text = json.dumps(describe_exception(raised(ValueError("bad value"))))

    assert "value-of-a-local-variable" not in text
    assert "raise error" not in text


def test_the_cause_is_described_too() -> None:
    """`raise … from …` shows both."""
    described = describe_exception(raised(KeyError("a"), raised(OSError("refused"))))

    assert described["cause"]["type"] == "OSError"
    assert described["cause"]["message"] == "refused"


def test_the_context_is_described_unless_it_is_suppressed() -> None:
    """What was being handled is shown, except after `from None`."""
    error = ValueError("outer")
    error.__context__ = OSError("inner")

    assert describe_exception(error)["cause"]["message"] == "inner"

    error.__suppress_context__ = True
    assert "cause" not in describe_exception(error)


def test_a_circle_of_causes_ends() -> None:
    """A chain that leads back to itself is cut."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    assert json.dumps(describe_exception(first)).count('"type"') == MAX_CHAIN


def test_the_members_of_a_group_are_described() -> None:
    """An exception group shows what it holds."""
    described = describe_exception(ExceptionGroup("two", [ValueError("a"), OSError("b")]))

    assert [each["message"] for each in described["exceptions"]] == ["a", "b"]


def test_only_the_innermost_frames_of_a_deep_recursion_are_listed() -> None:
    """A RecursionError stays short."""

    def deeper() -> None:
        deeper()

    try:
        deeper()
    except RecursionError as error:
        described = describe_exception(error)

    assert len(described["frames"]) == MAX_FRAMES
    assert described["frames"][-1].endswith("deeper")


def test_an_exception_without_a_text_is_still_described() -> None:
    """A failing `__str__` costs the message, not the line."""
    described = describe_exception(raised(RudeError()))

    assert described["type"] == "tests.ops.test_exceptions.RudeError"
    assert described["message"] == "<its text raised RuntimeError>"


def test_a_validation_error_shows_places_and_codes_but_no_input() -> None:
    """Pydantic's own text quotes the payload; ours does not."""
    try:
        Address.model_validate({"zip_code": "12 Elm Street"})
    except ValueError as error:
        described = describe_exception(error)

    assert described["message"] == "Address: /zip_code int_parsing"
