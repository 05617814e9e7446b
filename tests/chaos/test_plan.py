"""The plan follows from the seed, and has everything in it that may break an order."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.plan import (
    ABSENCE_SECONDS,
    CALL_SECONDS,
    ESSENTIAL,
    FAULTS,
    LISTED_AFTER,
    SUBMIT,
    Kind,
    Plan,
    When,
    make,
)
from worker.sandbox.faults import Faults
from worker.sandbox.routes import OPERATIONS

PLANS = st.builds(
    make,
    st.integers(0, 10_000),
    orders=st.integers(1, 200),
    reads=st.integers(0, 50),
    seconds=st.floats(10, 600),
)


def test_the_same_seed_makes_the_same_plan() -> None:
    """And another one another."""
    first, second, other = (make(seed, orders=100, reads=100, seconds=60) for seed in (7, 7, 8))

    assert first == second
    for kind in (True, False):
        ids = [{command.id for command in plan.commands.values() if (command.type == SUBMIT) is kind} for plan in (first, other)]
        assert ids[0].isdisjoint(ids[1])
    assert first.disturbances != other.disturbances
    assert [phase.seconds for phase in first.phases] != [phase.seconds for phase in other.phases]


def test_another_number_of_reads_leaves_the_orders_and_the_disturbances_as_they_were() -> None:
    """So a run can be made smaller around what it found."""
    one, other = (make(7, orders=50, reads=reads, seconds=60) for reads in (10, 100))

    assert (one.disturbances, one.phases) == (other.disturbances, other.phases)
    assert [item for item in one.publications if item.command.type == SUBMIT] == [
        item for item in other.publications if item.command.type == SUBMIT
    ]


@given(PLANS)
def test_a_plan_is_in_order_and_within_its_time(plan: Plan) -> None:
    """Phases follow each other without a gap, from the start to the end."""
    for items in (plan.publications, plan.disturbances, plan.phases):
        times = [item.at for item in items]
        assert times == sorted(times)
        assert all(0 <= at <= plan.seconds for at in times)
    ends = [phase.at + phase.seconds for phase in plan.phases]
    assert [0.0, *ends[:-1]] == pytest.approx([phase.at for phase in plan.phases])
    assert ends[-1] == pytest.approx(plan.seconds)


@given(PLANS)
def test_the_sandbox_knows_every_fault(plan: Plan) -> None:
    """A fault that does not exist would end the run halfway."""
    for phase in plan.phases:
        Faults(OPERATIONS).replace(phase.faults)


@given(PLANS)
def test_every_run_has_what_is_essential(plan: Plan) -> None:
    """However short it is."""
    assert set(ESSENTIAL) <= {disturbance.kind for disturbance in plan.disturbances}


@given(st.integers(0, 10_000), st.integers(1, 300), st.integers(0, 300))
def test_there_are_as_many_commands_as_were_asked_for(seed: int, orders: int, reads: int) -> None:
    """A copy is no command of its own; a rival and a twin are."""
    kinds = Counter(command.type == SUBMIT for command in make(seed, orders=orders, reads=reads, seconds=60).commands.values())

    assert (orders, reads) == (kinds[True], kinds[False])


@pytest.mark.parametrize("seed", range(10))
def test_a_run_at_full_size_has_everything(seed: int) -> None:
    """Every disturbance, every fault, an outage longer than the window; copies, rivals, and copies of what runs."""
    plan = make(seed, orders=1000, reads=1000, seconds=300)

    published = Counter(item.command.id for item in plan.publications)
    payloads: defaultdict[str, set[str | None]] = defaultdict(set)
    for command in plan.commands.values():
        payloads[command.key or command.id].add(command.po)
    down = [phase.seconds for phase in plan.phases if phase.name == "down"]
    assert set(Kind) == {disturbance.kind for disturbance in plan.disturbances}
    assert FAULTS.keys() == {phase.name for phase in plan.phases}
    assert max(down) > ABSENCE_SECONDS
    assert 20 <= sum(number > 1 for number in published.values())
    assert 20 <= sum(len(numbers) > 1 for numbers in payloads.values())
    assert 20 <= sum(item.when is When.WHILE_RUNNING for item in plan.publications)


def test_sips_lists_every_order_within_the_window() -> None:
    """Only then is `.unknown` false for an order that stands at SIPS."""
    late = [faults["queued"]["listed_after"] for faults in FAULTS.values() if "queued" in faults]

    assert max(late) <= LISTED_AFTER
    assert CALL_SECONDS + LISTED_AFTER < ABSENCE_SECONDS
    assert not any("queued_dropped" in faults for faults in FAULTS.values())
