"""Transactions, on both kinds of database alike."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, literal, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from tests.store.rows import KIND, add, count, counter
from worker.store import connections
from worker.store.engine import Store
from worker.store.errors import StoreDown, StoreError
from worker.store.migrate import SCHEMA_VERSION
from worker.store.schema import now, timers

if TYPE_CHECKING:
    from pathlib import Path

#: Threads of one process that each make increments, one transaction for each, which reads before it writes.
WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from sqlalchemy import select
from tests.store.rows import increment
from worker.store.engine import Store
from worker.store.schema import timers

store = Store(sys.argv[1])

def work(_number):
    for _ in range(int(sys.argv[3])):
        with store.write() as connection:
            connection.execute(select(timers)).all()
            increment(connection, "shared")

with ThreadPoolExecutor(int(sys.argv[2])) as threads:
    list(threads.map(work, range(int(sys.argv[2]))))
store.close()
"""

#: A store that is made before a fork, and used in both processes, or before the fork as well.
FORK = """
import os, sys, traceback
from tests.store.rows import add
from worker.store.engine import Store

store = Store(sys.argv[1])
if sys.argv[2] == "used":
    assert store.id
children = []
for number in range(2):
    child = os.fork()
    if child == 0:
        try:
            for row in range(20):
                with store.write() as connection:
                    add(connection, f"{number}-{row}")
            status = 0
        except RuntimeError as error:
            os.write(1, f"{error}\\n".encode())
            status = 3
        except BaseException:
            traceback.print_exc()
            status = 1
        finally:
            os._exit(status)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def run(program: str, *arguments: str) -> str:
    """The output of a program in Python."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=120
    ).stdout


def test_what_a_block_writes_is_committed(store: Store) -> None:
    """All of it, at its end."""
    with store.write() as connection:
        add(connection, "first")
        add(connection, "second")
    assert 2 == count(store)


def test_a_block_that_raises_leaves_nothing(store: Store) -> None:
    """Whatever it raised comes out as it is, and the next transaction is not disturbed."""

    def interrupted() -> None:
        with store.write() as connection:
            add(connection, "first")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert 0 == count(store)
    with store.write() as connection:
        add(connection, "first")
    assert 1 == count(store)


def test_readers_see_what_is_committed(store: Store) -> None:
    """While a transaction writes, another connection sees what was there before."""
    with store.write() as connection:
        add(connection, "first")
        assert 0 == count(store)
    assert 1 == count(store)


def test_two_reads_of_one_block_may_differ(store: Store) -> None:
    """Each statement sees what was committed when it began."""
    with store.read() as connection:
        assert [] == connection.execute(select(timers.c.ref)).all()
        with store.write() as writing:
            add(writing, "first")
        assert [("first",)] == connection.execute(select(timers.c.ref)).all()


def test_a_reader_cannot_write(store: Store) -> None:
    """It is refused as a fault of ours, not as a database that is down; then it reads on."""
    with pytest.raises(DBAPIError, match=r"(?i)read-?only"), store.read() as connection:
        add(connection, "first")
    assert 0 == count(store)


def test_a_fault_of_ours_passes_through_without_its_values(store: Store) -> None:
    """A broken constraint is an IntegrityError, whose text shows no value of a row; nothing of its transaction stays."""
    with store.write() as connection:
        add(connection, "secret-value")

    def repeat() -> None:
        with store.write() as connection:
            add(connection, "other")
            add(connection, "secret-value")

    with pytest.raises(IntegrityError) as caught:
        repeat()
    assert "secret-value" not in str(caught.value)
    assert 1 == count(store)


def test_a_wrong_statement_passes_through(store: Store) -> None:
    """It would be wrong for as long as the database is up."""
    with pytest.raises(SQLAlchemyError, match="no_such_table"), store.write() as connection:
        connection.execute(text("SELECT * FROM no_such_table"))


