"""A store in a PostgreSQL database."""

from __future__ import annotations

import contextlib
import select
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from worker.store.errors import CommitInDoubt, StoreDown, StoreError
from worker.store.statements import first_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg.abc import Params, PQGen
    from sqlalchemy import Connection

    from worker.store.database import Dialect, Step
    from worker.store.statements import Work

__all__ = ["SCHEMES", "PostgreSQL"]

#: How an address begins.
SCHEMES = ("postgresql://", "postgres://")

#: Seconds for the server to answer a statement. A server that hangs, or a connection that a firewall forgot, would hold a
#: thread for ever: libpq waits without an end, and the kernel of a proxy acknowledges what nobody reads.
ANSWER_SECONDS = 6.0

#: Seconds after which the server itself ends a statement that reads.
READ_SECONDS = 5

#: Seconds for a lock that another transaction holds; ours hold theirs for milliseconds.
LOCK_SECONDS = 3

#: The same for one that others share, as they would all wait: then each goes alone.
SHARED_LOCK_SECONDS = 0.2

#: Seconds after which the server ends a transaction of ours that stands still, and frees its locks.
IDLE_SECONDS = 10

#: Seconds for one statement of a migration, and to wait for another migration.
MIGRATION_SECONDS = 600

#: Identifies our migrations among a database's advisory locks ("sips-wor" in ASCII).
MIGRATION_LOCK = 0x736970732D776F72

#: Where the address does not say otherwise: no standby will do, and what is dead is found out in seconds (`tcp_user_timeout`
#: counts milliseconds).
CONNECT = {
    "application_name": "sips-worker",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "target_session_attrs": "read-write",
    "tcp_user_timeout": "10000",
}

#: What every connection is set to. A commit returns when it is on disk, and on the synchronous standby if there is one: a
#: weaker `synchronous_commit` of the server's is raised, a stronger one stays. The server limits no statement that writes:
#: a limit that is met while COMMIT waits for the standby makes COMMIT succeed without it. The keepalives are the server's: it
#: waits for the rest of a pipeline that was cut off as if it were busy, and would hold its locks for hours.
SESSION = """
SELECT set_config('synchronous_commit',
           CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN 'on'
           ELSE current_setting('synchronous_commit') END, false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('default_transaction_read_only', %(read_only)s, false),
       set_config('statement_timeout', %(statement)s, false),
       set_config('lock_timeout', %(lock)s, false),
       set_config('idle_in_transaction_session_timeout', %(idle)s, false),
       set_config('tcp_keepalives_idle', '10', false),
       set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '3', false)
"""

#: SQLSTATE of a statement that writes where nothing may be written.
READ_ONLY = "25006"

#: SQLSTATEs, or the classes of them, which mean that the database cannot be used now (appendix A of PostgreSQL's manual):
#: connection, authorization, transaction rolled back to resolve a conflict, resources, not in the right state, intervention
#: of an operator, system, configuration, corrupted; and of other classes: read-only (a standby), a transaction cut off for
#: idling, no such database, permission denied.
AWAY = ("08", "28", "40", "53", "55", "57", "58", "F0", "XX", READ_ONLY, "25P03", "3D000", "42501")

