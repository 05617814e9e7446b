"""What becomes of a command after a failed attempt, as a table."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.runtime.retry import LONGEST_WAIT, WAITS_PER_ATTEMPT, Policy, Verdict, decide
from worker.sips import errors
from worker.sips.errors import Executed, SipsError

POLICY = Policy(attempts=4, base_seconds=1, max_seconds=100)
NO, MAYBE, YES = Executed.NO, Executed.MAYBE, Executed.YES


def error(kind: type[SipsError], executed: Executed, retry_after: float | None = None) -> SipsError:
    """An error as the client raises it."""
    failure = kind("productsV2Price", "what happened", executed=executed)
    failure.retry_after = retry_after
    statuses: dict[type[SipsError], int] = {errors.Unauthorized: 401, errors.Forbidden: 403}
    failure.status = statuses.get(kind)
    return failure


@pytest.mark.parametrize(
    ("kind", "executed", "changes", "attempt", "verdict"),
    [
        # Not executed, as no byte was written or SIPS turned it away unread: costs time, never an attempt.
        (errors.ConnectFailed, NO, False, 9, Verdict.WAIT),
        (errors.ConnectFailed, NO, True, 9, Verdict.WAIT),
        (errors.DeadlinePassed, NO, True, 9, Verdict.WAIT),
        (errors.Throttled, NO, True, 9, Verdict.WAIT),
        (errors.TokenUnavailable, NO, True, 9, Verdict.WAIT),
        (errors.TokenRefused, NO, False, 9, Verdict.WAIT),
        (errors.SecretUnreadable, NO, False, 9, Verdict.WAIT),
        # Refused at the door, for this customer or for all: repeated while attempts are left.
        (errors.Unauthorized, NO, True, 1, Verdict.RETRY),
        (errors.Unauthorized, NO, True, 9, Verdict.EXHAUSTED),
        (errors.Forbidden, NO, False, 1, Verdict.RETRY),
        # A configuration or a gateway rejects no order.
        (errors.Gateway, NO, True, 9, Verdict.WAIT),
        # A limit of our own: nothing was sent.
        (errors.CallLimit, NO, True, 9, Verdict.WAIT),
        # Nobody can tell: a read is repeated while attempts are left, an order never. What may be an outage waits at first.
        (errors.LostAnswer, MAYBE, False, 9, Verdict.WAIT),
        (errors.DeadlinePassed, MAYBE, False, 9, Verdict.WAIT),
        (errors.Gateway, MAYBE, False, 9, Verdict.WAIT),
        (errors.LostAnswer, MAYBE, True, 1, Verdict.DOUBT),
        (errors.DeadlinePassed, MAYBE, True, 1, Verdict.DOUBT),
        (errors.ServerFault, MAYBE, False, 3, Verdict.RETRY),
        (errors.ServerFault, MAYBE, True, 1, Verdict.DOUBT),
        (errors.Unreadable, MAYBE, False, 3, Verdict.RETRY),
        (errors.Unreadable, MAYBE, True, 1, Verdict.DOUBT),
        (errors.Unexpected, MAYBE, True, 1, Verdict.DOUBT),
        # Refused with reasons: final.
        (errors.Rejected, YES, False, 1, Verdict.FAIL),
        (errors.Rejected, YES, True, 1, Verdict.FAIL),
        (errors.NotFound, YES, False, 1, Verdict.FAIL),
        (errors.PathUnconfirmed, YES, False, 1, Verdict.FAIL),
        (errors.UnsafePath, NO, False, 1, Verdict.FAIL),
    ],
)
def test_each_error_has_its_verdict(
    kind: type[SipsError], executed: Executed, changes: bool, attempt: int, verdict: Verdict
) -> None:
    """The whole policy."""
    decision = decide(error(kind, executed), changes=changes, attempt=attempt, waits=0, policy=POLICY, random=random.Random(1))

    assert verdict is decision.verdict


@pytest.mark.parametrize(
    ("kind", "status", "while_away", "changes", "waits", "attempt", "verdict"),
    [
        # As calls fail while SIPS is away: twice as many waits as there are attempts, and then the attempts.
        (errors.ServerFault, 503, False, False, 7, 4, Verdict.WAIT),
        (errors.ServerFault, 503, False, False, 8, 3, Verdict.RETRY),
        (errors.ServerFault, 503, False, False, 8, 4, Verdict.EXHAUSTED),
        (errors.DeadlinePassed, None, False, False, 8, 4, Verdict.EXHAUSTED),
        # Known to be away, or to refuse this worker altogether: as long as it takes.
        (errors.ServerFault, 503, True, False, 1000, 4, Verdict.WAIT),
        (errors.LostAnswer, None, True, False, 1000, 4, Verdict.WAIT),
        (errors.Unauthorized, 401, True, False, 1000, 4, Verdict.WAIT),
        (errors.Forbidden, 403, True, True, 1000, 4, Verdict.WAIT),
        # What SIPS itself said stands, whatever its state.
        (errors.ServerFault, 500, True, False, 0, 4, Verdict.EXHAUSTED),
        (errors.Unreadable, 200, True, False, 0, 3, Verdict.RETRY),
        (errors.PathUnconfirmed, 404, True, False, 0, 1, Verdict.FAIL),
        (errors.Rejected, 400, True, False, 0, 1, Verdict.FAIL),
        # A refusal of this customer.
        (errors.Forbidden, 403, False, False, 0, 4, Verdict.EXHAUSTED),
        # An order that SIPS may have.
        (errors.ServerFault, 503, True, True, 0, 1, Verdict.DOUBT),
        (errors.LostAnswer, None, False, True, 0, 1, Verdict.DOUBT),
    ],
)
def test_an_outage_uses_up_no_attempt(
    kind: type[SipsError], status: int | None, while_away: bool, changes: bool, waits: int, attempt: int, verdict: Verdict
) -> None:
    """Neither while it is known, nor before it is, as far as anybody can tell one from a command that is the cause itself."""
    refused = kind in {errors.Unauthorized, errors.Forbidden}
    failure = error(kind, YES if kind is errors.Rejected else NO if refused else MAYBE)
    failure.status, failure.while_away = status, while_away

    decision = decide(failure, changes=changes, attempt=attempt, waits=waits, policy=POLICY, random=random.Random(1))

    assert verdict is decision.verdict


@given(
    ends=st.lists(st.tuples(st.sampled_from(["outage", "unseen outage", "500"]), st.integers(1, 3)), min_size=1, max_size=30),
)
def test_every_read_comes_to_an_end_and_none_because_of_a_known_outage(ends: list[tuple[str, int]]) -> None:
    """However outages and failures alternate: it is given up only after its attempts, and not while SIPS is known to be away."""
    attempt, waits, counted = 1, 0, 0
    for kind, times in ends:
        for _ in range(times):
            failure = error(errors.ServerFault, MAYBE)
            failure.status, failure.while_away = (500 if kind == "500" else 503), kind == "outage"
            decision = decide(failure, changes=False, attempt=attempt, waits=waits, policy=POLICY, random=random.Random(1))
            if decision.verdict is Verdict.WAIT:
                waits += 1
                continue
            counted += 1
            assert "outage" != kind
            if decision.verdict is Verdict.EXHAUSTED:
                assert POLICY.attempts == counted
                return
            attempt += 1
    unseen = sum(times for kind, times in ends if kind != "outage")
    assert unseen < POLICY.attempts * (1 + WAITS_PER_ATTEMPT)


@given(attempt=st.integers(1, 3), seed=st.integers())
def test_delays_double_within_their_jitter(attempt: int, seed: int) -> None:
    """1, 2, 4 seconds in the mean, each at most half away from it."""
    failure = error(errors.ServerFault, MAYBE)

    seconds = decide(failure, changes=False, attempt=attempt, waits=0, policy=POLICY, random=random.Random(seed)).seconds

    mean = 2 ** (attempt - 1)
    assert mean * 0.5 <= seconds <= mean * 1.5


@given(waits=st.integers(0, 10_000), seed=st.integers())
def test_waiting_for_sips_is_capped_however_long_it_is_away(waits: int, seed: int) -> None:
    """It comes back at any moment."""
    failure = error(errors.ConnectFailed, NO)

    seconds = decide(failure, changes=True, attempt=1, waits=waits, policy=POLICY, random=random.Random(seed)).seconds

    assert 0 < seconds <= LONGEST_WAIT * 1.5


@pytest.mark.parametrize(("retry_after", "at_least"), [(30.0, 30.0), (0.0, 0.5), (None, 0.5)])
def test_retry_after_only_makes_a_delay_longer(retry_after: float | None, at_least: float) -> None:
    """SIPS may ask for more patience, not for less."""
    failure = error(errors.Throttled, NO, retry_after)

    seconds = decide(failure, changes=False, attempt=1, waits=0, policy=POLICY, random=random.Random(3)).seconds

    assert seconds >= at_least


@given(
    kind=st.sampled_from([getattr(errors, name) for name in errors.__all__ if name not in {"Executed", "SipsError"}]),
    attempt=st.integers(1, 100),
    waits=st.integers(0, 100),
)
def test_an_order_that_sips_may_have_is_never_repeated_nor_called_failed(kind: type[SipsError], attempt: int, waits: int) -> None:
    """Whatever the error is called: only doubt is honest."""
    if not hasattr(kind, "code"):
        return
    failure = error(kind, MAYBE)

    decision = decide(failure, changes=True, attempt=attempt, waits=waits, policy=POLICY, random=random.Random(0))

    assert Verdict.DOUBT is decision.verdict
