"""SIPS comes and goes for hours while workers are rolled: every command succeeds, once, and nothing is set aside."""

from __future__ import annotations

import itertools
import json
import re
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.test_commands import SUBMIT, order
from tests.acceptance.test_outage import DOWN, UP, closings, reads, waiting
from tests.amqp import count, eventually
from worker.messaging.topology import DEAD, UNDELIVERED
from worker.runtime.service import SIPS_DOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox, Worker

#: By how much time is shortened: at a flap a minute two hours are 120 flaps, and each takes about a second and a half.
FACTOR = 40

SETTINGS = {
    "THREADS": "4",
    "RETRY_ATTEMPTS": "8",
    "RETRY_MAX_SECONDS": str(60 / FACTOR),  # the longest pause of what costs no attempt
    "SIPS_PROBE_MAX_SECONDS": str(15 / FACTOR),
    "ABSENCE_SECONDS": str(1_800 / FACTOR),
    "ABSENCE_AFTER_TROUBLE_SECONDS": str(600 / FACTOR),
}

#: Calls take their time, so that messages wait beside those that run, and go back when a gate closes.
WELL: dict[str, Any] = {"slow": {"rate": 1, "seconds": 0.02}}

#: Ways to be away, in turn. None leaves an order in doubt that SIPS does not have, which would end `.unknown` and rightly so.
ORDERS_ONLY = {"operations": ["ordersV2Submit"]}
ALL_BUT_ORDERS = {"operations": ["deliveryDetails", "productsV2Price", "ordersList", "branchLocations"]}
AWAY: dict[str, dict[str, Any]] = {
    "loses answers": {"lost_answer": {"rate": 1}},
    "answers 503, to orders nothing": {"error_before": {"status": 503, **ALL_BUT_ORDERS}, "lost_answer": ORDERS_ONLY},
    "answers with a firewall's page": {"waf": {"rate": 1}},
    "refuses connections": {"down": {"rate": 1}},
}

#: Commands before and after SIPS goes, in each flap.
READS, ORDERS = 20, 4


class Roll:
    """Two workers, restarted one after the other: a successor starts when its predecessor is told to end."""

    def __init__(self, make: Callable[[], Worker]) -> None:
        self._make = make
        self.workers = [make(), make()]
        for worker in self.workers:
            takes_part(worker)
        self.restarts = 0

    def run(self, restarts: int) -> None:
        """Restart so many; every worker ends well."""
        for number in range(restarts):
            predecessor = self.workers[number]
            predecessor.signal(signal.SIGTERM)
            self.workers.append(self._make())
            takes_part(self.workers[-1])
            assert 0 == predecessor.wait(40)
            self.restarts += 1


def takes_part(worker: Worker) -> None:
    """Wait until the worker consumes; from the queue that is never closed, if no other."""
    eventually(lambda: "consuming" in {line["event"] for line in worker.lines()}, "it takes part")


