"""Publish from any thread through one connection, with confirms in a pipeline and a time limit on every message.

A message is done when RabbitMQ confirmed it. What is unconfirmed when the connection is lost is published again from
memory on the next one, until its time is up; consumers drop the repetition by its id, and the ledger that of an order.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from pika import spec

from worker.messaging.connection import KeptConnection, describe
from worker.messaging.loop import Loop
from worker.messaging.pending import Awaited, Pending, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pika.channel import Channel
    from pika.connection import Connection

__all__ = [
    "Message",
    "PublishError",
    "PublishTimeoutError",
    "Publisher",
    "RefusedError",
    "UnroutableError",
]

#: Routing key of the first message on a channel, over the default exchange: the name of no queue, so it goes nowhere.
PROBE = ""

#: Delivery tag of the message after the probe.
FIRST_TAG = 2

#: What stands around the properties in the frame of a message's header, in bytes.
HEADER_FRAME_BYTES = 20

#: RabbitMQ's default, until a connection has agreed on another.
FRAME_BYTES = 131_072

#: Seconds before another channel is opened where RabbitMQ closed one: what closed it may be published again.
REOPEN_SECONDS = 0.5

log = structlog.get_logger(__name__)


class PublishError(Exception):
    """RabbitMQ did not take a message: it is to be taken as not published, though a late confirm is possible.

    PublishError
    ├── PublishTimeoutError   no confirm in time: the connection is away, blocked, or the broker is slow
    ├── UnroutableError       no queue is bound for it and it was returned, or its exchange is missing
    └── RefusedError          nacked (a full or failing queue), or it cannot be written, or not in one frame, or RabbitMQ
                              closes the channel for it (too large, no right to publish there)
    """


class PublishTimeoutError(PublishError):
    """No confirm came in time."""


class UnroutableError(PublishError):
    """A mandatory message had no queue to go to, or its exchange is missing."""


class RefusedError(PublishError):
    """RabbitMQ nacked the message or closed the channel for it, or pika cannot write it, or not in one frame."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish; `mandatory` where a route must exist."""

    exchange: str
    routing_key: str
    body: bytes = field(repr=False)
    properties: spec.BasicProperties = field(repr=False)
    mandatory: bool = True


