"""Publish the command of an order again, from its ledger row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from pika.spec import BasicProperties

from worker.messaging.ladder import ORDER, PERSISTENT
from worker.messaging.publisher import Message
from worker.messaging.topology import ORDERS, RETRY

if TYPE_CHECKING:
    from worker.store.orders import Order

__all__ = ["command_message"]


def command_message(order: Order) -> Message:
    """The command, as a binary CloudEvent that leads to the same row: the plain form could not name an idempotency key.

    Its expiry is left out: whoever has it published again wants it.

    Raises:
        ValueError: its payload was emptied.
    """
    if order.payload is None:
        raise ValueError("the order's payload was emptied")
    known = orjson.loads(order.envelope)
    attributes = {
        "specversion": "1.0",
        "id": order.command_id,
        "source": order.command_source,
        "type": order.command_type,
        "idempotencykey": orjson.loads(order.key)[2],
        "correlationid": known.get("correlationId"),
        "traceparent": known.get("traceparent"),
        "tracestate": known.get("tracestate"),
    }
    own = {"sips-run": order.run, "sips-routing-key": order.command_type, ORDER: order.key}
    return Message(
        exchange=RETRY,
        routing_key=ORDERS,
        body=order.payload.encode(),
        properties=BasicProperties(
            content_type="application/json",
            delivery_mode=PERSISTENT,
            message_id=order.command_id,
            app_id=order.command_source,
            type=order.command_type,
            correlation_id=known.get("replyCorrelationId") or known.get("correlationId"),
            reply_to=known.get("replyTo"),
            headers={f"ce-{name}": value for name, value in attributes.items() if value} | own,
        ),
    )
