"""A hint is a CloudEvent that this worker's own envelope reads."""

from __future__ import annotations

import base64
import json

import pytest

from worker.messaging.envelope import parse
from worker.messaging.topology import RETRY, WEBHOOKS
from worker.runtime.hints import HINT, hint
from worker.settings import WEBHOOK_FIELDS
from worker.webhook.events import MAX_NESTING, read

FIELDS = {"id": "SO-1"}


@pytest.mark.parametrize(
    ("fields", "content", "is_json", "data"),
    [
        (FIELDS, b'{"eventId": "SO-1"}', True, {"recognized": True, "fields": FIELDS, "body": {"eventId": "SO-1"}}),
        ({}, b"[]", True, {"recognized": False, "fields": {}, "body": []}),
        ({}, b"\xff", False, {"recognized": False, "fields": {}, "bodyBase64": base64.b64encode(b"\xff").decode()}),
    ],
)
def test_a_hint_is_read_as_it_was_meant(fields: dict[str, str], content: bytes, is_json: bool, data: object) -> None:
    """From its queue, to which it goes as ticks do to theirs."""
    message = hint("h-1", fields, content, is_json=is_json, environment="qa")

    command = parse(message.body, message.properties, message.routing_key, max_bytes=10_000)

    assert (RETRY, WEBHOOKS, True, 2) == (
        message.exchange,
        message.routing_key,
        message.mandatory,
        message.properties.delivery_mode,
    )
    assert ("h-1", HINT, "sips-webhook/qa", data) == (command.id, command.type, command.source, command.data)
    assert "h-1" == message.properties.message_id == json.loads(message.body)["id"]


@pytest.mark.parametrize(("depth", "is_json"), [(MAX_NESTING, True), (MAX_NESTING + 1, False), (200, False), (2_000, False)])
def test_what_goes_on_is_never_too_deep_for_a_worker(depth: int, is_json: bool) -> None:
    """Which refuses what is nested deeper than it reads; the event would be a dead letter."""
    content = b'{"a":' * depth + b"1" + b"}" * depth
    (event,) = read(content, WEBHOOK_FIELDS)

    message = hint(event.id, event.fields, event.content, is_json=event.is_json, environment="qa")

    data = parse(message.body, message.properties, message.routing_key, max_bytes=100_000).data
    assert (is_json, is_json, not is_json) == (event.is_json, "body" in data, "bodyBase64" in data)
