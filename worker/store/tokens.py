"""Keep the token of the fleet, sealed, and the lease of whoever fetches the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, insert, or_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from worker.settings import MAX_TOKEN_LEASE_SECONDS
from worker.store.errors import StoreError
from worker.store.schema import now, tokens

if TYPE_CHECKING:
    from sqlalchemy import Update

    from worker.store.engine import Store

__all__ = ["StoredToken", "Tokens"]


@dataclass(slots=True)
class StoredToken:
    """What is known of one pair of credentials; every time is in seconds from or until now, by the database's clock.

    A clock that is set back makes an age negative and a wait long: the reader judges that.

    Attributes:
        version: counts the refreshes, good and bad.
        used_for: since these credentials were first used.
        sealed, fingerprint, age, refresh_in, expires_in: of the token; None where there was none yet.
        owner, leased_for: who fetches the next one, and for how long nobody else may; None where anybody may.
        failures: refreshes that failed since the last good one.
        failed_ago, error_code, error_status, error: of the last refresh that failed.
        retry_in: until somebody may try again.
    """

    version: int
    used_for: float
    sealed: bytes | None
    fingerprint: str | None
    age: float | None
    refresh_in: float | None
    expires_in: float | None
    owner: str | None
    leased_for: float | None
    failures: int
    failed_ago: float | None
    retry_in: float | None
    error_code: str | None
    error_status: int | None
    error: str | None


#: When the longest lease ends that could be taken now. One that ends later was taken before the clock was set back, and is none.
_LATEST = now() + MAX_TOKEN_LEASE_SECONDS

_READ = select(
    tokens.c.version,
    (now() - tokens.c.used_since).label("used_for"),
    tokens.c.sealed,
    tokens.c.fingerprint,
    (now() - tokens.c.obtained_at).label("age"),
    (tokens.c.refresh_at - now()).label("refresh_in"),
    (tokens.c.expires_at - now()).label("expires_in"),
    tokens.c.owner,
    case((tokens.c.lease_until <= _LATEST, tokens.c.lease_until - now())).label("leased_for"),
    tokens.c.failures,
    (now() - tokens.c.failed_at).label("failed_ago"),
    (tokens.c.retry_at - now()).label("retry_in"),
    tokens.c.error_code,
    tokens.c.error_status,
    tokens.c.error,
)

_FREE = {"owner": None, "lease_until": None}


class Tokens:
    """The tokens of one store, each under the key of its credentials."""

    #: What the methods raise while the store cannot be used. A fault of its own must not cost the fleet its token either.
    down: tuple[type[Exception], ...] = (StoreError, SQLAlchemyError)

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, key: str) -> StoredToken | None:
        """What is known; None where these credentials were never used."""
        with self._store.read() as connection:
            row = connection.execute(_READ.where(tokens.c.key == key)).first()
        return None if row is None else StoredToken(*row)

    def lease(self, key: str, version: int, *, owner: str, seconds: float) -> bool:
        """Whether `owner` alone may refresh now: nobody else does, and nobody has since `version` was read (0 = no row)."""
        if version == 0:
            self._add(key)
        ended = or_(tokens.c.lease_until < now(), tokens.c.lease_until > _LATEST)
        free = or_(tokens.c.owner.is_(None), tokens.c.owner == owner, ended)
        taken = update(tokens).where(tokens.c.key == key, tokens.c.version == version, free)
        with self._store.write() as connection:
            return connection.execute(taken.values(owner=owner, lease_until=now() + seconds)).rowcount == 1

    def save(
        self, key: str, *, owner: str, sealed: bytes, fingerprint: str, age: float, refresh_in: float, expires_in: float
    ) -> bool:
        """Keep the token that `owner` has just fetched, and end its lease; whether it still had it."""
        token = {
            "sealed": sealed,
            "fingerprint": fingerprint,
            "obtained_at": now() - age,
            "refresh_at": now() + refresh_in,
            "expires_at": now() + expires_in,
        }
        return self._ended(key, owner, token | {"failures": 0, "retry_at": None})

    def fail(self, key: str, *, owner: str, code: str, status: int | None, error: str, retry_in: float) -> bool:
        """Keep how the refresh of `owner` failed, and end its lease; whether it still had it."""
        failure = {"error_code": code, "error_status": status, "error": error, "failed_at": now(), "retry_at": now() + retry_in}
        return self._ended(key, owner, failure | {"failures": tokens.c.failures + 1})

    def release(self, key: str, *, owner: str, well: bool = False) -> bool:
        """End the lease of `owner`, which keeps nothing; where all went `well` no failure counts. Whether it still had it."""
        if well:
            return self._ended(key, owner, {"failures": 0, "retry_at": None})
        with self._store.write() as connection:
            return connection.execute(_leased_by(key, owner).values(_FREE)).rowcount == 1

    def _add(self, key: str) -> None:
        with self._store.read() as connection:
            if connection.execute(select(tokens.c.key).where(tokens.c.key == key)).first():
                return
        try:
            with self._store.write() as connection:
                connection.execute(insert(tokens).values(key=key, version=0, used_since=now(), failures=0))
        except IntegrityError:
            pass  # another process was quicker

    def _ended(self, key: str, owner: str, values: dict[str, Any]) -> bool:
        ended = _leased_by(key, owner).values(values | _FREE | {"version": tokens.c.version + 1})
        with self._store.write() as connection:
            return connection.execute(ended).rowcount == 1


def _leased_by(key: str, owner: str) -> Update:
    return update(tokens).where(tokens.c.key == key, tokens.c.owner == owner)
