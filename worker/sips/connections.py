"""Connections that know what became of a request: whether a byte of it was written, and how to end it from outside.

Whether SIPS can have read a request is taken from here, not from an exception's class: a TLS error comes from a failed
handshake as well as after SIPS read an order. urllib3 opens the connections, as it knows TLS and proxies, through
`pool_classes_by_scheme`, `ConnectionCls`, `is_connected` and `close`, and two that are stable but not public, `_new_conn` and
`_prepare_proxy`.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from worker.sips.http1 import AnswerReader
from worker.sips.lookup import open_socket

if TYPE_CHECKING:
    import socket

    from worker.sips.deadline import Deadline, Watch, Watchdog

__all__ = ["POOL_CLASSES", "Connection", "Exchange"]

#: Most that is written at once: what TLS sends as one record (RFC 8446, 5.1).
_RECORD_BYTES = 16_384


class Exchange:
    """One request and its answer on the wire.

    Parameters:
        deadline: When the socket is shut down.
        watchdog: Who shuts it down.
        max_idle: How long (seconds) a kept connection may have been idle to be used; 0 asks for a fresh one.
        unasked_idle: For how long it is taken to be still open, without asking the operating system.

    Attributes:
        written: Bytes of the request that were handed to the operating system.
        reused: Whether the request went out on a kept connection.
        answered: Whether the head of an answer came.
    """

    __slots__ = ("_handle", "_watch", "_watchdog", "answered", "deadline", "max_idle", "reused", "unasked_idle", "written")

    def __init__(self, deadline: Deadline, watchdog: Watchdog, *, max_idle: float = math.inf, unasked_idle: float = 0.0) -> None:
        self.deadline = deadline
        self.max_idle = max_idle
        self.unasked_idle = unasked_idle
        self.written = 0
        self.reused = False
        self.answered = False
        self._watchdog = watchdog
        self._watch: Watch | None = None
        self._handle: socket.socket | None = None

    @property
    def asks(self) -> bool:
        """Whether the operating system is asked after every kept connection, however short it was idle."""
        return self.unasked_idle == 0

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


class Connection(HTTPConnection):
    """An HTTP connection: opened by urllib3, which knows TLS and proxies; used by one exchange after the other.

    Attributes:
        answer: What was read last.
    """

    _exchange: Exchange | None = None
    #: Second descriptor of the socket: it can be shut down while TLS still owns the first one.
    _handle: socket.socket | None = None
    idle_since = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.answer = AnswerReader()

    def serve(self, exchange: Exchange) -> None:
        """Belong to `exchange` from here on; a kept connection is watched at once, another as soon as it opens."""
        self._exchange = exchange
        if self._handle is not None:
            exchange.reused = True
            exchange.take(self._handle)

    @property
    def idle_seconds(self) -> float:
        """For how long a kept connection was not used."""
        return time.monotonic() - self.idle_since

    def _new_conn(self) -> socket.socket:
        exchange = self._exchange
        assert exchange is not None  # noqa: S101 - a connection is opened for an exchange
        sock = open_socket(self._dns_host, self.port, exchange.deadline, self.socket_options or ())
        self._handle = sock.dup()
        exchange.take(self._handle)
        sock.settimeout(max(exchange.deadline.remaining(), 0.001))
        return sock

    def write(self, data: bytes) -> None:
        """Write bytes of the request, and count them.

        `socket.send` either says how many bytes it took or has not completed a single TLS record, as it is never given
        more than one.
        """
        exchange = self._exchange
        assert exchange is not None  # noqa: S101
        if not exchange.written and exchange.deadline.passed:
            raise TimeoutError  # a process that was stopped for a while must not start now what others took over meanwhile
        rest = memoryview(data)
        while rest:
            sent = self.sock.send(rest[:_RECORD_BYTES])
            exchange.written += sent
            rest = rest[sent:]

    def read_head(self) -> AnswerReader:
        """The answer, read as far as its head."""
        assert self._exchange is not None  # noqa: S101
        self.answer.read_head(self.sock.recv)
        self._exchange.answered = True
        return self.answer

    def rest(self) -> bool:
        """Become idle; whether another request can be sent."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None  # noqa: S101
        exchange.hand_back()
        self.idle_since = time.monotonic()
        return self.answer.reusable and not exchange.cut

    def close(self) -> None:
        """Close; the exchange that is reading an answer keeps its own descriptor until it ends."""
        super().close()
        if self._exchange is None and self._handle is not None:
            self._handle.close()
        self._exchange = None
        self._handle = None


class _TlsConnection(Connection, HTTPSConnection):
    """The same over TLS."""


class _Opener:
    """What of urllib3's pools is used: they know how a connection is made, and what a proxy is told."""

    def open(self: Any, exchange: Exchange) -> Connection:
        """A fresh connection that serves the exchange.

        Raises:
            urllib3.exceptions.HTTPError: It cannot be opened.
            OSError: So too.
        """
        connection: Connection = self._new_conn()
        connection.serve(exchange)
        try:
            if self.proxy is not None:
                self._prepare_proxy(connection)  # connects through a tunnel, where TLS has to go through the proxy
            if connection.sock is None:
                connection.connect()
            # The watchdog ends what takes too long; with a time-out, Python would poll before each read and write.
            connection.sock.settimeout(None)
        except BaseException:
            connection.close()
            raise
        return connection


class _HttpOpener(_Opener, HTTPConnectionPool):
    ConnectionCls = Connection


class _HttpsOpener(_Opener, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


#: For `PoolManager.pool_classes_by_scheme`.
POOL_CLASSES: dict[str, type[HTTPConnectionPool]] = {"http": _HttpOpener, "https": _HttpsOpener}
