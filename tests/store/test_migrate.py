"""Migrations, on both kinds of database."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from worker.store import postgresql, schema, sqlite
from worker.store.engine import Store
from worker.store.errors import SchemaAhead, SchemaBehind, StoreDown, StoreError, WrongStore
from worker.store.migrate import SCHEMA_VERSION, check, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent

#: Migrates and prints what it did.
MIGRATE = "import sys; from worker.store.migrate import migrate; print(migrate(sys.argv[1])[1:])"


@pytest.fixture
def empty_store(empty_url: str) -> Iterator[Store]:
    """A store that was never migrated; the file is made on the first use."""
    opened = Store(empty_url, create=True)
    yield opened
    opened.close()


def execute(store: Store, statement: str, **values: Any) -> None:
    """Write to the store by hand."""
    with store.write() as connection:
        connection.execute(text(statement), values)


def tables(store: Store) -> list[str]:
    """Every table of the database."""
    with store.read() as connection:
        return inspect(connection).get_table_names()


def test_the_migrations_make_the_schema(store: Store) -> None:
    """What they have made is what the code works with, down to the comments."""
    with store.read() as connection:
        assert [] == compare_metadata(MigrationContext.configure(connection), schema.metadata)


def test_the_newest_migration_has_the_number_of_the_schema() -> None:
    """They are numbered one by one, and each but the first follows another."""
    config = Config()
    config.set_main_option("script_location", "worker.store:migrations")
    numbers = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert [f"{number:04}" for number in range(SCHEMA_VERSION, 0, -1)] == numbers


def test_a_migrated_store_can_be_used(empty_url: str, empty_store: Store) -> None:
    """From no table to this release's schema."""
    with pytest.raises(SchemaBehind, match="has no tables of sips-worker yet; run `sips-worker migrate`"):
        check(empty_store)
    done = migrate(empty_url)
    assert (empty_store.name, 0, SCHEMA_VERSION) == done
    check(empty_store)


def test_a_store_of_the_release_before_is_extended(empty_url: str, empty_store: Store) -> None:
    """It remains the same store."""
    with empty_store.migration() as connection:
        settings = Config(attributes={"connection": connection})
        settings.set_main_option("script_location", "worker.store:migrations")
        command.upgrade(settings, f"{SCHEMA_VERSION - 1:04}")
        connection.execute(text("UPDATE store SET schema_version = :before"), {"before": SCHEMA_VERSION - 1})
    identity = empty_store.id
    assert (SCHEMA_VERSION - 1, SCHEMA_VERSION) == migrate(empty_url)[1:]
    check(empty_store)
    assert identity == empty_store.identity()[0]


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    """It remains the same store."""
    migrate(empty_url)
    first = Store(empty_url)
    identity = first.identity()
    first.close()
    assert (SCHEMA_VERSION, SCHEMA_VERSION) == migrate(empty_url)[1:]
    second = Store(empty_url)
    assert identity == second.identity()
    second.close()


def test_two_stores_are_told_apart(sqlite_url: str, tmp_path: Path) -> None:
    """Each gets a UUID of its own."""
    other_url = f"sqlite:///{tmp_path}/folder/other.db"
    migrate(other_url)
    one, other = Store(sqlite_url), Store(other_url)
    assert one.id != other.id
    one.close()
    other.close()


def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    """One does it, the others wait for it and find nothing to do."""
    processes = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, empty_url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    done = [process.communicate() for process in processes]
    assert [f"(0, {SCHEMA_VERSION})\n", *[f"({SCHEMA_VERSION}, {SCHEMA_VERSION})\n"] * 3] == sorted(said for said, _ in done)
    assert [""] * 4 == [error for _, error in done]


def test_a_migration_waits_for_another_longer_than_a_transaction_would(
    empty_url: str, empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take minutes to add an index."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(postgresql, "LOCK_SECONDS", 0.05)
    with ThreadPoolExecutor() as threads:
        with empty_store.migration():
            other = threads.submit(migrate, empty_url)
            wait([other], timeout=0.5)
        assert (0, SCHEMA_VERSION) == other.result()[1:]


def test_a_release_works_with_the_next_schema(store: Store, store_url: str) -> None:
    """So that a fleet is migrated first, and its workers replaced one by one; but it changes nothing in it."""
    execute(store, "UPDATE store SET schema_version = :next", next=SCHEMA_VERSION + 1)
    check(store)
    assert (SCHEMA_VERSION + 1, SCHEMA_VERSION + 1) == migrate(store_url)[1:]
    assert SCHEMA_VERSION + 1 == store.identity()[1]


def test_a_schema_that_is_too_new_is_left_alone(store: Store, store_url: str) -> None:
    """The text says which schemas this release knows, and to upgrade."""
    execute(store, "UPDATE store SET schema_version = :newer", newer=SCHEMA_VERSION + 2)
    expected = f"has schema {SCHEMA_VERSION + 2} of a newer release, .*; upgrade sips-worker"
    with pytest.raises(SchemaAhead, match=expected):
        check(store)
    with pytest.raises(SchemaAhead, match=expected):
        migrate(store_url)


def test_a_schema_that_is_too_old_says_what_to_do(store: Store) -> None:
    """Nothing works on it before the migration."""
    execute(store, "UPDATE store SET schema_version = :older", older=SCHEMA_VERSION - 1)
    with pytest.raises(SchemaBehind, match=f"needs {SCHEMA_VERSION}; run `sips-worker migrate`"):
        check(store)


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE store (id text)", "CREATE TABLE store (id text, schema_version integer)"],
)
def test_a_table_of_somebody_else_with_our_name(empty_url: str, empty_store: Store, statement: str) -> None:
    """Neither is it taken for ours, nor is anything made beside it."""
    execute(empty_store, statement)
    for use in (lambda: check(empty_store), lambda: migrate(empty_url)):
        with pytest.raises(WrongStore, match="give sips-worker a database or schema of its own"):
            use()
    assert ["store"] == tables(empty_store)


def test_another_table_of_somebody_else(empty_url: str, empty_store: Store) -> None:
    """It is found in the middle of a migration, which takes back what it has made so far."""
    execute(empty_store, "CREATE TABLE orders (name text)")
    with pytest.raises(StoreError, match=r"already exists.*has it tables of somebody else"):
        migrate(empty_url)
    assert ["orders"] == tables(empty_store)


def test_a_database_that_is_away_is_not_migrated(tmp_path: Path) -> None:
    """Nor is a folder made where none can be."""
    (tmp_path / "file").touch()
    for url in ("postgresql://u:p@127.0.0.1:1/none", f"sqlite:///{tmp_path}/file/store.db"):
        with pytest.raises(StoreDown):
            migrate(url)


def test_the_migrations_are_part_of_the_wheel(tmp_path: Path) -> None:
    """Whoever installs the package can migrate."""
    build = f"from hatchling.build import build_wheel; build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    folder = ROOT / "worker" / "store" / "migrations"
    needed = [folder / "env.py", folder / "script.py.mako", *(folder / "versions").glob("0*.py")]
    assert {str(path.relative_to(ROOT)) for path in needed} <= set(zipfile.ZipFile(wheel).namelist())
