"""An AMQP connection that always comes back.

Connections of pika are not thread-safe; all work on one happens in its loop's thread, reached through `call_soon`.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import deque
from typing import TYPE_CHECKING

import pika
import pika.exceptions
import structlog

from worker.messaging import header_tables
from worker.messaging.wire import WireConnection
from worker.seldom import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.connection import Connection

    from worker.messaging.loop import Loop

__all__ = ["KeptConnection", "describe", "parameters"]

#: Seconds before the first attempt to reconnect; doubles with each up to the longest, and is jittered by half.
FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 3.0

#: Seconds for TCP, TLS and the AMQP handshake together.
CONNECT_SECONDS = 8.0

#: RabbitMQ sends a heartbeat every half of the agreed time; a connection that misses this many in a row is dead: found
#: within two heartbeats. (pika's own check takes up to 2 x (heartbeat + 5 s).)
MISSED_HEARTBEATS = 3

log = structlog.get_logger(__name__)


def parameters(url: str, *, name: str, heartbeat: int) -> pika.URLParameters:
    """Connection parameters for one attempt, with a name that RabbitMQ shows."""
    header_tables.install()
    result = pika.URLParameters(url)
    result.heartbeat = heartbeat
    result.client_properties = {"connection_name": name, "product": "sips-worker"}
    result.connection_attempts = 1
    result.socket_timeout = CONNECT_SECONDS
    result.stack_timeout = CONNECT_SECONDS
    result.blocked_connection_timeout = None  # the publisher has its own limit per message
    return result


class KeptConnection:
    """Kept open by its loop from the loop's start until `stop`.

    Args:
        loop: that serves it.
        url: where RabbitMQ is.
        name: shown in RabbitMQ's list of connections and on log lines.
        heartbeat: seconds.
        on_up: called in the loop's thread with each new open connection.
        on_down: called there when an open connection is gone; nothing can be sent on it any more.
    """

    def __init__(
        self,
        loop: Loop,
        url: str,
        *,
        name: str,
        heartbeat: int,
        on_up: Callable[[Connection], None],
        on_down: Callable[[], None],
    ) -> None:
        self.name = name
        self._loop = loop
        self._url = url
        self._heartbeat = heartbeat
        self._on_up = on_up
        self._on_down = on_down
        self._connection: WireConnection | None = None
        self._is_up = False
        self._backoff = FIRST_BACKOFF
        self._may_tell = Seldom()
        self._calls: deque[Callable[[], None]] = deque()
        self._is_stopping = False
        self._stopped = threading.Event()
        loop.add(self)

    def stop(self, timeout: float) -> None:
        """Close the connection, within `timeout` seconds, after what was asked by `call_soon` so far; it does not come back."""
        self._is_stopping = True
        if self._is_up:
            self.call_soon(self._close)
            self._stopped.wait(timeout)

    @property
    def is_up(self) -> bool:
        """Whether the connection is open, as far as is known."""
        return self._is_up

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop's thread; dropped where the connection is not open by then, as its channel is gone too."""
        self._calls.append(call)
        self._loop.wake()

    # Everything below is called in the loop's thread.

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` after `seconds`; forgotten with the connection."""
        connection = self._connection
        self._loop.call_later(seconds, lambda: call() if connection is self._connection else None)

    def run_calls(self) -> None:
        """Do what was asked by `call_soon`."""
        if not self._calls:
            return
        with self._connection.together() if self._connection else contextlib.nullcontext():
            while self._calls:
                call = self._calls.popleft()
                if self._is_up:
                    call()

    def connect(self) -> None:
        """Begin to connect; what becomes of it is told by `_opened` or `_ended`."""
        if self._is_stopping:
            return
        try:
            wanted = parameters(self._url, name=self.name, heartbeat=self._heartbeat)
            self._connection = WireConnection(wanted, self._opened, self._ended, self._ended, custom_ioloop=self._loop.ioloop)
        except Exception:
            # No descriptors left, say.
            log.exception("the connection could not be made", connection=self.name)
            self._connect_again()

    def _connect_again(self) -> None:
        self._loop.call_later(self._backoff * random.uniform(0.5, 1.5), self.connect)  # noqa: S311 - jitter, no secret
        self._backoff = min(self._backoff * 2, LONGEST_BACKOFF)

    def _opened(self, connection: Connection) -> None:
        self._is_up = True
        self._backoff = FIRST_BACKOFF
        self._may_tell.forget()
        log.info("connected to RabbitMQ", connection=self.name)
        self._watch(bytes_seen=-1, missed=0)
        self._on_up(connection)
        self.run_calls()

    def _ended(self, connection: Connection, error: BaseException) -> None:
        if connection is not self._connection:
            return
        if not self._is_stopping:
            self._tell(describe(error), was_up=self._is_up)
        self._lose()
        if self._is_stopping:
            self._stopped.set()
        else:
            self._connect_again()

    def ended(self, error: Exception) -> None:
        """The loop broke down or was stopped; the next one makes another connection."""
        connection = self._connection
        self._lose()
        if connection is not None:
            with contextlib.suppress(Exception):
                connection._terminate_stream(error)  # noqa: SLF001 - the one way to close the socket of a broken connection

    def _lose(self) -> None:
        was_up, self._is_up = self._is_up, False
        self._connection = None
        self._calls.clear()
        if was_up:
            self._on_down()

    def _tell(self, error: str, *, was_up: bool) -> None:
        """What is in the way of a connection is said once a minute, though it is tried every few seconds."""
        if was_up:
            log.warning("lost the connection to RabbitMQ", connection=self.name, error=error)
        elif self._may_tell(error):
            check = "is RabbitMQ running, and is AMQP_URL right? It is tried again until it works"
            log.warning("cannot connect to RabbitMQ", connection=self.name, error=error, check=check)

    def _watch(self, *, bytes_seen: int, missed: int) -> None:
        """Give the connection up when nothing, not even a heartbeat, came in for too long (half-open, or a hung peer)."""
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        missed = missed + 1 if connection.bytes_received == bytes_seen else 0
        if missed >= MISSED_HEARTBEATS:
            error = pika.exceptions.AMQPHeartbeatTimeout(f"missed {missed} heartbeats of RabbitMQ")
            connection._terminate_stream(error)  # noqa: SLF001 - what pika's own heartbeat check does, only sooner
            return
        bytes_seen = connection.bytes_received
        self.call_later(self._heartbeat / 2, lambda: self._watch(bytes_seen=bytes_seen, missed=missed))

    def _close(self) -> None:
        if self._connection is not None and self._connection.is_open:
            self._connection.close()


def describe(error: BaseException) -> str:
    """An AMQP error in one line: its class, what lies below it, and RabbitMQ's own code and text. Never a password."""
    code, text = getattr(error, "reply_code", None), getattr(error, "reply_text", None)
    if code is not None:
        return f"{type(error).__name__} {code} {text}"
    causes = (*getattr(error, "exceptions", ())[-1:], getattr(error, "exception", None), *error.args)
    inner = next((cause for cause in causes if isinstance(cause, BaseException)), None)
    return f"{type(error).__name__}: {describe(inner)}" if inner else f"{type(error).__name__}: {error}".strip(": ")
