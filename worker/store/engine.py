"""The store of one process: short transactions that write, and reads beside them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import inspect, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from worker.store import schema
from worker.store.connections import Connections
from worker.store.errors import SchemaBehind, WrongStore
from worker.store.sqlite import PREFIX, SQLite
from worker.store.together import Together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from worker.store.database import Database, Dialect, Step
    from worker.store.statements import Work

__all__ = ["Store", "read_identity"]

T = TypeVar("T")


class Store:
    """The store at `url`. Nothing is opened before the first use, so that it can be made before a fork, but not used.

    Threads may share it. Statements that fail for a reason of the database's raise `StoreError`s; faults of our own,
    such as `sqlalchemy.exc.IntegrityError`, pass through as they are. Either way nothing of the transaction stays.

    Args:
        url: `sqlite:///` and a path, or `postgresql://user:password@host:port/database`.
        create: Whether to make a missing SQLite file, and its folder.

    Raises:
        StoreError: `url` cannot be understood.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self._database = _database(url, create=create)
        self._writers, self._readers = (
            Connections(self.name, size, partial(self._database.open, writes=writes), self._database.is_fresh)
            for size, writes in ((self._database.writers, True), (self._database.readers, False))
        )
        self._together = Together(self.name, self._carry_out, one_for_all=self._database.writers == 1)
        self._process: int | None = None
        self._id = ""

    @property
    def dialect(self) -> Dialect:
        """The kind of database."""
        return self._database.dialect

    @property
    def name(self) -> str:
        """What messages call it; without a password."""
        return self._database.name

    def write(self) -> AbstractContextManager[Connection]:
        """One short transaction, committed at the end of the block or, if that raises, rolled back.

        On SQLite it is the only one of this process, and excludes those of others: do nothing slow in it, and open no second
        one. On PostgreSQL it is READ COMMITTED.

        Raises:
            StoreDown: Nothing was committed.
            CommitInDoubt: Nobody knows whether it was.
            StoreError: Nothing was committed.
        """
        return self._transaction(self._database.begin, keep=True)

    def brief(self, work: Work[T]) -> T:
        """What a work comes to, once it is committed. It shares its transaction with those that come at the same time.

        Raises:
            StoreError: As for `write`.
        """
        return self._together.run(work)

    def migration(self) -> AbstractContextManager[Connection]:
        """The same for a migration: it may take minutes, and no other one runs beside it.

        Raises:
            StoreError: As for `write`.
        """
        return self._transaction(self._database.begin_migration, keep=False)  # its limits are not those of others

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that changes nothing; each of its statements sees what was committed when it began.

        Raises:
            StoreError: The store cannot be used.
        """
        connection = self._take(self._readers)
        try:
            yield connection
            connection.rollback()  # SQLAlchemy's idea of a transaction; the database has none
        except BaseException as error:
            self._end(self._readers, connection, error, "reading")
            raise
        self._readers.give_back(connection)

    @property
    def id(self) -> str:
        """The UUID of this store, which the first migration gave it.

        Raises:
            SchemaBehind: It was never migrated.
            StoreError: The store cannot be used.
        """
        self._id = self._id or self.identity()[0]
        return self._id

    def identity(self) -> tuple[str, int]:
        """The UUID of this store, and the number of its newest migration.

        Raises:
            SchemaBehind: It was never migrated.
            WrongStore: Somebody else's tables are in the database.
            StoreError: The store cannot be used.
        """
        with self.read() as connection:
            found = self._stored_identity(connection) or read_identity(connection, self.name)
        if found is None:
            raise SchemaBehind(f"{self.name} has no tables of sips-worker yet; run `sips-worker migrate`")
        return found

    def _stored_identity(self, connection: Connection) -> tuple[str, int] | None:
        """What stands in our table, without a look at the catalogue, which costs ten times as much; None if it is not as ours."""
        try:
            rows = connection.execute(select(schema.store.c.id, schema.store.c.schema_version)).all()
        except DBAPIError as error:
            if self._database.translate(error, "reading", connection) is not None:
                raise
            return None
        return (rows[0].id, rows[0].schema_version) if len(rows) == 1 else None

    def now(self) -> float:
        """The database's clock, in seconds since 1970.

        Raises:
            StoreError: The store cannot be used.
        """
        with self.read() as connection:
            seconds: float = connection.execute(select(schema.now())).scalar_one()
        return seconds

    def close(self) -> None:
        """Close what is open; what a thread still uses is closed when it is done."""
        self._writers.close()
        self._readers.close()

    @contextmanager
    def _transaction(self, begin: Callable[[Connection], None], *, keep: bool) -> Iterator[Connection]:
        connection = self._take(self._writers)
        step: Step = "writing"
        try:
            begin(connection)
            yield connection
            if not self._database.is_intact(connection):
                raise RuntimeError("a statement failed and its error was swallowed, so nothing can be committed")  # noqa: TRY301
            step = "committing"
            connection.commit()
        except BaseException as error:
            self._end(self._writers, connection, error, step)
            raise
        (self._writers.give_back if keep else self._writers.drop)(connection)

    def _carry_out(self, works: Sequence[Work[Any]]) -> list[Any]:
        """Works in one transaction."""
        connection = self._take(self._writers)
        step = self._database.work_step
        try:
            results = self._database.carry_out(connection, works)
            step = "committing"
            self._database.end_work(connection)
        except BaseException as error:
            # psycopg takes for prepared what a pipeline's server passed over, and would fail with it from then on.
            self._end(self._writers, connection, error, step, keep=False)
            raise
        self._writers.give_back(connection)
        return results

    def _take(self, connections: Connections) -> Connection:
        process = os.getpid()
        if self._process is None:
            self._process = process
        elif self._process != process:
            # SQLite's locks would not protect the file any more, and two processes would talk on one connection.
            raise RuntimeError("this store was used before the process was forked; make one in each process")
        try:
            return connections.take()
        except SQLAlchemyError as error:
            if translated := self._database.translate(error, "writing"):
                raise translated from error
            raise

    def _end(
        self, connections: Connections, connection: Connection, error: BaseException, step: Step, *, keep: bool = True
    ) -> None:
        """Roll back, and return the connection or drop it; raise what `error` means, if it is the database's."""
        translated = self._database.translate(error, step, connection)
        if _roll_back(connection) and translated is None and keep:
            connections.give_back(connection)
        else:
            connections.drop(connection)
        if translated:
            raise translated from error


