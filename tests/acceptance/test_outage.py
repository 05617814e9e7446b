"""SIPS goes away and comes back, and refuses its credentials: a real worker, a real RabbitMQ, the sandbox as a server."""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import example
from tests.acceptance.test_commands import DELIVERY, PRICES, SUBMIT, order, placed
from tests.acceptance.test_process import children, consuming
from tests.amqp import channel, count, eventually, publish
from worker.local.stack import Sandbox
from worker.main import make_topology
from worker.messaging.topology import BULK, CONTROL, DEAD, ORDERS, QUERIES, RETRY, UNDELIVERED, WATCHES, WEBHOOKS
from worker.runtime.service import CONFIGURATION_REFUSED, SIPS_DOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Worker

DOWN, UP = "sips.service.down", "sips.service.up"

#: Ways to be away; each meets the probe as well.
AWAY: dict[str, dict[str, Any]] = {
    "refuses connections": {"down": {"rate": 1}},
    "answers 503": {"error_before": {"rate": 1, "status": 503}},
    "loses answers": {"lost_answer": {"rate": 1}},
    "answers with a firewall's page": {"waf": {"rate": 1}},
    "says nothing": {"slow": {"rate": 1, "seconds": 60}},
}

#: The pauses between two questions, shortened.
PROBING = {"SIPS_PROBE_MAX_SECONDS": "0.5"}

#: The same for credentials that are refused, where they are four times as long.
QUICKLY = {"SIPS_PROBE_MAX_SECONDS": "0.1"}


def reads(client: CommandClient, number: int) -> list[str]:
    """Publish reads, of two operations in turn."""
    kinds: list[tuple[str, Any]] = [(DELIVERY, {"orderId": "35818786"}), (PRICES, example("productsV2Price.request"))]
    return [client.publish(*kinds[turn % 2]) for turn in range(number)]


def facts(tap: EventTap) -> list[tuple[str, str]]:
    """What was told of SIPS: type and reason."""
    return [(event["type"], event["data"]["reason"]) for event in tap.events if event["type"] in {DOWN, UP}]


def told(tap: EventTap, *expected: tuple[str, str]) -> None:
    """Wait until so much was told; it is this and nothing else."""
    tap.wait(lambda _events: len(facts(tap)) >= len(expected), f"{len(expected)} facts of SIPS")
    assert list(expected) == facts(tap)


def told_more(tap: EventTap, outages: int) -> None:
    """Wait until more outages were told than these, by one process or the other."""
    tap.wait(lambda _events: facts(tap).count((DOWN, SIPS_DOWN)) > outages, "SIPS is down for one of them")


def are_dead(url: str, number: int) -> bool:
    """Whether so many messages were set aside."""
    return count(url, DEAD) == number


def closings(worker: Worker, reason: str) -> list[dict[str, Any]]:
    """The log lines that say that the gates were closed for a reason."""
    return [line for line in worker.lines() if line.get("reason") == reason and line["level"] in {"warning", "error"}]


def waiting(url: str) -> dict[str, int]:
    """Messages that RabbitMQ could deliver, by queue; those on the ladder together."""
    found: dict[str, int] = {}
    with channel(url) as opened:
        for queue in make_topology().queues:
            name = "delayed" if queue.name.startswith("sips.delay.") else queue.name
            number = opened.queue_declare(queue.name, passive=True).method.message_count
            found[name] = found.get(name, 0) + number
    return {name: number for name, number in found.items() if number and not name.startswith("sips.un")}


def all_succeeded(tap: EventTap, commands: list[str], url: str) -> None:
    """Once each, and nothing was set aside."""
    for command in commands:
        assert tap.outcome(command)["type"].endswith(".succeeded")
        assert 1 == len(tap.outcomes(command))
    assert (0, 0) == (count(url, DEAD), count(url, UNDELIVERED))


def attempts(tap: EventTap, commands: list[str]) -> set[int]:
    """How many attempts the commands took."""
    return {tap.outcome(command)["data"]["command"]["attempts"] for command in commands}


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("fault", AWAY.values(), ids=AWAY)
def test_in_an_outage_of_any_kind_the_backlog_waits_and_no_attempt_is_used_up(
    amqp_url: str,
    sandbox: Sandbox,
    tap: EventTap,
    client: CommandClient,
    make_worker: Callable[..., Worker],
    fault: dict[str, Any],
) -> None:
    """All of it lies in RabbitMQ; each change is told once and logged once."""
    worker = make_worker(amqp_url, **PROBING)
    all_succeeded(tap, reads(client, 2), amqp_url)
    sandbox.set_faults(**fault)

    commands = reads(client, 60)

    told(tap, (DOWN, SIPS_DOWN))
    eventually(lambda: waiting(amqp_url) == {QUERIES: 60}, "every command is back in its queue")
    assert [] == [command for command in commands if tap.outcomes(command)]
    sandbox.set_faults()
    all_succeeded(tap, commands, amqp_url)
    assert {1} == attempts(tap, commands)
    told(tap, (DOWN, SIPS_DOWN), (UP, SIPS_DOWN))
    assert 1 == len(closings(worker, SIPS_DOWN))
    assert 0 == worker.stop()


