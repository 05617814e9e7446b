"""Republish a message: later over the delay ladder, at once to a work queue, or as a dead letter.

The ladder is a row of queues in the broker with a time to live each, so that no worker holds a delayed message.
"""

from __future__ import annotations

import bisect
import time
from typing import TYPE_CHECKING, Any

import orjson
from pika.spec import BasicProperties

from worker.messaging.header_tables import MAX_BYTES, encoded_size
from worker.messaging.publisher import Message
from worker.messaging.topology import DEAD, DELAY_SECONDS, RETRY, delay_exchange

if TYPE_CHECKING:
    from random import Random

__all__ = ["ORDER", "PERSISTENT", "dead_letter", "delayed", "from_step", "returned", "step", "without_history"]

#: AMQP delivery mode of a message that survives a restart of the broker.
PERSISTENT = 2

#: Longest `sips-original` (bytes) and list of left out headers (characters): a dead letter's properties must fit one frame.
MAX_ORIGINAL_BYTES = 16_384
MAX_NAMES_LENGTH = 1_000

#: Headers that would steer the broker or carry its own bookkeeping into a new life of the message. An old `x-death` in a
#: chain of quorum queues keeps the message stuck for ever; CC and BCC send copies elsewhere.
_STRIPPED_PREFIXES = ("x-death", "x-delivery-count", "x-first-death-", "x-last-death-")
_STRIPPED_NAMES = frozenset({"cc", "bcc"})

#: What the worker itself notes on a message.
_OURS = "sips-"

#: Header with the ledger's key of a command's order. It stays for as long as the message: should reading it kill some day, its
#: order is still known.
ORDER = "sips-order"


def step(seconds: float, random: Random) -> int:
    """The rung for a delay: one of its two neighbours, at random, so that the mean of many is `seconds`."""
    if seconds <= DELAY_SECONDS[0]:
        return DELAY_SECONDS[0]
    if seconds >= DELAY_SECONDS[-1]:
        return DELAY_SECONDS[-1]
    upper = bisect.bisect_left(DELAY_SECONDS, seconds)
    low, high = DELAY_SECONDS[upper - 1], DELAY_SECONDS[upper]
    return high if random.random() < (seconds - low) / (high - low) else low


def from_step(seconds: int) -> tuple[int, ...]:
    """A rung and the longer ones, in their order."""
    return DELAY_SECONDS[DELAY_SECONDS.index(seconds) :]


def delayed(
    body: bytes,
    properties: BasicProperties,
    routing_key: str,
    *,
    queue: str,
    seconds: int,
    headers: dict[str, Any],
) -> Message:
    """The same message, to reach `queue` after `seconds` (a rung of the ladder), with `headers` of ours set."""
    return Message(
        exchange=delay_exchange(seconds),
        routing_key=queue,
        body=body,
        properties=_kept(properties, routing_key, headers),
    )


def returned(body: bytes, properties: BasicProperties, routing_key: str, *, queue: str, headers: dict[str, Any]) -> Message:
    """The same message, to reach `queue` at once."""
    return Message(
        exchange=RETRY,
        routing_key=queue,
        body=body,
        properties=_kept(properties, routing_key, headers),
    )


def dead_letter(body: bytes, properties: BasicProperties, routing_key: str, *, headers: dict[str, Any]) -> Message:
    """The same message, set aside for a person; what was stripped stands in the header `sips-original` as JSON.

    It can always be published: headers that are too large, or that pika cannot write, are named and left out.
    """
    kept, dropped = _fitting(properties.headers or {})
    own = headers | {"sips-original": _original(properties, routing_key), "sips-dead-at": int(time.time())}
    if dropped:
        own["sips-dropped-headers"] = ", ".join(dropped)[:MAX_NAMES_LENGTH]
    return Message(exchange="", routing_key=DEAD, body=body, properties=_kept(properties, routing_key, own, headers=kept))


def without_history(properties: BasicProperties, routing_key: str | None) -> BasicProperties:
    """The properties as they were first published: of what the broker and we have noted since, only first key and order stay."""
    kept = _kept(properties, routing_key or "", {})
    own = {name: value for name, value in (kept.headers or {}).items() if name == ORDER or not name.startswith(_OURS)}
    kept.headers = own | ({"sips-routing-key": routing_key} if routing_key else {})
    return kept


def _original(properties: BasicProperties, routing_key: str) -> str:
    """What a dead letter loses of its properties, as JSON; without the headers where they are too long."""
    stripped = {name: value for name, value in (properties.headers or {}).items() if _is_stripped(name)}
    original = {
        "routingKey": routing_key,
        "userId": properties.user_id,
        "expiration": properties.expiration,
        "headers": stripped,
    }
    text = orjson.dumps(original, default=str, option=orjson.OPT_NON_STR_KEYS)
    if len(text) > MAX_ORIGINAL_BYTES:
        text = orjson.dumps(original | {"headers": f"{len(stripped)} headers, too long to be kept"}, default=str)
    return text.decode()


def _fitting(headers: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The headers that can be carried on, smallest first where not all can, and the names of the others."""
    size = encoded_size(headers)
    if size is not None and size <= MAX_BYTES:
        return headers, []
    sizes = {name: encoded_size({name: value}) for name, value in headers.items()}
    kept: dict[str, Any] = {}
    left = MAX_BYTES
    for name in sorted(headers, key=lambda name: sizes[name] or 0):
        if (needed := sizes[name]) is not None and needed <= left:
            kept[name], left = headers[name], left - needed
    return kept, [name for name in headers if name not in kept]


def _kept(
    properties: BasicProperties, routing_key: str, own: dict[str, Any], *, headers: dict[str, Any] | None = None
) -> BasicProperties:
    """The properties of a copy: the publisher's (or `headers` instead of theirs) without what is stripped, and our own."""
    theirs = properties.headers or {} if headers is None else headers
    carried = {"sips-routing-key": routing_key} | {name: value for name, value in theirs.items() if not _is_stripped(name)}
    return BasicProperties(
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        headers=carried | own,
        delivery_mode=PERSISTENT,
        priority=properties.priority,
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        message_id=properties.message_id,
        timestamp=properties.timestamp,
        type=properties.type,
        app_id=properties.app_id,
    )


def _is_stripped(name: str) -> bool:
    lowered = name.lower()
    return lowered in _STRIPPED_NAMES or lowered.startswith(_STRIPPED_PREFIXES)
