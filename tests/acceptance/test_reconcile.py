"""What nobody waited for is told after all, when a person asks for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import settings_of
from tests.acceptance.test_commands import SUBMIT, order
from tests.amqp import eventually, forget_the_store
from worker.local.stack import FOREIGN, Sandbox, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.amqp import EventTap
    from worker.client import CommandClient

#: A life of two to four days in a second or two.
FACTOR = "200000"


@pytest.fixture(scope="module")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Its orders live."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), options=["--live", FACTOR]) as started:
        yield started


@pytest.fixture(scope="module")
def settings(shared_url: str, sandbox_process: Sandbox, database_url: str) -> dict[str, str]:
    """Of an installation that watches nothing by itself."""
    return settings_of(shared_url, sandbox_process, database_url) | {"ORDER_TRACKING": "false"}


@pytest.fixture(scope="module")
def worker(shared_url: str, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Takes orders."""
    forget_the_store(shared_url)
    with Worker("worker", tmp_path_factory.mktemp("worker"), settings) as started:
        yield started


@pytest.fixture
def sips_worker(settings: dict[str, str], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """The command line on the same store; there is no RabbitMQ for it."""
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}

    def run(*arguments: str) -> tuple[int, str]:
        environment = inherited | settings | {"AMQP_URL": "amqp://127.0.0.1:1"}
        command = [sys.executable, "-m", "worker", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.usefixtures("worker")
def test_an_order_that_nobody_watched_is_told_from_its_last_state(
    client: CommandClient, tap: EventTap, sandbox: Sandbox, sips_worker: Callable[..., tuple[int, str]]
) -> None:
    """Status, delivery and invoice, each once, in the name of the command that submitted it; a second time tells nothing."""
    command = client.publish(SUBMIT, order(), extensions={"correlationid": "flow-7"})
    order_id = tap.outcome(command)["data"]["result"]["orderId"]
    eventually(lambda: "Invoiced" in json.dumps(sandbox.lives()), "its life is over")
    assert [] == facts(tap, order_id)

    assert (0, [order_id]) == compared(sips_worker("reconcile", "--since", "1d", "--json"))

    tap.wait(lambda _events: len(facts(tap, order_id)) == 4, "status, delivery twice and invoice")
    told = facts(tap, order_id)
    assert [1, 2, 3, 4] == [fact["data"]["sequence"] for fact in told]
    assert ["sips.delivery.completed", "sips.delivery.status_changed", "sips.invoice.issued", "sips.order.status_changed"] == (
        sorted(fact["type"] for fact in told)
    )
    assert {("flow-7", command, "poll", None)} == {
        (fact["correlationid"], fact["causationid"], fact["data"]["source"], fact["data"]["previous"]) for fact in told
    }
    assert {"Invoiced", "Completed", None} == {fact["data"]["current"].get("status") for fact in told}
    assert (0, []) == compared(sips_worker("reconcile", "--since", "1d", "--json"))
    shown = sips_worker("watches", "show", order_id)[1]
    assert all(f"(id {fact['id']}, poll), published 2" in shown for fact in told)


def facts(tap: EventTap, order_id: str) -> list[dict[str, Any]]:
    """What was told of an order, in the sequence in which it came."""
    return [event for event in tap.events if event["data"].get("orderId") == order_id and "sequence" in event["data"]]


def compared(done: tuple[int, str]) -> tuple[int, list[str]]:
    """The exit status, and the orders that have changed."""
    status, out = done
    results = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return status, [change["orderId"] for result in results for change in result["changed"]]
