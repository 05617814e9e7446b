"""Build the events that go out: structured CloudEvents with ids that a repetition repeats."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from pika.spec import BasicProperties

from worker.messaging.ladder import PERSISTENT
from worker.messaging.publisher import Message
from worker.messaging.topology import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTENT_TYPE", "EventContext", "body", "event", "fact_id", "outcome_id", "published_again", "reply", "reply_to"]

CONTENT_TYPE = "application/cloudevents+json"

#: Namespace of outcome ids (UUIDv5). Part of the wire contract: it never changes.
OUTCOME_NAMESPACE = uuid.UUID("5b0a3c52-3f0e-5d59-9f0c-0e6f4c1d7a11")

#: Replies go to a queue that the command named; names of this worker's own are refused.
RESERVED_PREFIX = "sips."


@dataclass(frozen=True, slots=True)
class EventContext:
    """What an event says about where it comes from.

    Attributes:
        environment: sandbox, qa or production.
        correlation_id: carried through, or started as the command's id; a fact without a command starts one with its own id.
        causation_id: the command's id, where there is one.
        command_source: the command's source, for consumers that bind to their own.
        customer_code, order_key: make the subject `customer/<code>/order/<key>`, as far as they are known.
        traceparent, tracestate: W3C trace context, carried through.
    """

    environment: str
    correlation_id: str | None = None
    causation_id: str | None = None
    command_source: str | None = None
    customer_code: str | None = None
    order_key: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


def outcome_id(source: str, command_id: str, command_type: str, run: int) -> str:
    """The id of a command's outcome: the same for every repetition of one run, so that consumers can drop them."""
    return str(uuid.uuid5(OUTCOME_NAMESPACE, orjson.dumps([source, command_id, command_type, run]).decode()))


def fact_id(base_url: str, order_id: str, sequence: int) -> str:
    """The id of an order's fact with this number in its sequence."""
    return str(uuid.uuid5(OUTCOME_NAMESPACE, orjson.dumps([base_url, order_id, sequence]).decode()))


def event(
    event_type: str, event_id: str, data: Mapping[str, Any], context: EventContext, *, dataref: str | None = None
) -> Message:
    """One event, ready to be published to `sips.events` with its type as the routing key.

    With `dataref`, the address of its data, it goes without them (the CloudEvents extension of that name).
    """
    attributes = _attributes(event_type, event_id, context, dataref)
    return _message(attributes, orjson.dumps(attributes | ({} if dataref else {"data": data})))


def body(event_type: str, event_id: str, data: Mapping[str, Any], context: EventContext) -> bytes:
    """The body of an event, to be kept and `published_again`."""
    return orjson.dumps(_attributes(event_type, event_id, context) | {"data": data})


def _attributes(event_type: str, event_id: str, context: EventContext, dataref: str | None = None) -> dict[str, Any]:
    now = datetime.now(UTC)
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"sips-worker/{context.environment}",
        "type": event_type,
        "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "dataschema": f"urn:sips-worker:schema:{event_type}:1",
        "environment": context.environment,
        "correlationid": context.correlation_id or event_id,
    }
    optional = {
        "causationid": context.causation_id,
        "commandsource": context.command_source,
        "subject": _subject(context),
        "customercode": context.customer_code,
        "traceparent": context.traceparent,
        "tracestate": context.tracestate,
        "dataref": dataref,
    }
    return attributes | {name: value for name, value in optional.items() if value}


def published_again(body: bytes) -> Message:
    """An event that was built before, from its body: the same message as at the first time."""
    return _message(orjson.loads(body), body)


def _message(attributes: dict[str, Any], body: bytes) -> Message:
    headers = {name: attributes[name] for name in ("commandsource", "customercode") if name in attributes}
    return Message(
        exchange=EVENTS,
        routing_key=attributes["type"],
        body=body,
        properties=BasicProperties(
            content_type=CONTENT_TYPE,
            delivery_mode=PERSISTENT,
            message_id=attributes["id"],
            type=attributes["type"],
            app_id="sips-worker",
            correlation_id=attributes["correlationid"],
            timestamp=int(datetime.fromisoformat(attributes["time"]).timestamp()),
            headers=headers,
        ),
    )


def reply(outcome: Message, command: BasicProperties, command_id: str) -> Message | None:
    """A copy of an outcome for the command's `reply_to`, or None where none is wanted or the name is the worker's own."""
    return reply_to(outcome, command.reply_to, command.correlation_id or command_id)


def reply_to(outcome: Message, target: object, correlation_id: str) -> Message | None:
    """A copy of an outcome for a queue, or None where the name is empty or the worker's own."""
    if not isinstance(target, str) or not target or target.startswith(RESERVED_PREFIX):
        return None
    own = outcome.properties
    return Message(
        exchange="",
        routing_key=target,
        body=outcome.body,
        properties=BasicProperties(
            content_type=own.content_type,
            message_id=own.message_id,
            type=own.type,
            app_id=own.app_id,
            timestamp=own.timestamp,
            headers=own.headers,
            correlation_id=correlation_id,
        ),
    )


def _subject(context: EventContext) -> str | None:
    parts = [("customer", context.customer_code), ("order", context.order_key)]
    return "/".join(f"{name}/{value}" for name, value in parts if value) or None
