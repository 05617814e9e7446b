"""What can be wrong with an SQLite file."""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.store.rows import add, count
from worker.store import sqlite
from worker.store.engine import Store
from worker.store.errors import CommitInDoubt, SchemaBehind, StoreDown, StoreError, WrongStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.store.database import Step

#: Writes to a store as another user, where one is named, and prints why it could not.
WRITER = """
import os, sys
from tests.store.rows import add
from worker.store.engine import Store
from worker.store.errors import StoreDown

if sys.argv[2:]:
    os.setuid(int(sys.argv[2]))
try:
    with Store(sys.argv[1]).write() as connection:
        add(connection, "first")
except StoreDown as error:
    print(error)
"""


@pytest.fixture
def path(sqlite_url: str) -> Path:
    """The file of a migrated store."""
    return Path(sqlite_url.removeprefix(sqlite.PREFIX))


@pytest.fixture
def file_store(sqlite_url: str) -> Iterator[Store]:
    """The same, opened."""
    opened = Store(sqlite_url)
    yield opened
    opened.close()


def test_a_commit_is_on_the_disk(file_store: Store, path: Path) -> None:
    """The file is in WAL mode, and every connection syncs at each commit (2 is FULL)."""
    for use in (file_store.write, file_store.read):
        with use() as connection:
            settings = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
        assert ["wal", 2] == settings
    assert path.with_name("store.db-wal").exists()


def test_a_file_with_any_name_is_opened(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a meaning in an address is part of the name; a relative path stays what it was when the store was made."""
    shutil.copy(sqlite_url.removeprefix(sqlite.PREFIX), tmp_path / "a b?c%20#.db")
    monkeypatch.chdir(tmp_path)
    store = Store("sqlite:///a b?c%20#.db")
    monkeypatch.chdir("/")
    assert 0 == count(store)
    store.close()


def test_a_new_file_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    """Each switches it to WAL, which SQLite refuses to all but one without waiting."""
    together = threading.Barrier(4)

    def work(_number: int) -> None:
        for number in range(100):
            database = sqlite.SQLite(f"sqlite:///{tmp_path}/{number}.db", create=True)
            together.wait(60)
            try:
                database.open(writes=True).close()
            except BaseException:
                together.abort()
                raise

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    """A worker that is started in the wrong folder says so, instead of going on with an empty ledger."""
    with pytest.raises(SchemaBehind, match=r"missing\.db does not exist yet; run `sips-worker migrate`"):
        _ = Store(f"sqlite:///{tmp_path}/missing.db").id
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    """It is named, and not changed."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(WrongStore, match=r"notes\.txt is not an SQLite database; correct DATABASE_URL"):
        _ = Store(f"sqlite:///{path}").id
    assert path.read_text() == "not a database " * 100


def test_a_damaged_file_takes_the_store_down(path: Path, file_store: Store) -> None:
    """Nothing is decided on what a damaged file says."""
    pages = path.read_bytes()
    path.write_bytes(pages[:4096] + b"\xff" * (len(pages) - 4096))
    with pytest.raises(StoreDown, match="malformed"), file_store.write() as connection:
        add(connection, "first")


def test_a_lock_that_another_process_holds_too_long(path: Path, file_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store counts as down; when the lock is free it serves again."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreDown, match=r"database is locked"), file_store.write():
            pass
        assert 0 == count(file_store)
    with file_store.write() as connection:
        add(connection, "first")
    assert 1 == count(file_store)


def test_a_full_disk_takes_back_what_did_not_fit(path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot grow stays as it was, and serves again when there is room."""
    pages = path.stat().st_size // 4096

    def fill(store: Store) -> None:
        with store.write() as connection:
            for number in range(1000):
                add(connection, f"{number}")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "PRAGMAS", (*sqlite.PRAGMAS, f"PRAGMA max_page_count = {pages}"))
        full = Store(sqlite_url)
        with pytest.raises(StoreDown, match=r"database or disk is full"):
            fill(full)
        full.close()
    again = Store(sqlite_url)
    assert 0 == count(again)
    again.close()


@pytest.mark.parametrize("forbidden", ["folder", "file"])
def test_a_store_that_may_not_be_written_says_so(sqlite_url: str, forbidden: str) -> None:
    """The text names the file and what to look at. The writer is not root, who may do everything."""
    another = [str(pwd.getpwnam("nobody").pw_uid)] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp())  # pytest's folders are closed to other users
    path = folder / "store.db"
    shutil.copy(sqlite_url.removeprefix(sqlite.PREFIX), path)
    folder.chmod(0o555 if forbidden == "folder" else 0o777)
    path.chmod(0o666 if forbidden == "folder" else 0o444)
    done = subprocess.run(
        [sys.executable, "-c", WRITER, f"sqlite:///{path}", *another], capture_output=True, text=True, check=False
    )
    folder.chmod(0o700)
    shutil.rmtree(folder)
    assert "" == done.stderr
    assert f"the SQLite file {path} cannot be used (" in done.stdout
    assert done.stdout.endswith("may this user write to it and to its folder?\n")


@pytest.mark.parametrize(
    ("code", "step", "expected"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "writing", StoreDown),
        (sqlite3.SQLITE_BUSY, "committing", StoreDown),
        (sqlite3.SQLITE_IOERR_FSYNC, "writing", StoreDown),
        (sqlite3.SQLITE_IOERR_FSYNC, "committing", CommitInDoubt),
        (sqlite3.SQLITE_FULL, "committing", CommitInDoubt),
        (sqlite3.SQLITE_READONLY, "writing", StoreDown),
        (sqlite3.SQLITE_READONLY, "reading", None),
        (sqlite3.SQLITE_NOTADB, "reading", WrongStore),
        (sqlite3.SQLITE_ERROR, "writing", None),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, "committing", None),
    ],
)
def test_what_a_result_code_means(code: int, step: Step, expected: type[StoreError] | None) -> None:
    """After a write or a sync that failed, the commit may stand in the file all the same; a refused lock left nothing."""
    error = sqlite3.OperationalError("text")
    error.sqlite_errorcode = code
    translated = sqlite.SQLite("sqlite:///x.db").translate(error, step)
    assert expected is (None if translated is None else type(translated))
