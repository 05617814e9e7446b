"""A dead letter that is published again."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pika.spec import BasicProperties

from tests.messaging.test_ladder import hostile
from worker.messaging import ladder, redrive
from worker.messaging.dead_letters import Held, describe_letter
from worker.messaging.topology import DEAD, QUERIES, RETRY, UNDELIVERED

QUEUES = {"sips.delivery.get": QUERIES}


def held(properties: BasicProperties, body: bytes = b"{}") -> Held:
    """A dead letter as it was read."""
    return Held(describe_letter(properties, body), properties, body, tag=1)


def headers(message: Any) -> dict[str, Any]:
    """Its headers."""
    return cast("dict[str, Any]", message.properties.headers)


def test_a_new_run_starts_with_what_was_published_and_nothing_that_was_noted_since() -> None:
    """Body and properties as they were; counters and reasons are gone, and the run is the next one."""
    properties = hostile()
    properties.headers |= {"sips-attempt": 8, "sips-waits": 3, "sips-unknown": 2, "sips-crashes": 5, "sips-run": 2}
    notes = {"sips-reason": "sips-error", "sips-detail": "503", "sips-queue": QUERIES, "sips-version": "1"}
    dead = ladder.dead_letter(b'{"a" : 1}', properties, "sips.delivery.get", headers=notes)

    message = redrive.message(held(dead.properties, dead.body), QUERIES, 3)

    assert (RETRY, QUERIES, b'{"a" : 1}', True) == (message.exchange, message.routing_key, message.body, message.mandatory)
    assert {"ce-id": "c1", "ccnumber": "kept", "sips-routing-key": "sips.delivery.get", "sips-run": 3} == headers(message)
    kept = message.properties
    assert ("c1", "shop", "sips.order.submit", "corr", "answers", 1, 3, 2) == (
        kept.message_id,
        kept.app_id,
        kept.type,
        kept.correlation_id,
        kept.reply_to,
        kept.timestamp,
        kept.priority,
        kept.delivery_mode,
    )


def test_a_letter_that_rabbitmq_set_aside_gets_its_first_routing_key_back() -> None:
    """It may be the only place where its type stands; RabbitMQ's record of it is what has kept it."""
    deaths = [{"routing-keys": [UNDELIVERED]}, {"routing-keys": ["sips.delivery.get"]}]

    message = redrive.message(held(BasicProperties(message_id="c1", headers={"x-death": deaths})), QUERIES, 2)

    assert {"sips-routing-key": "sips.delivery.get", "sips-run": 2} == headers(message)


def test_a_letter_without_any_record_goes_as_it_is() -> None:
    """Somebody has published it to the queue of dead letters."""
    message = redrive.message(held(BasicProperties(message_id="c1", type="sips.delivery.get")), QUERIES, 2)

    assert {"sips-run": 2} == headers(message)


@pytest.mark.parametrize(
    ("command_type", "queue", "expected"),
    [
        ("sips.delivery.get", "sips.orders", QUERIES),
        ("sips.delivery.get", None, QUERIES),
        ("sips.no.such_type", UNDELIVERED, UNDELIVERED),
        (None, "sips.orders", "sips.orders"),
        (None, None, None),
        ("sips.no.such_type", DEAD, None),
        ("sips.no.such_type", "somebody-elses", None),
    ],
)
def test_a_letter_goes_to_its_handlers_queue_else_to_where_it_came_from(
    command_type: str | None, queue: str | None, expected: str | None
) -> None:
    """And nowhere else, whatever a header says."""
    letter = held(BasicProperties(type=command_type, message_id="c1", headers={"sips-queue": queue})).letter

    assert expected == redrive.target(letter, QUEUES)
