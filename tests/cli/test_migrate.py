"""`sips-worker migrate`, as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg

from tests.databases import postgres_schema
from worker.store.migrate import SCHEMA_VERSION

if TYPE_CHECKING:
    from pathlib import Path


def migrate(folder: Path, url: str) -> tuple[int, str, str]:
    """Exit status, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", "migrate"],
        cwd=folder,
        env={"DATABASE_URL": url} if url else {},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_default_is_a_file_in_the_working_directory(tmp_path: Path) -> None:
    """It says what it has done, and the second time that there was nothing to do."""
    name = f"the SQLite file {tmp_path}/sips-worker.db"
    assert (0, f"migrated: {name} has schema {SCHEMA_VERSION} now, after none\n", "") == migrate(tmp_path, "")
    assert (0, f"nothing to do: {name} has schema {SCHEMA_VERSION}\n", "") == migrate(tmp_path, "")


def test_a_postgresql_database_is_migrated(tmp_path: Path, postgres_url: str) -> None:
    """As an SQLite file is; one that a newer release has migrated is left alone."""
    with postgres_schema(postgres_url) as url:
        status, output, error = migrate(tmp_path, url)
        assert (0, "") == (status, error)
        assert output.startswith("migrated: the PostgreSQL database ")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE store SET schema_version = %s", [SCHEMA_VERSION + 2])
        status, output, error = migrate(tmp_path, url)
    assert (2, "") == (status, output)
    assert error.endswith(
        f"has schema {SCHEMA_VERSION + 2} of a newer release, and this one knows {SCHEMA_VERSION} and {SCHEMA_VERSION + 1}; "
        "upgrade sips-worker\n"
    )
    assert 1 == error.count("\n")


def test_a_database_that_is_away_is_one_clear_line(tmp_path: Path) -> None:
    """Without the password."""
    status, output, error = migrate(tmp_path, "postgresql://user:secret@127.0.0.1:1/none")
    assert (2, "") == (status, output)
    assert error.startswith("sips-worker: the PostgreSQL database 127.0.0.1:1/none cannot be used (")
    assert 1 == error.count("\n")
    assert "secret" not in error
