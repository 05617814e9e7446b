"""What the token manager needs of a storage that a whole fleet shares, and what stands in where there is none.

Times are in seconds from or until now, by the storage's own clock: those of hosts differ. It may be set back: what then seems to
have happened in the future tells nothing of now.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Alone", "Entry", "OrAlone", "TokenStorage"]

#: Seconds without the storage after it could not be used: long beside the 5 or 6 that one which hangs takes for each answer,
#: so that a process which waits for the token endpoint does not wait for the storage each time, and short beside a token's life.
PAUSE_SECONDS = 30.0

T = TypeVar("T")

log = structlog.get_logger()


class Entry(Protocol):
    """What the fleet knows of one pair of credentials."""

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


class TokenStorage(Protocol):
    """Where the fleet keeps its token. While it cannot be used, every method raises one of `down`."""

    down: tuple[type[Exception], ...]

    def read(self, key: str, /) -> Entry | None:
        """What is known; None where these credentials were never used."""

    def lease(self, key: str, version: int, /, *, owner: str, seconds: float) -> bool:
        """Whether `owner` alone may refresh now: nobody else does, and nobody has since `version` was read (0 = no entry)."""

    def save(
        self, key: str, /, *, owner: str, sealed: bytes, fingerprint: str, age: float, refresh_in: float, expires_in: float
    ) -> bool:
        """Keep the token that `owner` has just fetched, and end its lease; whether it still had it."""

    def fail(self, key: str, /, *, owner: str, code: str, status: int | None, error: str, retry_in: float) -> bool:
        """Keep how the refresh of `owner` failed, and end its lease; whether it still had it."""

    def release(self, key: str, /, *, owner: str, well: bool = False) -> bool:
        """End the lease of `owner`, which keeps nothing; where all went `well` no failure counts. Whether it still had it."""


class Alone:
    """Stands in where there is no storage: nobody else is known, and nothing is kept."""

    down: tuple[type[Exception], ...] = ()

    def read(self, _key: str, /) -> Entry | None:
        """Nothing is known."""
        return None

    def lease(self, _key: str, _version: int, /, **_lease: object) -> bool:
        """The caller holds its process's own turn, and there is nobody else."""
        return True

    def save(self, _key: str, /, **_token: object) -> bool:
        """The process has it in its memory."""
        return True

    def fail(self, _key: str, /, **_failure: object) -> bool:
        """The process remembers it."""
        return True

    def release(self, _key: str, /, **_lease: object) -> bool:
        """There was none."""
        return True


class OrAlone:
    """The storage while it can be used, and `Alone` for a while after it could not; tells of each once."""

    def __init__(self, storage: TokenStorage) -> None:
        self._storage = storage
        self._alone = Alone()
        self._is_away = False
        self._until = 0.0

    def read(self, key: str) -> Entry | None:
        """As `TokenStorage`."""
        return self._ask(lambda storage: storage.read(key))

    def lease(self, key: str, version: int, *, owner: str, seconds: float) -> bool:
        """As `TokenStorage`."""
        return self._ask(lambda storage: storage.lease(key, version, owner=owner, seconds=seconds))

    def save(self, key: str, **token: Any) -> bool:
        """As `TokenStorage`."""
        return self._ask(lambda storage: storage.save(key, **token))

    def fail(self, key: str, **failure: Any) -> bool:
        """As `TokenStorage`."""
        return self._ask(lambda storage: storage.fail(key, **failure))

    def release(self, key: str, *, owner: str, well: bool = False) -> bool:
        """As `TokenStorage`."""
        return self._ask(lambda storage: storage.release(key, owner=owner, well=well))

    def _ask(self, question: Callable[[TokenStorage], T]) -> T:
        if time.monotonic() < self._until:
            return question(self._alone)
        try:
            answer = question(self._storage)
        except self._storage.down as error:
            if not self._is_away:
                log.warning("the store cannot be used; this process looks after its token alone", error=str(error))
            self._is_away, self._until = True, time.monotonic() + PAUSE_SECONDS
            return question(self._alone)
        if self._is_away:
            log.info("the store can be used again; the token is shared")
        self._is_away = False
        return answer
