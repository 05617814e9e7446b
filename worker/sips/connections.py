"""Connections that know what became of a request: whether a byte of it was written, and how to end it from outside.

Whether SIPS can have read a request is taken from here, not from an exception's class: a TLS error comes from a failed
handshake as well as after SIPS read an order. The hooks are urllib3's: `pool_classes_by_scheme`, `ConnectionCls`,
`is_connected`, `request`, `send`, `close`, and two that are stable but not public, `_new_conn` and `_put_conn`.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError

from worker.sips.lookup import open_socket

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from worker.sips.deadline import Deadline, Watch, Watchdog

__all__ = ["POOL_CLASSES", "Exchange", "exchanging"]


class Exchange:
    """One request and its answer on the wire.

    Parameters:
        deadline: When the socket is shut down.
        watchdog: Who shuts it down.
        max_idle: How long (seconds) a kept connection may have been idle to be used; 0 asks for a fresh one.

    Attributes:
        written: Bytes of the request that were handed to the operating system.
        reused: Whether the request went out on a kept connection.
        answered: Whether the head of an answer came.
    """

    __slots__ = ("_handle", "_watch", "_watchdog", "answered", "deadline", "max_idle", "reused", "written")

    def __init__(self, deadline: Deadline, watchdog: Watchdog, *, max_idle: float = math.inf) -> None:
        self.deadline = deadline
        self.max_idle = max_idle
        self.written = 0
        self.reused = False
        self.answered = False
        self._watchdog = watchdog
        self._watch: Watch | None = None
        self._handle: socket.socket | None = None

    @property
    def cut(self) -> bool:
        """Whether the socket was shut down at the deadline."""
        return self._watch is not None and self._watch.cut

    def take(self, handle: socket.socket) -> None:
        """Have the connection behind `handle` shut down at the deadline, until it is handed back or this ends."""
        self._handle = handle
        self._watch = self._watchdog.watch(handle, self.deadline)

    def hand_back(self) -> None:
        """Leave the connection to the next request: it must not be shut down from here any more."""
        self._handle = None
        self._release()

    def end(self) -> None:
        """Let go of everything; a connection that was not handed back is closed."""
        self._release()
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _release(self) -> None:
        if self._watch is not None:
            self._watchdog.release(self._watch)


#: The exchange that this thread is about: urllib3 has no place to pass it through to a connection.
_current: ContextVar[Exchange] = ContextVar("exchange")


@contextmanager
def exchanging(exchange: Exchange) -> Iterator[None]:
    """Have this thread's requests belong to the exchange, which ends with the block."""
    token = _current.set(exchange)
    try:
        yield
    finally:
        _current.reset(token)
        exchange.end()


class _Connection(HTTPConnection):
    """An HTTP connection that reports to the current exchange."""

    _exchange: Exchange | None = None
    #: Second descriptor of the socket: it can be shut down while TLS still owns the first one.
    _handle: socket.socket | None = None
    _idle_since = 0.0
    _requesting = False

    @property
    def is_connected(self) -> bool:
        """Whether the kept connection is still open and was not idle for too long."""
        idle = time.monotonic() - self._idle_since
        return idle < _current.get().max_idle and super().is_connected

    def _new_conn(self) -> socket.socket:
        exchange = _current.get()
        try:
            sock = open_socket(self._dns_host, self.port, exchange.deadline, self.socket_options or ())
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "could not connect in time") from error
        except OSError as error:
            raise NewConnectionError(self, "could not connect") from error
        self._handle = sock.dup()
        self._exchange = exchange
        exchange.take(self._handle)
        sock.settimeout(max(exchange.deadline.remaining(), 0.001))
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Write a request, on a connection opened here if there is none."""
        if self.sock is None:
            self.connect()
        elif self._exchange is None and self._handle is not None:
            self._exchange = _current.get()
            self._exchange.reused = True
            self._exchange.take(self._handle)
        self._requesting = True
        try:
            super().request(*args, **kwargs)
        finally:
            self._requesting = False

    def send(self, data: Any) -> None:
        """Write bytes and count those of the request; what a proxy is told before is not part of it.

        `socket.send` either says how many bytes it took or has not completed a single TLS record. A request never goes
        on over a second connection, as it could in http.client.
        """
        exchange = self._exchange
        if not self._requesting or exchange is None:
            super().send(data)
            return
        if not exchange.written and exchange.deadline.passed:
            raise TimeoutError  # a process that was stopped for a while must not start now what others took over meanwhile
        rest = memoryview(data)
        while rest:
            try:
                sent = self.sock.send(rest)
            except OSError as error:
                if exchange.written:
                    raise
                # urllib3 ignores a broken pipe here and goes on to read an answer to a request that was never sent.
                raise ProtocolError("The connection was closed before the request.", error) from error
            exchange.written += sent
            rest = rest[sent:]

    def getresponse(self) -> Any:
        """The answer's head."""
        exchange = self._exchange
        response = super().getresponse()
        if exchange is not None:
            exchange.answered = True
        return response

    def hand_back(self) -> None:
        """Become an idle connection of the pool, if still open."""
        if self._exchange is not None and self.sock is not None:
            self._exchange.hand_back()
            self._exchange = None
            self._idle_since = time.monotonic()

    def close(self) -> None:
        """Close; the exchange that is reading an answer keeps its own descriptor until it ends."""
        super().close()
        if self._exchange is None and self._handle is not None:
            self._handle.close()
        self._exchange = None
        self._handle = None


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _HandsBack:
    """A pool that tells a connection when it becomes idle."""

    def _put_conn(self, conn: Any) -> None:
        if isinstance(conn, _Connection):
            conn.hand_back()
        super()._put_conn(conn)  # type: ignore[misc]


class _Pool(_HandsBack, HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(_HandsBack, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


#: For `PoolManager.pool_classes_by_scheme`.
POOL_CLASSES: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TlsPool}
