"""A store in an SQLite file: one connection of the process writes, the others read beside it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from worker.store.errors import CommitInDoubt, SchemaBehind, StoreDown, StoreError, WrongStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from worker.store.database import Dialect, Step
    from worker.store.statements import Work

__all__ = ["PREFIX", "SQLite"]

#: How the address of a file begins; the path follows, relative to the working directory or with a further slash.
PREFIX = "sqlite:///"

#: Seconds to wait for the write lock that another process holds.
BUSY_SECONDS = 5.0

#: Seconds to wait while another process migrates.
MIGRATION_SECONDS = 120

#: Seconds between two attempts to make a new file ready, while another process does the same.
LOOK_SECONDS = 0.01

#: WAL lets readers read while somebody writes. FULL syncs each commit: with NORMAL, a power cut takes the last ones.
PRAGMAS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")

#: Result codes that mean that the file cannot be used now (sqlite.org/rescode.html). The others, SQLITE_ERROR first of all,
#: are faults of a statement.
AWAY = {
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}

#: Codes of a commit that surely was not made. After a failed write or sync the file may hold it all the same.
NOT_COMMITTED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

#: Codes that a person mends with permissions.
FORBIDDEN = {sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY}


class SQLite:
    """The `Database` of an SQLite file, which must exist but for a migration.

    Args:
        url: `sqlite:///` and the path of the file.
        create: Whether to make the file, and its folder, where they are missing.
    """

    dialect: Dialect = "sqlite"
    writers, readers = 1, 4
    work_step: Step = "writing"

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.path = Path(url.removeprefix(PREFIX)).absolute()
        self.name = f"the SQLite file {self.path}"
        self._create = create
        # Transactions begin when we say so: the driver begins none (isolation_level=None in `_connect`), ...
        self._writer = create_engine("sqlite://", creator=self._connect, poolclass=NullPool, hide_parameters=True)
        # ... and SQLAlchemy is told so where there is none to end.
        self._reader = create_engine(
            "sqlite://",
            creator=self._connect_to_read,
            poolclass=NullPool,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
        )

    def open(self, *, writes: bool) -> Connection:
        """Open the file."""
        return (self._writer if writes else self._reader).connect()

    def is_fresh(self, _connection: Connection) -> bool:
        """A file does not hang up."""
        return True

    def begin(self, connection: Connection) -> None:
        """Take the write lock at once: whoever reads first and then wants it is refused if another was quicker."""
        connection.begin()
        _driver(connection).execute("BEGIN IMMEDIATE")

    def carry_out(self, connection: Connection, works: Sequence[Work[Any]]) -> list[Any]:
        """One after the other."""
        _driver(connection).execute("BEGIN IMMEDIATE")
        return [work(connection) for work in works]

    def end_work(self, connection: Connection) -> None:
        """Sync the disk, for all of them."""
        _driver(connection).commit()

    def begin_migration(self, connection: Connection) -> None:
        """The write lock serves; it is waited for until the other migration is done."""
        _driver(connection).execute(f"PRAGMA busy_timeout = {MIGRATION_SECONDS * 1000}")
        self.begin(connection)

    def is_intact(self, _connection: Connection) -> bool:
        """A failed statement takes nothing back but itself."""
        return True

    def translate(self, error: BaseException, step: Step, _connection: Connection | None = None) -> StoreError | None:
        """By SQLite's result code."""
        raw = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(raw, sqlite3.Error):
            return None
        code = _code(raw)
        if code == sqlite3.SQLITE_NOTADB:
            return WrongStore(f"{self.path} is not an SQLite database; correct DATABASE_URL, or move that file away")
        if code not in AWAY or (code == sqlite3.SQLITE_READONLY and step == "reading"):  # then we have forbidden it
            return None
        if step == "committing" and code not in NOT_COMMITTED:
            return CommitInDoubt(f"{self.name} failed at a commit ({raw}), which may or may not have been made")
        advice = "; may this user write to it and to its folder?" if code in FORBIDDEN else ""
        return StoreDown(f"{self.name} cannot be used ({raw}){advice}")

    def _connect(self) -> sqlite3.Connection:
        if self._create:
            self._make_folder()
        elif not self.path.exists():
            raise SchemaBehind(f"{self.name} does not exist yet; run `sips-worker migrate`, or correct DATABASE_URL")
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={'rwc' if self._create else 'rw'}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # it wanders from thread to thread, but is in one at a time
        )
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_to_read(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreDown(f"the folder of {self.name} cannot be made ({error.strerror}); correct DATABASE_URL") from error


def _prepare(connection: sqlite3.Connection) -> None:
    """Where processes switch a new file to WAL at once, SQLite refuses all but one, and does not wait as it does elsewhere."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            for pragma in PRAGMAS:
                connection.execute(pragma)
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)
        else:
            return


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; the driver's own errors have none."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - opened above
    return driver
