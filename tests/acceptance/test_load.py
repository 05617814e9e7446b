"""A full ledger and a full delay ladder leave throughput and memory as they were."""

from __future__ import annotations

import json
import shutil
import statistics
import time
import uuid
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pika
import pytest
from sqlalchemy import insert, text

from tests.acceptance.conftest import SOURCE, example, settings_of
from tests.acceptance.test_commands import PRICES, SUBMIT, order
from tests.acceptance.test_outage import processor_seconds
from tests.acceptance.test_process import children, consuming
from tests.amqp import EventTap, count, eventually, forget_the_store, purge
from tests.databases import postgres_schema
from tests.orders import new
from worker.local.rabbitmq import RabbitMQNode
from worker.local.stack import Worker
from worker.main import make_topology
from worker.messaging.connection import parameters
from worker.messaging.topology import COMMANDS, DELAY_SECONDS, QUERIES, delay_exchange
from worker.store import schema
from worker.store.engine import Store
from worker.store.migrate import migrate
from worker.store.orders import ROW_VERSION, NewOrder
from worker.store.transitions import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from worker.local.stack import Sandbox

#: What one of the two installations has to carry.
ROWS, DELAYED = 100_000, 20_000

#: Rounds for each installation, in turn, and the commands of one; the first round of each warms it up.
ROUNDS, READS, ORDERS = 10, 300, 100

#: Rows that are written at a time.
BATCH = 5_000


@dataclass(slots=True)
class Installation:
    """A RabbitMQ, a store and a worker."""

    url: str
    worker: Worker
    tap: EventTap
    rates: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The process that works."""
        (working,) = children(self.worker.process.pid)
        return working

    def round(self) -> None:
        """Have commands carried out: how many in a second, and for how much of the worker's CPU time each."""
        expected = len(self.tap.events) + READS + 2 * ORDERS  # an order is told as confirmed as well
        before, started = processor_seconds(self.pid), time.monotonic()
        reads = [(COMMANDS, PRICES, PRICES, example("productsV2Price.request"))] * READS
        orders = [(COMMANDS, SUBMIT, SUBMIT, order()) for _ in range(ORDERS)]
        publish_all(self.url, [message for pair in zip(reads[:ORDERS], orders, strict=True) for message in pair] + reads[ORDERS:])
        self.tap.wait(lambda events: len(events) >= expected, "all outcomes are there", patience=120)
        self.rates.append((READS + ORDERS) / (time.monotonic() - started))
        self.milliseconds.append(1000 * (processor_seconds(self.pid) - before) / (READS + ORDERS))

    def mebibytes(self) -> float:
        """The memory of the process that works."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def publish_all(url: str, messages: Iterable[tuple[str, str, str, Any]]) -> None:
    """Publish plain commands, given as exchange, routing key, type and payload, as fast as RabbitMQ takes them.

    One transaction stands in for the confirms: what is not confirmed can be lost when a channel is closed behind it.
    """
    with closing(pika.BlockingConnection(parameters(url, name="load", heartbeat=60))) as connection:
        opened = connection.channel()
        opened.tx_select()
        for exchange, routing_key, kind, payload in messages:
            properties = pika.BasicProperties(type=kind, message_id=uuid.uuid4().hex, app_id=SOURCE, delivery_mode=2)
            opened.basic_publish(exchange, routing_key, orjson.dumps(payload), properties)
        opened.tx_commit()


def fill_ladder(url: str) -> None:
    """Delay reads for a day and a half."""
    delay = delay_exchange(DELAY_SECONDS[-1])
    publish_all(url, [(delay, QUERIES, PRICES, example("productsV2Price.request"))] * DELAYED)
    eventually(lambda: count(url, delay) == DELAYED, "all of them wait")


def fill_ledger(url: str) -> None:
    """Orders of the last 400 days that were confirmed, with what was said of them."""
    now, body = time.time(), "x" * 1024
    with closing(Store(url)) as store:
        for first in range(0, ROWS, BATCH):
            rows, said = [], []
            for number in range(first, first + BATCH):
                made, at = new(f"old-{number}", base_url="https://sips.example"), now - number * 345.0
                rows.append(
                    {name: getattr(made, name) for name in NewOrder.__slots__}
                    | {"state": State.CONFIRMED, "run": 1, "row_version": ROW_VERSION, "resubmitted": False, "attempts": 1}
                    | {"looks": 0, "order_id": str(10_000_000 + number), "created_at": at, "updated_at": at, "ended_at": at}
                )
                event = {"id": f"event-{number}", "key": made.key, "type": f"{SUBMIT}.succeeded", "run": 1, "body": body}
                said.append(event | {"created_at": at, "published_at": at})
            with store.write() as connection:
                connection.execute(insert(schema.orders), rows)
                connection.execute(insert(schema.events), said)
        with store.write() as connection:
            connection.execute(text("ANALYZE"))  # as the database does by itself after a while


@pytest.fixture(scope="module")
def another_node() -> Iterator[RabbitMQNode]:
    """A second private RabbitMQ."""
    with RabbitMQNode() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two empty stores of a kind."""
    if request.param == "sqlite":
        first, second = (shutil.copy(migrated_file, tmp_path / f"{name}.db") for name in ("bare", "laden"))
        yield f"sqlite:///{first}", f"sqlite:///{second}"
        return
    url = request.getfixturevalue("postgres_url")
    with postgres_schema(url) as bare, postgres_schema(url) as laden:
        for each in (bare, laden):
            migrate(each)
        yield bare, laden


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_full_ledger_and_a_full_ladder_cost_neither_speed_nor_memory(
    private_url: str, another_node: RabbitMQNode, databases: tuple[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    """100 000 orders in the ledger and 20 000 delayed messages, against none; in turn, so that both see the same machine."""
    with closing(pika.BlockingConnection(parameters(another_node.url, name="tests", heartbeat=60))) as connection:
        make_topology().declare(connection.channel())
    purge(another_node.url)
    fill_ledger(databases[1])
    fill_ladder(another_node.url)
    with ExitStack() as stack:
        installations = []
        for name, url, database in zip(("bare", "laden"), (private_url, another_node.url), databases, strict=True):
            forget_the_store(url)
            worker = stack.enter_context(Worker(name, tmp_path, settings_of(url, sandbox, database)))
            consuming(worker)
            installations.append(Installation(url, worker, stack.enter_context(EventTap(url))))
        for _ in range(ROUNDS):
            for installation in installations:
                installation.round()
        rate, cost = ([statistics.median(getattr(one, what)[1:]) for one in installations] for what in ("rates", "milliseconds"))
        memory = [one.mebibytes() for one in installations]
    figures = {
        "proof": "load",
        "database": databases[0].partition(":")[0],
        "ledger_rows": ROWS,
        "delayed": DELAYED,
        "commands_per_second": [round(one, 1) for one in rate],
        "throughput_ratio": round(rate[1] / rate[0], 3),
        "cpu_ms_per_command": [round(one, 2) for one in cost],
        "mebibytes": [round(one, 1) for one in memory],
        "memory_ratio": round(memory[1] / memory[0], 3),
    }
    print(json.dumps(figures))  # noqa: T201 - the figures of the proof
    assert figures["throughput_ratio"] > 0.75
    assert figures["memory_ratio"] < 1.15