def test_a_block_can_go_on_after_a_savepoint(store: Store) -> None:
    """A statement that may fail is taken back alone."""
    with store.write() as connection:
        add(connection, "first")
        with pytest.raises(IntegrityError), connection.begin_nested():
            add(connection, "first")
        add(connection, "second")
    assert 2 == count(store)


def test_no_value_is_shown_where_the_driver_refuses_one(store: Store) -> None:
    """A value of a wrong type is a fault of ours, and stays out of the text."""
    with pytest.raises(SQLAlchemyError) as caught, store.write() as connection:
        connection.execute(insert(timers).values(kind=KIND, ref={"secret-value": 1}, due=0, claims=0))
    assert "secret-value" not in str(caught.value)


def test_the_clock_is_the_databases(store: Store) -> None:
    """In seconds since 1970, and going on within one transaction."""
    with store.write() as connection:
        first, second = (connection.execute(select(now(), literal(1))).one()[0] for _ in range(2))
    assert isinstance(first, float)
    assert 1_700_000_000 < first <= second


def test_the_identity_is_read_once(store: Store) -> None:
    """It is a UUID, and known from then on without the database."""
    first = store.id
    assert 36 == len(first)
    with store.write() as connection:
        connection.execute(text("UPDATE store SET id = 'other'"))
    assert first == store.id
    assert ("other", SCHEMA_VERSION) == store.identity()
    with store.write() as connection:
        connection.execute(text("UPDATE store SET id = :id"), {"id": first})


def test_its_name_hides_the_password(store: Store) -> None:
    """It says which database it is."""
    assert {"sqlite": "the SQLite file /", "postgresql": "the PostgreSQL database "}[store.dialect] in store.name
    assert "@" not in store.name


def test_a_closed_store_stays_closed(store: Store) -> None:
    """What is in use at that moment may end."""
    with store.write() as connection:
        add(connection, "first")
        store.close()
        add(connection, "second")
    for use in (store.read, store.write):
        with pytest.raises(RuntimeError, match="closed"), use():
            pass


def test_who_waits_for_a_connection_too_long_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every connection is in use and stays so, the store counts as down; it serves again when one is returned."""
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.05)
    with ExitStack() as busy:
        for _ in range(store._database.writers):
            busy.enter_context(store.write())
        with pytest.raises(StoreDown, match=r"is overloaded or hangs \((the|all 5) connection"), store.write():
            pass
        assert 0 == count(store)
    with store.write() as connection:
        add(connection, "first")


def test_threads_of_two_processes_write_at_once(store: Store, store_url: str) -> None:
    """Each transaction is made once, and none fails because another one is under way."""
    processes, threads, transactions = 2, 16, 20
    with store.write() as connection:
        add(connection, "shared")
    arguments = [store_url, str(threads), str(transactions)]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, *arguments], stderr=subprocess.PIPE) for _ in range(processes)]
    assert [b""] * processes == [writer.communicate()[1] for writer in writers]
    assert processes * threads * transactions == counter(store, "shared")


def test_a_store_made_before_a_fork_works_after_it(store: Store, store_url: str) -> None:
    """Nothing is opened before the first use, so that every process gets connections of its own."""
    assert "[0, 0]\n" == run(FORK, store_url, "unused")
    assert 40 == count(store)


def test_a_store_used_before_a_fork_is_refused_after_it(store: Store, store_url: str) -> None:
    """A connection that two processes share would mix their statements, and undo SQLite's locks."""
    refusal = "this store was used before the process was forked; make one in each process\n"
    assert f"{refusal * 2}[3, 3]\n" == run(FORK, store_url, "used")
    assert 0 == count(store)


def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    """A store can be made while its database is away."""
    for url in (f"sqlite:///{tmp_path}/missing.db", "postgresql://u:p@127.0.0.1:1/none"):
        store = Store(url)
        with pytest.raises(StoreError), store.write():
            pass
    assert [] == list(tmp_path.iterdir())
