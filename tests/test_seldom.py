"""What is worth another line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from worker.seldom import SECONDS, Seldom

if TYPE_CHECKING:
    import pytest


def test_the_same_is_said_again_after_a_while_and_anything_else_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the same, once it was over in between."""
    now, may_tell = [1_000.0], Seldom()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    assert [True, False, True, True] == [may_tell(text) for text in ("refused", "refused", "silent", "refused")]
    now[0] += SECONDS
    assert [True, False] == [may_tell("refused"), may_tell("refused")]
    may_tell.forget()
    assert may_tell("refused")


def test_a_thing_without_a_text_is_always_the_same() -> None:
    """However often it happens."""
    may_tell = Seldom(3600)

    assert [True, False, False] == [may_tell() for _ in range(3)]


def test_it_is_told_again_when_its_time_is_over() -> None:
    """What goes on for long must not fall silent."""
    may_tell = Seldom(0)

    assert [True, True] == [may_tell() for _ in range(2)]
