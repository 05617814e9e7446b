"""Proves that any value becomes a text that UTF-8 can hold."""

from __future__ import annotations

from worker.ops.text import text_of


class Shy:
    """Cannot describe itself."""

    def __repr__(self) -> str:
        """Fail."""
        raise ValueError("not today")


def test_a_string_is_its_own_text() -> None:
    """A string that UTF-8 can hold is returned as it is."""
    assert text_of("ä") == "ä"


def test_bytes_are_decoded_and_their_invalid_ones_escaped() -> None:
    """Bytes are read as UTF-8; what is invalid in them stays visible."""
    assert text_of(b"\xc3\xa4\xff") == "ä\\xff"
    assert text_of(bytearray(b"ab")) == "ab"
    assert text_of(memoryview(b"ab")) == "ab"


def test_a_lone_surrogate_is_escaped() -> None:
    """A string that UTF-8 cannot hold is made one that it can."""
    assert text_of("a\ud800") == "a\\ud800"


def test_any_other_value_is_its_repr() -> None:
    """An object is described by itself."""
    assert text_of({1: "a"}) == "{1: 'a'}"


def test_a_value_that_cannot_describe_itself_is_named() -> None:
    """A failing `repr` costs the value, not the line."""
    assert text_of(Shy()) == "<Shy whose repr raised ValueError>"
