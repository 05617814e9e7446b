"""What is wrong around a worker: one clear line says what to do, nothing is lost, and what can go on goes on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from tests.acceptance.conftest import settings_of
from tests.acceptance.test_commands import DELIVERY, SUBMIT, order, placed
from tests.acceptance.test_outage import waiting
from tests.amqp import count, eventually
from worker.local.stack import Worker
from worker.messaging.store_mark import mark_broker
from worker.messaging.topology import ORDERS
from worker.store import schema
from worker.store.engine import Store
from worker.store.migrate import SCHEMA_VERSION
from worker.store.orders import ROW_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox

#: Nobody listens there.
AWAY = "postgresql://user:secret@127.0.0.1:1/none"


def execute(url: str, statement: Any) -> None:
    """Change a store behind the workers' back."""
    with contextlib.closing(Store(url)) as store, store.write() as connection:
        connection.execute(statement)


def lines(worker: Worker, event: str) -> list[dict[str, Any]]:
    """The log lines of an event."""
    return [line for line in worker.lines() if line["event"] == event]


def test_while_the_database_is_away_orders_wait_and_reads_go_on(
    amqp_url: str, client: CommandClient, tap: EventTap, sandbox: Sandbox, make_worker: Callable[..., Worker]
) -> None:
    """From the start: the worker says so and takes no order, and none is lost."""
    first = make_worker(amqp_url, DATABASE_URL=AWAY)
    payload = order()
    submit = client.publish(SUBMIT, payload)
    read = client.publish(DELIVERY, {"orderId": "35818786"})

    assert f"{DELIVERY}.succeeded" == tap.outcome(read)["type"]
    (line,) = eventually(lambda: lines(first, "the store cannot be used; orders and timers wait"), "it says so")
    assert line["error"].startswith("the PostgreSQL database 127.0.0.1:1/none cannot be used (")
    text = first.log.read_text(encoding="utf-8")
    assert ("orders wait until it can be used" in text, "secret" in text) == (True, False)
    assert {ORDERS: 1} == waiting(amqp_url)

    make_worker(amqp_url)

    assert f"{SUBMIT}.succeeded" == tap.outcome(submit)["type"]
    assert 1 == len(placed(sandbox, payload))


@pytest.mark.parametrize(
    ("version", "line"),
    [
        (
            SCHEMA_VERSION - 1,
            f"has schema {SCHEMA_VERSION - 1} and this release needs {SCHEMA_VERSION}; run `sips-worker migrate`",
        ),
        (SCHEMA_VERSION + 2, f"has schema {SCHEMA_VERSION + 2} of a newer release, and this one knows "),
    ],
    ids=["behind", "ahead"],
)
def test_a_schema_that_is_behind_or_ahead_is_one_line_before_anything_starts(
    amqp_url: str, sqlite_url: str, make_worker: Callable[..., Worker], version: int, line: str
) -> None:
    """It would not be other for a process that is started again."""
    execute(sqlite_url, update(schema.store).values(schema_version=version))

    worker = make_worker(amqp_url)

    assert 2 == worker.wait(20)
    (said,) = worker.log.read_text(encoding="utf-8").splitlines()
    assert line in said
    assert said.startswith("sips-worker: the SQLite file ")


def test_a_row_of_a_newer_release_keeps_its_own_command_waiting_and_no_other(
    amqp_url: str, sqlite_url: str, client: CommandClient, tap: EventTap, make_worker: Callable[..., Worker]
) -> None:
    """For a worker of that release; the line names the row and what to do."""
    worker = make_worker(amqp_url, RETRY_MAX_SECONDS="900")
    submit = client.publish(SUBMIT, order())
    tap.outcome(submit)
    execute(sqlite_url, update(schema.orders).values(row_version=ROW_VERSION + 1))

    client.publish(SUBMIT, order(), extensions={"idempotencykey": submit})
    eventually(lambda: waiting(amqp_url) == {"delayed": 1}, "it waits in RabbitMQ")
    another = client.publish(SUBMIT, order())

    assert f"{SUBMIT}.succeeded" == tap.outcome(another)["type"]
    line = eventually(lambda: [line for line in lines(worker, "attempt") if line["outcome"] == "put-off"], "it is said")[0]
    assert submit in line["error"]
    assert line["error"].endswith(f"written by a newer release (row version {ROW_VERSION + 1}); upgrade this worker")
    assert [] == lines(worker, "the store failed")


def test_a_worker_with_another_store_takes_no_order(
    amqp_url: str, sqlite_url: str, tmp_path: Path, sandbox: Sandbox, client: CommandClient, tap: EventTap
) -> None:
    """It says what to do; reads need no store, and go on."""
    mark_broker(amqp_url, "the-one-that-was-first", heartbeat=5)
    with Worker("worker", tmp_path, settings_of(amqp_url, sandbox, sqlite_url)) as worker:
        client.publish(SUBMIT, order())
        read = client.publish(DELIVERY, {"orderId": "35818786"})

        assert f"{DELIVERY}.succeeded" == tap.outcome(read)["type"]
        (line,) = eventually(lambda: lines(worker, "orders are not taken"), "it says so")
    assert "error" == line["level"]
    assert line["error"].startswith(
        "this RabbitMQ belongs to another store: its orders are written down elsewhere. Point DATABASE_URL"
    )
    assert 1 == count(amqp_url, ORDERS)
