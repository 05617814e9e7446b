"""How deep JSON is nested: encoders and databases fail at a few hundred levels, where nothing that is meant has ten."""

from __future__ import annotations

from typing import Any

__all__ = ["is_deeper"]


def is_deeper(value: Any, body: bytes, limit: int) -> bool:
    """Whether there are more than `limit` objects and arrays around something.

    Args:
        value: as parsed.
        body: the JSON that it was parsed from; so few brackets that it cannot be deep are the quickest answer.
        limit: the deepest that is not.
    """
    return body.count(b"[") + body.count(b"{") > limit and _goes_below(value, limit)


def _goes_below(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
