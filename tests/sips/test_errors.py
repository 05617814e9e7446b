"""The tree of errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worker.sips import errors
from worker.sips.errors import SipsError

if TYPE_CHECKING:
    from collections.abc import Iterator


def leaves(error: type[SipsError] = SipsError) -> Iterator[type[SipsError]]:
    """The classes that are raised."""
    children = error.__subclasses__()
    if not children:
        yield error
    for child in children:
        yield from leaves(child)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every class that is raised stands there with its code, and no other."""
    assert errors.__doc__ is not None
    drawn = dict(re.findall(r"── (\w+) +([a-z-]+-[a-z-]+|deadline) ", errors.__doc__))
    assert {error.__name__: error.code for error in leaves()} == drawn


def test_codes_are_unique() -> None:
    """They are the `type` of `.failed` events and must not mean two things."""
    codes = [error.code for error in leaves()]
    assert sorted(set(codes)) == sorted(codes)


def test_what_is_worth_a_repeat() -> None:
    """For calls that read: what comes from the state of the network or of SIPS, not from the command."""
    assert {
        "call-limit",
        "connect-failed",
        "deadline",
        "lost-answer",
        "sips-throttled",
        "sips-error",
        "sips-gateway",
        "sips-unreadable",
        "sips-secret-unreadable",
        "sips-token-refused",
        "sips-token-unavailable",
    } == {error.code for error in leaves() if error.retryable}
