"""Keep one bearer token for the whole fleet: refreshed ahead of its end by one thread of one process at a time.

This is what a call meets: it reads down from `get`. A fresh token comes from memory; one that is due is refreshed by the first
thread that comes, while it goes on to serve; where there is none, threads wait. How a refresh goes is in `token_refresh`, the
decisions that need no clock are in `token_rules`.
"""

from __future__ import annotations

import math
import random
import threading
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from worker.sips.errors import TokenError, TokenUnavailable
from worker.sips.token_refresh import LEASE_SECONDS, REFRESH_SECONDS, Refresher
from worker.sips.token_rules import Held, Standing, standing
from worker.sips.token_setbacks import OPERATION, again

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.settings import Credentials, Pairs
    from worker.sips.deadline import Deadline
    from worker.sips.token_rules import Grant, Token
    from worker.sips.token_storage import TokenStorage

__all__ = ["MIN_AGE_SECONDS", "TokenManager", "TokenSource"]

#: A token younger than this (seconds) is kept although it was refused: a fresh token that is refused says something
#: about the command, and fetching another for each refusal would drown the token endpoint.
MIN_AGE_SECONDS = 60.0

#: Longest (seconds) until somebody looks again at what failed: a secret file may be new, another process may have a token.
LOOK_SECONDS = 1.0

log = structlog.get_logger()


class TokenSource(Protocol):
    """Where a client takes its token from."""

    def get(self, deadline: Deadline) -> Token:
        """A token to call with; raises `TokenError` where there is none."""

    def invalidate(self, fingerprint: str) -> None:
        """Report that SIPS refused the token with this fingerprint."""


class TokenManager:
    """The token of the fleet, as one process has it; thread-safe.

    Parameters:
        fetch: Gets a new token with some credentials, within a deadline, or raises `TokenError`; called by one thread at a time.
        credentials: The pairs to fetch it with, read anew.
        base_url: Of the SIPS that the token is for.
        storage: What other processes know; by default there are none.
        lease_seconds: How long this process keeps others from fetching, if it dies.
        min_age_seconds: A refused token younger than this is kept.
        learn: Told of each token before it is used, so that no log line shows it.
        jitter: Random number from 0 to 1.
    """

    def __init__(
        self,
        fetch: Callable[[Credentials, Deadline], Grant],
        credentials: Callable[[], Pairs],
        *,
        base_url: str = "",
        storage: TokenStorage | None = None,
        lease_seconds: float = LEASE_SECONDS,
        min_age_seconds: float = MIN_AGE_SECONDS,
        learn: Callable[[str], None] = lambda _secret: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._held = Held()
        self._refresher = Refresher(
            fetch,
            credentials,
            self._held,
            base_url=base_url,
            storage=storage,
            lease_seconds=lease_seconds,
            learn=learn,
            jitter=jitter,
        )
        self._min_age = min_age_seconds
        self._turn = threading.Lock()
        self._failure: TokenError | None = None
        self._retry_at = self._look_at = 0.0

    def get(self, deadline: Deadline) -> Token:
        """The token to call with; takes no lock and does no I/O while it is fresh.

        Raises:
            TokenRefused: The credentials were refused, now or at the last attempt, and no old token serves.
            TokenUnavailable: No token could be had in time, and no old one serves.
            SecretUnreadable: There is nothing to fetch one with, and no old one serves.
        """
        held = self._held
        token = held.token
        state = standing(token, held.refused, time.monotonic())
        if state is Standing.FRESH and token is not None:
            return token
        try:
            if state is Standing.DUE and token is not None:
                return self._refreshed(token, deadline)
            return self._obtained(deadline)
        except TokenError:
            # One that SIPS refused does not serve: its calls would use up their attempts, where waiting costs none.
            if (old := held.serving(time.monotonic())) is None:
                raise
            return old

    def invalidate(self, fingerprint: str) -> None:
        """Replace the token with this fingerprint, unless it is too young, or has been or is being replaced already."""
        held, token = self._held, self._held.token
        if token is None or token.fingerprint != fingerprint or held.refused == fingerprint:
            return
        now = time.monotonic()
        if now - token.obtained_at < self._min_age and now < token.refresh_at:  # else it may have ended at SIPS a bit earlier
            log.warning("SIPS refused a young token, which is kept", fingerprint=fingerprint)
            return
        held.refused_at, held.refused = now, fingerprint
        self._look_at = 0.0
        log.warning("SIPS refused the token, another one is fetched", fingerprint=fingerprint)

    def check(self, credentials: Credentials, deadline: Deadline) -> float:
        """Fetch a token with these credentials now, whatever there is; how long it lives, in seconds.

        Raises:
            TokenError: As `get`.
        """
        self._take_turn(deadline)
        try:
            token = self._refresher.fetch_anyway(credentials, deadline)
        finally:
            self._turn.release()
        return token.expires_at - token.obtained_at

    # While the token serves.

    def _refreshed(self, serving: Token, deadline: Deadline) -> Token:
        """A new token if it is this thread's turn and the refresh works; the serving one otherwise."""
        if time.monotonic() < self._look_at or not self._turn.acquire(blocking=False):
            return serving
        try:
            if self._held.token is not serving:
                return serving
            return self._renewed(deadline, REFRESH_SECONDS)
        finally:
            self._turn.release()

    # While there is none.

    def _obtained(self, deadline: Deadline) -> Token:
        """A new token, or the one that another thread or process has got meanwhile."""
        self._repeat_failure()
        self._take_turn(deadline)
        try:
            if token := self._held.serving(time.monotonic()):
                return token
            self._repeat_failure()
            return self._renewed(deadline)
        finally:
            self._turn.release()

    def _take_turn(self, deadline: Deadline) -> None:
        if not self._turn.acquire(timeout=deadline.remaining()):
            raise TokenUnavailable(OPERATION, "time was up while another thread was fetching the token")

    def _repeat_failure(self) -> None:
        """Fail at once where that is how the last attempt ended, a moment ago."""
        now, failure = time.monotonic(), self._failure
        if failure is not None and now < self._look_at:
            raise again(failure, max(self._retry_at - now, 0.0))

    # With the turn.

    def _renewed(self, deadline: Deadline, patience: float = math.inf) -> Token:
        """The token after all that could be done about it; what came of it is remembered for a moment."""
        try:
            token = self._refresher.refresh(deadline, patience)
        except TokenError as error:
            if error.status is None and deadline.passed:
                raise  # only this call's time was up: others may have more
            now = time.monotonic()
            wait = LOOK_SECONDS if error.retry_after is None else error.retry_after
            self._failure, self._retry_at, self._look_at = error, now + wait, now + min(wait, LOOK_SECONDS)
            raise
        now = time.monotonic()
        # One that is not fresh is being refreshed by another process.
        self._failure, self._look_at = None, 0.0 if self._held.fresh(now) else now + LOOK_SECONDS
        return token
