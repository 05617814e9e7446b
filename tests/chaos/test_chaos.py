"""The proof: nothing is lost and no order is placed twice, whatever breaks and whenever."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest
import requests

from tests.acceptance.conftest import example
from tests.amqp import eventually
from tests.chaos import plan as plans
from tests.chaos.broken import BREAKS
from tests.chaos.disturbing import Surroundings
from tests.chaos.fleet import _ports_to
from tests.chaos.run import Report, run
from worker.local.stack import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from worker.local.postgres import PostgresCluster
    from worker.local.rabbitmq import RabbitMQNode

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def surroundings(node: RabbitMQNode, postgres: PostgresCluster, tmp_path: Path) -> Surroundings:
    """The private RabbitMQ and PostgreSQL, which the run leaves in order."""
    return Surroundings(node.start(), postgres.start(), tmp_path, print)


def shown(report: Report) -> Report:
    """Print the figures (`make soak` shows them)."""
    print(report.line)  # noqa: T201 - the figures of the proof
    return report


def test_a_small_run_loses_nothing_and_doubles_nothing(surroundings: Surroundings) -> None:
    """50 orders and 30 reads in half a minute: a kill, a crash of each server, cut connections, SIPS at its worst."""
    report = shown(run(plans.make(7, orders=50, reads=30, seconds=30), surroundings))

    assert ([], {}, [0, 0, 0]) == (report.verdict.problems, report.left, report.statuses)
    assert (80, 80) == (report.figures.commands, report.figures.outcomes)
    assert (1, 1, 1) <= (report.figures.kills, report.figures.broker_restarts, report.figures.database_restarts)


@pytest.mark.soak
def test_a_full_run_loses_nothing_and_doubles_nothing(surroundings: Surroundings) -> None:
    """1 000 orders and 1 000 reads in five minutes, with everything that the plan knows."""
    report = shown(run(plans.make(7, orders=1000, reads=1000, seconds=300), surroundings))

    assert ([], {}, [0, 0, 0]) == (report.verdict.problems, report.left, report.statuses)
    assert (2000, 2000) == (report.figures.commands, report.figures.outcomes)


@pytest.mark.soak
@pytest.mark.parametrize("broken", BREAKS)
def test_the_proof_notices_a_protection_that_is_off(surroundings: Surroundings, broken: str) -> None:
    """It can fail."""
    report = shown(run(plans.make(7, orders=100, reads=50, seconds=40), surroundings, broken=broken))

    assert not report.verdict.holds


def test_connections_are_told_by_the_process_that_has_them() -> None:
    """Which is how an order is known to have been under way in a process that was killed."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as own:
        port = server.getsockname()[1]

        assert {own.getsockname()[1]} == _ports_to(port, os.getpid())
        assert set() == _ports_to(port, 1)


def test_an_order_whose_sender_is_gone_is_not_answered(tmp_path: Path) -> None:
    """A closed connection takes what is sent to it, and nobody reads it."""
    with Sandbox(tmp_path) as sandbox:
        sandbox.set_faults(slow={"seconds": 0.5, "operations": ["ordersV2Submit"]})
        credentials = {"grant_type": "client_credentials", "scope": "ALL", "client_id": "c", "client_secret": "s"}
        token = requests.post(f"{sandbox.url}/Authentication/token", data=credentials, timeout=30).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}

        def submit(seconds: float) -> None:
            requests.post(
                f"{sandbox.url}/orders/v2/Submit", json=example("ordersV2Submit.request"), headers=headers, timeout=seconds
            )

        with pytest.raises(requests.ReadTimeout):
            submit(0.1)
        threading.Thread(target=submit, args=(30,), daemon=True).start()

        eventually(lambda: [order["answered"] for order in sandbox.orders()] == [False, True], "the second one is answered")
