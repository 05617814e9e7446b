"""One token for all processes, wherever they live, whatever happens to the token, its endpoint, the credentials or a process."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.amqp import eventually
from tests.fleet.conftest import PROCESSES, SECRETS
from worker.sips.token import MIN_AGE_SECONDS
from worker.store.schema import tokens

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from tests.fleet.conftest import Fleet

THREADS = 32

#: Seconds that a short token lives; SIPS counts whole ones.
SHORT = 2

#: For what takes seconds and is the same on both kinds of database.
slow = pytest.mark.parametrize(
    "surroundings",
    ["sqlite", *(pytest.param(name, marks=pytest.mark.soak) for name in ("postgresql", "namespaces"))],
    indirect=True,
)


def codes(ends: Counter[str]) -> set[str]:
    """How calls ended, without what is told of it."""
    return {end.partition(":")[0] for end in ends}


def test_all_threads_of_all_processes_start_cold_with_one_request(fleet: Fleet) -> None:
    """128 calls at once."""
    assert {"ok": PROCESSES * THREADS} == fleet.run(threads=THREADS, calls=1)
    assert {"200": 1} == fleet.asked


def test_a_hundred_refusals_at_once_are_one_more_request(fleet: Fleet) -> None:
    """SIPS forgets the token: each call is repeated with the new one, and none fails."""
    fleet.cold(sips_token_min_age_seconds=0)
    fleet.run(threads=THREADS, calls=1)
    fleet.forget()
    assert {"ok": PROCESSES * THREADS} == fleet.run(threads=THREADS, calls=1)
    assert {"200": 2} == fleet.asked


def test_a_refusal_of_one_customer_costs_the_fleet_nothing(fleet: Fleet) -> None:
    """Its calls are refused; the others go on with the same token."""
    fleet.sandbox._faults.replace({"unauthorized": {"customers": ["OTHER"]}})
    victim, *others = fleet.all
    for process in others:
        process.tell(threads=8, calls=4)
    victim.tell(threads=8, calls=4, customer="OTHER")
    assert [{"ok": 32}] * 3 == [fleet.ends(process) for process in others]
    ends = fleet.ends(victim)
    assert ({"sips-unauthorized"}, 32) == (codes(ends), ends.total())
    assert {"200": 1} == fleet.asked


@slow
def test_the_end_of_a_token_in_the_middle_of_load_fails_no_call(fleet: Fleet) -> None:
    """One refresh, ahead of it."""
    fleet.sandbox._faults.replace({"token_short": {"expires_in": SHORT, "count": 1}})
    with fleet.load(threads=2) as ends:
        fleet.go_on()
        eventually(fleet.has_ended, "the token has come to its end")
        fleet.go_on()
    assert {"ok"} == codes(ends)
    assert {"200": 2} == fleet.asked


def test_a_token_that_is_revoked_in_the_middle_of_load_fails_no_call(fleet: Fleet) -> None:
    """One more is fetched, long before the end of the first."""
    fleet.cold(sips_token_min_age_seconds=0)
    with fleet.load(threads=8) as ends:
        fleet.go_on()
        fleet.forget()
        fleet.go_on()
    assert {"ok"} == codes(ends)
    assert {"200": 2} == fleet.asked


def test_a_token_that_is_revoked_while_it_is_young_is_kept_until_it_is_older(fleet: Fleet) -> None:
    """Its calls are refused, and nobody asks for another: it may be the command that SIPS refuses."""
    fleet.run(threads=2, calls=1)
    fleet.forget()
    assert {"sips-unauthorized"} == codes(fleet.run(threads=2, calls=1))
    assert {"200": 1} == fleet.asked

    fleet.alter(obtained_at=tokens.c.obtained_at - MIN_AGE_SECONDS)
    fleet.anew()
    assert {"ok"} == codes(fleet.run(threads=2, calls=1))
    assert {"200": 2} == fleet.asked


def take_down(fleet: Fleet) -> Callable[[], None]:
    """The token endpoint is down, until the result is called."""
    fleet.sandbox._faults.replace({"token_error": {"status": 503}})
    return lambda: fleet.sandbox._faults.replace({})


def revoke(fleet: Fleet) -> Callable[[], None]:
    """The credentials are revoked, until the result writes new ones."""
    fleet.clients.clear()

    def mend() -> None:
        fleet.clients["us"] = SECRETS[2]
        fleet.write(SECRETS[2], SECRETS[1])

    return mend


@pytest.mark.parametrize("fail", [take_down, revoke])
def test_a_token_that_is_due_and_cannot_be_replaced_goes_on_to_serve(
    fleet: Fleet, fail: Callable[[Fleet], Callable[[], None]]
) -> None:
    """No call fails for the refresh that fails."""
    fleet.run(threads=1, calls=1)
    fleet.make_due()
    fail(fleet)
    with fleet.load(threads=2) as ends:
        eventually(lambda: len(fleet.asked) > 1, "a refresh has failed")
        fleet.go_on()
    assert {"ok"} == codes(ends)
    assert 1 == fleet.asked["200"]


@slow
@pytest.mark.parametrize(("fail", "code"), [(take_down, "sips-token-unavailable"), (revoke, "sips-token-refused")])
def test_calls_fail_when_a_token_that_cannot_be_replaced_has_ended(
    fleet: Fleet, fail: Callable[[Fleet], Callable[[], None]], code: str
) -> None:
    """Not before; and all recovers by itself."""
    fleet.sandbox._faults.replace({"token_short": {"expires_in": SHORT, "count": 1}})
    first, begun = fleet.all[0], time.monotonic()
    first.tell(threads=1, calls=1)
    assert {"ok": 1} == fleet.ends(first)
    mend = fail(fleet)
    with fleet.load(threads=2) as ends:
        eventually(fleet.has_ended, "the token has come to its end")
        fleet.go_on()
    # A call that was under way when the token ended is refused by SIPS.
    assert {"ok", code} == codes(ends) - {"sips-unauthorized"}
    # A slow look at the store takes its time off a token that is taken over, so the end is not exact.
    assert begun + SHORT / 2 <= fleet.failed_at
    assert {code} == codes(fleet.run(threads=2, calls=1))
    mend()
    eventually(lambda: codes(fleet.run(threads=2, calls=1)) == {"ok"}, "calls are made again")
    assert 2 == fleet.asked["200"]


@slow
def test_the_lease_of_a_killed_process_is_taken_over(fleet: Fleet) -> None:
    """It dies while it fetches the token; the others wait for its lease, and one of them fetches another."""
    fleet.cold(sips_token_lease_seconds=2)
    fleet.sandbox._faults.replace({"slow": {"seconds": 60, "count": 1, "operations": ["authenticationToken"]}})
    with closing(fleet.process(SIPS_TOKEN_LEASE_SECONDS="2")) as victim:
        victim.answer()
        victim.tell(threads=1, calls=1)
        eventually(lambda: fleet.asked == {"pending": 1}, "it asks for the token")
        victim.process.kill()
        assert {"ok": PROCESSES * 4} == fleet.run(threads=4, calls=1)
    assert 1 == fleet.asked["200"]


def test_credentials_are_rotated_under_load(fleet: Fleet) -> None:
    """SIPS drops the current pair and its tokens; later the next one, when the current file holds a new secret. No call fails."""
    fleet.cold(sips_token_min_age_seconds=0)
    with fleet.load(threads=4) as ends:
        fleet.go_on()
        del fleet.clients["us"]
        fleet.forget()
        fleet.go_on()

        fleet.clients["us"] = SECRETS[2]
        fleet.write(SECRETS[2], SECRETS[1])
        del fleet.clients["us-2"]
        fleet.forget()
        fleet.go_on()
    assert {"ok"} == codes(ends)
    # Each pair that is dropped is refused once, in both encodings, by whoever had the lease.
    assert {"200": 3, "401": 4} == fleet.asked


def test_refused_credentials_are_asked_for_once_in_a_while(fleet: Fleet) -> None:
    """By the fleet, not by each process; the errors say what to check."""
    fleet.clients.clear()
    started = time.monotonic()
    ends = fleet.run(threads=THREADS, calls=1)
    assert PROCESSES * THREADS == ends.total()
    for end in ends:
        assert end.startswith("sips-token-refused: ")
        for part in (fleet.sandbox.url, "client us (current pair)", "client us-2 (next pair)", "check client id"):
            assert part in end
    # Both pairs in both encodings, and the current one again after 0.5 to 1 s, 1 to 2 s and so on.
    assert fleet.asked["401"] <= 4 + 2 * (time.monotonic() - started) / 0.5
