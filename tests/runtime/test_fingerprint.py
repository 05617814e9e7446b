"""Fingerprints of payloads."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.runtime.fingerprint import RULE, _canonical, fingerprint

PAYLOAD = {"customerCode": "C1", "lines": [{"quantity": 1, "price": 12.5}], "notes": None}

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "same",
    [
        {"notes": None, "lines": [{"price": 12.50, "quantity": 1.0}], "customerCode": "C1"},
        PAYLOAD | {"transactionID": "x", "transactionDate": "y", "sourceSystem": "z"},
        PAYLOAD | {"strict": True, "lookup": True},
        PAYLOAD | {"apiVersion": 2},
        json.loads('{ "customerCode":"C1" ,"lines":[{"quantity":1e0,"price":125e-1}],"notes":null}'),
    ],
    ids=[
        "order of keys, spelling of numbers",
        "the worker's own fields",
        "questions to the worker",
        "the default",
        "white space",
    ],
)
def test_payloads_that_ask_for_the_same_have_the_same_fingerprint(same: Any) -> None:
    """However they are written."""
    assert fingerprint(PAYLOAD) == fingerprint(same)


@pytest.mark.parametrize(
    "other",
    [
        PAYLOAD | {"customerCode": "C2"},
        PAYLOAD | {"lines": [{"quantity": 2, "price": 12.5}]},
        PAYLOAD | {"lines": []},
        PAYLOAD | {"more": 1},
        PAYLOAD | {"apiVersion": 1},
        PAYLOAD | {"lines": [{"quantity": 1, "price": 12.5, "strict": True}]},
        {name: value for name, value in PAYLOAD.items() if name != "notes"},
        PAYLOAD | {"lines": [{"quantity": "1", "price": 12.5}]},
    ],
)
def test_payloads_that_ask_for_something_else_have_another(other: Any) -> None:
    """A changed, missing or further property is another order."""
    assert fingerprint(PAYLOAD) != fingerprint(other)


def test_the_rules_version_stands_in_front() -> None:
    """So that a new rule can tell old fingerprints."""
    assert fingerprint(PAYLOAD).startswith(f"{RULE}:")


@given(st.dictionaries(st.text(max_size=8), values, max_size=5))
def test_a_round_trip_through_json_changes_nothing(payload: dict[str, Any]) -> None:
    """Whatever a publisher's library does with key order and white space."""
    shuffled = dict(reversed(payload.items()))

    assert fingerprint(payload) == fingerprint(json.loads(json.dumps(shuffled, indent=2)))


@given(st.lists(values | st.integers(-(2**54), 2**54).map(float), max_size=4))
def test_what_has_no_whole_float_is_canonical_as_it_is(payload: Any) -> None:
    """The rule that stored fingerprints follow, whichever way is taken."""
    canonical = orjson.dumps(_canonical(payload), option=orjson.OPT_SORT_KEYS)

    assert f"{RULE}:{hashlib.sha256(canonical).hexdigest()}" == fingerprint(payload)