@pytest.mark.parametrize(
    ("flaps", "restarts"),
    [
        pytest.param(3, 1, id="small"),
        pytest.param(120, 2 * 30, id="two hours", marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
def test_two_hours_of_flapping_and_rolling_restarts_set_nothing_aside(
    amqp_url: str,
    postgresql_url: str,
    sandbox: Sandbox,
    tap: EventTap,
    client: CommandClient,
    make_worker: Callable[..., Worker],
    flaps: int,
    restarts: int,
) -> None:
    """Accelerated 40 times. What was prefetched goes back each time, and that counts as no attempt, crash or poison."""
    started, before = time.monotonic(), len(sandbox.orders())
    roll = Roll(lambda: make_worker(amqp_url, DATABASE_URL=postgresql_url, **SETTINGS))
    commands: list[str] = []
    orders: list[str] = []

    def publish() -> None:
        commands.extend(reads(client, READS))
        orders.extend(client.publish(SUBMIT, order()) for _ in range(ORDERS))

    done = 0
    with ThreadPoolExecutor(1) as pool:
        rolling = pool.submit(roll.run, restarts)
        for fault in itertools.cycle(AWAY.values()):
            publish()
            if "down" in fault:  # an order that was cut off on its way would be in doubt, and SIPS may not have it
                for command in orders:
                    tap.outcome(command)
            flap(sandbox, tap, fault, publish, roll)
            done += 1
            if done >= flaps and rolling.done():
                break
        rolling.result()
    sandbox.set_faults()

    outcomes = {command: tap.outcome(command, patience=120) for command in (*commands, *orders)}
    eventually(lambda: waiting(amqp_url).keys() <= {DEAD}, "nothing waits any more")
    for worker in roll.workers[-2:]:
        worker.tell_to_end()
    assert {0} == {worker.wait(40) for worker in roll.workers}
    placed = Counter(entry["poNumber"] for entry in sandbox.orders()[before:])
    attempts = [line for worker in roll.workers for line in worker.lines() if line["event"] == "attempt"]
    figures = {
        "proof": "flapping",
        "flaps": done,
        "closed_gates": sum(len(closings(worker, SIPS_DOWN)) for worker in roll.workers),
        "restarts": roll.restarts,
        "commands": len(outcomes),
        "succeeded": sum(outcome["type"].endswith(".succeeded") for outcome in outcomes.values()),
        "outcomes": sum(len(tap.outcomes(command)) for command in outcomes),
        "orders": len(orders),
        "orders_placed": placed.total(),
        "most_attempts": max(outcome["data"]["command"]["attempts"] for outcome in outcomes.values()),
        "given_back": sum(line.get("given_back", 0) for worker in roll.workers for line in worker.lines()),
        "suspected": sum(line["outcome"] == "suspect" for line in attempts),
        "most_deliveries_without_an_end": most_deliveries_without_an_end(attempts),
        "over_the_delivery_limit": sum(line["outcome"] == "rerouted" for line in attempts),
        "dead_letters": count(amqp_url, DEAD),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(figures))  # noqa: T201 - the figures of the proof
    assert (figures["commands"],) * 2 == (figures["succeeded"], figures["outcomes"])
    assert (len(orders), {1}) == (len(placed), set(placed.values()))
    assert (1, 0, 0, 0) == (
        figures["most_attempts"],
        figures["over_the_delivery_limit"],
        figures["dead_letters"],
        count(amqp_url, UNDELIVERED),
    )
    assert done <= figures["closed_gates"]


def flap(sandbox: Sandbox, tap: EventTap, fault: dict[str, Any], publish: Callable[[], None], roll: Roll) -> None:
    """SIPS goes away under load until a gate has closed for it, and comes back until that gate is open again."""
    began = datetime.now(UTC) - timedelta(milliseconds=1)  # facts tell whole ones
    sandbox.set_faults(**fault)
    publish()
    tap.wait(lambda events: gates(events, DOWN, began), "a gate closed")
    restarts = roll.restarts
    sandbox.set_faults(**WELL)
    tap.wait(
        lambda events: gates(events, UP, began) & gates(events, DOWN, began) or roll.restarts > restarts,
        "it is open again, or its worker was replaced",
    )


def gates(events: Sequence[dict[str, Any]], kind: str, began: datetime) -> set[tuple[str, str]]:
    """The processes that told that SIPS went or came, in an outage that began for them after this one."""
    told = [event["data"] for event in events if event["type"] == kind]
    return {(data["instance"], data["since"]) for data in told if datetime.fromisoformat(data["since"]) >= began}


def most_deliveries_without_an_end(attempts: Sequence[dict[str, Any]]) -> int:
    """The largest count that any message came to; five are poison."""
    found = [re.match(r"(\d+) deliveries of it came to no end", line["error"] or "") for line in attempts]
    return max((int(match[1]) for match in found if match), default=0)
