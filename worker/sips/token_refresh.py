"""Have the token of the fleet refreshed: by this process, or by the one that holds the lease.

Reads down from `refresh`: what the storage knows of each pair of credentials, the pair to ask with, the lease, the request, and
what is kept of it. One thread at a time is in here. What failed, and until when nobody tries again, is in `token_setbacks`.
"""

from __future__ import annotations

import math
import os
import socket
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import structlog

from worker.sips.errors import SecretUnreadable, TokenError, TokenRefused, TokenUnavailable
from worker.sips.token_rules import is_better, issue, taken_over
from worker.sips.token_seal import entry_key, opened, sealed
from worker.sips.token_setbacks import OPERATION, OTHER_PAIR_SECONDS, Setbacks
from worker.sips.token_storage import Alone, OrAlone

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.settings import Credentials, Pairs
    from worker.sips.deadline import Deadline
    from worker.sips.token_rules import Grant, Held, Token
    from worker.sips.token_storage import Entry, TokenStorage

__all__ = ["LEASE_SECONDS", "REFRESH_SECONDS", "Refresher"]

#: After so many seconds whoever fetches the token for the fleet is taken for dead, ...
LEASE_SECONDS = 20.0
#: ... and this share of them is the longest that it takes: a lease never ends before the refresh that it protects.
FETCH_SHARE = 0.6

#: Seconds in which a token endpoint that is well answers. No call waits longer for a refresh while the old token serves, and
#: one that was silent for so long has failed, however little time the call had that asked.
REFRESH_SECONDS = 5.0

#: Seconds between two looks at the storage while another process fetches the token that a call waits for.
POLL_SECONDS = 0.05

log = structlog.get_logger()


class _Pair(NamedTuple):
    """Credentials, and the name under which the fleet keeps what it knows of them."""

    credentials: Credentials
    key: str


