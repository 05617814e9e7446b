"""What can happen to a PostgreSQL server and to the connections with it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import text

from tests.amqp import eventually
from tests.databases import with_options
from tests.store.making import new_order
from tests.store.rows import add, count, increment
from worker.store import postgresql
from worker.store.engine import Store
from worker.store.errors import CommitInDoubt, StoreDown, StoreError
from worker.store.ledger import Ledger
from worker.store.postgresql import LimitedConnection
from worker.store.recording import writing_down

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.local.postgres import PostgresCluster
    from worker.store.orders import NewOrder


@pytest.fixture
def server_store(postgresql_url: str) -> Iterator[Store]:
    """A migrated store that is empty."""
    opened = Store(postgresql_url)
    yield opened
    opened.close()


@pytest.fixture
def stoppable_store(stoppable_url: str) -> Iterator[Store]:
    """The same in a server that the test may stop; a row was written, so that a connection lies idle."""
    opened = Store(stoppable_url)
    with opened.write() as connection:
        add(connection, "before")
    assert 1 == count(opened)
    yield opened
    opened.close()


def setting(store: Store, name: str) -> str:
    """What a connection that writes is set to."""
    with store.write() as connection:
        return str(connection.execute(text(f"SHOW {name}")).scalar_one())


def backend(connection: object) -> int:
    """The server's process that serves a connection of SQLAlchemy's."""
    return int(connection.connection.driver_connection.info.backend_pid)  # type: ignore[attr-defined]


@contextmanager
def missing_standby(url: str) -> Iterator[None]:
    """Commits wait for a synchronous standby that is not there."""
    with psycopg.connect(url, autocommit=True) as administrator:
        try:
            administrator.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'")
            administrator.execute("SELECT pg_reload_conf()")
            yield
        finally:
            administrator.execute("ALTER SYSTEM RESET synchronous_standby_names")
            administrator.execute("SELECT pg_reload_conf()")


def test_a_server_that_is_away(stoppable_store: Store, postgres: PostgresCluster) -> None:
    """Nothing is written while it is away, and the text tells where it should be."""
    postgres.stop()
    for use in (stoppable_store.write, stoppable_store.read):
        # Refused; or closed, for as long as a child of the server that dies with it has its socket open.
        with pytest.raises(StoreDown, match=rf"127\.0\.0\.1:{postgres.port}.*(refused|closed).*DATABASE_URL"), use():
            pass
    postgres.start()
    assert 1 == count(stoppable_store)


def test_a_restart_between_two_transactions_goes_unnoticed(stoppable_store: Store, postgres: PostgresCluster) -> None:
    """An idle connection that the server has closed is replaced before it is used."""
    postgres.restart()
    with stoppable_store.write() as connection:
        add(connection, "after")
    assert 2 == count(stoppable_store)


def test_a_restart_within_a_transaction_takes_it_back(stoppable_store: Store, postgres: PostgresCluster) -> None:
    """The one that was cut raises, and only that one."""

    def cut() -> None:
        with stoppable_store.write() as connection:
            add(connection, "cut")
            postgres.restart()
            add(connection, "too late")

    with pytest.raises(StoreDown) as caught:
        cut()
    assert StoreDown is type(caught.value)
    assert 1 == count(stoppable_store)
    with stoppable_store.write() as connection:
        add(connection, "cut")


def test_an_administrator_ends_a_connection(server_store: Store, postgresql_url: str) -> None:
    """As with a restart: what it was doing is taken back, and the next transaction works."""

    def ended() -> None:
        with server_store.write() as connection:
            add(connection, "first")
            with psycopg.connect(postgresql_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", [backend(connection)])
            add(connection, "second")

    with pytest.raises(StoreDown, match="terminat"):
        ended()
    assert 0 == count(server_store)
    with server_store.write() as connection:
        add(connection, "first")


def test_a_server_that_does_not_answer_is_given_up(server_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread is not held for as long as the server hangs; its connection is not used again."""
    with server_store.write() as connection:
        first = backend(connection)
    with monkeypatch.context() as patch:
        patch.setattr(LimitedConnection, "limit", 0.2)
        with pytest.raises(StoreDown, match=r"no answer within 0\.2 s"), server_store.write() as connection:
            connection.execute(text("SELECT pg_sleep(600)"))
    with server_store.write() as connection:
        add(connection, "next")
        assert first != backend(connection)


