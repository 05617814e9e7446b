"""Tell whether two payloads ask for the same: a hash of what they say, not of how they are written."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import orjson

__all__ = ["RULE", "fingerprint"]

#: Version of the rule below; stands in front of every fingerprint. A new rule compares old rows by their own.
RULE = "1"

#: The worker's own fields: a publisher's values are overwritten, so they say nothing of what it wants. Nor does it want
#: another order when it is stricter about it: `strict` and `lookup` are questions to the worker, not to SIPS.
OWN_FIELDS = frozenset({"transactionID", "transactionDate", "sourceSystem", "strict", "lookup"})

#: What every float below 2**53 is written with that is a whole number; most payloads have none, and are canonical as they are.
WHOLE_FLOAT = b".0"

#: What the absence of a property says. `apiVersion` is part of what is asked for: what it means depends on it.
DEFAULTS = {"apiVersion": 2}


def fingerprint(payload: Any) -> str:
    """The fingerprint of a payload: equal for payloads that differ in key order, white space or spelling of numbers only.

    Names count as they are spelled: the same order in SIPS' spelling is another payload, and so no second order either.
    """
    business = {name: value for name, value in payload.items() if _counts(name, value)} if isinstance(payload, dict) else payload
    canonical = orjson.dumps(business, option=orjson.OPT_SORT_KEYS)
    if WHOLE_FLOAT in canonical:
        canonical = orjson.dumps(_canonical(business), option=orjson.OPT_SORT_KEYS)
    return f"{RULE}:{hashlib.sha256(canonical).hexdigest()}"


def _counts(name: str, value: Any) -> bool:
    return name not in OWN_FIELDS and not (name in DEFAULTS and value == DEFAULTS[name])


def _canonical(value: Any) -> Any:
    # Most of an order is text, which is not looked at any further.
    if isinstance(value, dict):
        return {name: inner if inner.__class__ is str else _canonical(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [inner if inner.__class__ is str else _canonical(inner) for inner in value]
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 2**53:
        return int(value)
    return value