class Publisher:
    """One per process. `publish` blocks its caller until the confirm, `hand_over` does not; all else happens in one thread.

    Args:
        url: where RabbitMQ is.
        name: of the connection.
        heartbeat: seconds.
        on_state: called with True when messages can be published, with False when RabbitMQ is away or blocks publishers
            (memory or disk alarm).
        repair: declares the topology; called when an exchange or a bound queue is missing, never in the loop's thread.
        loop: that serves its connection; by default one of its own, which starts and stops with it.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        heartbeat: int,
        on_state: Callable[[bool], None] = lambda _up: None,
        repair: Callable[[], None] = lambda: None,
        loop: Loop | None = None,
    ) -> None:
        serving = loop or Loop(name)
        self._own_loop = serving if loop is None else None
        self._connection = KeptConnection(
            serving,
            url,
            name=name,
            heartbeat=heartbeat,
            on_up=self._connected,
            on_down=self._disconnected,
        )
        self._on_state = on_state
        self._repair = repair
        self._queued: deque[Pending] = deque()
        self._unconfirmed: dict[int, Pending] = {}
        self._channel: Channel | None = None
        self._replies: Channel | None = None
        self._blocked = False
        self._next_tag = FIRST_TAG
        self._suspects = 0  # messages still to be sent alone, because RabbitMQ closed the channel for one of them
        self._frame_bytes = FRAME_BYTES
        serving.each_beat(self._give_up_overdue)

    def start(self) -> None:
        """Connect in the background, unless its loop does so already."""
        if self._own_loop is not None:
            self._own_loop.start()

    def stop(self, timeout: float) -> None:
        """Close the connection; threads still waiting end in their own time-out, and what was handed over is given up."""
        self._connection.stop(timeout)
        if self._own_loop is not None:
            self._own_loop.stop(timeout)
        self._give_up(lambda _handed_over: True, "before the process ended")

    @property
    def is_up(self) -> bool:
        """Whether a message published now would be sent at once."""
        return self._channel is not None and not self._blocked

    def publish(self, *messages: Message, timeout: float) -> None:
        """Publish in this order and wait for every confirm, at most `timeout` seconds in all.

        Where there is no way for one, repair and publish all once more.

        Raises:
            PublishTimeoutError, UnroutableError, RefusedError: see `PublishError`; others of the messages may have been taken.
        """
        deadline = time.monotonic() + timeout
        try:
            self._publish(messages, timeout)
        except UnroutableError:
            self._repair()
            self._publish(messages, deadline - time.monotonic())

    def _publish(self, messages: Sequence[Message], timeout: float) -> None:
        for message in messages:
            self._refuse_unsendable(message)
        deadline = time.monotonic() + timeout
        waiting = [Awaited(message) for message in messages]
        self._queued.extend(waiting)
        self._connection.call_soon(self._send_queued)
        for pending in waiting:
            if not pending.wait(deadline - time.monotonic()):
                for each in waiting:
                    each.abandoned = True
                raise _unconfirmed(pending.message, f"within {max(timeout, 0):.1f} s")
        for pending in waiting:
            if pending.error is not None:
                raise pending.error

    def hand_over(self, message: Message, then: Callable[[PublishError | None], None], *, timeout: float) -> None:
        """Publish without waiting: `then` is called once, with None when it is confirmed, or with why it is not.

        That happens in the loop's thread, which everybody waits for: `then` must neither block nor raise. (What cannot be sent
        at all is told here, and what has no more time in the thread that stops the publisher.) Nothing is repaired.
        """
        try:
            self._refuse_unsendable(message)
        except RefusedError as error:
            then(error)
            return
        self._queued.append(Told(message, time.monotonic() + timeout, then))
        self._connection.call_soon(self._send_queued)

    def _refuse_unsendable(self, message: Message) -> None:
        """RabbitMQ closes the connection for a frame that is too large, and with it goes what everybody else publishes."""
        try:
            size = sum(map(len, message.properties.encode())) + HEADER_FRAME_BYTES
        except Exception as error:  # noqa: BLE001 - whatever pika cannot encode must end with its own message
            raise RefusedError(f"{_name(message)} cannot be sent: {describe(error)}") from None
        if size > self._frame_bytes:
            raise RefusedError(f"{_name(message)} cannot be sent: its properties have {size} bytes and must fit one frame")

    def send(self, message: Message) -> None:
        """Publish without waiting, at most once, unconfirmed, on a channel of its own: for replies, which are best effort."""
        try:
            self._refuse_unsendable(message)
        except RefusedError as error:
            log.warning("a reply could not be sent", error=str(error))
            return
        self._connection.call_soon(lambda: self._send_reply(message))

    # Everything below runs in the loop's thread.

    def _connected(self, connection: Connection) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        self._blocked = False
        self._frame_bytes = connection.params.frame_max
        connection.channel(on_open_callback=self._channel_opened)
        connection.channel(on_open_callback=self._reply_channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._on_returned)
        confirmed = functools.partial(self._on_confirm, channel)
        channel.connection.on_confirm(channel, confirmed)
        channel.confirm_delivery(confirmed, callback=lambda _frame: channel.basic_publish("", PROBE, b""))

    def _ready(self, channel: Channel) -> None:
        """The probe is confirmed. RabbitMQ tells a connection of an alarm only when it publishes, and then takes nothing."""
        # The oldest first, as their time is the shortest.
        for pending in reversed(self._unconfirmed.values()):
            pending.returned = False
            self._queued.appendleft(pending)
        self._unconfirmed.clear()
        self._channel, self._next_tag = channel, FIRST_TAG
        self._on_state(not self._blocked)
        self._send_queued()

    def _reply_channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._reply_channel_closed)
        self._replies = channel

    def _disconnected(self) -> None:
        self._channel = self._replies = None
        self._on_state(False)

    def _channel_closed(self, channel: Channel, error: BaseException) -> None:
        if self._channel is channel:
            self._channel = None
        connection = channel.connection
        if not connection.is_open:
            return
        log.warning("RabbitMQ closed the publishing channel; opening another", error=describe(error))
        self._on_state(False)
        self._find_the_refused(error)
        self._connection.call_later(REOPEN_SECONDS, lambda: self._reopen(connection))

    def _find_the_refused(self, error: BaseException) -> None:
        """RabbitMQ closes the channel for one message; it was alone on it, or they are sent again one by one to find it."""
        if len(self._unconfirmed) == 1:
            (pending,) = self._unconfirmed.values()
            self._unconfirmed.clear()
            kind = UnroutableError if getattr(error, "reply_code", None) == spec.NOT_FOUND else RefusedError
            pending.finish(kind(f"RabbitMQ refuses {_name(pending.message)}: {describe(error)}"))
        self._suspects = len(self._unconfirmed)

    def _reopen(self, connection: Connection) -> None:
        if connection.is_open:
            connection.channel(on_open_callback=self._channel_opened)

    def _reply_channel_closed(self, channel: Channel, error: BaseException) -> None:
        self._replies = None
        connection = channel.connection
        if connection.is_open:
            log.warning("a reply was refused", error=describe(error))
            connection.channel(on_open_callback=self._reply_channel_opened)

    def _on_blocked(self, _connection: Connection, frame: Any) -> None:
        self._blocked = True
        log.warning("RabbitMQ blocks publishers", reason=str(frame.method.reason))
        self._on_state(False)

    def _on_unblocked(self, _connection: Connection, _frame: Any) -> None:
        self._blocked = False
        log.info("RabbitMQ takes messages again")
        self._on_state(self._channel is not None)
        self._send_queued()

    def _send_queued(self) -> None:
        while self._queued and self._channel is not None and not self._blocked and not (self._suspects and self._unconfirmed):
            pending = self._queued.popleft()
            if pending.abandoned:
                continue
            message = pending.message
            try:
                self._channel.basic_publish(
                    message.exchange, message.routing_key, message.body, message.properties, mandatory=message.mandatory
                )
            except Exception as error:  # noqa: BLE001 - whatever pika cannot encode must end with its own message
                pending.finish(RefusedError(f"{_name(message)} cannot be sent: {describe(error)}"))
                continue
            self._unconfirmed[self._next_tag] = pending
            self._next_tag += 1

    def _give_up_overdue(self) -> None:
        now = time.monotonic()
        self._give_up(lambda handed_over: handed_over.until < now, "in time")

    def _give_up(self, is_due: Callable[[Told], bool], when: str) -> None:
        """Of what was handed over; who waits looks at the clock himself."""
        # A copy takes one step, which no other thread gets into.
        for pending in (*self._unconfirmed.values(), *self._queued.copy()):
            if isinstance(pending, Told) and is_due(pending):
                pending.finish(_unconfirmed(pending.message, when))

    def _send_reply(self, message: Message) -> None:
        if self._replies is None or self._blocked:
            return
        try:
            self._replies.basic_publish(message.exchange, message.routing_key, message.body, message.properties)
        except Exception as error:  # noqa: BLE001 - best effort
            log.warning("a reply could not be sent", error=describe(error))

    def _on_confirm(self, channel: Channel, frame: Any) -> None:
        if channel is not self._channel:
            self._ready(channel)
            return
        method = frame.method
        nacked = not isinstance(method, spec.Basic.Ack)
        tags = [method.delivery_tag]
        if method.multiple:
            tags = [tag for tag in self._unconfirmed if tag <= method.delivery_tag]
        for tag in tags:
            if pending := self._unconfirmed.pop(tag, None):
                pending.finish(_error_of(pending, nacked=nacked))
        if self._suspects:
            self._suspects -= 1
            self._send_queued()

    def _on_returned(self, _channel: Channel, method: Any, _properties: Any, body: bytes) -> None:
        """Mark what came back; its confirm follows. Equal messages are equally unroutable, so the first one is as good."""
        for pending in self._unconfirmed.values():
            message = pending.message
            same = (message.exchange, message.routing_key) == (method.exchange, method.routing_key) and message.body == body
            if same and not pending.returned:
                pending.returned = True
                return


def _unconfirmed(message: Message, when: str) -> PublishTimeoutError:
    return PublishTimeoutError(f"no confirm for {_name(message)} {when}")


def _error_of(confirmed: Pending, *, nacked: bool) -> PublishError | None:
    name = _name(confirmed.message)
    if confirmed.returned:
        return UnroutableError(f"no queue is bound for {name}")
    return RefusedError(f"RabbitMQ nacked {name}; a queue it goes to is full or failing") if nacked else None


def _name(message: Message) -> str:
    return f"{message.exchange or 'queue'} {message.routing_key}"
