"""One token for a fleet: several managers, as of several processes, around one store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.sips.making import ample
from worker.settings import Credentials, SettingsError
from worker.sips.deadline import Deadline
from worker.sips.errors import TokenError, TokenRefused, TokenUnavailable
from worker.sips.token import TokenManager
from worker.sips.token_rules import Grant
from worker.sips.token_setbacks import OTHER_PAIR_SECONDS
from worker.store.engine import Store
from worker.store.schema import tokens as table
from worker.store.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CURRENT = Credentials("current", "us", "Tr0ub4dor-and-3")
NEXT = Credentials("next", "us-2", "c0rrect-horse")


class Endpoint:
    """Hands out token-1, token-2 …; refuses the clients in `refused`, and is as broken as `failure` says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refused: set[str] = set()
        self.failure: TokenError | None = None
        self.answers = threading.Event()
        self.answers.set()

    def fetch(self, credentials: Credentials, _deadline: Deadline) -> Grant:
        """As `TokenEndpoint.fetch`."""
        self.asked.append(credentials.client_id)
        assert self.answers.wait(30)
        if self.failure is not None:
            raise self.failure
        if credentials.client_id in self.refused:
            raise TokenRefused("authenticationToken", f"{credentials.client_id} is unknown", status=401)
        return Grant(f"token-{len(self.asked)}", 3_600)


class Fleet:
    """Processes that share a store."""

    def __init__(self, url: str, endpoint: Endpoint) -> None:
        self.url = url
        self.endpoint = endpoint
        self.pairs = [CURRENT]
        self.learnt: set[str] = set()
        self.stores: list[Store] = []

    def process(self, **others: Any) -> TokenManager:
        """One more."""
        self.stores.append(Store(self.url))
        return TokenManager(
            self.endpoint.fetch,
            lambda: self.pairs,
            base_url="https://sips.example",
            storage=Tokens(self.stores[-1]),
            learn=self.learnt.add,
            jitter=lambda: 0.0,
            **others,
        )

    def later(self, seconds: float) -> None:
        """Let everything in the store have happened so many seconds earlier."""
        times = ("obtained_at", "refresh_at", "expires_at", "lease_until", "failed_at", "retry_at")
        with self.stores[0].write() as connection:
            connection.execute(update(table).values({name: table.c[name] - seconds for name in times}))


@pytest.fixture
def endpoint() -> Endpoint:
    """A token endpoint."""
    return Endpoint()


@pytest.fixture
def fleet(sqlite_url: str, endpoint: Endpoint) -> Iterator[Fleet]:
    """Processes around an empty store."""
    fleet = Fleet(sqlite_url, endpoint)
    with capture_logs():
        yield fleet
    for store in fleet.stores:
        store.close()


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


def test_an_endpoint_that_gives_the_refused_token_again_is_asked_once_for_all(fleet: Fleet) -> None:
    """The others see that it was fetched since."""
    processes = [fleet.process(min_age_seconds=0) for _ in range(3)]
    fingerprint = {process.get(ample()).fingerprint for process in processes}.pop()
    fleet.endpoint.asked.clear()
    for process in processes:
        process.invalidate(fingerprint)
    assert {"token-1"} == {process.get(ample()).value for process in processes}
    assert ["us"] == fleet.endpoint.asked


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


def test_where_one_pair_is_refused_the_other_is_used(fleet: Fleet) -> None:
    """By all, and from then on: nobody asks with the refused one again."""
    fleet.pairs = [CURRENT, NEXT]
    fleet.endpoint.refused = {"us"}
    processes = [fleet.process(min_age_seconds=0) for _ in range(3)]
    assert {"token-2"} == {process.get(ample()).value for process in processes}
    fleet.later(100)  # the back-off is over
    assert "token-2" == fleet.process().get(ample()).value
    assert ["us", "us-2"] == fleet.endpoint.asked

    for process in processes:
        process.invalidate(process.get(ample()).fingerprint)
    processes.reverse()  # the last one was never told that a pair is refused
    assert {"token-3"} == {process.get(ample()).value for process in processes}
    assert ["us", "us-2", "us-2"] == fleet.endpoint.asked


def test_where_both_pairs_are_refused_both_are_told_and_the_other_is_left_alone(fleet: Fleet) -> None:
    """It is tried again after five minutes; the pair in use as often as ever."""
    fleet.pairs = [CURRENT, NEXT]
    fleet.endpoint.refused = {"us", "us-2"}
    told = "us is unknown; the other pair was refused as well: us-2 is unknown"

    def refused() -> None:
        with pytest.raises(TokenRefused, match=told):
            fleet.process().get(ample())

    refused()
    fleet.later(100)
    refused()
    assert ["us", "us-2", "us"] == fleet.endpoint.asked
    fleet.later(OTHER_PAIR_SECONDS - 110)
    refused()
    assert ["us", "us-2", "us", "us"] == fleet.endpoint.asked
    fleet.later(20)
    refused()
    assert ["us", "us-2", "us", "us", "us", "us-2"] == fleet.endpoint.asked


