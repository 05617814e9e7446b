"""Four processes around one store and one sandbox."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, select

from tests.databases import postgres_schema
from tests.fleet.processes import Process, Processes
from worker.sandbox import Sandbox
from worker.store import schema
from worker.store.engine import Store
from worker.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROCESSES = 4

#: A secret that nothing may show, and its successors.
SECRETS = ("Tr0ub4dor-and-3", "c0rrect-horse-battery", "staple-the-third")


class Fleet(Processes):
    """The processes, and what they share."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.clients: dict[str, str] = {}
        self.sandbox = Sandbox(credentials=self.clients).start()
        self.issued: set[str] = set()
        self.store = Store(url)
        self.files = {name: folder / name for name in ("current", "next")}
        self.write(SECRETS[0], SECRETS[1])
        self.settings = {
            "SIPS_BASE_URL": self.sandbox.url,
            "SIPS_CLIENT_ID": "us",
            "SIPS_CLIENT_SECRET_FILE": str(self.files["current"]),
            "SIPS_NEXT_CLIENT_ID": "us-2",
            "SIPS_NEXT_CLIENT_SECRET_FILE": str(self.files["next"]),
            "DATABASE_URL": url,
            "THREADS": "32",
        }
        super().__init__([Process(self.settings) for _ in range(PROCESSES)])

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
        self.anew(**settings)

    def forget(self) -> None:
        """Have SIPS take none of its tokens any more."""
        self.issued |= set(self.sandbox._state._tokens)
        self.sandbox._state._tokens.clear()

    @property
    def asked(self) -> dict[str, int]:
        """Token requests by the status they were answered with."""
        found: dict[str, int] = self.sandbox._state.stats()["requests"].get("authenticationToken", {})
        return found

    def shown(self) -> str:
        """Everything that was logged, printed, raised or kept."""
        with self.store.read() as connection:
            rows = repr(connection.execute(select(schema.tokens)).all())
        logs = "".join(line for process in self.all for line in process.said)
        files = b"".join(file.read_bytes() for file in self.folder.iterdir() if file not in self.files.values())
        return rows + logs + files.decode("latin-1")

    def close(self) -> None:
        """End everything."""
        super().close()
        self.store.close()
        self.sandbox.stop()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)])
def processes(request: pytest.FixtureRequest, migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The fleet of the module; at its end nothing that anybody could read shows a token or a secret."""
    folder = tmp_path_factory.mktemp("fleet")
    with contextlib.ExitStack() as last_first:
        if request.param == "sqlite":
            url = f"sqlite:///{shutil.copy(migrated_file, folder / 'store.db')}"
        else:
            url = last_first.enter_context(postgres_schema(request.getfixturevalue("postgres_url")))
            migrate(url)
        fleet = last_first.enter_context(contextlib.closing(Fleet(url, folder)))
        yield fleet
        fleet.forget()
        shown = fleet.shown()
        assert "SIPS token fetched" in shown
        assert not [secret for secret in (*fleet.issued, *SECRETS) if secret in shown]


@pytest.fixture
def fleet(processes: Fleet) -> Fleet:
    """The same, without a token."""
    processes.cold()
    return processes
