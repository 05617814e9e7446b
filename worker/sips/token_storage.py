"""What the token manager needs of a storage that a whole fleet shares, and what it does without one.

Times are in seconds from or until now, by the storage's own clock: those of hosts differ.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Alone", "Entry", "TokenStorage"]


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

    def save(self, key: str, /, *, owner: str, sealed: bytes, fingerprint: str, refresh_in: float, expires_in: float) -> bool:
        """Keep the token that `owner` has just fetched, and end its lease; whether it still had it."""

    def fail(self, key: str, /, *, owner: str, code: str, status: int | None, error: str, retry_in: float) -> bool:
        """Keep how the refresh of `owner` failed, and end its lease; whether it still had it."""


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
