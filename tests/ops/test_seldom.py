"""Saying a thing only now and then."""

from __future__ import annotations

from worker.ops.seldom import Seldom


def test_the_first_is_told_and_those_soon_after_are_not() -> None:
    """However many there are."""
    may_tell = Seldom(3600)

    assert [True, False, False] == [may_tell() for _ in range(3)]


def test_it_is_told_again_when_the_time_is_over() -> None:
    """What goes on for long must not fall silent."""
    may_tell = Seldom(0)

    assert [True, True] == [may_tell() for _ in range(2)]
