"""What the ends of calls say of SIPS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.runtime.outage import DOWN_LENGTH, DOWN_OPERATIONS, SUSPICION, End, Row, Verdict, end_of
from worker.sips import PROBE, errors

if TYPE_CHECKING:
    from worker.sips.errors import SipsError

ANSWERED, FAILED, REFUSED = End.ANSWERED, End.FAILED, End.REFUSED


def row(*ends: tuple[str, End]) -> Row:
    """The row after these calls."""
    result = Row()
    for operation, end in ends:
        result = result.then(operation, end)
    return result


@pytest.mark.parametrize(
    ("kind", "status", "end"),
    [
        # Nobody was there.
        (errors.ConnectFailed, None, FAILED),
        (errors.DeadlinePassed, None, FAILED),
        (errors.LostAnswer, None, FAILED),
        (errors.TokenUnavailable, None, FAILED),
        (errors.ServerFault, 502, FAILED),
        (errors.ServerFault, 503, FAILED),
        (errors.ServerFault, 504, FAILED),
        # Somebody else than SIPS was.
        (errors.Gateway, 403, FAILED),
        (errors.Gateway, 302, FAILED),
        # Turned away at the door.
        (errors.TokenRefused, 401, REFUSED),
        (errors.SecretUnreadable, None, REFUSED),
        (errors.Unauthorized, 401, REFUSED),
        (errors.Forbidden, 403, REFUSED),
        # SIPS spoke.
        (errors.ServerFault, 500, ANSWERED),
        (errors.ServerFault, 408, ANSWERED),
        (errors.Throttled, 429, ANSWERED),
        (errors.Rejected, 400, ANSWERED),
        (errors.NotFound, 404, ANSWERED),
        (errors.PathUnconfirmed, 404, ANSWERED),
        (errors.Unreadable, 200, ANSWERED),
        (errors.Unexpected, 409, ANSWERED),
        # Not even asked: says nothing against it.
        (errors.UnsafePath, None, ANSWERED),
        (errors.CallLimit, None, ANSWERED),
    ],
)
def test_each_error_is_an_end(kind: type[SipsError], status: int | None, end: End) -> None:
    """The whole table."""
    assert end is end_of(kind("ordersList", "what happened", status=status))


def test_a_success_is_an_answer() -> None:
    """As is any other."""
    assert ANSWERED is end_of(None)


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ([], Verdict.UP),
        ([("a", FAILED)] * 2, Verdict.UP),
        ([("a", FAILED)] * 3, Verdict.SUSPECT),
        ([("a", FAILED)] * 100, Verdict.SUSPECT),
        ([("a", FAILED)] * 3 + [("b", FAILED)], Verdict.SUSPECT),
        ([("a", FAILED)] * 4 + [("b", FAILED)], Verdict.DOWN),
        ([("a", FAILED)] * 4 + [(PROBE, FAILED)], Verdict.DOWN),
        ([("a", FAILED)] * 4 + [("authenticationToken", FAILED)], Verdict.DOWN),
        # Any answer ends the row, and so does a refusal, which somebody must have given.
        ([("a", FAILED)] * 4 + [("b", ANSWERED), ("b", FAILED)], Verdict.UP),
        ([("a", FAILED)] * 4 + [("b", REFUSED), ("b", FAILED)], Verdict.UP),
        # One customer may be refused; it takes the probe as well.
        ([("a", REFUSED)] * 2, Verdict.UP),
        ([("a", REFUSED), ("b", REFUSED)] * 10, Verdict.SUSPECT),
        ([("a", REFUSED)] * 3 + [(PROBE, REFUSED)], Verdict.REFUSED),
        ([("a", REFUSED)] * 3 + [(PROBE, ANSWERED)], Verdict.UP),
        # The probe's path may be one that this partner may not read: its refusal alone closes nothing.
        ([("a", FAILED)] * 3 + [(PROBE, REFUSED)], Verdict.UP),
    ],
)
def test_each_row_has_its_verdict(ends: list[tuple[str, End]], verdict: Verdict) -> None:
    """The whole policy."""
    assert verdict is row(*ends).verdict


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", PROBE]), st.sampled_from(End)), max_size=40))
def test_the_verdict_is_about_the_latest_ends_alone(ends: list[tuple[str, End]]) -> None:
    """Down is said if and only if the latest calls, enough and of enough operations, all failed; likewise for refusals."""
    last = ends[-1][1] if ends else ANSWERED
    alike: list[str] = []
    for operation, end in reversed(ends):
        if end is not last or end is ANSWERED:
            break
        alike.append(operation)

    verdict = row(*ends).verdict

    down = last is FAILED and len(alike) >= DOWN_LENGTH and len(set(alike)) >= DOWN_OPERATIONS
    assert down == (verdict is Verdict.DOWN)
    assert (last is REFUSED and len(alike) >= SUSPICION and PROBE in alike) == (verdict is Verdict.REFUSED)
    assert (len(alike) < SUSPICION) == (verdict is Verdict.UP)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(End)), max_size=40))
def test_an_answer_ends_every_row(ends: list[tuple[str, End]]) -> None:
    """Whatever came before."""
    assert Row() == row(*ends, ("a", ANSWERED))
