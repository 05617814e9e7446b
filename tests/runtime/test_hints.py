"""A hint is a CloudEvent that this worker's own envelope reads."""

from __future__ import annotations

import base64
import json

import pytest

from worker.messaging.envelope import parse
from worker.messaging.topology import RETRY, WEBHOOKS
from worker.runtime.hints import HINT, hint

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
