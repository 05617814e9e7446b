"""One AMQP connection on a thread of its own: heartbeats are served whatever the handlers do, and it always comes back.

Connections of pika are not thread-safe; all work on one happens in its thread, reached through `call_soon`.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

import pika
import pika.exceptions
import structlog

from worker.messaging import header_tables
from worker.messaging.wire import WireConnection
from worker.seldom import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.connection import Connection

__all__ = ["Beat", "ConnectionThread", "parameters", "unwatched"]

#: Seconds before the first attempt to reconnect; doubles with each up to the longest, and is jittered by half.
FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 3.0

#: Seconds for TCP, TLS and the AMQP handshake together.
CONNECT_SECONDS = 8.0

#: RabbitMQ sends a heartbeat every half of the agreed time; a connection that misses this many in a row is dead: found
#: within two heartbeats. (pika's own check takes up to 2 x (heartbeat + 5 s).)
MISSED_HEARTBEATS = 3

#: Seconds between two beats of a thread that serves a connection.
BEAT_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Beat(Protocol):
    """Called by a loop each time it goes round; its next round may take `allow` seconds longer than usual."""

    def __call__(self, name: str, allow: float = 0.0) -> None: ...  # noqa: D102 - as the class says


def unwatched(name: str, allow: float = 0.0) -> None:
    """The beat of a loop that nobody watches."""


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


class ConnectionThread:
    """Keeps one connection open until `stop`.

    Args:
        url: where RabbitMQ is.
        name: shown in RabbitMQ's list of connections and on log lines.
        heartbeat: seconds.
        on_up: called in the thread with each new open connection.
        on_down: called in the thread when an open connection is gone; nothing can be sent on it any more.
        beat: called with the name, every second or so, whether RabbitMQ is there or not.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        heartbeat: int,
        on_up: Callable[[Connection], None],
        on_down: Callable[[], None],
        beat: Beat = unwatched,
    ) -> None:
        self.name = name
        self._url = url
        self._heartbeat = heartbeat
        self._on_up = on_up
        self._on_down = on_down
        self._beat = beat
        self._stopping = threading.Event()
        self._connection: WireConnection | None = None
        self._is_up = False
        self._may_tell = Seldom()
        self._calls: deque[Callable[[], None]] = deque()
        self._wake_sent = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; it connects by itself, and again whenever the connection is lost."""
        self._beat(self.name)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Close the connection after what was asked by `call_soon` so far, and end the thread within `timeout` seconds."""
        self._stopping.set()
        if self._is_up:
            self.call_soon(self._close)
        elif connection := self._connection:
            connection.ioloop.add_callback_threadsafe(connection.ioloop.stop)
        self._thread.join(timeout)

    @property
    def is_up(self) -> bool:
        """Whether the connection is open, as far as is known."""
        return self._is_up

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run `call` in the connection's thread; dropped where no connection is open by then, as its channel is gone too."""
        self._calls.append(call)
        if self._wake_sent:  # read without the lock, which its owner holds while the kernel wakes the loop
            return
        with self._lock:
            if not self._wake_sent and self._connection is not None:
                self._wake_sent = True
                self._connection.ioloop.add_callback_threadsafe(self._run_calls)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` after `seconds`; only from the connection's thread, and forgotten with the connection."""
        if self._connection is not None:
            self._connection.ioloop.call_later(seconds, call)

    def _run_calls(self) -> None:
        # The flag falls before the queue is read, so that a call added meanwhile wakes the loop again.
        self._wake_sent = False
        if (connection := self._connection) is not None:
            with connection.together():
                self._run_each()

    def _run_each(self) -> None:
        while self._calls:
            call = self._calls.popleft()
            if self._is_up:
                call()

    def _run(self) -> None:
        backoff = FIRST_BACKOFF
        while not self._stopping.is_set():
            was_up = self._connect_and_serve_or_fail()
            backoff = FIRST_BACKOFF if was_up else min(backoff * 2, LONGEST_BACKOFF)
            pause = backoff * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, no secret
            self._beat(self.name, allow=pause)
            self._stopping.wait(pause)

    def _connect_and_serve_or_fail(self) -> bool:
        try:
            return self._connect_and_serve()
        except Exception:
            # No descriptors left, say. Whatever it is, nobody would start this thread again.
            log.exception("the connection could not be made or left", connection=self.name)
            return False

    def _connect_and_serve(self) -> bool:
        """Serve one connection until it is lost; whether it ever was open."""
        was_up = False

        def opened(connection: Connection) -> None:
            nonlocal was_up
            was_up = self._is_up = True
            self._may_tell.forget()
            log.info("connected to RabbitMQ", connection=self.name)
            self._watch(bytes_seen=-1, missed=0)
            self._on_up(connection)
            self._run_calls()

        def ended(connection: Connection, error: BaseException) -> None:
            self._is_up = False
            if not self._stopping.is_set():
                self._tell(describe(error), was_up=was_up)
            connection.ioloop.stop()

        connection = WireConnection(parameters(self._url, name=self.name, heartbeat=self._heartbeat), opened, ended, ended)
        with self._lock:
            self._connection, self._wake_sent = connection, False
        try:
            self._beat_again(connection)
            connection.ioloop.start()
        except Exception as error:
            # A bug of ours or of pika's in a callback must cost this connection, never the thread.
            log.exception("the connection broke", connection=self.name)
            with contextlib.suppress(Exception):
                connection._terminate_stream(error)  # noqa: SLF001 - the one way to close the socket of a broken connection
        finally:
            with self._lock:
                self._connection = None
            self._is_up = False
            self._calls.clear()
            with contextlib.suppress(Exception):
                connection.ioloop.close()
        if was_up:
            self._on_down()
        return was_up

    def _tell(self, error: str, *, was_up: bool) -> None:
        """What is in the way of a connection is said once a minute, though it is tried every few seconds."""
        if was_up:
            log.warning("lost the connection to RabbitMQ", connection=self.name, error=error)
        elif self._may_tell(error):
            check = "is RabbitMQ running, and is AMQP_URL right? It is tried again until it works"
            log.warning("cannot connect to RabbitMQ", connection=self.name, error=error, check=check)

    def _beat_again(self, connection: pika.SelectConnection) -> None:
        """Beat for as long as the loop goes round, from the attempt to connect on."""
        self._beat(self.name)
        connection.ioloop.call_later(BEAT_SECONDS, lambda: self._beat_again(connection))

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
