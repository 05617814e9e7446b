"""Keep one bearer token for all threads of a process: refreshed ahead of its end, by one thread at a time.

The decisions are in `token_rules`, the call is in `token_endpoint`; this is the flow between them and the memory.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from worker.sips.errors import TokenError, TokenUnavailable
from worker.sips.token_rules import Standing, back_off, issue, standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.sips.deadline import Deadline
    from worker.sips.token_rules import Grant, Token

__all__ = ["MIN_AGE_SECONDS", "TokenManager", "TokenSource"]

#: A token younger than this (seconds) is kept although it was refused: a fresh token that is refused says something
#: about the command, and fetching another for each refusal would drown the token endpoint.
MIN_AGE_SECONDS = 60.0

#: Longest (seconds) that a call waits for a refresh while the old token still serves.
REFRESH_SECONDS = 5.0

_OPERATION = "authenticationToken"

log = structlog.get_logger()


class TokenSource(Protocol):
    """Where a client takes its token from."""

    def get(self, deadline: Deadline) -> Token:
        """A token to call with; raises `TokenError` where there is none."""

    def invalidate(self, fingerprint: str) -> None:
        """Report that SIPS refused the token with this fingerprint."""


class TokenManager:
    """The token of one process.

    Parameters:
        fetch: Gets a new token within a deadline, or raises `TokenError`; called by one thread at a time.
        min_age_seconds: A refused token younger than this is kept.
        jitter: Random number from 0 to 1.
    """

    def __init__(
        self,
        fetch: Callable[[Deadline], Grant],
        *,
        min_age_seconds: float = MIN_AGE_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._fetch = fetch
        self._min_age = min_age_seconds
        self._jitter = jitter
        self._turn = threading.Lock()
        self._token: Token | None = None
        self._refused: str | None = None
        self._failures = 0
        self._failure: TokenError | None = None
        self._retry_at = 0.0

    def get(self, deadline: Deadline) -> Token:
        """The token to call with; takes no lock while it is fresh.

        Raises:
            TokenRefused: The credentials were refused, now or at the last attempt, and no old token serves.
            TokenUnavailable: No token could be fetched in time, and no old one serves.
        """
        token = self._token
        state = standing(token, self._refused, time.monotonic())
        if state is Standing.FRESH and token is not None:
            return token
        if state is Standing.DUE and token is not None:
            return self._refreshed(token, deadline)
        return self._obtained(deadline)

    def invalidate(self, fingerprint: str) -> None:
        """Stop using the token with this fingerprint, unless it is too young or has been replaced already."""
        token = self._token
        if token is None or token.fingerprint != fingerprint:
            return
        if time.monotonic() - token.obtained_at < self._min_age:
            log.warning("SIPS refused a young token, which is kept", fingerprint=fingerprint)
            return
        self._refused = fingerprint
        log.warning("SIPS refused the token, another one is fetched", fingerprint=fingerprint)

    def check(self, deadline: Deadline) -> float:
        """Fetch a token now, whatever is in memory; how long it lives, in seconds.

        Raises:
            TokenError: As `get`.
        """
        with self._turn:
            token = self._fetched(deadline)
        return token.expires_at - token.obtained_at

    def _refreshed(self, serving: Token, deadline: Deadline) -> Token:
        """A new token if it is this thread's turn and the fetch works; the serving one otherwise."""
        if time.monotonic() < self._retry_at or not self._turn.acquire(blocking=False):
            return serving
        try:
            if self._token is not serving:
                return serving
            return self._fetched(deadline.or_after(REFRESH_SECONDS))
        except TokenError:
            return serving
        finally:
            self._turn.release()

    def _obtained(self, deadline: Deadline) -> Token:
        """A new token, or the one that another thread fetched meanwhile."""
        if not self._turn.acquire(timeout=deadline.remaining()):
            raise TokenUnavailable(_OPERATION, "time was up while another thread was fetching the token")
        try:
            if self._token is not None and standing(self._token, self._refused, time.monotonic()) is not Standing.GONE:
                return self._token
            self._respect_back_off()
            return self._fetched(deadline)
        finally:
            self._turn.release()

    def _respect_back_off(self) -> None:
        wait = self._retry_at - time.monotonic()
        if self._failure is None or wait <= 0:
            return
        raise type(self._failure)(
            _OPERATION,
            f"the last attempt failed ({self._failure.code}); the next is made in {wait:.1f} s",
            status=self._failure.status,
            retry_after=wait,
        )

    def _fetched(self, deadline: Deadline) -> Token:
        try:
            grant = self._fetch(deadline)
        except TokenError as error:
            self._note_failure(error)
            raise
        token = issue(grant, time.monotonic(), self._jitter())
        self._token, self._refused = token, None
        self._failures, self._failure, self._retry_at = 0, None, 0.0
        log.info("SIPS token fetched", fingerprint=token.fingerprint, seconds=round(token.expires_at - token.obtained_at))
        return token

    def _note_failure(self, error: TokenError) -> None:
        self._failures += 1
        wait = back_off(self._failures, error.retry_after, self._jitter())
        self._failure, self._retry_at = error, time.monotonic() + wait
        error.retry_after = wait
        log.warning("SIPS token could not be fetched", code=error.code, status=error.status, next_try_s=round(wait, 1))
