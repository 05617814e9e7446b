"""Four processes around one store and one sandbox."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, update

from tests.databases import contents
from tests.fleet.processes import Process, Processes
from tests.fleet.surroundings import around_postgresql, around_sqlite, in_namespaces
from tests.leaks import leaked
from worker.sandbox import Sandbox
from worker.store import schema
from worker.store.engine import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.surroundings import Surroundings

PROCESSES = 4

#: For the small proof: a store that hangs is given up after a second instead of six.
IMPATIENT = {"STORE_ANSWER_SECONDS": "1"}

#: A secret that nothing may show, and its successors.
SECRETS = ("Tr0ub4dor-and-3", "c0rrect-horse-battery", "staple-the-third")


class Fleet(Processes):
    """The processes, and what they share."""

    def __init__(self, surroundings: Surroundings, folder: Path) -> None:
        self.surroundings = surroundings
        self.folder = folder
        self.clients: dict[str, str] = {}
        self.sandbox = Sandbox(surroundings.host, credentials=self.clients).start()
        self.issued: set[str] = set()
        self.store = Store(surroundings.url)
        self.files = {name: folder / name for name in ("current", "next")}
        self.write(SECRETS[0], SECRETS[1])
        self.settings = surroundings.settings | {
            "SIPS_BASE_URL": self.sandbox.url,
            "SIPS_CLIENT_ID": "us",
            "SIPS_CLIENT_SECRET_FILE": str(self.files["current"]),
            "SIPS_NEXT_CLIENT_ID": "us-2",
            "SIPS_NEXT_CLIENT_SECRET_FILE": str(self.files["next"]),
            "THREADS": "32",
        }
        super().__init__([self.process(number) for number in range(PROCESSES)])

    def process(self, number: int = 0, **settings: str) -> Process:
        """One more, in one place after the other."""
        places = self.surroundings.places
        return Process(self.settings | settings, *places[number % len(places)])

    def write(self, current: str, following: str) -> None:
        """Rewrite the secret files, as a secrets manager does."""
        for name, secret in (("current", current), ("next", following)):
            (self.folder / "new").write_text(secret, encoding="utf-8")
            (self.folder / "new").replace(self.files[name])

    def cold(self, **settings: object) -> None:
        """As on the first day: no token anywhere, and SIPS as it should be."""
        self.clients.update({"us": SECRETS[0], "us-2": SECRETS[1]})
        self.write(SECRETS[0], SECRETS[1])
        self.sandbox._faults.replace({})
        self.forget()
        self.sandbox._state._requests.clear()
        with self.store.write() as connection:
            connection.execute(delete(schema.tokens))
        self.forget_calls()
        self.anew(**settings)

    def forget(self) -> None:
        """Have SIPS take none of its tokens any more."""
        self.issued |= set(self.sandbox._state._tokens)
        self.sandbox._state._tokens.clear()

    def alter(self, **values: object) -> None:
        """Change what the store knows of the token."""
        with self.store.write() as connection:
            connection.execute(update(schema.tokens).values(values))

    def make_due(self, **others: object) -> None:
        """Have every process find in the store a token that is due and good for an hour."""
        hour = 3_600
        self.alter(refresh_at=schema.now() - hour, expires_at=schema.now() + hour, **others)
        self.anew()

    def has_ended(self) -> bool:
        """Whether a token has come to its end at SIPS."""
        return min(self.sandbox._state._tokens.values()) < time.monotonic()

    @property
    def asked(self) -> dict[str, int]:
        """Token requests by the status they were answered with."""
        found: dict[str, int] = self.sandbox._state.stats()["requests"].get("authenticationToken", {})
        return found

    def shown(self) -> bytes:
        """Everything that was logged, printed, raised or kept."""
        said = "".join(line for process in self.all for line in process.said)
        return said.encode() + contents(self.surroundings.url)

    def close(self) -> None:
        """End everything."""
        super().close()
        self.store.close()
        self.sandbox.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgresql", pytest.param("namespaces", marks=pytest.mark.soak)])
def surroundings(
    request: pytest.FixtureRequest, migrated_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Surroundings]:
    """Where the fleet of the module lives."""
    match request.param:
        case "sqlite":
            made = around_sqlite(Path(shutil.copy(migrated_file, tmp_path_factory.mktemp("store") / "store.db")))
        case "postgresql":
            made = around_postgresql(request.getfixturevalue("postgres_url"), **IMPATIENT)
        case _:
            made = in_namespaces(request.getfixturevalue("postgres_url"))
    with made as found:
        yield found


@pytest.fixture(scope="module")
def processes(surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The fleet of the module; at its end nothing that anybody could read shows a token or a secret."""
    with contextlib.closing(Fleet(surroundings, tmp_path_factory.mktemp("fleet"))) as fleet:
        yield fleet
        fleet.forget()
        shown = fleet.shown()
        assert b"SIPS token fetched" in shown
        assert not leaked([*fleet.issued, *SECRETS], shown)


@pytest.fixture
def fleet(request: pytest.FixtureRequest, processes: Fleet) -> Iterator[Fleet]:
    """The same, without a token; the figures of the proof are printed."""
    processes.cold()
    yield processes
    figures = {"proof": request.node.name, "processes": PROCESSES, "calls": processes.calls, "token_requests": processes.asked}
    print(json.dumps(figures | {"longest_call_ms": round(processes.longest * 1000)}))  # noqa: T201
