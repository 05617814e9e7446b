"""The table of names that SIPS spells otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.description import OPERATIONS, resolved
from worker.sips.names import NAMES, variants


def named(node: Any) -> set[str]:
    """Every property and query parameter that a part of the description names."""
    node = resolved(node)
    if isinstance(node, list):
        return {name for inner in node for name in named(inner)}
    if not isinstance(node, dict):
        return set()
    own = set(node.get("properties", {})) | ({node["name"]} if node.get("in") == "query" else set())
    return own | {name for inner in node.values() for name in named(inner)}


@pytest.mark.parametrize("operation", NAMES)
def test_every_name_of_sips_stands_in_its_description(operation: str) -> None:
    """In the query, the request or the answer of that operation; ours does not, or it would need no row."""
    described = named(OPERATIONS[operation][2])
    assert set(NAMES[operation].values()) <= described
    same = {ours for ours in NAMES[operation] if ours in described}
    assert same <= {"customerCode", "branchCode", "items", "genericItemCode"}, "the answer spells these as we do"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("transactionId", ["transactionID"]),
        ("productId", ["productID"]),
        ("uom", ["UOM"]),
        ("poNumber", ["PONumber"]),
        ("branchId", ["BranchId"]),
        ("items", ["Items"]),
        ("customerCode", []),
        ("limit", []),
    ],
)
def test_other_letter_cases_are_known_for_every_operation(ours: str, theirs: list[str]) -> None:
    """Another word is another matter: it stands for the same in its own operation only."""
    assert theirs == variants(ours)
