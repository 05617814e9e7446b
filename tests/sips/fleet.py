"""Several token managers, as of several processes, around one store; an endpoint that does as it is told; a clock."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from worker.settings import Credentials, Pairs
from worker.sips import token, token_refresh, token_storage
from worker.sips.errors import TokenError, TokenRefused
from worker.sips.token import TokenManager
from worker.sips.token_rules import Grant
from worker.store.engine import Store
from worker.store.schema import tokens as table
from worker.store.tokens import Tokens

if TYPE_CHECKING:
    import pytest

    from worker.sips.deadline import Deadline

CURRENT = Credentials("current", "us", "Tr0ub4dor-and-3")
NEXT = Credentials("next", "us-2", "c0rrect-horse")


class Endpoint:
    """Hands out token-1, token-2 …; refuses the clients in `refused`, and is as broken as `failure` says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refused: set[str] = set()
        self.same = False
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
        return Grant("token-1" if self.same else f"token-{len(self.asked)}", 3_600)


class Fleet:
    """Processes that share a store."""

    def __init__(self, url: str, endpoint: Endpoint) -> None:
        self.url = url
        self.endpoint = endpoint
        self.pairs = [CURRENT]
        self.unreadable: tuple[str, ...] = ()
        self.learnt: set[str] = set()
        self.stores: list[Store] = []

    def process(self, **others: Any) -> TokenManager:
        """One more."""
        self.stores.append(Store(self.url))
        given: dict[str, Any] = {"storage": Tokens(self.stores[-1]), "learn": self.learnt.add, "jitter": lambda: 0.0} | others
        return TokenManager(self.endpoint.fetch, self._read, base_url="https://sips.example", **given)

    def _read(self) -> Pairs:
        return Pairs(tuple(self.pairs), self.unreadable)

    def later(self, seconds: float) -> None:
        """Let everything in the store have happened so many seconds earlier; below 0 as if the database's clock were set back."""
        times = ("obtained_at", "refresh_at", "expires_at", "lease_until", "failed_at", "retry_at")
        with self.stores[0].write() as connection:
            connection.execute(update(table).values({name: table.c[name] - seconds for name in times}))


class Clock:
    """The clock of processes, which a test turns; who waits waits for real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        for module in (token, token_refresh, token_storage):
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        """As `time.monotonic`."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """As `time.sleep`."""
        time.sleep(seconds)
