"""The token of the fleet in the store, on both kinds of database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from worker.settings import MAX_TOKEN_LEASE_SECONDS
from worker.store.engine import Store
from worker.store.errors import StoreDown
from worker.store.schema import tokens as table
from worker.store.tokens import Tokens

if TYPE_CHECKING:
    from pathlib import Path

KEY = "key-1"
TOKEN: dict[str, Any] = {"sealed": b"\x00sealed", "fingerprint": "abc", "refresh_in": 80.0, "expires_in": 100.0, "age": 0.0}
FAILURE: dict[str, Any] = {"code": "sips-token-unavailable", "status": 503, "error": "no token: HTTP 503", "retry_in": 30.0}


@pytest.fixture
def tokens(store: Store) -> Tokens:
    """The tokens of an empty store."""
    return Tokens(store)


def leased(tokens: Tokens, version: int = 0, owner: str = "me", seconds: float = 60.0) -> bool:
    """Whether the lease was had."""
    return tokens.lease(KEY, version, owner=owner, seconds=seconds)


def test_nothing_is_known_of_credentials_that_were_never_used(tokens: Tokens) -> None:
    """Asking for them makes no row."""
    assert tokens.read(KEY) is None


def test_a_token_is_kept_with_its_times(tokens: Tokens) -> None:
    """By the database's clock."""
    assert leased(tokens)
    assert tokens.save(KEY, owner="me", **TOKEN)
    entry = tokens.read(KEY)
    assert entry
    assert (1, b"\x00sealed", "abc", None, 0, None) == (
        entry.version,
        entry.sealed,
        entry.fingerprint,
        entry.owner,
        entry.failures,
        entry.failed_ago,
    )
    assert pytest.approx([0, 80, 100, 0], abs=30) == [entry.age, entry.refresh_in, entry.expires_in, entry.used_for]


def test_one_of_many_has_the_lease(store_url: str) -> None:
    """Processes that never saw each other, all at once."""
    stores = [Store(store_url) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        had = pool.map(lambda number: leased(Tokens(stores[number % 4]), owner=f"owner-{number}"), range(16))
        assert 1 == sum(had)
    for store in stores:
        store.close()


def test_a_lease_ends_by_itself(tokens: Tokens) -> None:
    """Whoever had it is taken for dead, and what it brings after all is not kept."""
    assert leased(tokens, owner="dead", seconds=-1)
    assert leased(tokens, owner="me")
    assert not leased(tokens, owner="other")
    assert leased(tokens, owner="me")
    assert not tokens.save(KEY, owner="dead", **TOKEN)
    assert not tokens.fail(KEY, owner="dead", **FAILURE)
    assert tokens.save(KEY, owner="me", **TOKEN)


@pytest.mark.parametrize(("set_back", "is_free"), [(0, False), (3_600, True)])
def test_a_lease_from_the_future_is_none(tokens: Tokens, store: Store, set_back: int, is_free: bool) -> None:
    """The clock was set back, or else the longest one that any settings allow."""
    assert leased(tokens, owner="dead", seconds=MAX_TOKEN_LEASE_SECONDS)
    with store.write() as connection:
        connection.execute(update(table).values(lease_until=table.c.lease_until + set_back))
    entry = tokens.read(KEY)
    assert entry
    assert is_free == (entry.leased_for is None)
    assert is_free == leased(tokens)


def test_a_lease_that_is_given_back_counts_as_no_try(tokens: Tokens) -> None:
    """Whoever has read the same may have it next."""
    assert leased(tokens)
    assert not tokens.release(KEY, owner="other")
    assert not leased(tokens, owner="other")
    assert tokens.release(KEY, owner="me")
    assert leased(tokens, owner="other")


def test_who_has_not_seen_the_last_refresh_does_not_make_the_next(tokens: Tokens) -> None:
    """Good or bad: it looks again first."""
    leased(tokens)
    tokens.save(KEY, owner="me", **TOKEN)
    assert not leased(tokens, version=0, owner="other")
    assert leased(tokens, version=1)
    tokens.fail(KEY, owner="me", **FAILURE)
    assert not leased(tokens, version=1, owner="other")
    assert leased(tokens, version=2, owner="other")


def test_a_failure_leaves_the_token_and_is_still_told_after_a_success(tokens: Tokens) -> None:
    """With how often in a row, and when the next try is allowed."""
    leased(tokens)
    tokens.save(KEY, owner="me", **TOKEN)
    for version in (1, 2):
        assert leased(tokens, version)
        assert tokens.fail(KEY, owner="me", **FAILURE)
    entry = tokens.read(KEY)
    assert entry
    assert ("abc", 2, 503, FAILURE["code"], FAILURE["error"]) == (
        entry.fingerprint,
        entry.failures,
        entry.error_status,
        entry.error_code,
        entry.error,
    )
    assert pytest.approx(30, abs=29) == entry.retry_in

    assert leased(tokens, 3)
    tokens.save(KEY, owner="me", **TOKEN)

    entry = tokens.read(KEY)
    assert entry
    assert (0, None, FAILURE["error"]) == (entry.failures, entry.retry_in, entry.error)


def test_since_when_credentials_are_used_stays(tokens: Tokens, store: Store) -> None:
    """Whatever is fetched with them."""
    leased(tokens)
    with store.write() as connection:
        connection.execute(update(table).values(used_since=table.c.used_since - 1_000_000))
    tokens.save(KEY, owner="me", **TOKEN)
    entry = tokens.read(KEY)
    assert entry
    assert entry.used_for > 999_999


def test_a_store_that_is_away_or_was_never_migrated_raises_what_is_announced(tmp_path: Path) -> None:
    """So that whoever needs a token can do without."""
    for name in ("missing.db", "empty.db"):
        (tmp_path / "empty.db").touch()
        store = Store(f"sqlite:///{tmp_path / name}")
        with pytest.raises(Tokens.down):
            Tokens(store).read(KEY)
        store.close()
    assert issubclass(StoreDown, Tokens.down)