def test_what_needs_no_sips_goes_on_while_it_is_down(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """Orders and reads wait, without burning anything; what concerns the worker alone is dealt with."""
    sandbox.set_faults(down={"rate": 1})
    worker = make_worker(amqp_url, **PROBING)
    commands = reads(client, 5)
    told(tap, (DOWN, SIPS_DOWN))
    payload = order()
    commands.append(client.publish(SUBMIT, payload))
    eventually(lambda: waiting(amqp_url) == {QUERIES: 5, ORDERS: 1}, "orders and reads wait")
    (working,) = children(worker.process.pid)
    burnt, since = processor_seconds(working), time.monotonic()

    for number in range(5):
        publish(amqp_url, RETRY, CONTROL, b"not JSON", message_id=str(number))
        publish(amqp_url, RETRY, UNDELIVERED, b"not JSON", message_id=str(number))
        eventually(functools.partial(are_dead, amqp_url, 2 * number + 2), "both were set aside")
    sandbox.set_faults(down={"seconds": 4})
    told(tap, (DOWN, SIPS_DOWN), (UP, SIPS_DOWN))

    assert processor_seconds(working) - burnt < (time.monotonic() - since) * 0.25
    assert [True] * 6 == [tap.outcome(command)["type"].endswith(".succeeded") for command in commands]
    assert 1 == len(placed(sandbox, payload))
    stopped = [line["queue"] for line in worker.lines() if line["event"] == "consuming stopped"]
    assert (
        {QUERIES} <= set(stopped) <= {BULK, ORDERS, QUERIES, WATCHES, WEBHOOKS}
    )  # a gate may close before its queue is consumed
    assert len(stopped) == len(set(stopped))
    assert 0 == worker.stop()


def test_sips_that_comes_and_goes_fails_nothing(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """Neither when the gate closes each time, nor when it is over before anybody could tell; under load all the while."""
    worker = make_worker(amqp_url, "--processes", "2", **PROBING)
    slow = {"slow": {"rate": 1, "seconds": 0.02}}
    commands: list[str] = []
    for flap in range(5):
        sandbox.set_faults(**slow, error_before={"rate": 1, "status": 503, "count": 4})
        commands += reads(client, 40)
        tap.outcome(commands[-40])
        sandbox.set_faults(error_before={"rate": 1, "status": 503 if flap % 2 else 504})
        commands += reads(client, 40)
        told_more(tap, flap)
        sandbox.set_faults(**slow)
        tap.wait(lambda _events: facts(tap).count((DOWN, SIPS_DOWN)) == facts(tap).count((UP, SIPS_DOWN)), "it is up again")

    all_succeeded(tap, commands, amqp_url)
    assert {1} == attempts(tap, commands)
    assert 0 == worker.stop()


def test_a_token_that_sips_takes_nowhere_closes_the_gates(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """Such as one of another environment: the probe is refused too, before the commands have used up their attempts."""
    sandbox.set_faults(unauthorized={"rate": 1})
    worker = make_worker(amqp_url, **PROBING)

    commands = reads(client, 30)

    told(tap, (DOWN, CONFIGURATION_REFUSED))
    eventually(lambda: waiting(amqp_url) == {QUERIES: 30}, "every command is back in its queue")
    sandbox.set_faults()
    all_succeeded(tap, commands, amqp_url)
    assert 1 == len(closings(worker, CONFIGURATION_REFUSED))
    assert 0 == worker.stop()


def test_a_stop_while_sips_is_down_is_prompt_and_leaves_all_in_rabbitmq(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """Nothing waits for SIPS; whoever starts next finds the backlog."""
    sandbox.set_faults(error_before={"rate": 1, "status": 503})
    worker = make_worker(amqp_url, SIPS_PROBE_MAX_SECONDS="600", HANDLER_SECONDS="300", GRACE_SECONDS="600", LEASE_SECONDS="700")
    commands = reads(client, 20)
    told(tap, (DOWN, SIPS_DOWN))
    eventually(lambda: waiting(amqp_url) == {QUERIES: 20}, "every command is back in its queue")

    worker.signal(signal.SIGTERM)

    assert 0 == worker.wait(30)
    assert {QUERIES: 20} == waiting(amqp_url)
    sandbox.set_faults()
    successor = make_worker(amqp_url)
    consuming(successor)
    all_succeeded(tap, commands, amqp_url)
    assert 0 == successor.stop()


def test_no_more_calls_are_at_sips_than_are_allowed(
    amqp_url: str, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    """Counted by SIPS, under more load than the threads can carry."""
    with Sandbox(tmp_path, "crowded") as sips:
        sips.set_faults(slow={"rate": 1, "seconds": 0.05})
        worker = make_worker(amqp_url, SIPS_BASE_URL=sips.url, SIPS_MAX_CONCURRENCY="2", SIPS_MAX_RPS="500")

        commands = reads(client, 60)

        all_succeeded(tap, commands, amqp_url)
        assert 2 == sips.stats()["mostAtOnce"]
        assert 0 == worker.stop()
