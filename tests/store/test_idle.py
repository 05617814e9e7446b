"""A transaction whose connection is lost in the middle does not hold its locks for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import insert

from tests.amqp import eventually
from tests.store.making import new_order
from worker.store import postgresql
from worker.store.engine import Store
from worker.store.errors import StoreDown
from worker.store.recording import writing_down
from worker.store.schema import now, timers

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection


def one(connection: Connection) -> None:
    """Write one row."""
    connection.execute(insert(timers).values(kind="a", ref="1", due=now(), claims=0))


def many(connection: Connection) -> None:
    """Write several rows at once."""
    rows = [{"kind": "a", "ref": "1", "claims": 0}, {"kind": "a", "ref": "2", "claims": 0}]
    connection.execute(insert(timers).values(due=now()), rows)


@pytest.mark.parametrize("write", [one, many])
def test_the_server_ends_a_transaction_that_stands_still(
    postgresql_url: str, write: Callable[[Connection], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its last statement was; else nobody could touch the order's row again."""
    monkeypatch.setattr(postgresql, "IDLE_SECONDS", 1)
    store = Store(postgresql_url)
    with pytest.raises(StoreDown):
        stand_still_after(write, store, postgresql_url)
    store.close()


def test_also_after_orders_have_shared_a_transaction(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They went over the same connection in a pipeline, which is a transaction that ends with it."""
    monkeypatch.setattr(postgresql, "IDLE_SECONDS", 1)
    store = Store(postgresql_url)
    assert all(store._carry_out([writing_down(new_order(), owner="me", lease_seconds=60) for _ in range(2)]))
    with pytest.raises(StoreDown):
        stand_still_after(one, store, postgresql_url)
    store.close()


def stand_still_after(write: Callable[[Connection], None], store: Store, url: str) -> None:
    """Stop in the middle of a transaction until the server has ended it, then go on."""
    with psycopg.connect(url, autocommit=True) as other, store.write() as connection:
        own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        write(connection)
        eventually(lambda: not is_there(other, own), "the server has ended it")


def is_there(connection: psycopg.Connection, backend: int) -> bool:
    """Whether the server has a session with this process id."""
    return connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [backend]).fetchone() is not None
