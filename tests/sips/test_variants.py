"""Where an operation may be beside its own path."""

from __future__ import annotations

import re

import pytest

from worker.sips.operations import OPERATIONS, Confidence, Kind, Operation, resolve
from worker.sips.variants import NAMED, variants

#: Most paths that are tried for one operation: what is polite, and done in seconds.
MOST = 70

GUESSES = [operation for operation in OPERATIONS.values() if operation.confidence is Confidence.PLACEHOLDER]
READS = [operation for operation in OPERATIONS.values() if operation.kind is Kind.READ]


def by_id(operation: Operation) -> str:
    """How a test is named."""
    return operation.id


def blurred(path: str) -> str:
    """Without letter case, query and the names of parameters."""
    return re.sub(r"\{\w+\}", "{}", path.partition("?")[0]).lower().rstrip("/")


@pytest.mark.parametrize("operation", READS, ids=by_id)
def test_each_can_be_set_and_is_tried_once(operation: Operation) -> None:
    """With the operation's own parameters, and in a list that ends."""
    paths = variants(operation)

    assert 0 < len(paths) <= MOST
    assert len(set(paths)) == len(paths)
    assert operation.path not in paths
    for path in paths:
        assert path == resolve(operation, {operation.id: path}).path


@pytest.mark.parametrize("operation", READS, ids=by_id)
def test_none_is_another_operations(operation: Operation) -> None:
    """Nor such a one in another letter case: what places orders is not asked, and a list is not taken for another."""
    others = {blurred(row.path) for row in OPERATIONS.values() if row.id != operation.id and row.method == operation.method}

    assert not others & {blurred(path) for path in variants(operation)}
    assert not [path for path in variants(operation) if "submit" in path.lower()]


@pytest.mark.parametrize("operation", [row for row in OPERATIONS.values() if row.kind is Kind.MUTATION], ids=by_id)
def test_what_changes_something_is_tried_nowhere(operation: Operation) -> None:
    """An order at a wrong path is still an order."""
    assert [] == variants(operation)


@pytest.mark.parametrize("operation", GUESSES, ids=by_id)
def test_a_guess_is_tried_as_the_portal_builds_its_paths(operation: Operation) -> None:
    """With `v2`, with the parameter in front and behind, in PascalCase, behind /api; what somebody named comes first."""
    paths = variants(operation)

    named = [path for path in NAMED.get(operation.id, ()) if path != operation.path]
    assert named == paths[: len(named)]
    assert [] != [path for path in paths if "/v2/" in path]
    assert [] != [path for path in paths if path.startswith("/api/")]
    assert [] != [path for path in paths if re.search(r"/[A-Z][A-Za-z]+", path)]
    if operation.parameters:
        assert [] != [path for path in paths if re.fullmatch(r"/[a-z]+/\{\w+\}/\w+", path)]
        assert [] != [path for path in paths if re.fullmatch(r"/[a-z]+/\w+/\{\w+\}", path)]
        assert [] != [path for path in paths if path.endswith("}") and "?" in path]


def test_from_another_path_the_own_one_is_the_first_variant() -> None:
    """Where SIPS_PATHS was set and does not hold."""
    moved = resolve(OPERATIONS["branchDetails"], {"branchDetails": "/old/{branchId}"})

    assert "/branches/{branchId}" == variants(moved)[0]