def _database(url: str, *, create: bool) -> Database:
    if url.startswith(PREFIX):
        return SQLite(url, create=create)
    from worker.store.postgresql import PostgreSQL  # noqa: PLC0415 - its driver costs 9 MiB, which SQLite does not need

    return PostgreSQL(url)


def read_identity(connection: Connection, name: str) -> tuple[str, int] | None:
    """The store's UUID and the number of its newest migration; None where nothing was migrated yet."""
    tables = inspect(connection)
    if not tables.has_table(schema.store.name):
        return None
    columns = {column["name"] for column in tables.get_columns(schema.store.name)}
    is_ours = columns >= set(schema.store.c.keys())
    rows = connection.execute(select(schema.store.c.id, schema.store.c.schema_version)).all() if is_ours else []
    if len(rows) != 1:
        raise WrongStore(f"{name} has a table named store that is not ours; give sips-worker a database or schema of its own")
    return rows[0].id, rows[0].schema_version


def _roll_back(connection: Connection) -> bool:
    """Whether the connection is in no transaction any more, and can be used again."""
    try:
        connection.rollback()
        if not connection.invalidated:
            connection.connection.rollback()  # of a transaction that SQLAlchemy does not know of
    except Exception:  # noqa: BLE001 - whatever is wrong with it, another error is already on its way
        return False
    return not connection.invalidated
