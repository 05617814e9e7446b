"""One port of the sandbox, with a thread for each connection; it can refuse connections for a while and stay ours."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Listener"]

#: Connections waiting to be accepted.
BACKLOG = 256

#: Seconds for the threads of a closed port to end; they are woken, so it takes milliseconds.
END_SECONDS = 10.0

#: Seconds until the next try when the system has no file descriptor left for a connection.
RETRY_SECONDS = 0.05


class Listener:
    """Accepts connections on one port.

    Args:
        host: address to listen on.
        port: 0 = a free one; known after the first `open`.
        serve: is called with each connection in a thread of its own; the connection is closed when it returns.
    """

    def __init__(self, host: str, port: int, serve: Callable[[socket.socket], None]) -> None:
        self._host = host
        self.port = port
        self._serve = serve
        self._lock = threading.RLock()
        self._socket: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._connections: dict[socket.socket, threading.Thread] = {}

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted."""
        return self._acceptor is not None

    def open(self) -> None:
        """Accept connections, if they are not accepted already.

        Raises:
            OSError: the port is taken.
        """
        with self._lock:
            if self._acceptor is not None:
                return
            listener = self._socket = self._socket or self._bind()
            listener.listen(BACKLOG)
            self._acceptor = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            self._acceptor.start()

    def refuse(self, *, spare: socket.socket | None = None) -> None:
        """Refuse connections and cut those there are but `spare`, until `open`.

        A socket that is bound and does not listen keeps the port: else another process could be given it meanwhile.
        """
        with self._lock:
            if self._acceptor is not None:
                self._stop_accepting()
                self._socket = self._bind()
            self._cut(spare)

    def close(self) -> None:
        """Give the port back, cut every connection, and wait for their threads to end."""
        with self._lock:
            if self._acceptor is not None:
                self._stop_accepting()
            elif self._socket is not None:
                self._socket.close()
                self._socket = None
            threads = self._cut(None)
        end = time.monotonic() + END_SECONDS
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(end - time.monotonic(), 0))

    def _bind(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self._host, self.port))
        except OSError:
            bound.close()
            raise
        self.port = bound.getsockname()[1]
        return bound

    def _stop_accepting(self) -> None:
        """Close the listening socket; after it no connection is added any more."""
        listener, acceptor = self._socket, self._acceptor
        self._socket = self._acceptor = None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept()
            listener.close()
        if acceptor is not None:
            acceptor.join(END_SECONDS)

    def _cut(self, spare: socket.socket | None) -> list[threading.Thread]:
        for connection in list(self._connections):
            if connection is not spare:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        return list(self._connections.values())

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                if self._acceptor is not threading.current_thread():
                    return
                time.sleep(RETRY_SECONDS)
                continue
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self._connections[connection] = thread
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve(connection)
        except OSError:
            pass  # the peer went away
        finally:
            self._connections.pop(connection)
            connection.close()
