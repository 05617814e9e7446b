"""One token for a fleet: several managers, as of several processes, around one store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.sips.fleet import CURRENT, NEXT, Fleet
from tests.sips.making import ample
from worker.sips.deadline import Deadline
from worker.sips.errors import TokenRefused, TokenUnavailable
from worker.store.schema import tokens as table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sips.fleet import Clock


def test_processes_that_start_cold_fetch_one_token(fleet: Fleet) -> None:
    """One has the lease, the others wait for what it gets."""
    processes = [fleet.process() for _ in range(4)]
    fleet.endpoint.answers.clear()
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(processes[number % 4].get, ample()) for number in range(16)]
        fleet.endpoint.answers.set()
        assert {"token-1"} == {call.result(30).value for call in calls}
    assert ["us"] == fleet.endpoint.asked
    assert {"token-1", CURRENT.client_secret} == fleet.learnt


def test_a_process_that_starts_later_takes_the_token_with_its_age(fleet: Fleet) -> None:
    """It would keep a young one though it was refused, and replaces an old one."""
    fleet.process().get(ample())
    fleet.later(50)
    young = fleet.process()
    token = young.get(ample())
    young.invalidate(token.fingerprint)
    assert token is young.get(ample())

    fleet.later(10)
    old = fleet.process()
    old.invalidate(old.get(ample()).fingerprint)
    assert "token-2" == old.get(ample()).value
    assert 2 == len(fleet.endpoint.asked)


@pytest.mark.usefixtures("clock")
def test_a_token_that_all_were_refused_with_is_replaced_once(fleet: Fleet) -> None:
    """Each process hears of it by itself; who comes later finds the new one."""
    processes = [fleet.process(min_age_seconds=0) for _ in range(4)]
    old = {process.get(ample()).fingerprint for process in processes}.pop()
    with ThreadPoolExecutor(16) as pool:

        def refused(number: int) -> str:
            processes[number % 4].invalidate(old)
            return processes[number % 4].get(ample()).value

        assert {"token-2"} == set(pool.map(refused, range(16)))
    assert 2 == len(fleet.endpoint.asked)


def test_an_endpoint_that_gives_the_refused_token_again_is_asked_once_for_all(fleet: Fleet, clock: Clock) -> None:
    """The others see that it was fetched since."""
    processes = [fleet.process(min_age_seconds=0) for _ in range(3)]
    fingerprint = {process.get(ample()).fingerprint for process in processes}.pop()
    fleet.endpoint.asked.clear()
    for process in processes:
        process.invalidate(fingerprint)
    clock.now += 10
    fleet.later(10)
    assert {"token-1"} == {process.get(ample()).value for process in processes}
    assert ["us"] == fleet.endpoint.asked


def test_an_endpoint_that_gives_its_token_again_is_asked_once_for_all(fleet: Fleet, clock: Clock) -> None:
    """It keeps a token until its end; the others see that it was fetched again."""
    fleet.endpoint.same = True
    processes = [fleet.process() for _ in range(3)]
    for _ in range(3):
        assert {"token-1"} == {process.get(ample()).value for process in processes}
        clock.now += 3_500
        fleet.later(3_500)
    assert 3 == len(fleet.endpoint.asked)


def test_a_token_that_was_given_again_is_as_old_for_others(fleet: Fleet, clock: Clock) -> None:
    """A process that takes it over replaces it once it is refused."""
    fleet.endpoint.same = True
    first = fleet.process()
    first.get(ample())
    clock.now += 3_500
    fleet.later(3_500)
    first.get(ample())
    fleet.endpoint.same = False
    other = fleet.process()
    other.invalidate(other.get(ample()).fingerprint)
    assert "token-3" == other.get(ample()).value


def test_a_due_token_serves_while_another_process_refreshes_it(fleet: Fleet) -> None:
    """Nobody waits for the lease then, but for the thread that has it."""
    one = fleet.process()
    one.get(ample())
    fleet.later(3_500)
    refreshing, other = fleet.process(), fleet.process()
    fleet.endpoint.answers.clear()
    with ThreadPoolExecutor(1) as pool:
        fetched = pool.submit(refreshing.get, ample())
        while len(fleet.endpoint.asked) < 2:
            pass
        assert ["token-1"] * 3 == [other.get(ample()).value for _ in range(3)]
        fleet.endpoint.answers.set()
        assert "token-2" == fetched.result(30).value
    other._look_at = 0.0
    assert "token-2" == other.get(ample()).value
    assert 2 == len(fleet.endpoint.asked)


def test_who_waits_for_another_process_waits_no_longer_than_its_call_may_take(fleet: Fleet) -> None:
    """Nothing was sent."""
    one, other = fleet.process(), fleet.process()
    fleet.endpoint.answers.clear()
    with ThreadPoolExecutor(1) as pool:
        fetched = pool.submit(one.get, ample())
        while not fleet.endpoint.asked:
            pass
        with pytest.raises(TokenUnavailable, match="another process"):
            other.get(Deadline.after(0.1))
        fleet.endpoint.answers.set()
        fetched.result(30)


def test_a_call_whose_time_is_up_gives_its_lease_back(fleet: Fleet) -> None:
    """It says nothing of the endpoint, and it may have been the last call of its process."""
    fleet.endpoint.failure = TokenUnavailable("authenticationToken", "no token, the call ended with deadline")
    with pytest.raises(TokenUnavailable):
        fleet.process().get(Deadline.after(0))
    fleet.endpoint.failure = None
    assert "token-2" == fleet.process().get(Deadline.after(1)).value


def test_the_lease_of_a_dead_process_is_taken_over(fleet: Fleet) -> None:
    """After its time."""
    one, other = fleet.process(), fleet.process()
    fleet.endpoint.failure = TokenUnavailable("authenticationToken", "down", status=503)
    with pytest.raises(TokenUnavailable):
        one.get(ample())
    with fleet.stores[0].write() as connection:
        connection.execute(update(table).values(owner="dead", lease_until=table.c.failed_at + 0.5, retry_at=None))
    fleet.endpoint.failure = None
    assert "token-2" == other.get(ample()).value


def test_a_refusal_by_the_endpoint_holds_all_back(fleet: Fleet) -> None:
    """Each says why, as the one that asked does, and when the next try is made."""
    fleet.endpoint.refused = {"us"}
    for process in (fleet.process(), fleet.process(), fleet.process()):
        with pytest.raises(TokenRefused, match="us is unknown") as caught:
            process.get(ample())
        assert 401 == caught.value.status
        assert caught.value.retry_after
        assert caught.value.retry_after <= 0.5
    assert ["us"] == fleet.endpoint.asked


def test_what_is_told_of_a_failure_does_not_grow(fleet: Fleet) -> None:
    """However often it is told again."""
    fleet.endpoint.refused = {"us"}
    process = fleet.process()
    texts = []
    for _ in range(4):
        with pytest.raises(TokenRefused) as caught:
            process.get(ample())
        texts.append(str(caught.value))
    assert [1] * 4 == [text.count("us is unknown") for text in texts]


def test_an_endpoint_that_one_process_does_not_reach_may_be_its_own_fault(fleet: Fleet) -> None:
    """The others try for themselves; the failure is noted for a person."""
    sick, healthy = fleet.process(), fleet.process()
    fleet.endpoint.failure = TokenUnavailable("authenticationToken", "no token, the call ended with connect-failed")
    with pytest.raises(TokenUnavailable):
        sick.get(ample())
    fleet.endpoint.failure = None
    assert "token-2" == healthy.get(ample()).value
    sick._look_at = 0.0
    assert "token-2" == sick.get(ample()).value
    assert 2 == len(fleet.endpoint.asked)


def test_a_check_gives_its_token_to_the_fleet(fleet: Fleet) -> None:
    """So that a person who asks whether credentials are good takes nothing away."""
    assert pytest.approx(3_600) == fleet.process().check(CURRENT, ample())
    assert "token-1" == fleet.process().get(ample()).value


def test_a_check_waits_for_the_process_that_fetches_a_token(fleet: Fleet) -> None:
    """No longer than it may take; there are never two requests at once."""
    one, checking = fleet.process(), fleet.process()
    fleet.endpoint.answers.clear()
    with ThreadPoolExecutor(2) as pool:
        fetched = pool.submit(one.get, ample())
        while not fleet.endpoint.asked:
            pass
        with pytest.raises(TokenUnavailable, match="another process"):
            checking.check(CURRENT, Deadline.after(0.1))
        assert 1 == len(fleet.endpoint.asked)
        checked = pool.submit(checking.check, CURRENT, ample())
        fleet.endpoint.answers.set()
        fetched.result(30)
        assert pytest.approx(3_600) == checked.result(30)
    assert 2 == len(fleet.endpoint.asked)


def test_a_check_waits_for_its_turn_no_longer_than_it_may_take(fleet: Fleet) -> None:
    """Another thread may be fetching."""
    process = fleet.process()
    with process._turn, pytest.raises(TokenUnavailable, match="another thread"):
        process.check(CURRENT, Deadline.after(0.02))


def test_neither_the_store_nor_a_text_shows_token_or_secret(fleet: Fleet, secret_free: Callable[[str], None]) -> None:
    """The database's files as they lie on the disk, log lines, errors."""
    fleet.pairs = [CURRENT, NEXT]
    with capture_logs() as lines:
        fleet.process().get(ample())
        fleet.endpoint.refused = {"us", "us-2"}
        fleet.later(3_600)
        with pytest.raises(TokenRefused) as caught:
            fleet.process().get(ample())
    secret_free(repr(lines) + repr(caught.value) + repr(vars(caught.value)) + repr(fleet.pairs))


@pytest.fixture
def secret_free(tmp_path: Path) -> Callable[[str], None]:
    """Fails where a token or a secret stands in a text or in a file of the store."""

    def look(text: str) -> None:
        shown = text.encode() + b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"sips-token-refused" in shown
        assert not [value for value in ("token-1", CURRENT.client_secret, NEXT.client_secret) if value.encode() in shown]

    return look
