"""One token for all processes, on both kinds of database, whatever happens to the token, its endpoint, the store or a process."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

from tests.amqp import eventually
from tests.fleet.conftest import PROCESSES, SECRETS
from tests.fleet.processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fleet.conftest import Fleet

THREADS = 32


def during(seconds: float, step: Callable[[], None]) -> threading.Timer:
    """Do something while calls are made."""
    timer = threading.Timer(seconds, step)
    timer.start()
    return timer


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
    assert [{"ok": 32}] * 3 == [process.answer() for process in others]
    ((end, number),) = victim.answer().items()
    assert (32, True) == (number, end.startswith("sips-unauthorized"))
    assert {"200": 1} == fleet.asked


def test_the_end_of_a_token_in_the_middle_of_load_fails_no_call(fleet: Fleet) -> None:
    """One refresh, ahead of it."""
    fleet.sandbox._faults.replace({"token_short": {"expires_in": 3, "count": 1}})
    ends = fleet.run(threads=2, seconds=3.5)
    assert ["ok"] == list(ends)
    assert {"200": 2} == fleet.asked


def test_an_endpoint_that_is_down_is_noticed_when_the_token_ends(fleet: Fleet) -> None:
    """Not before; and all recovers by itself."""
    fleet.sandbox._faults.replace({"token_short": {"expires_in": 3, "count": 1}})
    fleet.run(threads=2, calls=1)
    fleet.sandbox._faults.replace({"token_error": {"status": 503}})
    ends = fleet.run(threads=2, seconds=3.5)
    kinds = {end.partition(":")[0] for end in ends}
    # A call that was under way when the token ended is refused by SIPS.
    assert {"ok", "sips-token-unavailable"} == kinds - {"sips-unauthorized"}
    fleet.sandbox._faults.replace({})
    eventually(lambda: list(fleet.run(threads=2, calls=1)) == ["ok"], "calls are made again")
    assert 2 == fleet.asked["200"]


def test_the_lease_of_a_killed_process_is_taken_over(fleet: Fleet) -> None:
    """It dies while it fetches the token; the others wait for its lease, and one of them fetches another."""
    fleet.cold(sips_token_lease_seconds=3)
    fleet.sandbox._faults.replace({"slow": {"seconds": 60, "count": 1, "operations": ["authenticationToken"]}})
    with closing(Process(fleet.settings | {"SIPS_TOKEN_LEASE_SECONDS": "3"})) as victim:
        victim.answer()
        victim.tell(threads=1, calls=1)
        eventually(lambda: fleet.asked == {"pending": 1}, "it asks for the token")
        victim.process.kill()
        assert {"ok": PROCESSES * 4} == fleet.run(threads=4, calls=1)
    assert 1 == fleet.asked["200"]


def test_without_the_store_each_process_fetches_one(fleet: Fleet) -> None:
    """And all calls are made."""
    fleet.cold(database_url="postgresql://us:nothing@127.0.0.1:1/none")
    assert {"ok": PROCESSES * THREADS} == fleet.run(threads=THREADS, calls=1)
    assert {"200": PROCESSES} == fleet.asked


def test_credentials_are_rotated_under_load(fleet: Fleet) -> None:
    """SIPS drops the current pair and its tokens; later the next one, when the current file holds a new secret. No call fails."""
    fleet.cold(sips_token_min_age_seconds=0)

    def drop_current() -> None:
        del fleet.clients["us"]
        fleet.forget()

    def drop_next() -> None:
        fleet.clients["us"] = SECRETS[2]
        fleet.write(SECRETS[2], SECRETS[1])
        del fleet.clients["us-2"]
        fleet.forget()

    fleet.begin(threads=4, seconds=3)
    steps = [during(1, drop_current), during(2, drop_next)]
    assert ["ok"] == list(fleet.ends())
    for step in steps:
        step.join()
    # Each pair that is dropped is refused once, in both encodings, by whoever had the lease.
    assert {"200": 3, "401": 4} == fleet.asked


def test_refused_credentials_are_asked_for_once_in_a_while(fleet: Fleet) -> None:
    """By the fleet, not by each process; the errors say what to check."""
    fleet.clients.clear()
    started = time.monotonic()
    ends = fleet.run(threads=THREADS, calls=1)
    assert PROCESSES * THREADS == sum(ends.values())
    for end in ends:
        assert end.startswith("sips-token-refused: ")
        for part in (fleet.sandbox.url, "client us (current pair)", "client us-2 (next pair)", "check client id"):
            assert part in end
    # Both pairs in both encodings, and the current one again after 0.5 to 1 s, 1 to 2 s and so on.
    assert fleet.asked["401"] <= 4 + 2 * (time.monotonic() - started) / 0.5
