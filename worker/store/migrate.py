"""Bring the database to this release's schema, or tell that it is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from worker.store import schema
from worker.store.engine import Store, read_identity
from worker.store.errors import SchemaAhead, SchemaBehind, StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["SCHEMA_VERSION", "Migrated", "check", "migrate"]

#: The number of the newest migration in `migrations/versions`. A release runs on the schema of this number, and on the next
#: one, so that a fleet can be migrated before its workers are replaced one by one.
SCHEMA_VERSION = 3


class Migrated(NamedTuple):
    """What a migration did: to which database, and the number of its schema before (0 = none) and after."""

    name: str
    before: int
    after: int


def check(store: Store) -> None:
    """Return if this release can work with the database.

    Raises:
        SchemaBehind: It must be migrated.
        SchemaAhead: It was migrated for a newer release.
        StoreError: The store cannot be used.
    """
    version = store.identity()[1]
    if version < SCHEMA_VERSION:
        raise SchemaBehind(
            f"{store.name} has schema {version} and this release needs {SCHEMA_VERSION}; run `sips-worker migrate`"
        )
    _not_ahead(store.name, version)


def migrate(url: str) -> Migrated:
    """Bring the database at `url` to this release's schema; a missing SQLite file is made. Several may do so at once.

    Raises:
        SchemaAhead: It was migrated for a newer release; nothing was changed.
        StoreError: It could not be migrated; nothing was changed.
    """
    store = Store(url, create=True)
    try:
        with store.migration() as connection:
            found = read_identity(connection, store.name)
            before = found[1] if found else 0
            _not_ahead(store.name, before)
            if before < SCHEMA_VERSION:
                _upgrade(connection)
    except DBAPIError as error:
        raise StoreError(f"{store.name} could not be migrated ({error.orig}); has it tables of somebody else?") from error
    finally:
        store.close()
    return Migrated(store.name, before, max(before, SCHEMA_VERSION))


def _upgrade(connection: Connection) -> None:
    from alembic import command, config  # noqa: PLC0415 - costs a worker 9 MiB, and it only checks

    settings = config.Config(attributes={"connection": connection})
    settings.set_main_option("script_location", "worker.store:migrations")
    command.upgrade(settings, "head")
    connection.execute(update(schema.store).values(schema_version=SCHEMA_VERSION))


def _not_ahead(name: str, version: int) -> None:
    if version > SCHEMA_VERSION + 1:
        raise SchemaAhead(
            f"{name} has schema {version} of a newer release, and this one knows {SCHEMA_VERSION} and {SCHEMA_VERSION + 1}; "
            "upgrade sips-worker"
        )
