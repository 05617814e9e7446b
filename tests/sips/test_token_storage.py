"""A store that is away, comes back, or holds what cannot be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.sips.fleet import CURRENT, NEXT, Clock, Fleet
from tests.sips.making import ample
from worker.sips.deadline import Deadline
from worker.sips.errors import TokenRefused, TokenUnavailable
from worker.sips.token_storage import Alone
from worker.store.schema import tokens as table
from worker.store.tokens import Tokens

if TYPE_CHECKING:
    from pathlib import Path

    from worker.store.tokens import StoredToken

MINUTE = 60.0


def away(*_: object, **__: object) -> None:
    """Of a method of `Tokens`."""
    raise Tokens.down[0]("away")


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


def test_a_check_is_one_request_though_the_store_goes_away(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its token is kept."""

    def away(*_: object, **__: object) -> None:
        raise Tokens.down[0]("away")

    monkeypatch.setattr(Tokens, "save", away)
    assert pytest.approx(3_600) == fleet.process().check(CURRENT, ample())
    assert 1 == len(fleet.endpoint.asked)


class Away(Alone):
    """A storage that hangs while `hangs`; counts what it is asked."""

    down = (OSError,)
    hangs = True
    asked = 0

    def read(self, _key: str, /) -> None:
        """As a database that is locked."""
        self.asked += 1
        if self.hangs:
            raise OSError("locked")


def test_a_store_that_hangs_is_asked_once_in_a_while(fleet: Fleet, clock: Clock) -> None:
    """Each answer that does not come takes seconds; one line says that it went, one that it is back."""
    storage = Away()
    process = fleet.process(storage=storage)
    fleet.endpoint.failure = TokenUnavailable("authenticationToken", "down", status=503)

    def look() -> list[str]:
        with capture_logs() as lines, suppress(TokenUnavailable):
            process.get(ample())
        clock.now += 2
        return [line["event"] for line in lines if "the store" in line["event"]]

    gone = "the store cannot be used; this process looks after its token alone"
    assert [[gone]] + [[]] * 14 == [look() for _ in range(15)]
    assert 1 == storage.asked
    assert [[]] * 15 == [look() for _ in range(15)]
    assert 2 == storage.asked

    storage.hangs = False
    fleet.endpoint.failure = None

    clock.now += 60
    assert ["the store can be used again; the token is shared"] == look()
    assert "token-" in process.get(ample()).value


def test_a_broken_entry_is_told_of_once(fleet: Fleet, clock: Clock) -> None:
    """Though it is looked at again and again, until another token is there."""
    fleet.process().get(ample())
    with fleet.stores[0].write() as connection:
        connection.execute(update(table).values(sealed=b"nonsense", owner="another", lease_until=table.c.obtained_at + 60))
    process = fleet.process()
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(TokenUnavailable, match="another process"):
                process.get(Deadline.after(0))
            clock.now += 2
    assert 1 == [line["event"] for line in lines].count("the token in the store cannot be opened; another one is fetched")


HOUR = 3_600


def test_a_clock_that_was_set_back_leaves_no_lease(fleet: Fleet) -> None:
    """Of a process that died: it would be an hour longer."""
    fleet.process().get(ample())
    with fleet.stores[0].write() as connection:
        dead = {"owner": "dead", "lease_until": table.c.obtained_at + 20, "expires_at": table.c.obtained_at}
        connection.execute(update(table).values(dead))
    fleet.later(-HOUR)
    assert "token-2" == fleet.process().get(Deadline.after(1)).value


def test_a_clock_that_was_set_back_leaves_no_back_off(fleet: Fleet) -> None:
    """The next try is made, and noted by the clock as it is."""
    fleet.endpoint.failure = TokenUnavailable("authenticationToken", "down", status=503, retry_after=100.0)
    with pytest.raises(TokenUnavailable):
        fleet.process().get(ample())
    fleet.later(-HOUR)
    with pytest.raises(TokenUnavailable):
        fleet.process().get(ample())
    assert 2 == len(fleet.endpoint.asked)
    with pytest.raises(TokenUnavailable):
        fleet.process().get(ample())
    assert 2 == len(fleet.endpoint.asked)


def test_a_clock_that_was_set_back_leaves_no_pause_of_the_other_pair(fleet: Fleet) -> None:
    """Nor is it an hour longer."""
    fleet.pairs = [CURRENT, NEXT]
    fleet.endpoint.refused = {"us", "us-2"}
    for _ in range(2):
        with pytest.raises(TokenRefused):
            fleet.process().get(ample())
        fleet.later(-HOUR)
    assert ["us", "us-2"] * 2 == fleet.endpoint.asked


def test_a_token_from_the_future_is_replaced_once(fleet: Fleet) -> None:
    """Nobody knows how old it is; it serves meanwhile."""
    fleet.process().get(ample())
    fleet.later(-HOUR)
    assert "token-2" == fleet.process().get(ample()).value
    assert "token-2" == fleet.process().get(ample()).value
    assert 2 == len(fleet.endpoint.asked)

    fleet.later(-HOUR)
    fleet.endpoint.failure = TokenUnavailable("authenticationToken", "down", status=503)
    assert "token-2" == fleet.process().get(ample()).value


def test_a_store_that_is_slow_makes_no_token_younger(fleet: Fleet, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was refused is not taken for the same that SIPS gave again."""
    process = fleet.process(min_age_seconds=0)
    fingerprint = process.get(ample()).fingerprint
    clock.now += MINUTE
    fleet.later(MINUTE)
    process.invalidate(fingerprint)
    read = Tokens.read

    def slowly(tokens: Tokens, key: str) -> StoredToken | None:
        entry = read(tokens, key)
        clock.now += 5
        fleet.later(5)
        return entry

    monkeypatch.setattr(Tokens, "read", slowly)
    assert "token-2" == process.get(ample()).value


def test_a_token_older_than_the_one_that_was_refused_is_not_gone_back_to(
    fleet: Fleet, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what the store still has after a process looked after a token of its own."""
    process = fleet.process(min_age_seconds=0)
    first = process.get(ample())
    clock.now += MINUTE
    fleet.later(MINUTE)
    with monkeypatch.context() as patch:
        for step in ("read", "lease", "save"):
            patch.setattr(Tokens, step, away)
        process.invalidate(first.fingerprint)
        second = process.get(ample())
    clock.now += MINUTE  # by then the store is asked again
    fleet.later(MINUTE)
    process.invalidate(second.fingerprint)
    assert "token-3" == process.get(ample()).value


def test_a_broken_entry_is_replaced(fleet: Fleet) -> None:
    """And said."""
    fleet.process().get(ample())
    with fleet.stores[0].write() as connection:
        connection.execute(update(table).values(sealed=b"nonsense"))
    with capture_logs() as lines:
        assert "token-2" == fleet.process().get(ample()).value
    assert "the token in the store cannot be opened; another one is fetched" in [line["event"] for line in lines]
