"""A worker process and what kills, stops and interrupts it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pika.exceptions
import pytest

from tests.acceptance.conftest import SOURCE
from tests.acceptance.test_commands import DELIVERY, SUBMIT, order, placed
from tests.amqp import EventTap, channel, count, eventually, publish
from tests.proxy import Proxy
from worker.client import CommandClient
from worker.messaging.topology import DEAD, ORDERS, QUERIES, RETRY, UNDELIVERED

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.local.rabbitmq import RabbitMQNode
    from worker.local.stack import Sandbox, Worker


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def is_alive(pid: int) -> bool:
    """Whether a process runs (and is no zombie)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def in_flight(sandbox: Sandbox, operation: str) -> int:
    """Requests of an operation that SIPS has taken, answered or not."""
    return sum(sandbox.stats()["requests"].get(operation, {}).values())


def consuming(worker: Worker) -> None:
    """Wait until the worker consumes."""
    eventually(
        lambda: [line for line in worker.lines() if line["event"] == "consuming" and line["queue"] == QUERIES],
        "the worker consumes",
    )


def test_an_order_in_another_queue_is_placed_once_though_it_comes_twice(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, make_worker: Callable[..., Worker]
) -> None:
    """A worker that ends between passing it on and its ack leaves it there, and it is passed on again."""
    payload = order()
    body = json.dumps(payload).encode()
    worker = make_worker(amqp_url)
    publish(amqp_url, RETRY, QUERIES, body, message_id="strayed", app_id=SOURCE, type=SUBMIT)
    assert f"{SUBMIT}.succeeded" == tap.outcome("strayed")["type"]
    assert 0 == worker.stop()

    publish(amqp_url, RETRY, QUERIES, body, message_id="strayed", app_id=SOURCE, type=SUBMIT)
    with channel(amqp_url) as opened:
        assert opened.basic_get(QUERIES)[0]  # as if it had never been acked
    again = make_worker(amqp_url)

    tap.wait(lambda _events: len(tap.outcomes("strayed")) == 2, "the repetition has an end, too")
    first, second = tap.outcomes("strayed")
    assert (first, 1) == (second, len(placed(sandbox, payload)))
    assert 0 == again.stop()


def test_a_read_that_expired_in_the_broker_is_answered_and_not_executed(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, make_worker: Callable[..., Worker]
) -> None:
    """A publisher's AMQP expiration moves the message away silently; somebody speaks for it."""
    before = in_flight(sandbox, "deliveryDetails")
    publish(amqp_url, RETRY, QUERIES, b'{"orderId": "1"}', message_id="late", app_id=SOURCE, type=DELIVERY, expiration="1")
    eventually(lambda: count(amqp_url, UNDELIVERED) == 1, "RabbitMQ set it aside")

    worker = make_worker(amqp_url, "--queues", "orders,queries")
    outcome = tap.outcome("late")

    assert (f"{DELIVERY}.failed", "expired") == (outcome["type"], outcome["data"]["type"])
    assert before == in_flight(sandbox, "deliveryDetails")
    assert 0 == worker.stop()


def test_an_order_that_expired_in_the_broker_is_failed_as_the_ledger_knows_of_no_send(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, make_worker: Callable[..., Worker]
) -> None:
    """It was delivered and given back before its time was up: what was never recorded was never sent."""
    payload = order()
    publish(amqp_url, RETRY, ORDERS, json.dumps(payload).encode(), message_id="l", app_id=SOURCE, type=SUBMIT, expiration="2000")
    with channel(amqp_url) as opened:
        assert opened.basic_get(ORDERS)[0]  # delivered, and given back when the connection closes
    eventually(lambda: count(amqp_url, UNDELIVERED) == 1, "RabbitMQ set it aside")

    worker = make_worker(amqp_url)

    outcome = tap.outcome("l")
    assert (f"{SUBMIT}.failed", "expired", []) == (outcome["type"], outcome["data"]["type"], placed(sandbox, payload))
    assert 0 == worker.stop()