RV = TypeVar("RV")


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that is given up when the server does not answer in time."""

    #: Seconds for one answer.
    limit = ANSWER_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """As `psycopg.Connection.wait`, through which all waiting goes; an error holds the server's first line alone.

        What follows there, such as DETAIL, holds values of rows.
        """
        try:
            return super().wait(gen, interval, timeout=self.limit if timeout is None else timeout)
        except psycopg.Error as error:
            if error.diag.message_primary:
                error.args = (error.diag.message_primary,)
            elif self.pgconn.transaction_status == TransactionStatus.ACTIVE:  # it still owes the answer
                self.pgconn.finish()
                error.args = (f"no answer within {self.limit:g} s",)
            raise


class PlainCursor(psycopg.Cursor[Any]):
    """A cursor that sends one statement after the other.

    psycopg's `executemany` sends them in a pipeline, whose last message makes the server forget that the transaction stands
    still: a connection that is lost right then would hold its locks for ever, and `IDLE_SECONDS` would not end it.
    """

    def executemany(self, query: Any, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        """Execute a statement once for each of the parameters; what it returns is not kept."""
        if returning:
            raise psycopg.NotSupportedError("statements that return rows are executed one by one")
        for parameters in params_seq:
            self.execute(query, parameters)


class PostgreSQL:
    """The `Database` of a PostgreSQL server.

    Args:
        url: `postgresql://user:password@host:port/database`, with any option of libpq as its query.

    Raises:
        StoreError: libpq does not understand `url`.
    """

    dialect: Dialect = "postgresql"
    writers, readers = 5, 3
    work_step: Step = "committing"

    def __init__(self, url: str) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError:  # its text may hold the password
            raise StoreError(
                "DATABASE_URL is not an address that PostgreSQL's client understands: special characters of the password "
                "must be percent-encoded, and options after ? be known to it"
            ) from None
        self._address = make_conninfo(url, **{option: value for option, value in CONNECT.items() if option not in given})
        where = f"{given.get('host', 'localhost')}:{given.get('port', 5432)}/{given.get('dbname', '')}"
        self.name = f"the PostgreSQL database {where}"
        common: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True, "use_native_hstore": False}
        self._writer = create_engine("postgresql+psycopg://", creator=self._connect, **common)
        self._reader = create_engine(
            "postgresql+psycopg://",
            creator=self._connect_to_read,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            **common,
        )

    def open(self, *, writes: bool) -> Connection:
        """Connect to the server."""
        return (self._writer if writes else self._reader).connect()

    def is_fresh(self, connection: Connection) -> bool:
        """Nothing waits to be read: a server that restarted has hung up, and one that stops has said so."""
        poll = select.poll()
        poll.register(_driver(connection).pgconn.socket, select.POLLIN)
        return not poll.poll(0)

    def begin(self, connection: Connection) -> None:
        """The driver begins none, so that a statement can be a transaction by itself."""
        connection.begin()
        _driver(connection).execute("BEGIN")

    def carry_out(self, connection: Connection, works: Sequence[Work[Any]]) -> list[Any]:
        """One statement each, and one answer of the server's for all: it comes when they are committed.

        Outside of a transaction, what is sent up to a pipeline's end is one.
        """
        driver, dialect = _driver(connection), connection.dialect
        statements = [statement for work in works for statement in work.statements(dialect)]
        assert len(statements) == len(works)  # noqa: S101 - what depends on a row is in its statement here
        sending = zip(statements, works, strict=True)
        if len(works) == 1:
            cursors = [statement.execute(driver, work.given) for statement, work in sending]
        else:
            with driver.pipeline():
                driver.execute("SELECT set_config('lock_timeout', %s, true)", [f"{SHARED_LOCK_SECONDS}s"])
                try:
                    cursors = [statement.execute(driver, work.given) for statement, work in sending]
                except BaseException:
                    # The pipeline ends all the same, and its end would commit those before a value that the driver refuses.
                    with contextlib.suppress(psycopg.Error):
                        driver.execute("ROLLBACK")
                    raise
        return [work.result(first_row(cursor)) for work, cursor in zip(works, cursors, strict=True)]

    def end_work(self, _connection: Connection) -> None:
        """They are committed."""

    def begin_migration(self, connection: Connection) -> None:
        """The lock ends with the transaction."""
        _driver(connection).limit = MIGRATION_SECONDS
        self.begin(connection)
        for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {setting} = '{MIGRATION_SECONDS}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})

    def is_intact(self, connection: Connection) -> bool:
        """Whether no statement failed."""
        return _driver(connection).pgconn.transaction_status != TransactionStatus.INERROR

    def translate(self, error: BaseException, step: Step, connection: Connection | None = None) -> StoreError | None:
        """By SQLSTATE; an error without one comes from the client, which has lost the server or never found it."""
        raw = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(raw, psycopg.Error):
            return None
        lost = error.connection_invalidated if isinstance(error, DBAPIError) else _is_lost(connection)
        nobody = raw.sqlstate is None and isinstance(raw, psycopg.OperationalError | psycopg.InterfaceError)
        if not (lost or nobody or (raw.sqlstate or "").startswith(AWAY)):
            return None
        if raw.sqlstate == READ_ONLY and step == "reading":  # we have forbidden it
            return None
        reason = " ".join(str(raw).split()).removeprefix("connection failed: ")
        advice = "" if raw.sqlstate else "; does it run, and is DATABASE_URL right?"
        if step == "committing" and lost:
            return CommitInDoubt(f"{self.name} was lost during a commit ({reason}), which may or may not have been made")
        return StoreDown(f"{self.name} cannot be used ({reason}){advice}")

    def _connect(self) -> LimitedConnection:
        return self._open(read_only="off", statement="0")

    def _connect_to_read(self) -> LimitedConnection:
        return self._open(read_only="on", statement=f"{READ_SECONDS}s")

    def _open(self, *, read_only: str, statement: str) -> LimitedConnection:
        connection = LimitedConnection.connect(self._address, autocommit=True, cursor_factory=PlainCursor)
        try:
            limits = {"statement": statement, "lock": f"{LOCK_SECONDS}s", "idle": f"{IDLE_SECONDS}s"}
            connection.execute(SESSION, limits | {"read_only": read_only})
        except BaseException:
            connection.close()
            raise
        return connection


def _is_lost(connection: Connection | None) -> bool:
    return connection is not None and not connection.invalidated and _driver(connection).closed


def _driver(connection: Connection) -> LimitedConnection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, LimitedConnection)  # noqa: S101 - opened above
    return driver
