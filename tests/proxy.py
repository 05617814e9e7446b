"""A TCP proxy between a test's subject and a server, to cut connections or leave them half-open."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 65_536


class Proxy:
    """Forwards from a free port of `host` to `target`, until told otherwise. For one target address, in one thread."""

    def __init__(self, target: tuple[str, int], host: str = "127.0.0.1") -> None:
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._frozen: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._running = True
        self._host = host
        self._listener = socket.create_server((host, 0))
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, url: str, host: str = "127.0.0.1") -> tuple[Proxy, str]:
        """A proxy on an address of ours in front of a URL's host, and the URL that leads through it."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        proxy = cls((parts.hostname, parts.port), host)
        return proxy, url.replace(f"{parts.hostname}:{parts.port}", f"{host}:{proxy.port}")

    def freeze(self) -> None:
        """Leave every present connection half-open: both ends stay connected and hear nothing any more. New ones work."""
        with self._lock:
            for end in self._pairs:
                if end not in self._frozen:
                    self._frozen.add(end)
                    self._selector.unregister(end)

    def cut(self) -> None:
        """Close every present connection on both ends."""
        with self._lock:
            for end in list(self._pairs):
                self._drop(end)

    def down(self) -> None:
        """Cut everything and refuse new connections."""
        with self._lock:
            self._selector.unregister(self._listener)
            self._listener.close()
        self.cut()

    def up(self) -> None:
        """Take connections again, on the same port."""
        with self._lock:
            self._listener = socket.create_server((self._host, self.port))
            self._selector.register(self._listener, selectors.EVENT_READ)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Be down for the time of a block."""
        self.down()
        try:
            yield
        finally:
            self.up()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Answer nothing for the time of a block, as a server that hangs: the kernel takes new connections, and nobody more."""
        with self._lock:
            self._selector.unregister(self._listener)
        self.freeze()
        try:
            yield
        finally:
            self.cut()
            with self._lock:
                self._selector.register(self._listener, selectors.EVENT_READ)

    def close(self) -> None:
        """Close everything."""
        self._running = False
        self._thread.join(5)
        self.cut()
        self._listener.close()
        self._selector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _serve(self) -> None:
        while self._running:
            for key, _events in self._selector.select(0.1):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._pairs:
                        self._forward(key.fileobj)

    def _accept(self) -> None:
        inner, _address = self._listener.accept()
        try:
            outer = socket.create_connection(self._target, timeout=5)
        except OSError:
            inner.close()
            return
        for end, other in ((inner, outer), (outer, inner)):
            self._pairs[end] = other
            self._selector.register(end, selectors.EVENT_READ)

    def _forward(self, end: socket.socket) -> None:
        if end in self._frozen:
            return
        try:
            data = end.recv(CHUNK)
            if data:
                self._pairs[end].sendall(data)
                return
        except OSError:
            pass
        self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        other = self._pairs.pop(end, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        for side in (end, other):
            if side not in self._frozen:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(side)
            self._frozen.discard(side)
            side.close()
