"""SIPS is away for longer than every window: nothing fails, and nothing that it has ends `.unknown`."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.test_commands import SUBMIT, order
from tests.acceptance.test_outage import closings, reads, waiting
from tests.amqp import count, eventually
from worker.messaging.topology import DEAD, UNDELIVERED
from worker.runtime.service import SIPS_DOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox, Worker

pytestmark = pytest.mark.timeout(600)

#: By how much time is shortened: an hour is a minute.
FACTOR = 60

#: The outage, and how long after it SIPS goes on to list late, in seconds.
OUTAGE = 3_600 / FACTOR
LATE = 300 / FACTOR

#: Every window of the defaults, shortened. Only an attempt's own time is not, as the machine gets no faster: the outage is
#: many times as long all the same.
SETTINGS = {
    "RETRY_ATTEMPTS": "8",
    "RETRY_BASE_SECONDS": "1",
    "RETRY_MAX_SECONDS": str(900 / FACTOR),
    "LOOK_SECONDS": json.dumps([seconds / FACTOR for seconds in (5, 30, 120, 600, 900)]),
    "ABSENCE_SECONDS": str(1_800 / FACTOR),
    "ABSENCE_AFTER_TROUBLE_SECONDS": str(600 / FACTOR),
    "OVERDUE_SECONDS": str(3_600 / FACTOR),
    "QUEUED_SECONDS": str(604_800 / FACTOR),
    "SIPS_PROBE_MAX_SECONDS": str(15 / FACTOR),
    "SIPS_CALL_SECONDS": "2",
    "HANDLER_SECONDS": "3",
    "GRACE_SECONDS": "4",
    "LEASE_SECONDS": "5",
}

#: Orders that were accepted before the outage appear only after it, and so do those that were accepted meanwhile.
LOST = {
    "lost_answer": {"rate": 1, "operations": ["ordersV2Submit"]},
    "queued": {"rate": 1, "listed_after": OUTAGE + 2 * LATE},
}
LISTED_LATE = {"queued": {"rate": 1, "listed_after": OUTAGE + LATE}}

#: Ways to be away.
AWAY: dict[str, dict[str, Any]] = {
    "refuses connections": {"down": {"rate": 1}},
    "answers 502": {"error_before": {"rate": 1, "status": 502}},
    "answers 504 to what it did": {"error_after": {"rate": 1, "status": 504}, **LISTED_LATE},
    "accepts, and answers nothing": {"slow": {"rate": 1, "seconds": 600}, **LISTED_LATE},
}


@pytest.mark.soak
@pytest.mark.parametrize("fault", AWAY.values(), ids=AWAY)
def test_an_hour_without_sips_fails_nothing_and_loses_sight_of_nothing(
    amqp_url: str,
    postgresql_url: str,
    sandbox: Sandbox,
    tap: EventTap,
    client: CommandClient,
    make_worker: Callable[..., Worker],
    fault: dict[str, Any],
    request: pytest.FixtureRequest,
) -> None:
    """Accelerated 60 times: orders whose answer was lost just before, commands before and during it, a list that is late."""
    worker = make_worker(amqp_url, "--processes", "2", DATABASE_URL=postgresql_url, **SETTINGS)
    known = sandbox.orders()
    started = time.monotonic()
    commands = reads(client, 20)
    orders = [client.publish(SUBMIT, order()) for _ in range(10)]
    for command in (*commands, *orders):
        tap.outcome(command)

    sandbox.set_faults(**LOST)
    looked = looks(sandbox)
    lost = [client.publish(SUBMIT, order()) for _ in range(20)]
    # All but one of the looks that absence takes come before it.
    eventually(lambda: looks(sandbox) >= looked + 3 * len(lost), "each of them was looked for three times")
    sandbox.set_faults(**fault)
    end = time.monotonic() + OUTAGE
    orders += [client.publish(SUBMIT, order()) for _ in range(20)]
    commands += reads(client, 40)
    eventually(lambda: closings(worker, SIPS_DOWN), "the gates are closed")
    while time.monotonic() < end:
        commands += reads(client, 2)
        orders.append(client.publish(SUBMIT, order()))
        time.sleep(OUTAGE / 20)
    sandbox.set_faults()

    outcomes = {command: tap.outcome(command, patience=120) for command in (*commands, *orders, *lost)}
    eventually(lambda: waiting(amqp_url).keys() <= {DEAD}, "nothing waits any more")
    assert 0 == worker.stop()
    unknown = {outcome["data"]["poNumber"] for outcome in outcomes.values() if outcome["type"].endswith(".unknown")}
    placed = Counter(entry["poNumber"] for entry in sandbox.orders()[len(known) :])
    figures = {
        "proof": "an hour without SIPS",
        "kind": request.node.callspec.id,
        "commands": len(outcomes),
        "succeeded": sum(outcome["type"].endswith(".succeeded") for outcome in outcomes.values()),
        "failed": sum(outcome["type"].endswith(".failed") for outcome in outcomes.values()),
        "unknown": len(unknown),
        "false_unknown": len(unknown & placed.keys()),
        "orders_placed": placed.total(),
        "duplicates": placed.total() - len(placed),
        "dead_letters": count(amqp_url, DEAD),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(figures))  # noqa: T201 - the figures of the proof
    assert (0, 0, 0, 0, 0) == (
        figures["failed"],
        figures["false_unknown"],
        figures["duplicates"],
        figures["dead_letters"],
        count(amqp_url, UNDELIVERED),
    )
    assert {f"{SUBMIT}.succeeded"} == {outcomes[command]["type"] for command in lost}
    assert {1} == {len({event["id"] for event in tap.outcomes(command)}) for command in outcomes}


def looks(sandbox: Sandbox) -> int:
    """Requests of SIPS' list of orders."""
    return sum(sandbox.stats()["requests"].get("ordersList", {}).values())