class Refresher:
    """Refreshes what a process holds; the parameters are those of `TokenManager`. Not thread-safe."""

    def __init__(
        self,
        fetch: Callable[[Credentials, Deadline], Grant],
        credentials: Callable[[], Pairs],
        held: Held,
        *,
        base_url: str,
        storage: TokenStorage | None,
        lease_seconds: float,
        learn: Callable[[str], None],
        jitter: Callable[[], float],
    ) -> None:
        self._fetch = fetch
        self._credentials = credentials
        self._held = held
        self._base_url = base_url
        self._storage = OrAlone(storage or Alone())
        self._lease_seconds = lease_seconds
        self._learn = learn
        self._jitter = jitter
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._used_key = ""
        self._broken: tuple[str, int] | None = None
        self._unreadable = ""
        self._setbacks = Setbacks()

    def refresh(self, deadline: Deadline, patience: float = math.inf) -> Token:
        """The fleet's token, whichever pair it was fetched with, or else a new one: with the other pair where one is refused.

        Parameters:
            deadline: Of the call that needs it.
            patience: Longest (seconds) that the token endpoint may take.

        Raises:
            TokenError: As `TokenManager.get`.
        """
        first, *others = self._in_order(self._pairs())
        if token := self._held.fresh(time.monotonic()):
            return token
        try:
            return self._refreshed(first, deadline, patience)
        except TokenRefused as refusal:
            if not others:
                raise self._with_unreadable(refusal) from None
            return self._refreshed_with_other(others[0], deadline, patience, refusal)

    def fetch_anyway(self, credentials: Credentials, deadline: Deadline) -> Token:
        """A new token with these credentials, as soon as no other process fetches one.

        It becomes the fleet's only with the pair in use: a look at the other one must not be what changes the pair.

        Raises:
            TokenError: There is none.
        """
        in_use = self._in_order(self._pairs())[0]
        pair = self._pair(credentials)
        while not self._has_lease(pair, entry := self._storage.read(pair.key)):
            _wait(deadline)
        if pair.key == in_use.key:
            return self._fetched(pair, entry, deadline)
        token = self._asked(pair, entry, deadline)
        self._setbacks.forget(pair.key)
        self._storage.release(pair.key, owner=self._owner, well=True)
        return token

    def _pairs(self) -> list[_Pair]:
        """What there is to fetch a token with, read anew; one where both are the same."""
        read = self._credentials()
        self._tell_of_unreadable("; ".join(read.unreadable), is_all=not read.readable)
        if not read.readable:
            raise SecretUnreadable(OPERATION, self._unreadable)
        pairs = [self._pair(credentials) for credentials in read.readable]
        for pair in pairs:
            self._learn(pair.credentials.client_secret)
        return [pair for number, pair in enumerate(pairs) if pair.key not in {before.key for before in pairs[:number]}]

    def _tell_of_unreadable(self, problem: str, *, is_all: bool) -> None:
        """Once, and again where it is another problem: files are read again and again."""
        if problem != self._unreadable:
            self._unreadable = problem
            if is_all:
                log.error("no client secret can be read; the token is not refreshed", error=problem)
            elif problem:
                log.warning("a client secret cannot be read; the other pair is used", error=problem)
            else:
                log.info("every client secret can be read again")

    def _with_unreadable(self, refusal: TokenRefused) -> TokenRefused:
        """The refusal of the only pair there is; where there should be another one, with why it was not tried."""
        if not self._unreadable:
            return refusal
        reason = f"{refusal.reason}; the other pair was not tried: {self._unreadable}"
        return TokenRefused(OPERATION, reason, status=refusal.status, retry_after=refusal.retry_after)

    def _in_order(self, pairs: list[_Pair]) -> list[_Pair]:
        """First the one with the newest token in the storage, so that all processes take the same for the one in use.

        What the storage does not know, as where there is none, is told by what this process used last. A token that serves is
        taken over on the way.
        """
        known = {pair.key: self._take_over(pair) for pair in pairs}

        def precedence(pair: _Pair) -> tuple[float, bool]:
            entry = known[pair.key]
            if entry is None or entry.age is None:  # an entry without a token is that of a pair which was tried in vain
                return math.inf, pair.key != self._used_key
            return entry.age, False

        return sorted(pairs, key=precedence)

    def _pair(self, credentials: Credentials) -> _Pair:
        return _Pair(credentials, entry_key(self._base_url, credentials))

    def _refreshed(self, pair: _Pair, deadline: Deadline, patience: float, pause: float = 0.0) -> Token:
        """The token of a pair; where that was refused it is left alone for `pause` seconds at least."""
        while True:
            entry = self._take_over(pair)
            now = time.monotonic()
            if token := self._held.fresh(now):
                return token
            self._setbacks.respect(pair.key, entry, now, pause)
            if self._has_lease(pair, entry):
                return self._fetched(pair, entry, deadline, patience)
            if token := self._held.serving(now):
                return token
            _wait(deadline)

    def _refreshed_with_other(self, pair: _Pair, deadline: Deadline, patience: float, refusal: TokenRefused) -> Token:
        try:
            return self._refreshed(pair, deadline, patience, OTHER_PAIR_SECONDS)
        except TokenRefused as error:
            both = f"{refusal.reason}; the other pair was refused as well: {error.reason}"
            raise TokenRefused(OPERATION, both, status=refusal.status, retry_after=refusal.retry_after) from None

    def _take_over(self, pair: _Pair) -> Entry | None:
        """Use the token that another process has fetched, where that is the better one; what the storage knows."""
        now = time.monotonic()  # before the look: one that is slow must not make a token younger than its refusal
        entry = self._storage.read(pair.key)
        if entry is None or entry.sealed is None:
            return entry
        value = opened(entry.sealed, pair.credentials, pair.key)
        if value is None:
            self._tell_of_broken(pair, entry)
        elif is_better(token := taken_over(value, entry, now, self._jitter()), self._held, now):
            self._use(token, pair)
            log.info("SIPS token taken from the store", fingerprint=token.fingerprint, pair=pair.credentials.pair)
        return entry

    def _tell_of_broken(self, pair: _Pair, entry: Entry) -> None:
        """Once: it is read again and again until another one is fetched."""
        if self._broken != (pair.key, entry.version):
            self._broken = (pair.key, entry.version)
            log.warning("the token in the store cannot be opened; another one is fetched", pair=pair.credentials.pair)

    def _has_lease(self, pair: _Pair, entry: Entry | None) -> bool:
        """Whether this process alone may fetch a token with the pair now."""
        if entry is not None and entry.owner not in {None, self._owner} and (entry.leased_for or 0.0) > 0:
            return False  # nothing needs to be written for that
        version = 0 if entry is None else entry.version
        return self._storage.lease(pair.key, version, owner=self._owner, seconds=self._lease_seconds)

    def _fetched(self, pair: _Pair, entry: Entry | None, deadline: Deadline, patience: float = math.inf) -> Token:
        """A new token from SIPS, given to the others as well."""
        token = self._asked(pair, entry, deadline, patience)
        self._use(token, pair)
        seconds = round(token.expires_at - token.obtained_at)
        log.info("SIPS token fetched", fingerprint=token.fingerprint, seconds=seconds, pair=pair.credentials.pair)
        now = time.monotonic()
        self._storage.save(
            pair.key,
            owner=self._owner,
            sealed=sealed(token.value, pair.credentials, pair.key),
            fingerprint=token.fingerprint,
            age=now - token.obtained_at,
            refresh_in=token.refresh_at - now,
            expires_in=token.expires_at - now,
        )
        return token

    def _asked(self, pair: _Pair, entry: Entry | None, deadline: Deadline, patience: float = math.inf) -> Token:
        """A new token from SIPS, which nobody uses yet."""
        started = time.monotonic()
        try:
            grant = self._fetch(pair.credentials, deadline.or_after(min(patience, self._lease_seconds * FETCH_SHARE)))
        except TokenError as error:
            if error.status is None and deadline.passed and time.monotonic() < started + REFRESH_SECONDS:
                # The call came with little time and failed for that, which says nothing of the endpoint.
                self._storage.release(pair.key, owner=self._owner)
            else:
                self._fail(pair, error, entry)
            raise
        self._learn(grant.value)
        return issue(grant, started, self._jitter(), self._held)

    def _use(self, token: Token, pair: _Pair) -> None:
        """Before anything that may take its time: other threads go on with it at once."""
        self._learn(token.value)
        self._held.take(token)
        self._used_key = pair.key
        self._setbacks.forget(pair.key)

    def _fail(self, pair: _Pair, error: TokenError, entry: Entry | None) -> None:
        """Back off: all of the fleet where the endpoint answered; this process alone where it may be its own network."""
        wait = self._setbacks.add(pair.key, error, entry, time.monotonic(), self._jitter())
        error.retry_after = wait
        log.warning(
            "SIPS token could not be fetched",
            code=error.code,
            status=error.status,
            error=error.reason,
            pair=pair.credentials.pair,
            client_id=pair.credentials.client_id,
            base_url=self._base_url,
            next_try_s=round(wait, 1),
        )
        self._storage.fail(
            pair.key,
            owner=self._owner,
            code=error.code,
            status=error.status,
            error=error.reason,
            retry_in=0.0 if error.status is None else wait,
        )


def _wait(deadline: Deadline) -> None:
    if deadline.passed:
        raise TokenUnavailable(OPERATION, "time was up while another process was fetching the token")
    time.sleep(min(POLL_SECONDS, deadline.remaining()))