def test_without_a_store_the_other_pair_is_left_alone_as_well(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process remembers for itself."""
    clock = 1_000.0
    for module in ("token", "token_refresh", "token_storage"):
        monkeypatch.setattr(f"worker.sips.{module}.time", SimpleNamespace(monotonic=lambda: clock))
    endpoint.refused = {"us", "us-2"}
    tokens = TokenManager(endpoint.fetch, lambda: [CURRENT, NEXT], jitter=lambda: 0.0)
    for _ in range(11):
        with pytest.raises(TokenRefused, match="refused as well: us-2 is unknown"):
            tokens.get(ample())
        clock += 31.0
    assert (11, 2) == (endpoint.asked.count("us"), endpoint.asked.count("us-2"))


def test_an_endpoint_that_is_down_is_no_reason_to_change_the_pair(fleet: Fleet) -> None:
    """The other would fare no better."""
    fleet.pairs = [CURRENT, NEXT]
    fleet.endpoint.failure = TokenUnavailable("authenticationToken", "down", status=503)
    with pytest.raises(TokenUnavailable):
        fleet.process().get(ample())
    assert ["us"] == fleet.endpoint.asked


def test_a_rewritten_secret_is_tried_at_once(fleet: Fleet) -> None:
    """The back-off is that of the old one."""
    fleet.endpoint.refused = {"us"}
    fleet.endpoint.failure = TokenRefused("authenticationToken", "no", status=401, retry_after=60.0)
    process = fleet.process()
    with pytest.raises(TokenRefused):
        process.get(ample())
    fleet.endpoint.failure = None
    fleet.pairs = [Credentials("current", "them", "another")]
    process._look_at = 0.0
    assert "token-2" == process.get(ample()).value
    assert "another" in fleet.learnt


def test_secrets_that_cannot_be_read_leave_the_old_token_in_service(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may be missing for the moment in which it is rewritten."""

    def unreadable() -> list[Credentials]:
        raise SettingsError("SIPS_CLIENT_SECRET_FILE=/x cannot be read")

    tokens = TokenManager(endpoint.fetch, lambda: [CURRENT])
    due = replace(tokens.get(ample()), refresh_at=0.0)
    monkeypatch.setattr(tokens._held, "token", due)
    monkeypatch.setattr(tokens._refresher, "_credentials", unreadable)
    assert due is tokens.get(ample())
    with pytest.raises(TokenUnavailable, match="SIPS_CLIENT_SECRET_FILE=/x cannot be read"):
        TokenManager(endpoint.fetch, unreadable).get(ample())


def test_without_the_store_each_process_has_a_token_of_its_own(fleet: Fleet, tmp_path: Path) -> None:
    """One refresh each; and one when the store is back, but for the first."""
    fleet.url = f"sqlite:///{tmp_path}/missing.db"
    processes = [fleet.process(), fleet.process()]
    with ThreadPoolExecutor(16) as pool:
        values = list(pool.map(lambda number: processes[number % 2].get(ample()).value, range(16)))
    assert {"token-1", "token-2"} == set(values)
    assert 2 == len(fleet.endpoint.asked)


@pytest.mark.parametrize("step", ["read", "lease", "save", "fail"])
def test_a_store_that_goes_away_in_the_middle_costs_no_second_fetch(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whatever it was asked last."""

    def away(*_: object, **__: object) -> None:
        raise Tokens.down[0]("away")

    monkeypatch.setattr(Tokens, step, away)
    process = fleet.process()
    if step == "fail":
        fleet.endpoint.failure = TokenUnavailable("authenticationToken", "down", status=503)
        for _ in range(3):
            with pytest.raises(TokenUnavailable, match="down"):
                process.get(ample())
    else:
        assert ["token-1"] * 3 == [process.get(ample()).value for _ in range(3)]
    assert 1 == len(fleet.endpoint.asked)


def test_a_broken_entry_is_replaced(fleet: Fleet) -> None:
    """And said."""
    fleet.process().get(ample())
    with fleet.stores[0].write() as connection:
        connection.execute(update(table).values(sealed=b"nonsense"))
    with capture_logs() as lines:
        assert "token-2" == fleet.process().get(ample()).value
    assert "the token in the store cannot be opened; another one is fetched" in [line["event"] for line in lines]


def test_a_check_gives_its_token_to_the_fleet(fleet: Fleet) -> None:
    """So that a person who asks whether credentials are good takes nothing away."""
    assert pytest.approx(3_600) == fleet.process().check(CURRENT, ample())
    assert "token-1" == fleet.process().get(ample()).value


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
