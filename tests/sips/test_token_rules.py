"""The decisions about a token."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sips.token_rules import (
    FALLBACK_LIFETIME,
    MAX_LIFETIME,
    Grant,
    Standing,
    Token,
    back_off,
    issue,
    lifetime_of,
    standing,
)


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (86_400, 86_400),
        (3_600, 3_600),
        (60, 60),
        (1, 1),
        (59.5, 59.5),
        ("3600", 3_600),
        (" 3600 ", 3_600),
        # Nothing that says anything: short, so that the guess heals.
        (None, FALLBACK_LIFETIME),
        (0, FALLBACK_LIFETIME),
        (-5, FALLBACK_LIFETIME),
        (0.5, FALLBACK_LIFETIME),
        ("int32", FALLBACK_LIFETIME),
        ("", FALLBACK_LIFETIME),
        (True, FALLBACK_LIFETIME),
        ([3_600], FALLBACK_LIFETIME),
        ({}, FALLBACK_LIFETIME),
        (float("nan"), FALLBACK_LIFETIME),
        (float("inf"), FALLBACK_LIFETIME),
        (10**400, FALLBACK_LIFETIME),
        # Milliseconds, or a date.
        (86_400_000, MAX_LIFETIME),
        (1_790_000_000, MAX_LIFETIME),
    ],
)
def test_the_lifetime(expires_in: Any, seconds: float) -> None:
    """`expires_in` is the only truth where it is one."""
    assert seconds == lifetime_of(expires_in)


@pytest.mark.parametrize(
    ("lifetime", "earliest", "latest"),
    [
        # 2.5 to 5 minutes before the end of a long life, 10 to 20 % of a short one.
        (86_400, 86_100, 86_250),
        (3_600, 3_300, 3_450),
        (1_500, 1_200, 1_350),
        (300, 240, 270),
        (10, 8, 9),
    ],
)
def test_the_moment_of_the_refresh(lifetime: int, earliest: float, latest: float) -> None:
    """It is spread over a fleet whose processes started together."""
    assert pytest.approx(1_000 + earliest) == issue(Grant("a", lifetime), 1_000.0, 1.0).refresh_at
    assert pytest.approx(1_000 + latest) == issue(Grant("a", lifetime), 1_000.0, 0.0).refresh_at
    assert 1_000 + lifetime == issue(Grant("a", lifetime), 1_000.0, 0.5).expires_at


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_a_token_is_refreshed_after_most_of_its_life_and_before_its_end(expires_in: int, jitter: float) -> None:
    """Whatever its life is."""
    token = issue(Grant("a", expires_in), 0.0, jitter)
    assert 0.79 * token.expires_at <= token.refresh_at < token.expires_at


@pytest.mark.parametrize(
    ("now", "refused", "expected"),
    [
        (0, None, Standing.FRESH),
        (79, None, Standing.FRESH),
        (80, None, Standing.DUE),
        (99, None, Standing.DUE),
        (100, None, Standing.GONE),
        (0, "another", Standing.FRESH),
        (0, "this", Standing.GONE),
    ],
)
def test_the_standing_of_a_token(now: float, refused: str | None, expected: Standing) -> None:
    """It serves until it truly ends, or until SIPS refused just this one."""
    assert expected == standing(Token("value", "this", 0.0, 80.0, 100.0), refused, now)


def test_no_token_is_gone() -> None:
    """As at the start."""
    assert Standing.GONE == standing(None, None, 0.0)


@pytest.mark.parametrize(
    ("failures", "retry_after", "shortest", "longest"),
    [
        (1, None, 0.5, 1),
        (2, None, 1, 2),
        (3, None, 2, 4),
        (7, None, 30, 60),
        (1_000_000, None, 30, 60),
        (1, 120.0, 120, 120),
        (7, 5.0, 30, 60),
        (1, 86_400.0, 300, 300),
    ],
)
def test_the_wait_after_failures(failures: int, retry_after: float | None, shortest: float, longest: float) -> None:
    """It doubles up to a minute, and a Retry-After lengthens it, up to five."""
    assert shortest == back_off(failures, retry_after, 0.0)
    assert longest == back_off(failures, retry_after, 1.0)


def test_a_token_does_not_show_itself() -> None:
    """Neither as granted nor as kept; its fingerprint names it."""
    grant = Grant("very-secret-token", 60)
    token = issue(grant, 0.0, 0.0)
    assert "very-secret" not in f"{grant!r} {token!r} {token}"
    assert 12 == len(token.fingerprint)
    assert token.fingerprint == issue(grant, 5.0, 1.0).fingerprint
