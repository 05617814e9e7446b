"""The proof: whatever becomes of an order is told once and in order, also while workers die and webhooks are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.lives.broken import BREAKS
from tests.lives.run import HALF, LOST, ON, Plan, Report, Webhooks, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from worker.local.rabbitmq import RabbitMQNode

pytestmark = pytest.mark.timeout(900)

#: Seconds between the looks of workers that are to depend on webhooks.
SELDOM = 3600


@pytest.fixture
def lived(node: RabbitMQNode, private_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Report]:
    """Runs a plan on a kind of database, and prints the figures (`make soak` shows them)."""

    def run_on(database: str, plan: Plan, **how: Any) -> Report:
        report = run(plan, node, request.getfixturevalue(f"{database}_url"), tmp_path, print, **how)
        print(report.line)  # noqa: T201 - the figures of the proof
        return report

    return run_on


def test_each_change_is_told_once_where_webhooks_come(lived: Callable[..., Report]) -> None:
    """And nothing but a webhook leads to it: workers look by themselves once an hour."""
    report = lived("postgresql", Plan(ON, orders=50, rate=25, steps=(1.5, 2), looks=SELDOM))

    assert ([], [0, 0]) == (report.verdict.problems, report.statuses)
    assert (50, 500) == (report.figures.orders, report.figures.expected)
    assert report.figures.by_webhook >= 450
    assert report.figures.kills >= 2


def test_where_an_order_ends_is_told_once_although_no_webhook_comes(lived: Callable[..., Report]) -> None:
    """Workers look by themselves."""
    report = lived("sqlite", Plan(LOST, orders=50, rate=25, steps=(0.5, 1.5), looks=1))

    assert ([], [0, 0]) == (report.verdict.problems, report.statuses)
    assert (50, 200, 0) == (report.figures.orders, report.figures.expected, report.figures.by_webhook)
    assert report.figures.kills >= 1


def test_where_an_order_ends_is_told_once_although_webhooks_come_twice_and_shuffled(lived: Callable[..., Report]) -> None:
    """Those that come at all."""
    report = lived("postgresql", Plan(HALF, orders=50, rate=25, steps=(0.5, 1.5), looks=1))

    assert ([], [0, 0]) == (report.verdict.problems, report.statuses)
    assert (50, 200) == (report.figures.orders, report.figures.expected)
    assert report.figures.by_webhook > 0
    assert report.figures.kills >= 1


@pytest.mark.soak
@pytest.mark.parametrize(
    ("webhooks", "database", "looks", "facts"),
    [(ON, "postgresql", SELDOM, 10), (LOST, "sqlite", 30, 4), (HALF, "postgresql", 30, 4)],
    ids=["on", "lost", "half"],
)
def test_a_thousand_orders(lived: Callable[..., Report], webhooks: Webhooks, database: str, looks: float, facts: int) -> None:
    """The same at its full size."""
    report = lived(database, Plan(webhooks, orders=1000, rate=20, steps=(20, 28), looks=looks))

    assert ([], [0, 0]) == (report.verdict.problems, report.statuses)
    assert (1000, 1000 * facts) == (report.figures.orders, report.figures.expected)
    assert report.figures.kills >= 20


@pytest.mark.soak
@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("webhooks", [LOST, HALF], ids=["lost", "half"])
def test_the_proof_notices_a_protection_that_is_off(lived: Callable[..., Report], webhooks: Webhooks, broken: str) -> None:
    """It can fail."""
    report = lived("postgresql", Plan(webhooks, orders=20, rate=20, steps=(0.5, 1), looks=1), broken=broken)

    assert report.verdict.twice > 0
