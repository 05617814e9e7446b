"""Keep one bearer token for the whole fleet: refreshed ahead of its end by one thread of one process at a time.

The decisions that need no clock are in `token_rules`, the call is in `token_endpoint`, what failed is in `token_setbacks`, and
what other processes know comes from a `TokenStorage`. This is the flow between them and the memory. A call reads down from
`get`: a fresh token comes from memory; one that is due is refreshed by the first thread that comes, while it goes on to serve;
where there is none, threads wait.
"""

from __future__ import annotations

import math
import os
import random
import socket
import threading
import time
import uuid
from typing import TYPE_CHECKING, Protocol

import structlog

from worker.settings import SettingsError
from worker.sips.errors import TokenError, TokenRefused, TokenUnavailable
from worker.sips.token_rules import Standing, is_better, issue, standing, taken_over
from worker.sips.token_seal import entry_key, opened, sealed
from worker.sips.token_setbacks import OPERATION, Setbacks, again, is_refused
from worker.sips.token_storage import Alone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.settings import Credentials
    from worker.sips.deadline import Deadline
    from worker.sips.token_rules import Grant, Token
    from worker.sips.token_storage import Entry, TokenStorage

__all__ = ["LEASE_SECONDS", "MIN_AGE_SECONDS", "TokenManager", "TokenSource"]

#: A token younger than this (seconds) is kept although it was refused: a fresh token that is refused says something
#: about the command, and fetching another for each refusal would drown the token endpoint.
MIN_AGE_SECONDS = 60.0

#: After so many seconds whoever fetches the token for the fleet is taken for dead, ...
LEASE_SECONDS = 20.0
#: ... and this share of them is the longest that it takes: a lease never ends before the refresh that it protects.
FETCH_SHARE = 0.6

#: Longest (seconds) that a call waits for a refresh while the old token still serves.
REFRESH_SECONDS = 5.0

#: Longest (seconds) until somebody looks again at what failed: a secret file may be new, another process may have a token.
LOOK_SECONDS = 1.0

