"""The token of a fleet whose store is away or hangs: each process looks after one of its own, and no call fails for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.amqp import eventually
from tests.fleet.conftest import PROCESSES
from worker.store.schema import now

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.fleet.conftest import Fleet

THREADS = 4

among = partial(pytest.mark.parametrize, "surroundings", indirect=True)


def soak(*names: str) -> list[object]:
    """Surroundings in which a proof takes long."""
    return [pytest.param(name, marks=pytest.mark.soak) for name in names]


def assert_no_call_fails(fleet: Fleet, without_store: Callable[[], AbstractContextManager[object]]) -> None:
    """In the middle of load the store is of no use, and SIPS revokes the token: each process replaces it once.

    The store still has the token that SIPS has revoked: when it is back, that one is replaced once for all.
    """
    fleet.cold(sips_token_min_age_seconds=0)
    with fleet.load(threads=THREADS) as ends:
        fleet.go_on()
        with without_store():
            fleet.go_on()
            assert {"200": 1} == fleet.asked
            fleet.forget()
            fleet.go_on()
            assert {"200": 1 + PROCESSES} == fleet.asked
        fleet.go_on()
    assert {"ok": ends.total()} == ends
    assert {"200": 1 + PROCESSES} == fleet.asked
    fleet.anew(sips_token_min_age_seconds=0)
    assert {"ok": PROCESSES * THREADS} == fleet.run(threads=THREADS, calls=1)
    assert {"200": 2 + PROCESSES} == fleet.asked


@among(["postgresql", *soak("namespaces")])
def test_without_the_store_each_process_fetches_one(fleet: Fleet) -> None:
    """And all calls are made."""
    fleet.cold(database_url="postgresql://us:nothing@127.0.0.1:1/none")
    assert {"ok": PROCESSES * 32} == fleet.run(threads=32, calls=1)
    assert {"200": PROCESSES} == fleet.asked


@among(["postgresql", *soak("namespaces")])
def test_a_store_that_goes_away_and_comes_back_fails_no_call(fleet: Fleet) -> None:
    """Each process replaces a token that SIPS revokes meanwhile once."""
    assert_no_call_fails(fleet, fleet.surroundings.away)


@among(["postgresql", *soak("sqlite", "namespaces")])
def test_a_store_that_hangs_in_the_middle_of_load_fails_no_call(fleet: Fleet) -> None:
    """Neither while the token is good, nor when SIPS revokes it: each process replaces it once."""
    assert_no_call_fails(fleet, fleet.surroundings.hanging)


@among(["postgresql", *soak("namespaces")])
def test_a_store_that_hangs_when_the_token_is_due_fails_no_call(fleet: Fleet) -> None:
    """The old one serves, and each process refreshes it once."""
    fleet.run(threads=1, calls=1)
    # One that died has the lease, so that the refresh has not been made when the store hangs.
    fleet.make_due(owner="one that died", lease_until=now() + 200)
    with fleet.load(threads=THREADS) as ends:
        fleet.go_on()
        assert {"200": 1} == fleet.asked
        with fleet.surroundings.hanging():
            eventually(lambda: fleet.asked == {"200": 1 + PROCESSES}, "each has refreshed it")
            fleet.go_on()
        fleet.go_on()
    assert {"ok": ends.total()} == ends
    assert {"200": 1 + PROCESSES} == fleet.asked


@among(soak("postgresql", "namespaces"))
def test_a_store_that_hangs_from_the_start_fails_no_call(fleet: Fleet) -> None:
    """Each process gives up the connection, and fetches a token for itself."""
    with fleet.surroundings.hanging():
        assert {"ok": PROCESSES * 32} == fleet.run(threads=32, calls=1)
        assert {"200": PROCESSES} == fleet.asked
