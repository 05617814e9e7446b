"""What a worker makes of an order that a person had sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests

from tests.amqp import EventTap, channel
from worker.local.stack import Worker
from worker.store.transitions import State

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.orders.conftest import CommandLine
    from tests.orders import Rows
    from worker.sandbox import Sandbox


def test_it_is_placed_once_however_often_its_command_was_published(
    rows: Rows, sandbox: Sandbox, amqp_url: str, sips_worker: CommandLine, tmp_path: Path
) -> None:
    """Under the second run's transaction id; its outcome has an id of its own."""
    order = rows.unresolved("c-1", key="key-1")
    (unknown,) = rows.ledger.events(order.key)
    for _ in range(2):
        assert 0 == sips_worker.run("orders", "resolve", "c-1", "resubmit", "--yes", AMQP_URL=amqp_url).status

    settings = sips_worker.settings | {"AMQP_URL": amqp_url, "THREADS": "4", "LOG_FORMAT": "json"}
    with EventTap(amqp_url) as tap, Worker("worker", tmp_path, settings):
        outcome = tap.wait(lambda events: [event for event in events if event["type"].endswith(".succeeded")], "outcome")[0]
        tap.wait(lambda events: [event for event in events if event["type"] == "sips.order.confirmed"], "fact")

    placed = requests.get(f"{sandbox.control_url}/_sandbox/orders", timeout=10).json()["orders"]
    order = rows.again(order)
    assert [order.transaction_id] == [one["transactionID"] for one in placed]
    assert (State.CONFIRMED, 2, placed[0]["orderId"]) == (order.state, order.run, order.order_id)
    assert ("c-1", 2) == (outcome["causationid"], outcome["data"]["command"]["run"])
    assert unknown.id != outcome["id"]
    with channel(amqp_url) as opened:
        opened.exchange_delete("sips.store")  # the mark of this test's store
