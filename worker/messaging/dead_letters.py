"""Read the queue of dead letters without taking anything out: one after the other, each held until the reader is done.

RabbitMQ has no way to look into a queue but to be delivered its messages. So they are consumed and not acked; what was not
removed goes back to its place when the channel closes. Memory stays small however many there are: RabbitMQ sends no faster
than they are read, and only the delivery tag of one that was passed over is kept, by RabbitMQ.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from worker.messaging.envelope import EnvelopeError, parse
from worker.messaging.topology import DEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pika
    from pika.spec import BasicProperties

__all__ = ["CRASH_ON_READ", "DeadLetter", "DeadLetterQueue", "Held", "Selection", "describe_letter"]

#: Reason of a message that nobody may read, this module included: reading it is what kills.
CRASH_ON_READ = "crash-on-read"

#: Messages that one consumer may hold. AMQP allows 65 535 at most, and RabbitMQ takes "unlimited" for 2 000 on a quorum
#: queue; for more, one consumer after the other is added.
WINDOW = 1_000

#: Seconds without a message after which the rest is taken to be held by somebody else who reads.
IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What is known of a dead letter; small, and without its payload.

    Attributes:
        key: what a person calls it by: the command's id, or where none could be read a fingerprint that starts with `~`.
        id, source, type: of the command, as far as they could be read.
        reason, detail: why it was set aside.
        queue: the queue it was set aside from.
        since: when.
        attempts, run: what was done for it.
        size: of its body, in bytes.
        redelivered: whether somebody has looked at it before.
    """

    key: str
    id: str | None
    source: str | None
    type: str | None
    reason: str
    detail: str
    queue: str | None
    since: datetime | None
    attempts: int
    run: int
    size: int
    redelivered: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A dead letter while it is held, whole."""

    letter: DeadLetter
    properties: BasicProperties = field(repr=False)
    body: bytes = field(repr=False)
    tag: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters; empty or None = all. Several values of one kind are alternatives, the kinds narrow each other."""

    types: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    before: datetime | None = None
    after: datetime | None = None

    def matches(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant. One whose time is not known has no age, so no age selects it."""
        return (
            (not self.types or letter.type in self.types)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.sources or letter.source in self.sources)
            and (not self.keys or letter.key in self.keys)
            and (self.before is None or (letter.since is not None and letter.since < self.before))
            and (self.after is None or (letter.since is not None and letter.since >= self.after))
        )


class DeadLetterQueue:
    """The queue, on a channel of its own; as a context manager it gives back at the end what was not removed.

    Args:
        connection: of one thread. RabbitMQ's errors on it are raised as pika has them.
    """

    def __init__(self, connection: pika.BlockingConnection) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._channel.basic_qos(prefetch_count=WINDOW)
        self._arrived: deque[tuple[Any, BasicProperties, bytes]] = deque()
        self._consumers = 0
        self._unsettled = 0
        self._got: set[int] = set()  # tags that no consumer's window holds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what was not removed. When this returns, RabbitMQ has been told of everything."""
        if not self._channel.is_open:
            return
        for consumer in self._channel.consumer_tags:
            self._channel.basic_cancel(consumer)
        # A channel that closes gives everything back too, but some time after the next reader may have looked.
        self._channel.basic_nack(0, multiple=True, requeue=True)
        self._channel.close()

    def select(self, selection: Selection, limit: int | None = None) -> Iterator[Held]:
        """Those that match, at most `limit`, in RabbitMQ's order: the oldest first where nobody has stopped reading half-way.

        Only ones that are there when it begins: one that is run again and dies again meanwhile does not come again.
        """
        found = 0
        for held in self._read():
            if selection.matches(held.letter):
                yield held
                found += 1
                if found == limit:
                    return

    def remove(self, tag: int) -> None:
        """Take one out for good: the letter that was `held` with this tag."""
        self._channel.basic_ack(tag)
        if tag not in self._got:
            self._unsettled -= 1

    def _read(self) -> Iterator[Held]:
        # What `queue_declare` tells of a quorum queue may be old, or 0 when the answer took too long; this is exact.
        method, properties, body = self._channel.basic_get(DEAD)
        if method is None or properties is None or body is None:
            return
        left = method.message_count
        self._got.add(method.delivery_tag)
        yield _held(method, properties, body)
        while left > 0 and self._wait():
            left -= 1
            yield _held(*self._arrived.popleft())

    def _wait(self) -> bool:
        """Whether another one has arrived."""
        if not self._arrived and self._unsettled >= WINDOW * self._consumers:
            self._consumers += 1
            self._channel.basic_consume(DEAD, self._on_message)
        until = time.monotonic() + IDLE_SECONDS
        # pika also comes back for what is none.
        while not self._arrived and (left := until - time.monotonic()) > 0:
            self._connection.process_data_events(time_limit=left)
        return bool(self._arrived)

    def _on_message(self, _channel: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
        self._unsettled += 1
        self._arrived.append((method, properties, body))


def _held(method: Any, properties: BasicProperties, body: bytes) -> Held:
    letter = describe_letter(properties, body, redelivered=method.redelivered)
    return Held(letter, properties, body, method.delivery_tag)


def describe_letter(properties: BasicProperties, body: bytes, *, redelivered: bool = False) -> DeadLetter:
    """What a message in the queue says of itself; never raises, whatever it holds."""
    headers = properties.headers or {}
    death = _death(headers)
    reason = _text(headers.get("sips-reason")) or (_text(death.get("reason")) or "unknown").replace("_", "-")
    command_id, source, command_type = _names(properties, body, reason)
    return DeadLetter(
        key=command_id or _fingerprint(properties, body),
        id=command_id,
        source=source,
        type=command_type,
        reason=reason,
        detail=_text(headers.get("sips-detail")) or ("RabbitMQ set it aside" if death else ""),
        queue=_text(headers.get("sips-queue")) or _text(death.get("queue")),
        since=_time(headers.get("sips-dead-at")) or _time(death.get("time")),
        attempts=_count(headers.get("sips-attempt")),
        run=_count(headers.get("sips-run")),
        size=len(body),
        redelivered=redelivered,
    )


def routing_key(properties: BasicProperties) -> str | None:
    """The key that the message was first published with."""
    headers = properties.headers or {}
    keys = _death(headers, latest=False).get("routing-keys")
    return _text(headers.get("sips-routing-key")) or (_text(keys[0]) if isinstance(keys, list) and keys else None)


def _names(properties: BasicProperties, body: bytes, reason: str) -> tuple[str | None, str | None, str | None]:
    """Id, source and type, as far as they can be read."""
    max_bytes = -1 if reason == CRASH_ON_READ else sys.maxsize
    try:
        command = parse(body, properties, routing_key(properties) or "", max_bytes=max_bytes)
    except EnvelopeError as error:
        return error.id, error.source, error.type
    return command.id, command.source if command.has_source else None, command.type


def _death(headers: dict[str, Any], *, latest: bool = True) -> dict[str, Any]:
    """RabbitMQ's own record of a message that it set aside: the latest one, or the oldest."""
    deaths = headers.get("x-death")
    if not isinstance(deaths, list) or not deaths:
        return {}
    death = deaths[0 if latest else -1]
    return death if isinstance(death, dict) else {}


def _fingerprint(properties: BasicProperties, body: bytes) -> str:
    own = {name: value for name, value in (properties.headers or {}).items() if not name.startswith("x-")}
    return "~" + hashlib.sha256(repr(sorted(own.items(), key=repr)).encode(errors="replace") + body).hexdigest()[:12]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 1


def _time(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if not isinstance(value, int):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
