"""What an order costs, its ledger and its two events included: a real worker, on a database of each kind."""

from __future__ import annotations

import copy
import time
import uuid
from typing import TYPE_CHECKING

import pika

from tests.acceptance.conftest import example
from tests.amqp import forget_the_store
from tests.benchmarks.contenders import CONTENDERS, OURS, Message
from tests.benchmarks.job import SOURCE, encoded
from tests.benchmarks.session import SETTLE_SECONDS, WARM_UP, Session, running
from worker.messaging.topology import COMMANDS
from worker.store.migrate import migrate

if TYPE_CHECKING:
    from tests.benchmarks.session import Bench

__all__ = ["order_cpu_us"]

SUBMIT = "sips.order.submit"

#: Events of an order that SIPS takes: its outcome, and that it is confirmed.
EVENTS_PER_ORDER = 2


def order_cpu_us(bench: Bench, database_url: str, orders: int) -> float:
    """CPU µs of the worker for an order, with SIPS answering at once."""
    migrate(database_url)
    forget_the_store(bench.url)
    try:
        # Its watch is another job: what becomes of the order at SIPS in the weeks after.
        settings = {"DATABASE_URL": database_url, "ORDER_TRACKING": "false"}
        with running(bench, CONTENDERS[OURS], settings) as (session, _):
            _submit(session, min(WARM_UP, orders))
            return _submit(session, orders) * 1e6 / orders
    finally:
        forget_the_store(bench.url)


def _submit(session: Session, number: int) -> float:
    """CPU seconds for so many orders."""
    ids = [str(uuid.uuid4()) for _ in range(number)]
    before = session.process.processor_seconds()
    session.publisher.fill(_order(order_id) for order_id in ids)
    session.results.wait(EVENTS_PER_ORDER * number, alive=lambda: session.process.is_running)
    time.sleep(SETTLE_SECONDS)
    spent = session.process.processor_seconds() - before
    session.results.take(ids, per_command=EVENTS_PER_ORDER)
    return spent


def _order(order_id: str) -> Message:
    """The documented example, under a PO number of its own."""
    data = copy.deepcopy(EXAMPLE)
    data["poDetails"]["poNumber"] = order_id[:20]
    made = {"specversion": "1.0", "id": order_id, "source": SOURCE, "type": SUBMIT, "data": data}
    properties = pika.BasicProperties(content_type="application/cloudevents+json", delivery_mode=2)
    return Message(COMMANDS, SUBMIT, properties, encoded(made))


EXAMPLE = example("ordersV2Submit.request")
