"""Tiny servers on loopback whose every byte a test decides."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

#: The certificate of the TLS servers: trusted where REQUESTS_CA_BUNDLE names it.
CERTIFICATE = Path(__file__).with_name("localhost.pem")

TOKEN_PATH = "/Authentication/token"

#: Longest time (seconds) a server waits for a client that should have spoken or gone.
PATIENCE = 30.0


def answer(body: Any = None, status: int = 200, content_type: str = "application/json", **headers: str) -> bytes:
    """The bytes of an HTTP answer; `body` is bytes or JSON data, headers have underscores for dashes."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}", f"Content-Length: {len(raw)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def token_answer(value: str = "token-1", expires_in: Any = 3600) -> bytes:
    """An answer of the token endpoint."""
    return answer({"token_type": "Bearer", "access_token": value, "expires_in": expires_in})


@dataclass
class Received:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """One accepted connection."""

    server: Server
    sock: socket.socket
    #: The plain socket below a TLS connection.
    plain: socket.socket | None = None
    _buffer: bytes = b""

    def receive(self) -> Received | None:
        """The next request; `None` when the client has gone."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        method, target, _ = start.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            if not self._more():
                return None
        request = Received(method, target, headers, self._buffer[:length])
        self._buffer = self._buffer[length:]
        self.server.received.append(request)
        return request

    def _more(self) -> bytes:
        try:
            data = self.sock.recv(65_536)
        except OSError:
            return b""
        self._buffer += data
        return data

    def send(self, data: bytes) -> None:
        """Send bytes; a client that has gone is no fault."""
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def drip(self, data: bytes) -> None:
        """Send byte by byte until the client has gone, then report it."""
        for byte in data:
            try:
                self.sock.sendall(bytes([byte]))
            except OSError:
                break
            if self.server.stopping.wait(0.02):
                return
        self.server.gone.set()

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@dataclass
class Server:
    """Runs `script` for each connection in a thread of its own, and closes the connection when the script returns."""

    script: Callable[[Peer], object]
    tls: bool = False
    received: list[Received] = field(default_factory=list)
    accepted: int = 0
    #: Set when a script saw its client go; for scripts to set and tests to await.
    gone: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass
        self._acceptor.join(PATIENCE)
        self._listener.close()
        for sock in self._peers:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        for sock in self._peers:
            sock.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self.stopping.is_set():
                sock.close()
                return
            self.accepted += 1
            sock.settimeout(PATIENCE)
            self._peers.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        if not self.tls:
            with sock:
                self.script(Peer(self, sock))
            return
        plain = sock.dup()
        self._peers.append(plain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        with plain, contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as wrapped:
            self.script(Peer(self, wrapped, plain))

    def bodies(self, path: str) -> list[bytes]:
        """The bodies of all requests for a path."""
        return [request.body for request in self.received if request.target.partition("?")[0] == path]

    def count(self, path: str) -> int:
        """How many requests for a path came in whole."""
        return len(self.bodies(path))


def serve(*answers: bytes) -> Callable[[Peer], None]:
    """A script that keeps connections open and gives one answer after the other, over all connections; the last repeats.

    The token endpoint answers on its own.
    """
    rest = list(answers)

    def script(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            if request.target.endswith(TOKEN_PATH):
                peer.send(token_answer())
            else:
                peer.send(rest.pop(0) if len(rest) > 1 else rest[0])

    return script


def drips_a_body_without_length(peer: Peer) -> None:
    """Send a body that ends with the connection, so that cutting it short looks like its end."""
    peer.receive()
    peer.send(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n[]")
    peer.drip(b" " * 100_000)