def test_a_commit_without_an_answer_is_in_doubt(
    stoppable_store: Store, postgres: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a synchronous standby is away, a commit hangs, and may stand later: it does here."""
    monkeypatch.setattr(LimitedConnection, "limit", 0.5)
    attempts = 0

    def commit() -> None:  # until the server has noticed that there should be a standby
        nonlocal attempts
        while attempts < 1000:
            attempts += 1
            with stoppable_store.write() as connection:
                add(connection, f"{attempts}")

    with missing_standby(postgres.url), pytest.raises(CommitInDoubt, match="may or may not have been made"):
        commit()
    eventually(lambda: 1 + attempts == count(stoppable_store), "the doubtful commit stands")


@pytest.mark.parametrize("number", [1, 2], ids=["alone", "together"])
def test_a_claim_without_an_answer_is_in_doubt(
    stoppable_store: Store, postgres: PostgresCluster, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A statement that commits itself may stand like a commit, alone or with others: the orders must be looked up."""
    monkeypatch.setattr(LimitedConnection, "limit", 0.5)
    claimed: list[NewOrder] = []

    def claim() -> None:  # until the server has noticed that there should be a standby
        for _ in range(1000):
            claimed[:] = [new_order() for _ in range(number)]
            stoppable_store._carry_out([writing_down(order, owner="me", lease_seconds=60) for order in claimed])

    with missing_standby(postgres.url), pytest.raises(CommitInDoubt, match="may or may not have been made"):
        claim()
    ledger = Ledger(stoppable_store)
    eventually(lambda: all(ledger.find(order.key) for order in claimed), "the doubtful claims stand")


def test_an_order_whose_row_is_locked_does_not_hold_up_others(
    server_store: Store, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they share is given up soon, without a doubt: each is free to go alone."""
    monkeypatch.setattr(postgresql, "LOCK_SECONDS", 60)
    first, locked = new_order(), new_order()
    works = [writing_down(order, owner="me", lease_seconds=60) for order in (first, locked)]
    with psycopg.connect(postgresql_url) as other:
        other.execute("LOCK TABLE orders")
        with pytest.raises(StoreDown, match="lock timeout") as caught:
            server_store._carry_out(works)
    assert StoreDown is type(caught.value)
    ledger = Ledger(server_store)
    assert [None, None] == [ledger.find(order.key) for order in (first, locked)]
    assert "1min" == setting(server_store, "lock_timeout")


def test_a_limit_of_the_servers_does_not_make_a_commit_succeed(stoppable_url: str) -> None:
    """A statement limit, met while COMMIT waits for a standby, would end the waiting and report success; it is lifted."""
    store = Store(with_options(stoppable_url, "-cstatement_timeout=100"))
    assert "0" == setting(store, "statement_timeout")
    store.close()


@pytest.mark.parametrize(
    ("given", "expected"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")],
)
def test_a_commit_is_durable_whatever_the_server_is_set_to(postgresql_url: str, given: str, expected: str) -> None:
    """A weaker setting is raised, a stronger one stays."""
    store = Store(with_options(postgresql_url, f"-csynchronous_commit={given}"))
    assert expected == setting(store, "synchronous_commit")
    store.close()


def test_a_row_that_is_locked_too_long(server_store: Store, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for it is told that the store is down, and keeps nothing."""
    monkeypatch.setattr(postgresql, "LOCK_SECONDS", 0.05)
    with server_store.write() as connection:
        add(connection, "shared")

    with psycopg.connect(postgresql_url) as other:
        other.execute("SELECT * FROM timers FOR UPDATE")
        with pytest.raises(StoreDown, match="lock timeout"), server_store.write() as connection:
            increment(connection, "shared")
    with server_store.write() as connection:
        increment(connection, "shared")


def test_a_transaction_that_stands_still_is_ended(server_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was frozen in a transaction does not keep its locks from the others."""
    monkeypatch.setattr(postgresql, "IDLE_SECONDS", 0.05)

    def stand_still() -> None:
        with server_store.write() as connection:
            add(connection, "first")
            driver = connection.connection.driver_connection
            assert isinstance(driver, LimitedConnection)
            ended = threading.Event()
            while server_store._database.is_fresh(connection):
                ended.wait(0.01)
            add(connection, "second")

    with pytest.raises(StoreDown, match="idle-in-transaction"):
        stand_still()
    assert 0 == count(server_store)


def test_a_failed_statement_cannot_be_swallowed(server_store: Store) -> None:
    """PostgreSQL answers the commit with a rollback, and says that all is well."""

    def swallow() -> None:
        with server_store.write() as connection:
            add(connection, "first")
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.connection.cursor().execute("INSERT INTO timers SELECT * FROM timers")

    with pytest.raises(RuntimeError, match="nothing can be committed"):
        swallow()
    assert 0 == count(server_store)


def test_a_wrong_password_is_not_shown(postgres: PostgresCluster) -> None:
    """The text says that it is wrong, and for whom."""
    store = Store(postgres.start().url.replace("sips:", "sips:secret-value"))
    with pytest.raises(StoreDown, match='password authentication failed for user "sips"') as caught:
        _ = store.id
    assert "secret-value" not in str(caught.value)
    assert "secret-value" not in str(caught.value.__cause__)


def test_a_database_that_does_not_exist(postgres: PostgresCluster) -> None:
    """It is named."""
    with pytest.raises(StoreDown, match='database "nowhere" does not exist'):
        _ = Store(postgres.start().url.replace("/postgres", "/nowhere")).id


@pytest.mark.parametrize("rest", ["secret%zzvalue@host/database", "secret-value@host/database?no_option=1"])
def test_an_address_that_cannot_be_read_is_not_shown(rest: str) -> None:
    """What the driver says of it may hold the password."""
    with pytest.raises(StoreError, match="percent-encoded") as caught:
        Store(f"postgresql://user:{rest}")
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_table_that_may_not_be_read(stoppable_url: str) -> None:
    """A person can mend it; until then nothing is lost."""
    with psycopg.connect(stoppable_url, autocommit=True) as administrator:
        administrator.execute("CREATE ROLE sips_test_nobody")
        administrator.execute(
            "DO 'BEGIN EXECUTE format(''GRANT USAGE ON SCHEMA %I TO sips_test_nobody'', current_schema()); END'"
        )
        try:
            store = Store(with_options(stoppable_url, "-crole=sips_test_nobody"))
            with pytest.raises(StoreDown, match="permission denied for table timers"), store.write() as connection:
                add(connection, "first")
            store.close()
        finally:
            administrator.execute("DROP OWNED BY sips_test_nobody")
            administrator.execute("DROP ROLE sips_test_nobody")


def test_a_statement_of_a_migration_may_take_minutes(server_store: Store) -> None:
    """An index on a large table does."""
    with server_store.migration() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, LimitedConnection)
        assert 600 == driver.limit
    with server_store.write() as connection:
        assert connection.connection.driver_connection is not driver


def test_a_process_has_eight_connections_at_most(server_store: Store) -> None:
    """However many threads it has; a database serves many processes."""
    assert 8 >= server_store._database.writers + server_store._database.readers
