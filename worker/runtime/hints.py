"""The message by which a call of SIPS reaches some worker thread: a hint that something changed, to be read back."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from pika.spec import BasicProperties

from worker.messaging.events import CONTENT_TYPE
from worker.messaging.ladder import PERSISTENT
from worker.messaging.publisher import Message
from worker.messaging.topology import RETRY, WEBHOOKS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HINT", "hint"]

#: Type of a hint; it is no command, and no binding of `sips.commands` leads to its queue.
HINT = "sips.webhook.received"


def hint(hint_id: str, fields: Mapping[str, str], content: bytes, *, is_json: bool, environment: str) -> Message:
    """A structured CloudEvent for `sips.webhooks`.

    Its data: `recognized`, `fields` (id, type, status, time and references, as far as they were found) and the event as it
    came: `body`, or `bodyBase64` where it is no JSON.

    Args:
        hint_id: the same for a repetition; it is the CloudEvent's id and the `message_id`.
        fields: what was found; empty = unrecognized.
        content: the event as it came.
        is_json: whether the content is JSON.
        environment: sandbox, qa or production.
    """
    body: dict[str, Any] = (
        {"body": orjson.Fragment(content)} if is_json else {"bodyBase64": base64.b64encode(content).decode("ascii")}
    )
    now = datetime.now(UTC)
    attributes = {
        "specversion": "1.0",
        "id": hint_id,
        "source": f"sips-webhook/{environment}",
        "type": HINT,
        "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "environment": environment,
        "data": {"recognized": bool(fields), "fields": dict(fields)} | body,
    }
    properties = BasicProperties(
        content_type=CONTENT_TYPE,
        delivery_mode=PERSISTENT,
        message_id=hint_id,
        type=HINT,
        app_id="sips-worker",
        timestamp=int(now.timestamp()),
    )
    return Message(exchange=RETRY, routing_key=WEBHOOKS, body=orjson.dumps(attributes), properties=properties)
