"""The process ends at each step between receipt and ack, as in a power cut; another one carries on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.test_commands import DELIVERY, SUBMIT, order, placed
from tests.acceptance.test_orders import types
from tests.amqp import count, eventually
from worker.messaging.topology import DEAD, ORDERS, QUERIES
from worker.ops.crash_points import POINTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox, Worker


#: Seconds until all of a worker has ended. dramatiq's manager gives a process that dies before it was ready 30 s to become so.
END_SECONDS = 60.0

#: A sender is taken for dead soon.
SHORT = {"SIPS_CALL_SECONDS": "1", "HANDLER_SECONDS": "1.5", "GRACE_SECONDS": "2", "LEASE_SECONDS": "2.5"}


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest) -> str:
    """The store that both processes use."""
    return str(request.getfixturevalue(f"{request.param}_url"))


def attempts(worker: Worker, command: str) -> list[dict[str, Any]]:
    """The lines of a worker's attempts at a command that came to an end."""
    return [
        line for line in worker.lines() if line["event"] == "attempt" and line["id"] == command and line["outcome"] != "retry"
    ]


@pytest.mark.parametrize("point", POINTS)
def test_an_order_is_placed_once_and_ends_once(
    amqp_url: str,
    any_database: str,
    sandbox: Sandbox,
    tap: EventTap,
    client: CommandClient,
    make_worker: Callable[..., Worker],
    point: str,
) -> None:
    """(6, 7, 8, 21) Before the claim it is begun anew; after it, it is looked up; what was recorded is said."""
    payload = order()
    doomed = make_worker(amqp_url, DATABASE_URL=any_database, CRASH_AT=point, **SHORT)
    command = client.publish(SUBMIT, payload)
    assert 0 != doomed.wait(END_SECONDS)

    survivor = make_worker(amqp_url, DATABASE_URL=any_database, **SHORT)
    outcome = tap.outcome(command, patience=25)

    expected = "unknown" if point == "claimed" else "succeeded"
    assert (f"{SUBMIT}.{expected}", 0 if point == "claimed" else 1) == (outcome["type"], len(placed(sandbox, payload)))
    if point != "claimed":
        tap.wait(lambda _: types(tap, command) == ["sips.order.confirmed", f"{SUBMIT}.succeeded"], "both events came")
    eventually(lambda: attempts(survivor, command), "its redelivery was dealt with")
    assert 0 == survivor.stop()
    assert 1 == len({event["id"] for event in tap.outcomes(command)})
    assert (0, 0) == (count(amqp_url, ORDERS), count(amqp_url, DEAD))


@pytest.mark.parametrize("point", ["received", "answered", "published", "settled"])
def test_a_read_ends_with_one_outcome_id(
    amqp_url: str, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker], point: str
) -> None:
    """It may be carried out twice; consumers keep the first of its outcomes."""
    doomed = make_worker(amqp_url, CRASH_AT=point)
    command = client.publish(DELIVERY, {"orderId": "35818786"})
    assert 0 != doomed.wait(END_SECONDS)

    survivor = make_worker(amqp_url)

    assert f"{DELIVERY}.succeeded" == tap.outcome(command)["type"]
    eventually(lambda: attempts(survivor, command), "its redelivery was dealt with")
    assert 0 == survivor.stop()
    assert 1 == len({event["id"] for event in tap.outcomes(command)})
    assert (0, 0) == (count(amqp_url, QUERIES), count(amqp_url, DEAD))
