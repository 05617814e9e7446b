"""The decisions about a token."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sips.token_rules import (
    FALLBACK_LIFETIME,
    MAX_LIFETIME,
    Grant,
    Held,
    Standing,
    Token,
    back_off,
    fingerprint_of,
    is_better,
    issue,
    lifetime_of,
    standing,
    taken_over,
)

if TYPE_CHECKING:
    from worker.sips.token_storage import Entry


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


def entry(**times: float) -> Entry:
    """What a storage knows of a token; only its times."""
    return cast("Entry", SimpleNamespace(**times))


@pytest.mark.parametrize(
    ("times", "obtained_at", "refresh_at", "expires_at"),
    [
        ({"age": 20, "refresh_in": 60, "expires_in": 80}, 980, 1_062, 1_080),
        ({"age": 90, "refresh_in": -10, "expires_in": 10}, 910, 990, 1_010),
        # The clock was set back by an hour, right after it was fetched: due, old, and good for a whole life at most.
        ({"age": -3_600, "refresh_in": 3_680, "expires_in": 3_700}, 1_000 - MAX_LIFETIME, 1_000, 1_100),
    ],
)
def test_the_times_of_a_token_that_another_process_fetched(
    times: dict[str, float], obtained_at: float, refresh_at: float, expires_at: float
) -> None:
    """Its refresh comes a bit later than there (half of a fifth of the margin), unless it is due."""
    token = taken_over("value", entry(**times), 1_000.0, 0.5)
    assert (obtained_at, refresh_at, expires_at) == (token.obtained_at, token.refresh_at, token.expires_at)


@pytest.mark.parametrize(
    ("other", "held", "expected"),
    [
        # fingerprint, obtained_at, refresh_at, expires_at; and of what is held: the same, and when it was refused; at 1000
        (("b", 900, 1_080, 1_100), None, True),
        (("b", 900, 990, 999), None, False),
        (("b", 900, 1_080, 1_100), ("a", 800, 990, 1_050, None), True),
        (("b", 900, 1_080, 1_100), ("a", 800, 1_190, 1_200, None), False),
        (("b", 900, 1_080, 1_100), ("a", 800, 1_190, 1_200, 950), True),
        # The same: only where it was fetched again, which makes it fresh, ...
        (("a", 800, 1_080, 1_100), ("a", 800, 1_040, 1_050, None), False),
        (("a", 800, 1_080, 1_100), ("a", 800, 990, 1_050, None), True),
        (("a", 800, 990, 1_050), ("a", 800, 990, 1_050, None), False),
        # ... or after it was refused.
        (("a", 800, 1_080, 1_100), ("a", 800, 1_080, 1_100, 950), False),
        (("a", 960, 1_080, 1_100), ("a", 800, 1_080, 1_100, 950), True),
    ],
)
def test_whether_the_token_of_another_process_is_used(
    other: tuple[str, float, float, float], held: tuple[str, float, float, float, float | None] | None, expected: bool
) -> None:
    """Where it serves for longer."""
    mine = Held() if held is None else Held(Token("value", *held[:4]), None if held[4] is None else held[0], held[4] or 0.0)
    assert expected == is_better(Token("value", *other), mine, 1_000.0)


@pytest.mark.parametrize(
    ("refused", "obtained_at"),
    [
        (None, 0.0),
        ("another", 0.0),
        (fingerprint_of("a"), 50.0),
    ],
)
def test_the_age_of_a_token_that_is_given_again(refused: str | None, obtained_at: float) -> None:
    """As before; one that was refused is young, so that it is not asked for again at once."""
    held = Held(issue(Grant("a", 60), 0.0, 0.0), refused, 40.0)
    assert obtained_at == issue(Grant("a", 60), 50.0, 0.0, held).obtained_at
    assert 50.0 == issue(Grant("b", 60), 50.0, 0.0, held).obtained_at


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