#: Seconds between two looks at the storage while another process fetches the token that a call waits for.
POLL_SECONDS = 0.05

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
        credentials: The pairs to fetch it with, the current one first; raises `SettingsError` where there is none.
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
        credentials: Callable[[], Sequence[Credentials]],
        *,
        base_url: str = "",
        storage: TokenStorage | None = None,
        lease_seconds: float = LEASE_SECONDS,
        min_age_seconds: float = MIN_AGE_SECONDS,
        learn: Callable[[str], None] = lambda _secret: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._fetch = fetch
        self._credentials = credentials
        self._base_url = base_url
        self._storage = storage or Alone()
        self._lease_seconds = lease_seconds
        self._min_age = min_age_seconds
        self._learn = learn
        self._jitter = jitter
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._turn = threading.Lock()
        self._token: Token | None = None
        self._pair = ""
        self._refused: str | None = None
        self._refused_at = 0.0
        self._setbacks = Setbacks()
        self._failure: TokenError | None = None
        self._retry_at = self._look_at = 0.0

    def get(self, deadline: Deadline) -> Token:
        """The token to call with; takes no lock and does no I/O while it is fresh.

        Raises:
            TokenRefused: The credentials were refused, now or at the last attempt, and no old token serves.
            TokenUnavailable: No token could be had in time, and no old one serves.
        """
        token = self._token
        state = standing(token, self._refused, time.monotonic())
        if state is Standing.FRESH and token is not None:
            return token
        try:
            if state is Standing.DUE and token is not None:
                return self._refreshed(token, deadline)
            return self._obtained(deadline)
        except TokenError:
            # One that SIPS refused does not serve: its calls would use up their attempts, where waiting costs none.
            if (token := self._token) is not None and self._standing() is not Standing.GONE:
                return token
            raise

    def invalidate(self, fingerprint: str) -> None:
        """Replace the token with this fingerprint, unless it is too young, or has been or is being replaced already."""
        token = self._token
        if token is None or token.fingerprint != fingerprint or self._refused == fingerprint:
            return
        now = time.monotonic()
        if now - token.obtained_at < self._min_age and now < token.refresh_at:  # else it may have ended at SIPS a bit earlier
            log.warning("SIPS refused a young token, which is kept", fingerprint=fingerprint)
            return
        self._refused_at, self._refused = now, fingerprint
        self._look_at = 0.0
        log.warning("SIPS refused the token, another one is fetched", fingerprint=fingerprint)

    def check(self, credentials: Credentials, deadline: Deadline) -> float:
        """Fetch a token with these credentials now, whatever there is; how long it lives, in seconds.

        Raises:
            TokenError: As `get`.
        """
        key = entry_key(self._base_url, credentials)
        with self._turn:
            try:
                self._has_lease(self._storage, key, self._storage.read(key))  # if another process has it, it keeps its token
                token = self._fetched(self._storage, credentials, key, deadline)
            except self._storage.down:
                token = self._fetched(Alone(), credentials, key, deadline)
        return token.expires_at - token.obtained_at

    # While the token serves.

    def _refreshed(self, serving: Token, deadline: Deadline) -> Token:
        """A new token if it is this thread's turn and the refresh works; the serving one otherwise."""
        if time.monotonic() < self._look_at or not self._turn.acquire(blocking=False):
            return serving
        try:
            if self._token is not serving:
                return serving
            return self._renewed(deadline, REFRESH_SECONDS)
        finally:
            self._turn.release()

    # While there is none.

    def _obtained(self, deadline: Deadline) -> Token:
        """A new token, or the one that another thread or process has got meanwhile."""
        self._repeat_failure()
        if not self._turn.acquire(timeout=deadline.remaining()):
            raise TokenUnavailable(OPERATION, "time was up while another thread was fetching the token")
        try:
            if self._token is not None and self._standing() is not Standing.GONE:
                return self._token
            self._repeat_failure()
            return self._renewed(deadline)
        finally:
            self._turn.release()

    def _repeat_failure(self) -> None:
        """Fail at once where that is how the last attempt ended, a moment ago."""
        now, failure = time.monotonic(), self._failure
        if failure is not None and now < self._look_at:
            raise again(failure, max(self._retry_at - now, 0.0))

    # With the turn.

    def _renewed(self, deadline: Deadline, patience: float = math.inf) -> Token:
        """The token after all that could be done about it."""
        try:
            return self._renewed_with_storage(deadline, patience)
        except TokenError as error:
            if _only_the_callers_time_was_up(error, deadline):
                raise
            now = time.monotonic()
            wait = LOOK_SECONDS if error.retry_after is None else error.retry_after
            self._failure, self._retry_at, self._look_at = error, now + wait, now + min(wait, LOOK_SECONDS)
            raise

    def _renewed_with_storage(self, deadline: Deadline, patience: float) -> Token:
        """With the storage, and where that fails without it, each for so many seconds: a storage that hangs takes its time."""
        pairs = self._pairs()
        try:
            return self._renewed_in(self._storage, pairs, deadline.or_after(patience))
        except self._storage.down as error:
            log.warning("the store cannot be used; this process looks after its token alone", error=str(error))
        return self._renewed_in(Alone(), pairs, deadline.or_after(patience))

    def _pairs(self) -> list[Credentials]:
        """What there is to fetch a token with, read anew; what worked last comes first."""
        try:
            pairs = self._credentials()
        except SettingsError as error:
            raise TokenUnavailable(OPERATION, str(error)) from None
        for credentials in pairs:
            self._learn(credentials.client_secret)
        return sorted(pairs, key=lambda credentials: credentials.pair != self._pair)

    def _renewed_in(self, storage: TokenStorage, pairs: list[Credentials], deadline: Deadline) -> Token:
        """The fleet's token, whichever pair it was fetched with, or else a new one: with the other pair where one is refused."""
        first, *others = [(credentials, entry_key(self._base_url, credentials)) for credentials in pairs]
        if others and is_refused(storage.read(first[1])):
            self._take_over(storage, *others[0])
        try:
            return self._renewed_with(storage, *first, deadline)
        except TokenRefused as refusal:
            if not others:
                raise
            return self._renewed_with_other(storage, *others[0], deadline, refusal)

    def _renewed_with_other(
        self, storage: TokenStorage, credentials: Credentials, key: str, deadline: Deadline, refusal: TokenRefused
    ) -> Token:
        entry = self._take_over(storage, credentials, key)
        if self._token is not None and self._standing() is Standing.FRESH:
            return self._token
        try:
            self._setbacks.respect_pause(key, entry, time.monotonic())
            return self._renewed_with(storage, credentials, key, deadline)
        except TokenRefused as error:
            both = f"{refusal.reason}; the other pair was refused as well: {error.reason}"
            raise TokenRefused(OPERATION, both, status=refusal.status, retry_after=refusal.retry_after) from None

    def _renewed_with(self, storage: TokenStorage, credentials: Credentials, key: str, deadline: Deadline) -> Token:
        """The fleet's token, from whoever fetches it: this process, or the one that holds the lease."""
        while True:
            entry = self._take_over(storage, credentials, key)
            state = self._standing()
            if state is Standing.FRESH and self._token is not None:
                return self._token
            self._setbacks.respect(key, entry, time.monotonic())
            if not self._is_leased(entry) and self._has_lease(storage, key, entry):
                return self._fetched(storage, credentials, key, deadline, entry)
            if state is Standing.DUE and self._token is not None:
                self._look_at = time.monotonic() + LOOK_SECONDS
                return self._token
            if deadline.passed:
                raise TokenUnavailable(OPERATION, "time was up while another process was fetching the token")
            time.sleep(min(POLL_SECONDS, deadline.remaining()))

    def _take_over(self, storage: TokenStorage, credentials: Credentials, key: str) -> Entry | None:
        """Use the token that another process has fetched, where that is the better one; what the storage knows."""
        entry = storage.read(key)
        if entry is None or entry.sealed is None:
            return entry
        now = time.monotonic()
        value = opened(entry.sealed, credentials, key)
        if value is None:
            log.warning("the token in the store cannot be opened; another one is fetched", pair=credentials.pair)
        elif is_better(token := taken_over(value, entry, now, self._jitter()), self._token, self._refused, self._refused_at, now):
            self._use(token, credentials)
            self._setbacks.forget(key)
            log.info("SIPS token taken from the store", fingerprint=token.fingerprint, pair=credentials.pair)
        return entry

    def _is_leased(self, entry: Entry | None) -> bool:
        return entry is not None and entry.owner not in {None, self._owner} and (entry.leased_for or 0.0) > 0

    def _has_lease(self, storage: TokenStorage, key: str, entry: Entry | None) -> bool:
        version = 0 if entry is None else entry.version
        return storage.lease(key, version, owner=self._owner, seconds=self._lease_seconds)

    def _fetched(
        self, storage: TokenStorage, credentials: Credentials, key: str, deadline: Deadline, entry: Entry | None = None
    ) -> Token:
        """A new token from SIPS, given to the others as well."""
        started = time.monotonic()
        try:
            grant = self._fetch(credentials, deadline.or_after(self._lease_seconds * FETCH_SHARE))
        except TokenError as error:
            if not _only_the_callers_time_was_up(error, deadline):
                self._fail(storage, key, error, entry)
            raise
        token = issue(grant, started, self._jitter())
        self._use(token, credentials)
        self._setbacks.forget(key)
        seconds = round(token.expires_at - token.obtained_at)
        log.info("SIPS token fetched", fingerprint=token.fingerprint, seconds=seconds, pair=credentials.pair)
        now = time.monotonic()
        storage.save(
            key,
            owner=self._owner,
            sealed=sealed(token.value, credentials, key),
            fingerprint=token.fingerprint,
            refresh_in=token.refresh_at - now,
            expires_in=token.expires_at - now,
        )
        return token

    def _use(self, token: Token, credentials: Credentials) -> None:
        self._learn(token.value)
        self._token, self._refused, self._pair = token, None, credentials.pair
        self._failure, self._look_at = None, 0.0

    def _fail(self, storage: TokenStorage, key: str, error: TokenError, entry: Entry | None) -> None:
        """Back off: all of the fleet where the endpoint answered; this process alone where it may be its own network."""
        wait = self._setbacks.add(key, error, entry, time.monotonic(), self._jitter())
        error.retry_after = wait
        log.warning("SIPS token could not be fetched", code=error.code, status=error.status, next_try_s=round(wait, 1))
        storage.fail(
            key,
            owner=self._owner,
            code=error.code,
            status=error.status,
            error=error.reason,
            retry_in=0.0 if error.status is None else wait,
        )

    def _standing(self) -> Standing:
        return standing(self._token, self._refused, time.monotonic())


def _only_the_callers_time_was_up(error: TokenError, deadline: Deadline) -> bool:
    """Whether a call that came with little time failed for that: it says nothing of the endpoint, and others may have more."""
    return error.status is None and deadline.passed
