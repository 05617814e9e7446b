"""What RabbitMQ itself sets aside, and what becomes of messages while a part of the topology is missing; with a real worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import SOURCE, example
from tests.acceptance.test_commands import DELIVERY, PRICES
from tests.amqp import channel, count, eventually, publish, take_all
from worker.main import make_topology
from worker.messaging.topology import (
    COMMANDS,
    DEAD,
    DELIVERY_LIMIT,
    QUERIES,
    RETRY,
    UNDELIVERED,
    WORK_QUEUES,
    delay_exchange,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox, Worker

# The first tests start a worker of their own after RabbitMQ has set something aside; the others share one, which stays.

READ = json.dumps({"orderId": "35818786"}).encode()


@pytest.fixture(autouse=True)
def whole_topology(amqp_url: str) -> Iterator[None]:
    """What a test deletes is there again for the next one."""
    yield
    with channel(amqp_url) as opened:
        make_topology().declare(opened)


def plain(message_id: str, **properties: Any) -> dict[str, Any]:
    """The properties of a plain read command."""
    return {"message_id": message_id, "app_id": SOURCE, "type": DELIVERY} | properties


def test_an_expired_message_is_failed_whichever_queue_it_expired_in(
    amqp_url: str, tap: EventTap, make_worker: Callable[..., Worker]
) -> None:
    """A publisher's AMQP expiration ran out: its command is not executed, and the publisher is told."""
    for queue in WORK_QUEUES:
        publish(amqp_url, RETRY, queue, READ, **plain(queue, expiration="1"))
    eventually(lambda: count(amqp_url, UNDELIVERED) == len(WORK_QUEUES), "RabbitMQ set them aside")

    make_worker(amqp_url)

    for queue in WORK_QUEUES:
        outcome = tap.outcome(queue)
        assert (f"{DELIVERY}.failed", "expired") == (outcome["type"], outcome["data"]["type"])
    assert 0 == count(amqp_url, DEAD)


def test_an_expired_message_of_an_unknown_type_does_not_come_alive_later(
    amqp_url: str, tap: EventTap, make_worker: Callable[..., Worker]
) -> None:
    """After its last wait it fails as unknown; its time is still known to be up where it is run again."""
    publish(amqp_url, RETRY, QUERIES, READ, **plain("late", type="sips.no.such_type", expiration="1"))
    eventually(lambda: count(amqp_url, UNDELIVERED) == 1, "RabbitMQ set it aside")

    make_worker(amqp_url)

    assert "unknown-type" == tap.outcome("late")["data"]["type"]
    eventually(lambda: count(amqp_url, DEAD) == 1, "the dead letter is there")
    ((properties, _body),) = take_all(amqp_url, DEAD)
    assert (UNDELIVERED, True) == (properties.headers["sips-queue"], properties.headers["sips-expired"])


def test_a_message_over_the_delivery_limit_is_carried_out(
    amqp_url: str, tap: EventTap, make_worker: Callable[..., Worker]
) -> None:
    """RabbitMQ gives up on it, the worker does not: nothing says that it was ever started."""
    publish(amqp_url, RETRY, QUERIES, READ, **plain("often"))
    with channel(amqp_url) as opened:
        for _ in range(DELIVERY_LIMIT + 1):
            method, _properties, _body = opened.basic_get(QUERIES)
            opened.basic_reject(method.delivery_tag)  # RabbitMQ counts a reject in every version, a nack up to 4.2
    eventually(lambda: count(amqp_url, UNDELIVERED) == 1, "RabbitMQ set it aside")

    make_worker(amqp_url)

    assert f"{DELIVERY}.succeeded" == tap.outcome("often")["type"]
    assert 0 == count(amqp_url, DEAD)


def test_a_command_whose_binding_was_deleted_is_carried_out(
    amqp_url: str, tap: EventTap, client: CommandClient, worker: Worker
) -> None:
    """It comes by the alternate exchange, and its type is known."""
    with channel(amqp_url) as opened:
        opened.queue_unbind(QUERIES, COMMANDS, DELIVERY)

    command = client.publish(DELIVERY, {"orderId": "35818786"})

    assert f"{DELIVERY}.succeeded" == tap.outcome(command)["type"]


def test_a_command_that_waits_is_carried_out_though_its_queue_was_deleted_meanwhile(
    amqp_url: str, tap: EventTap, worker: Worker
) -> None:
    """Whoever consumes the queue puts it back at once, before the wait is over."""
    publish(amqp_url, delay_exchange(4), QUERIES, READ, **plain("waiting"))
    with channel(amqp_url) as opened:
        opened.queue_delete(QUERIES)

    assert f"{DELIVERY}.succeeded" == tap.outcome("waiting")["type"]


@pytest.mark.parametrize("part", ["the queue", "the exchange", "the binding"])
def test_a_ladder_step_that_was_deleted_by_hand_is_put_back_when_it_is_needed(
    part: str, amqp_url: str, tap: EventTap, client: CommandClient, sandbox: Sandbox, worker: Worker
) -> None:
    """The retry is not lost, the command ends as it would have."""
    sandbox.set_faults(error_before={"rate": 1, "count": 1, "operations": ["deliveryDetails"]})
    with channel(amqp_url) as opened:
        for seconds in (1, 2):
            name = delay_exchange(seconds)
            if part == "the queue":
                opened.queue_delete(name)
            elif part == "the exchange":
                opened.exchange_delete(name)
            else:
                opened.queue_unbind(name, name, "")

    command = client.publish(DELIVERY, {"orderId": "35818786"})

    outcome = tap.outcome(command)
    assert (f"{DELIVERY}.succeeded", 2) == (outcome["type"], outcome["data"]["command"]["attempts"])


def test_a_return_whose_binding_was_deleted_by_hand_puts_it_back(
    amqp_url: str, tap: EventTap, client: CommandClient, worker: Worker
) -> None:
    """The worker's own publish comes back unroutable, which is when it looks after the topology."""
    with channel(amqp_url) as opened:
        opened.queue_unbind(QUERIES, RETRY, QUERIES)
        opened.queue_unbind(QUERIES, COMMANDS, PRICES)

    command = client.publish(PRICES, example("productsV2Price.request"))

    assert f"{PRICES}.succeeded" == tap.outcome(command)["type"]
