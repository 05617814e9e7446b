"""Databases for tests: a schema of one's own in a PostgreSQL server, and an SQLite file."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from worker.store import schema
from worker.store.migrate import SCHEMA_VERSION
from worker.store.sqlite import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["contents", "empty", "postgres_schema", "with_options"]


@contextlib.contextmanager
def postgres_schema(url: str) -> Iterator[str]:
    """The address of a new schema in the database at `url`, dropped at the end with all that is in it."""
    name = f"sips_test_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    try:
        yield with_options(url, f"-csearch_path={name}")
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def with_options(url: str, options: str) -> str:
    """The address with further `options`, which the server sets for the session."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    query["options"] = f"{query.get('options', '')} {options}".strip()
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def empty(url: str) -> None:
    """Delete every row of a migrated PostgreSQL store, but the one that says which store it is and which schema it has."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE store SET schema_version = %s", [SCHEMA_VERSION])
        for table in schema.metadata.tables.values():
            if table is not schema.store:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))


def contents(url: str) -> bytes:
    """All that a store holds: the files of SQLite, its log and what was deleted included; every row of PostgreSQL's tables."""
    if url.startswith(PREFIX):
        file = Path(url.removeprefix(PREFIX))
        return b"".join(part.read_bytes() for part in file.parent.glob(f"{file.name}*"))
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        named = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        tables = [name for (name,) in cursor.execute(named).fetchall()]
        assert tables
        return b"".join(_rows(cursor, table) for table in tables)


def _rows(cursor: psycopg.Cursor, table: str) -> bytes:
    with cursor.copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as rows:
        return b"".join(bytes(row) for row in rows)