def test_a_kill_in_the_middle_of_a_read_loses_nothing(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """SIGKILL of the process that works; the master ends too, so that a container restarts."""
    sandbox.set_faults(slow={"rate": 1, "seconds": 30, "count": 3, "operations": ["deliveryDetails"]})
    before = in_flight(sandbox, "deliveryDetails")
    victim = make_worker(amqp_url, SIPS_CALL_SECONDS="40", HANDLER_SECONDS="50", GRACE_SECONDS="60", LEASE_SECONDS="70")
    commands = [client.publish(DELIVERY, {"orderId": "35818786"}) for _ in range(3)]
    eventually(lambda: started(victim, sandbox, before) >= 3, "three reads are under way")

    (working,) = children(victim.process.pid)
    os.kill(working, signal.SIGKILL)

    assert 0 != victim.wait(30)
    survivor = make_worker(amqp_url)
    assert [f"{DELIVERY}.succeeded"] * 3 == [tap.outcome(command)["type"] for command in commands]
    assert 0 == survivor.stop()
    assert (0, 0) == (count(amqp_url, QUERIES), count(amqp_url, DEAD))


def started(worker: Worker, sandbox: Sandbox, before: int) -> int:
    """Reads that SIPS has taken since."""
    assert worker.process.poll() is None
    return in_flight(sandbox, "deliveryDetails") - before


def test_workers_do_not_outlive_their_master(amqp_url: str, sandbox: Sandbox, make_worker: Callable[..., Worker]) -> None:
    """If the process manager is killed, nobody else would stop them."""
    worker = make_worker(amqp_url, "--processes", "2")
    consuming(worker)
    working = children(worker.process.pid)
    assert 2 == len(working)

    worker.signal(signal.SIGKILL)

    eventually(lambda: not any(is_alive(pid) for pid in working), "both children are gone")


def test_a_worker_that_still_boots_does_not_outlive_its_master_either(amqp_url: str, make_worker: Callable[..., Worker]) -> None:
    """It waits for ever for the master to take notice that it has booted."""
    times = {"SIPS_CALL_SECONDS": "0.5", "HANDLER_SECONDS": "1", "GRACE_SECONDS": "1.5"}
    worker = make_worker(amqp_url, "--processes", "2", **times)
    while len(working := children(worker.process.pid)) < 2:
        assert worker.process.poll() is None
    os.kill(working[1], signal.SIGSTOP)
    ready = "Worker process is ready for action."
    eventually(lambda: [line for line in worker.lines() if line["event"] == ready], "the first one has booted")

    worker.signal(signal.SIGKILL)
    worker.wait(10)
    os.kill(working[1], signal.SIGCONT)

    eventually(lambda: not any(is_alive(pid) for pid in working), "both children are gone")


def test_a_stop_under_load_takes_nothing_new_and_finishes_what_runs(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """What has not started is back in the queue while the running commands still run."""
    sandbox.set_faults(slow={"rate": 1, "seconds": 4, "operations": ["deliveryDetails"]})
    before = in_flight(sandbox, "deliveryDetails")
    worker = make_worker(amqp_url, SIPS_CALL_SECONDS="10", HANDLER_SECONDS="12", GRACE_SECONDS="15", LEASE_SECONDS="20")
    commands = [client.publish(DELIVERY, {"orderId": "35818786"}) for _ in range(20)]
    eventually(lambda: in_flight(sandbox, "deliveryDetails") - before >= 8, "every thread has a command")

    worker.signal(signal.SIGTERM)

    eventually(lambda: count(amqp_url, QUERIES) == 12, "what has not started went back")
    assert 0 == len(tap.events)  # while all that started is still running
    assert 0 == worker.wait(20)
    assert 8 == len(tap.wait(lambda events: events[:8], "the running ones ended well"))
    assert 12 == count(amqp_url, QUERIES)
    assert 8 == in_flight(sandbox, "deliveryDetails") - before
    successor = make_worker(amqp_url)
    sandbox.set_faults()
    assert {f"{DELIVERY}.succeeded"} == {tap.outcome(command)["type"] for command in commands}
    assert 0 == successor.stop()


def test_a_signal_to_the_whole_group_does_not_cut_short_what_runs(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """As service managers send it: each process gets one from there, and the working one another from its master."""
    sandbox.set_faults(slow={"rate": 1, "seconds": 2, "operations": ["ordersV2Submit"]})
    before = in_flight(sandbox, "ordersV2Submit")
    worker = make_worker(amqp_url)
    command = client.publish(SUBMIT, order())
    eventually(lambda: in_flight(sandbox, "ordersV2Submit") > before, "the order is at SIPS")

    (working,) = children(worker.process.pid)
    os.kill(working, signal.SIGTERM)
    eventually(lambda: [line for line in worker.lines() if "consuming stopped" == line["event"]], "it has its first signal")
    worker.signal(signal.SIGTERM)

    assert 0 == worker.wait(20)
    assert f"{SUBMIT}.succeeded" == tap.outcome(command)["type"]


def test_an_idle_worker_stops_cleanly(amqp_url: str, make_worker: Callable[..., Worker]) -> None:
    """And says so with its exit status."""
    worker = make_worker(amqp_url)
    consuming(worker)

    assert 0 == worker.stop()


def test_reads_go_on_after_every_kind_of_interruption(
    node: RabbitMQNode, private_url: str, sandbox: Sandbox, make_worker: Callable[..., Worker]
) -> None:
    """Cut, half-open, a deleted queue, the memory alarm, a restart: work goes on by itself, nothing is set aside."""
    proxy, through = Proxy.of(private_url)
    with proxy:
        worker = make_worker(through)

        def read(what: str) -> None:
            """One command there and back, over connections of its own."""
            with EventTap(private_url) as tap, CommandClient(private_url, source=SOURCE) as client:
                command = client.publish(DELIVERY, {"orderId": "35818786"})
                assert f"{DELIVERY}.succeeded" == tap.outcome(command)["type"], what

        read("at first")
        proxy.cut()
        read("after a cut")
        proxy.freeze()
        read("after a half-open connection")
        with channel(private_url) as opened:
            opened.queue_delete(QUERIES)
        eventually(lambda: queue_is_back(private_url), "the worker has put the queue back")
        read("after the queue was deleted")
        under_alarm(node, private_url)
        read("after the memory alarm")
        node.restart()
        read("after a restart")
        assert 0 == worker.stop()
    assert (0, 0) == (count(private_url, DEAD), count(private_url, UNDELIVERED))


def test_an_order_outlives_the_connection_that_its_outcome_was_meant_for(
    amqp_url: str, sandbox: Sandbox, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """A half-open connection is found out after some heartbeats; what SIPS did is still to be told then."""
    proxy, through = Proxy.of(amqp_url)
    sandbox.set_faults(slow={"rate": 1, "seconds": 1, "operations": ["ordersV2Submit"]})
    before = in_flight(sandbox, "ordersV2Submit")
    with proxy:
        worker = make_worker(through, PUBLISH_SECONDS="0.5", HANDLER_SECONDS="25", GRACE_SECONDS="30", LEASE_SECONDS="40")
        command = client.publish(SUBMIT, order())
        eventually(lambda: in_flight(sandbox, "ordersV2Submit") > before, "the order is at SIPS")
        proxy.freeze()

        assert f"{SUBMIT}.succeeded" == tap.outcome(command)["type"]
        joins = "a redelivery joins the execution it lost its connection to"
        eventually(lambda: joins in {line["event"] for line in worker.lines()}, "RabbitMQ has found it out as well")
        assert 0 == worker.stop()
    assert (1, 0) == (len(tap.outcomes(command)), count(amqp_url, ORDERS))


def queue_is_back(url: str) -> bool:
    """Whether the deleted queue is there, and bound."""
    try:
        return count(url, QUERIES) >= 0
    except pika.exceptions.AMQPError:
        return False


def under_alarm(node: RabbitMQNode, url: str) -> None:
    """Have commands under way when the memory alarm is raised, and see them end after it was cleared."""
    with EventTap(url) as tap, CommandClient(url, source=SOURCE) as client:
        commands = [client.publish(DELIVERY, {"orderId": "35818786"}) for _ in range(5)]
        node.rabbitmqctl("set_vm_memory_high_watermark", "0.000001")
        try:
            eventually(lambda: "memory" in node.rabbitmqctl("status"), "the alarm is raised")
        finally:
            node.rabbitmqctl("set_vm_memory_high_watermark", "0.6")
        for command in commands:
            assert f"{DELIVERY}.succeeded" == tap.outcome(command)["type"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SIPS_ENVIRONMENT": "moon"}, "SIPS_ENVIRONMENT: Input should be 'sandbox', 'qa' or 'production'"),
        ({"AMQP_URL": "localhost"}, "AMQP_URL: must look like amqp://user:password@host:5672/vhost"),
        ({"AMQP_URL": "amqp://localhost:99999"}, "AMQP_URL: has a port, a virtual host or an option that pika cannot read"),
        ({"AMQP_URL": "amqp://localhost/%2F?heartbeat=often"}, "AMQP_URL: has a port, a virtual host or an option that pika"),
        (
            {"SIPS_ENVIRONMENT": "qa", "SIPS_BASE_URL": ""},
            "also needs SIPS_CLIENT_ID, SIPS_CLIENT_SECRET or SIPS_CLIENT_SECRET_FILE",
        ),
        ({"THREADS": "0"}, "THREADS: Input should be greater than or equal to 1"),
        ({"HANDLER_SECONDS": "30"}, "needs SIPS_CALL_SECONDS < HANDLER_SECONDS < GRACE_SECONDS"),
        ({"SIPS_CLIENT_SECRET_FILE": "/nowhere"}, "SIPS_CLIENT_SECRET_FILE=/nowhere cannot be read"),
    ],
)
def test_a_wrong_setting_is_one_clear_line_before_anything_starts(
    amqp_url: str, make_worker: Callable[..., Worker], settings: dict[str, Any], message: str
) -> None:
    """Neither a traceback nor a process that restarts for ever."""
    worker = make_worker(amqp_url, **settings)

    assert 2 == worker.wait(20)
    (line,) = worker.log.read_text(encoding="utf-8").splitlines()
    assert message in line
