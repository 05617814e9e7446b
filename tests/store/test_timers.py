"""Timers on SQLite and on PostgreSQL: each that is due is claimed by one, and comes again unless it was ended."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from worker.store.timers import Timer, Timers

if TYPE_CHECKING:
    from worker.store.engine import Store

LEASE = 60.0


@pytest.fixture
def timers(store: Store) -> Timers:
    """The timers of an empty store."""
    return Timers(store)


def test_what_is_due_is_claimed_and_nothing_else(timers: Timers) -> None:
    """The longest due first, up to the limit."""
    for ref, seconds in (("b", -1.0), ("a", -2.0), ("later", 3_600.0), ("c", -0.5)):
        timers.start("look", ref, seconds)

    assert {"a", "b"} == {timer.ref for timer in timers.claim(2, lease_seconds=LEASE)}
    assert ["c"] == [timer.ref for timer in timers.claim(9, lease_seconds=LEASE)]
    assert [] == timers.claim(9, lease_seconds=LEASE)


def test_of_many_that_claim_at_once_each_timer_goes_to_one(timers: Timers) -> None:
    """No tick is published twice in one lease."""
    for number in range(40):
        timers.start("look", f"ref-{number}", -1.0)
    start = threading.Barrier(6)

    def claim(_number: int) -> list[str]:
        start.wait()
        return [timer.ref for _ in range(4) for timer in timers.claim(5, lease_seconds=LEASE)]

    with ThreadPoolExecutor(6) as pool:
        refs = Counter(ref for found in pool.map(claim, range(6)) for ref in found)

    rest = [timer.ref for timer in timers.claim(100, lease_seconds=LEASE)]
    assert {1} == set((refs + Counter(rest)).values())
    assert 40 == refs.total() + len(rest)


def test_claims_that_are_given_back_are_due_at_once(timers: Timers) -> None:
    """But for those that were set anew, or claimed by another, meanwhile."""
    for ref in ("a", "b", "moved", "kept"):
        timers.start("look", ref, -1.0)
    claimed = timers.claim(9, lease_seconds=LEASE)
    timers.start("look", "moved", LEASE)

    timers.give_back(timer for timer in claimed if timer.ref != "kept")

    assert {"a", "b"} == {timer.ref for timer in timers.claim(9, lease_seconds=LEASE)}


def test_a_claim_that_comes_to_nothing_is_made_again(timers: Timers) -> None:
    """When its lease is over."""
    timers.start("look", "a", -1.0)

    (first,) = timers.claim(1, lease_seconds=-0.5)
    (second,) = timers.claim(1, lease_seconds=LEASE)

    assert (first.ref, 1) == (second.ref, second.claims - first.claims)


def test_a_timer_ends_or_is_due_again(timers: Timers) -> None:
    """As its claim decides."""
    timers.start("look", "a", -1.0)
    timers.start("queued", "a", -1.0)
    first, second = sorted(timers.claim(2, lease_seconds=LEASE), key=lambda timer: timer.kind)

    timers.end(first)
    timers.again(second, 30.0)

    assert {"queued": pytest.approx(30.0, abs=10)} == timers.of("a")
    assert 1 == timers.waiting()


def test_a_late_tick_does_not_touch_a_timer_that_was_set_anew(timers: Timers) -> None:
    """It speaks of a claim that is gone."""
    timers.start("look", "a", -1.0)
    (late,) = timers.claim(1, lease_seconds=LEASE)
    timers.start("look", "a", 3_600.0)

    timers.end(late)
    timers.again(late, 1.0)
    timers.end(Timer("look", "nobody", 1))

    assert {"look": pytest.approx(3_600.0, abs=10)} == timers.of("a")


def test_many_timers_are_set_or_hastened_at_once(timers: Timers) -> None:
    """None comes later than it would have."""
    timers.start("look", "soon", 10.0)
    timers.start("look", "late", 999.0)

    timers.hasten_all("look", {"soon": 60.0, "late": 60.0, "new": 60.0})
    timers.hasten_all("look", {})

    found = timers.of_all(["soon", "late", "new", "none"])
    assert [True, True, True] == [found["soon"]["look"] <= 10, 50 < found["late"]["look"] <= 60, 50 < found["new"]["look"] <= 60]
    assert {} == found["none"]


def test_a_timer_that_is_missing_is_set_once(timers: Timers) -> None:
    """Whoever comes next leaves it as it is."""
    for seconds in (60.0, 5.0):
        timers.start_missing("daily", "url", seconds)

    assert 50 < timers.of("url")["daily"] <= 60
