"""What is worth another line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from worker.messaging.repeats import SECONDS, Repeats

if TYPE_CHECKING:
    import pytest


def test_the_same_is_said_again_after_a_minute_and_anything_else_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the same, once it was over in between."""
    now, repeats = [1_000.0], Repeats()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    assert [True, False, True, True] == [repeats.is_news(text) for text in ("refused", "refused", "silent", "refused")]
    now[0] += SECONDS
    assert [True, False] == [repeats.is_news("refused"), repeats.is_news("refused")]
    repeats.forget()
    assert repeats.is_news("refused")
