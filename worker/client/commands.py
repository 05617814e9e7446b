"""Publish commands and read events over RabbitMQ, as any other service would: the wire contract and nothing else.

This module knows the worker by its exchanges' names only, so it doubles as the example of a client in Python.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Any, Literal, Self

import orjson
import pika

from worker.client.errors import ClientError
from worker.client.explain import CONNECTION_ERRORS, explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pika.adapters.blocking_connection import BlockingChannel

__all__ = ["CommandClient", "Form"]

COMMANDS = "sips.commands"
EVENTS = "sips.events"

#: The attributes that the plain form has a property for.
PLAIN = frozenset({"specversion", "id", "source", "type", "correlationid"})

#: The three forms of a command; see README.md.
Form = Literal["structured", "binary", "plain"]

#: Seconds in which the connection is looked after while nothing arrives.
POLL_SECONDS = 0.5

#: Seconds that a publish waits while RabbitMQ takes no messages, unless the URL says otherwise; without it, for ever.
BLOCKED_SECONDS = 30.0


class CommandClient:
    """Publishes commands and reads events; for one thread.

    Args:
        url: where RabbitMQ is.
        source: the CloudEvent source of what is published: the name of the service that publishes.
        bindings: routing keys of the events to read, such as `sips.order.#`; read from now on, none by default.

    Raises:
        ClientError: see there.
    """

    def __init__(self, url: str, *, source: str, bindings: tuple[str, ...] = ()) -> None:
        self._source = source
        try:
            parameters = pika.URLParameters(url)
        except ValueError as error:
            raise ClientError(f"AMQP_URL cannot be read: {error}") from None
        parameters.client_properties = {"connection_name": f"sips-worker client {source}"}
        parameters.blocked_connection_timeout = parameters.blocked_connection_timeout or BLOCKED_SECONDS
        try:
            self._connection = pika.BlockingConnection(parameters)
        except CONNECTION_ERRORS as error:
            raise ClientError(explain(error)) from None
        try:
            self._channel: BlockingChannel = self._connection.channel()
            self._channel.confirm_delivery()
            self._queue = self._bind(bindings) if bindings else ""
        except CONNECTION_ERRORS as error:
            self.close()
            raise ClientError(explain(error)) from None

    def _bind(self, bindings: tuple[str, ...]) -> str:
        name: str = self._channel.queue_declare("", exclusive=True).method.queue
        for binding in bindings:
            self._channel.queue_bind(name, EVENTS, routing_key=binding)
        return name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        # Ctrl-C may have interrupted pika in the middle of a change: then only the end of the process closes the connection.
        if kind is None or issubclass(kind, Exception):
            self.close()

    def close(self) -> None:
        """Close the connection; the queue of events goes with it. Does nothing if it is closed already."""
        with contextlib.suppress(*CONNECTION_ERRORS):
            self._connection.close()

    def publish(
        self,
        command_type: str,
        data: Any,
        *,
        command_id: str | None = None,
        form: Form = "structured",
        extensions: Mapping[str, str] | None = None,
        reply_to: str | None = None,
    ) -> str:
        """Publish one command, confirmed and mandatory; its id.

        Args:
            command_type: such as `sips.pricing.fetch`.
            data: the payload, anything JSON can say.
            command_id: a new UUID by default.
            form: how the command is written.
            extensions: further CloudEvent attributes, such as `idempotencykey`; the plain form carries `correlationid` only.
            reply_to: a queue that gets a copy of the outcome.

        Raises:
            ClientError: RabbitMQ did not take it.
            ValueError: the plain form cannot carry an extension.
        """
        command_id = command_id or str(uuid.uuid4())
        attributes = {"specversion": "1.0", "id": command_id, "source": self._source, "type": command_type}
        attributes |= dict(extensions or {})
        body, properties = _write(form, attributes, data)
        properties.reply_to = reply_to
        self.publish_raw(command_type, body, properties)
        return command_id

    def publish_raw(self, routing_key: str, body: bytes, properties: pika.BasicProperties) -> None:
        """Publish any message to `sips.commands`.

        Raises:
            ClientError: RabbitMQ did not take it.
        """
        try:
            self._channel.basic_publish(COMMANDS, routing_key, body, properties, mandatory=True)
        except CONNECTION_ERRORS as error:
            raise ClientError(explain(error)) from None

    def events(self, seconds: float | None = None) -> Iterator[dict[str, Any]]:
        """The events that arrive, as parsed CloudEvents, for at most `seconds` (for ever by default).

        What is published there and is no CloudEvent in JSON is passed over.

        Raises:
            ClientError: RabbitMQ went away, or took the queue away.
            ValueError: the client has no bindings.
        """
        if not self._queue:
            raise ValueError("this client reads no events; make it with bindings, such as ('sips.order.#',)")
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            left = POLL_SECONDS if end is None else min(POLL_SECONDS, max(end - time.monotonic(), 0.001))
            event = _event(self._next_body(left))
            if event is not None:
                yield event

    def _next_body(self, seconds: float) -> bytes | None:
        try:
            message = next(self._channel.consume(self._queue, auto_ack=True, inactivity_timeout=seconds), None)
        except CONNECTION_ERRORS as error:
            raise ClientError(explain(error)) from None
        if message is None:
            raise ClientError("RabbitMQ took the queue of events away; open another client")
        return message[2]

    def wait(self, command_id: str, seconds: float) -> dict[str, Any] | None:
        """The outcome of a command, or None if none came in time; events of others are passed over.

        Raises:
            ClientError, ValueError: as `events`.
        """
        for event in self.events(seconds):
            ours = event.get("causationid") == command_id and event.get("commandsource") == self._source
            if ours and event.get("type", "").endswith((".succeeded", ".failed", ".unknown")):
                return event
        return None


def _event(body: bytes | None) -> dict[str, Any] | None:
    try:
        event = None if body is None else orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None


def _write(form: Form, attributes: dict[str, str], data: Any) -> tuple[bytes, pika.BasicProperties]:
    if form == "structured":
        properties = pika.BasicProperties(content_type="application/cloudevents+json", delivery_mode=2)
        return orjson.dumps(attributes | {"datacontenttype": "application/json", "data": data}), properties
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
    if form == "binary":
        properties.headers = {f"ce-{name}": value for name, value in attributes.items()}
    else:
        if extra := sorted(attributes.keys() - PLAIN):
            raise ValueError(f"the plain form cannot carry {', '.join(extra)}; publish in another form")
        properties.message_id, properties.app_id = attributes["id"], attributes["source"]
        properties.type, properties.correlation_id = attributes["type"], attributes.get("correlationid")
    return orjson.dumps(data), properties
