"""Tell whether two payloads ask for the same: a hash of what they say, not of how they are written."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import orjson

__all__ = ["RULE", "fingerprint"]

#: Version of the rule below; stands in front of every fingerprint. A new rule compares old rows by their own.
RULE = "1"

#: The worker's own fields: a publisher's values are overwritten, so they say nothing of what it wants.
OWN_FIELDS = frozenset({"transactionID", "transactionDate", "sourceSystem"})


def fingerprint(payload: Any) -> str:
    """The fingerprint of a payload: equal for payloads that differ in key order, white space or spelling of numbers only."""
    business = (
        {name: value for name, value in payload.items() if name not in OWN_FIELDS} if isinstance(payload, dict) else payload
    )
    canonical = orjson.dumps(_canonical(business), option=orjson.OPT_SORT_KEYS)
    return f"{RULE}:{hashlib.sha256(canonical).hexdigest()}"


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _canonical(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_canonical(inner) for inner in value]
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 2**53:
        return int(value)
    return value
