"""How a worker starts and ends from outside: every signal, and a RabbitMQ that comes later."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.acceptance.conftest import SOURCE
from tests.acceptance.test_commands import DELIVERY
from tests.acceptance.test_process import children, consuming, in_flight
from tests.amqp import EventTap, eventually
from tests.proxy import Proxy
from worker.client import CommandClient
from worker.local.processes import free_ports
from worker.ops.health_reports import PREFIX, parent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from worker.local.stack import Sandbox, Worker


def test_ctrl_c_lets_running_commands_end(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """As SIGTERM does; the terminal sends it to the master's children as well."""
    sandbox.set_faults(slow={"rate": 1, "seconds": 1.5, "count": 1, "operations": ["deliveryDetails"]})
    before = in_flight(sandbox, "deliveryDetails")
    worker = make_worker(amqp_url)
    command = client.publish(DELIVERY, {"orderId": "35818786"})
    eventually(lambda: in_flight(sandbox, "deliveryDetails") > before, "the command is under way")

    for pid in (worker.process.pid, *children(worker.process.pid)):
        os.kill(pid, signal.SIGINT)

    assert 0 == worker.wait(30)
    assert f"{DELIVERY}.succeeded" == tap.outcome(command)["type"]
    assert "Traceback" not in worker.log.read_text(encoding="utf-8")


def test_a_hangup_starts_anew_with_the_settings_read_again(
    amqp_url: str, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    """In the same process, which a supervisor watches; nothing of the one before is left."""
    worker = make_worker(amqp_url, HEALTH_PORT=str(free_ports(1)[0]))
    consuming(worker)
    before = children(worker.process.pid)
    (tmp_path / ".env").write_text("PROCESSES=2\n")

    worker.signal(signal.SIGHUP)

    eventually(lambda: len(set(children(worker.process.pid)) - set(before)) == 3, "two new ones run, and the one that answers")
    command = client.publish(DELIVERY, {"orderId": "35818786"})
    assert f"{DELIVERY}.succeeded" == tap.outcome(command)["type"]
    assert 1 == reports(worker)
    assert 0 == worker.stop()
    assert 0 == reports(worker)
    assert "Traceback" not in worker.log.read_text(encoding="utf-8")


def reports(worker: Worker) -> int:
    """How many folders there are with reports of a worker's health."""
    return len(list(parent().glob(f"{PREFIX}{worker.process.pid}-*")))


def test_a_worker_waits_for_rabbitmq(amqp_url: str, sandbox: Sandbox, make_worker: Callable[..., Worker]) -> None:
    """Started first, it says what it lacks and works as soon as it can."""
    proxy, through = Proxy.of(amqp_url)
    with proxy, EventTap(amqp_url) as tap, CommandClient(amqp_url, source=SOURCE) as client:
        proxy.down()
        worker = make_worker(amqp_url, AMQP_URL=through)
        command = client.publish(DELIVERY, {"orderId": "35818786"})
        eventually(lambda: said(worker, "cannot connect to RabbitMQ"), "it says that RabbitMQ is away")

        proxy.up()

        assert f"{DELIVERY}.succeeded" == tap.outcome(command)["type"]
        assert 0 == worker.stop()


def test_a_worker_that_waits_for_rabbitmq_can_be_stopped(amqp_url: str, make_worker: Callable[..., Worker]) -> None:
    """It does not wait for what may never come."""
    proxy, through = Proxy.of(amqp_url)
    with proxy:
        proxy.down()
        worker = make_worker(amqp_url, AMQP_URL=through)
        eventually(lambda: said(worker, "cannot connect to RabbitMQ"), "it says that RabbitMQ is away")

        assert 0 == worker.stop()
    assert "Traceback" not in worker.log.read_text(encoding="utf-8")


def said(worker: Worker, event: str) -> bool:
    """Whether there is such a line in the worker's log."""
    assert worker.process.poll() is None
    return any(line["event"] == event for line in worker.lines())
