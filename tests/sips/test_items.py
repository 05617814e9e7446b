"""A list that is checked and counted while it comes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.sips.errors import Unreadable
from worker.sips.items import ItemCounter, ItemPicker

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def counted(raw: bytes, size: int = 65_536) -> int:
    """The items of a body that comes in pieces of this size."""
    items = ItemCounter("productsV2Catalog")
    for start in range(0, len(raw), size):
        items.feed(raw[start : start + size])
    return items.end()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.text(), json_values), max_size=5), st.integers(1, 20))
def test_the_items_of_a_list_are_counted(items: list[Any], size: int) -> None:
    """Wherever the pieces end, also in the middle of a character."""
    assert len(items) == counted(orjson.dumps(items), size)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=3), json_values), max_size=5), st.integers(1, 20))
def test_items_are_picked_as_they_come(items: list[dict[str, Any]], size: int) -> None:
    """Those that are wanted, in their order and as they are, to the last digit."""
    raw = orjson.dumps(items)
    picker = ItemPicker(lambda item: len(item) != 1)
    for start in range(0, len(raw), size):
        picker.feed(raw[start : start + size])
    assert [item for item in json.loads(raw, parse_float=Decimal) if len(item) != 1] == picker.picked


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=3), json_values), min_size=1, max_size=3), st.data())
def test_a_list_that_is_cut_off_is_unreadable(items: list[Any], data: st.DataObject) -> None:
    """At every place but its end."""
    whole = orjson.dumps(items)
    with pytest.raises(Unreadable):
        counted(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    "raw", [b" [ ] ", b"[{}]\r\n", b'[{"price": 1e400, "id": 123456789012345678901234567890}]', b'[{"a": "\\ud800"}]']
)
def test_what_is_json_is_read(raw: bytes) -> None:
    """Values are not judged: they are passed on as they are."""
    assert counted(raw) in {0, 1}


@pytest.mark.parametrize(
    "raw", [b"{}", b'{"message": "System Error", "errors": []}', b"1", b"null ", b"[1]", b"[[]]", b"[{}, null]"]
)
def test_another_shape_is_unreadable(raw: bytes) -> None:
    """An error that came with a 200, say."""
    with pytest.raises(Unreadable, match="is not a list of objects"):
        counted(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>",
        b"[{},]",
        b"[{} {}]",
        b"[{}][]",
        b"[{}]x",
        b'[{"a": NaN}]',
        b'[{"a": "\xff"}]',
        b'[{"a": "\x00"}]',
        b'[{"a": ' + b"9" * 5_000 + b"}]",
    ],
)
def test_what_is_no_json_is_unreadable(raw: bytes) -> None:
    """The values are not named."""
    with pytest.raises(Unreadable, match="is not JSON") as caught:
        counted(raw)
    assert (200, True, None) == (caught.value.status, caught.value.retryable, caught.value.__cause__)


@pytest.mark.parametrize("raw", [b"", b" ", b"[", b"[{}", b'[{"a": "' + b"x" * 100_000, b'[{"a": ' + b"[" * 100_000])
def test_a_body_without_an_end_is_cut_off(raw: bytes) -> None:
    """Whatever it might have become."""
    with pytest.raises(Unreadable, match="is cut off before its end"):
        counted(raw)
