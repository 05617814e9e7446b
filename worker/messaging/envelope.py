"""Read a delivered message as a command: three forms of CloudEvents, every limit checked, one error type.

The forms, recognised per message: structured (`application/cloudevents+json`), binary (attributes in headers with the
prefix `ce-`, `cloudEvents:` or `cloudEvents_`) and plain (JSON body; AMQP properties stand in for the attributes).
Source: CloudEvents 1.0.2 core and JSON format; the header prefixes are practice on AMQP 0-9-1, not a standard.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from worker.messaging.header_tables import MAX_BYTES, OWN_BYTES, Unreadable, encoded_size
from worker.nesting import is_deeper

if TYPE_CHECKING:
    from pika.spec import BasicProperties

__all__ = ["MAX_COUNT", "MAX_NESTING", "MAX_TEXT_BYTES", "Command", "EnvelopeError", "parse"]

#: Longest id, source, type or key, in bytes of UTF-8: they become AMQP short strings (255) and database keys.
MAX_TEXT_BYTES = 200

#: Deepest nesting of a JSON body. Orders need 4; encoders and databases fail at a few hundred.
MAX_NESTING = 64

#: Attempts and runs beyond this are no numbers of ours.
MAX_COUNT = 1_000_000

HEADER_PREFIXES = ("ce-", "cloudevents:", "cloudevents_")
STRUCTURED = "application/cloudevents+json"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class EnvelopeError(Exception):
    """A message that is no command.

    Attributes:
        reason: stable code, such as `not-json`; the text of the exception says more, without payload values.
        id, source, type: what could be read of the command, else None; with id and source it can be answered.
        correlation_id: where the message carried one.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.id: str | None = None
        self.source: str | None = None
        self.type: str | None = None
        self.correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One command as its publisher meant it. `data` is the parsed JSON payload and is kept out of `repr`."""

    id: str
    source: str
    type: str
    data: Any = field(repr=False)
    form: str
    correlation_id: str
    idempotency_key: str
    has_source: bool = True
    causation_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    expires_at: datetime | None = None
    attempt: int = 1
    run: int = 1


def parse(body: bytes, properties: BasicProperties, routing_key: str, *, max_bytes: int) -> Command:
    """The command in a message.

    Args:
        body: the message's bytes.
        properties: as pika decoded them, with the tolerant header tables.
        routing_key: the key it was published with; stands for the type in the plain form.
        max_bytes: larger bodies are refused unread.

    Raises:
        EnvelopeError: the message is no command; nothing else is ever raised.
    """
    headers = properties.headers or {}
    attributes: dict[str, Any] = {}
    try:
        _refuse_unusable(headers)
        routing_key = _text("header sips-routing-key", headers.get("sips-routing-key")) or routing_key
        if _content_type(properties).startswith("application/cloudevents"):
            form, data = "structured", _structured(body, properties, max_bytes, attributes)
        elif binary := _binary_attributes(headers):
            attributes.update(binary)
            form, data = "binary", _json(body, properties, max_bytes)
        else:
            attributes.update(_plain_attributes(properties, routing_key))
            form, data = "plain", _json(body, properties, max_bytes)
        return _command(form, attributes, data, headers)
    except EnvelopeError as error:
        _tell_what_is_known(error, attributes, properties, routing_key)
        raise


def _refuse_unusable(headers: dict[str, Any]) -> None:
    if not headers:
        return
    for name, value in headers.items():
        if isinstance(value, Unreadable):
            raise EnvelopeError("unreadable-headers", f"header {name!r}: {value}" if name else str(value))
    size = encoded_size(headers)
    if size is None:
        raise EnvelopeError("unreadable-headers", "the headers could not be published again, as a retry or a dead letter")
    # What was taken once is taken again, whatever was added since: it may have been carried out.
    is_copy = "sips-routing-key" in headers or "x-death" in headers
    if size > MAX_BYTES + (OWN_BYTES if is_copy else 0):
        raise EnvelopeError("headers-too-large", f"the headers have {size} bytes together; the limit is {MAX_BYTES}")


def _content_type(properties: BasicProperties) -> str:
    return str(properties.content_type or "").lower()


def _structured(body: bytes, properties: BasicProperties, max_bytes: int, attributes: dict[str, Any]) -> Any:
    if not _content_type(properties).startswith(STRUCTURED):
        raise EnvelopeError("unsupported-content-type", "only application/cloudevents+json is read, one event per message")
    event = _json(body, properties, max_bytes)
    if not isinstance(event, dict):
        raise EnvelopeError("not-a-cloudevent", "a structured CloudEvent is a JSON object")
    data, encoded = event.pop("data", None), event.pop("data_base64", None)
    attributes.update({name.lower(): value for name, value in event.items()})
    if encoded is None:
        return data
    if data is not None or not isinstance(encoded, str):
        raise EnvelopeError("not-a-cloudevent", "data_base64 must be a string and stand alone, without data")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeError("not-a-cloudevent", "data_base64 is no base64") from None
    return _parse_json(raw)


def _binary_attributes(headers: dict[str, Any]) -> dict[str, Any]:
    attributes = {}
    for name, value in headers.items():
        lowered = name.lower()
        for prefix in HEADER_PREFIXES:
            if lowered.startswith(prefix):
                attributes[lowered.removeprefix(prefix)] = value
    return attributes


def _plain_attributes(properties: BasicProperties, routing_key: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": properties.message_id,
        "source": properties.app_id,
        "type": properties.type or routing_key,
        "correlationid": properties.correlation_id,
    }


def _json(body: bytes, properties: BasicProperties, max_bytes: int) -> Any:
    if len(body) > max_bytes:
        raise EnvelopeError("too-large", f"the body has {len(body)} bytes; the limit MAX_MESSAGE_BYTES is {max_bytes}")
    if (encoding := properties.content_encoding) not in {None, "", "utf-8", "UTF-8", "utf8", "identity"}:
        raise EnvelopeError("unsupported-encoding", f"content_encoding {encoding!r:.60} is not read; publish plain UTF-8")
    return _parse_json(body)


def _parse_json(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            body.decode()
        except UnicodeDecodeError:
            raise EnvelopeError("not-utf8", "the body is not UTF-8") from None
        raise EnvelopeError("not-json", f"the body is not JSON: {error.msg} at character {error.pos}") from None
    if is_deeper(value, body, MAX_NESTING):
        raise EnvelopeError("too-deep", f"the body is nested deeper than {MAX_NESTING} levels")
    return value


def _command(form: str, attributes: dict[str, Any], data: Any, headers: dict[str, Any]) -> Command:
    if attributes.get("specversion") != "1.0":
        raise EnvelopeError("not-a-cloudevent", "specversion must be the string 1.0")
    if (media := attributes.get("datacontenttype")) is not None and "json" not in str(media).lower():
        raise EnvelopeError("unsupported-content-type", f"datacontenttype {media!r:.60} is not read; publish JSON")
    source = _text("source", attributes.get("source"))
    if source is None and form != "plain":
        raise EnvelopeError("no-source", "the CloudEvent has no source")
    command_id = _required("id", attributes.get("id"), "message_id" if form == "plain" else "id")
    return Command(
        id=command_id,
        source=source or "unknown",
        has_source=source is not None,
        type=_required("type", attributes.get("type"), "type"),
        data=data,
        form=form,
        idempotency_key=_text("idempotencykey", attributes.get("idempotencykey")) or command_id,
        correlation_id=_text("correlationid", attributes.get("correlationid")) or command_id,
        causation_id=_text("causationid", attributes.get("causationid")),
        traceparent=_text("traceparent", attributes.get("traceparent")),
        tracestate=_text("tracestate", attributes.get("tracestate"), limit=512),
        expires_at=_time("expirytime", attributes.get("expirytime")),
        attempt=_count("sips-attempt", headers.get("sips-attempt")),
        run=_count("sips-run", headers.get("sips-run")),
    )


def _required(code: str, value: Any, carrier: str) -> str:
    text = _text(code, value)
    if text is None:
        raise EnvelopeError(f"no-{code}", f"the command has no {carrier}; it names the command for ever and is never invented")
    return text


def _text(name: str, value: Any, limit: int = MAX_TEXT_BYTES) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise EnvelopeError("wrong-type", f"{name} must be text in UTF-8, not {type(value).__name__}")
    if len(value) <= limit and value.isascii() and value.isprintable():
        return value  # almost always, and quicker than what tells what is wrong with the others
    if len(value.encode(errors="surrogatepass")) > limit:
        raise EnvelopeError("too-long", f"{name} is longer than {limit} bytes")
    if _CONTROL.search(value):
        raise EnvelopeError("wrong-type", f"{name} has control characters")
    return value


def _time(name: str, value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    text = _text(name, value)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise EnvelopeError("wrong-type", f"{name} must be an RFC 3339 time with a zone, such as 2026-01-15T14:05:00Z")
    return moment


def _count(name: str, value: Any) -> int:
    if value is None:
        return 1
    if not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
        raise EnvelopeError("wrong-type", f"header {name} must be a whole number from 1 to {MAX_COUNT}")
    return value


def _tell_what_is_known(error: EnvelopeError, attributes: dict[str, Any], properties: BasicProperties, routing_key: str) -> None:
    """Put what can be trusted of id, source and type on the error: the sender's own words first, then AMQP's."""
    known = {
        "id": (attributes.get("id"), properties.message_id),
        "source": (attributes.get("source"), properties.app_id),
        "type": (attributes.get("type"), properties.type, routing_key),
        "correlation_id": (attributes.get("correlationid"), properties.correlation_id),
    }
    for name, candidates in known.items():
        setattr(error, name, next((text for value in candidates if (text := _text_or_none(value))), None))


def _text_or_none(value: Any) -> str | None:
    try:
        return _text("", value)
    except EnvelopeError:
        return None
