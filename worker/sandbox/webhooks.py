"""Webhooks: what is told of a change, and what faults make of it. Property names are those that integrations know.

An event meets the faults in this order. As a whole: webhook_drop, webhook_repeat. Then each of its copies: webhook_delay,
webhook_shuffle, webhook_burst, webhook_secret, webhook_garbage. Whether one strikes follows from the seed and the order's key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from worker.sandbox.life import INVOICE, moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.sandbox.faults import Faults
    from worker.sandbox.life import Change
    from worker.sandbox.state import Order

__all__ = ["GARBAGE", "WRONG_SECRET", "Receiver", "Webhook", "event", "webhooks"]

#: What stands in the place of a body, and of a secret, that faults have struck.
GARBAGE = b'{"eventId": "358'
WRONG_SECRET = "wrong-secret"  # noqa: S105 - it opens nothing

_VISIBLE = re.compile(r"[!-~]+")
_TEXT = re.compile(r"[ -~]*")
_NAME = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where webhooks go, and the headers that prove who sends them; without any, the last segment of the path is the secret."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be called.

        Raises:
            ValueError: this is no such address, or no header.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0 or not _VISIBLE.fullmatch(self.url):
            raise ValueError("the address of a receiver is http://… or https://…, in ASCII and without blanks")
        if wrong := [name for name, value in self.headers.items() if not (_NAME.fullmatch(name) and _TEXT.fullmatch(value))]:
            raise ValueError(f"{', '.join(wrong)}: a header is a name of letters, digits and dashes, and ASCII text")

    def with_wrong_secret(self) -> Receiver:
        """The same place, for a caller who does not know the secret."""
        if self.headers:
            return Receiver(self.url, dict.fromkeys(self.headers, WRONG_SECRET))
        address, mark, query = self.url.partition("?")
        return Receiver(f"{address.rpartition('/')[0]}/{WRONG_SECRET}{mark}{query}")


@dataclass(slots=True)
class Webhook:
    """One call that is due at a moment; `burst` holds it back until so many are there, or the first waited so many seconds."""

    order_id: str
    due: float
    event: dict[str, Any]
    receiver: Receiver
    body: bytes
    faults: list[str]
    burst: tuple[int, float] | None = None
    state: str = "waiting"
    tries: list[dict[str, Any]] = field(default_factory=list)


def event(order: Order, change: Change) -> dict[str, Any]:
    """What a webhook tells: `eventId` is the number of the invoice or the order that changed, the same each time."""
    return {
        "eventId": f"{int(order.order_id):010}-001" if change.subject == INVOICE else order.order_id,
        "eventType": change.event_type,
        "eventStatus": change.status.lower(),
        "eventDateTime": moment(change.at),
        "subscriberReferenceNum": order.po_number,
        "subscriberReferenceNum2": order.order_id,
        "subscriberReferenceNum3": order.transaction_id,
    }


def webhooks(order: Order, change: Change, receiver: Receiver, faults: Faults) -> list[Webhook]:
    """The calls that a change makes: one, unless faults strike. One that is dropped is due for nobody."""
    key = f"{order.key}/{change.subject}/{change.status}"
    told, customer = event(order, change), order.body["customerCode"]
    if faults.strikes("webhook_drop", "", customer, key=key) is not None:
        return [Webhook(order.order_id, change.at, told, receiver, b"", ["webhook_drop"], state="dropped")]
    repeat = faults.strikes("webhook_repeat", "", customer, key=key)
    struck, calls = (["webhook_repeat"], 1 + repeat["times"]) if repeat else ([], 1)
    made = [Webhook(order.order_id, change.at, told, receiver, orjson.dumps(told), [*struck]) for _ in range(calls)]
    for number, webhook in enumerate(made):
        _strike(webhook, customer, f"{key}/{number}", faults)
    return made


def _strike(webhook: Webhook, customer: str, key: str, faults: Faults) -> None:
    """Let the faults of a single call change it."""

    def strikes(name: str) -> dict[str, Any] | None:
        struck = faults.strikes(name, "", customer, key=key)
        webhook.faults += [name] if struck is not None else []
        return struck

    if delay := strikes("webhook_delay"):
        webhook.due += delay["seconds"]
    if shuffle := strikes("webhook_shuffle"):
        webhook.due += shuffle["seconds"] * faults.share(f"shuffled by/{key}")
    if burst := strikes("webhook_burst"):
        webhook.burst = burst["events"], burst["seconds"]
    if strikes("webhook_secret") is not None:
        webhook.receiver = webhook.receiver.with_wrong_secret()
    if strikes("webhook_garbage") is not None:
        webhook.body = GARBAGE
