"""Call the sandbox over real HTTP, with nothing of the client under test."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from tests.acceptance.conftest import example

if TYPE_CHECKING:
    from worker.sandbox import Sandbox

#: The one path that can always be read, and the request of it as bytes.
DELIVERY = "/orders/35818786/deliveries"
RAW_DELIVERY = f"GET {DELIVERY} HTTP/1.1\r\nAuthorization: Bearer {{token}}\r\n\r\n"

#: Seconds after which an answer that should have come does not come any more.
PATIENCE = 30.0


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    raw: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.raw)


class Caller:
    """One kept connection to an address; reconnects by itself like any HTTP client."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        parts = urlsplit(url)
        assert parts.hostname
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
        self.token = token

    @classmethod
    def of(cls, sandbox: Sandbox) -> Caller:
        """A caller of SIPS that has a token."""
        caller = cls(sandbox.url)
        caller.token = caller.call("POST", "/Authentication/token", example("authenticationToken.request")).body["access_token"]
        return caller

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; `body` is bytes or JSON data, header names have underscores for dashes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        try:
            self._connection.request(method, path, raw, sent)
            answer = self._connection.getresponse()
            return Answer(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    @property
    def socket(self) -> socket.socket:
        """The kept connection."""
        assert isinstance(self._connection.sock, socket.socket)
        return self._connection.sock

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class Control:
    """`/_sandbox/` as a test uses it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """One request on a connection of its own."""
        with Caller(self._url) as caller:
            return caller.call(method, f"/_sandbox/{path}", body)

    def set_faults(self, **faults: Any) -> None:
        """Replace the faults in force."""
        answer = self.call("PUT", "faults", faults)
        assert 200 == answer.status, answer.raw

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Every order that was ever accepted."""
        orders: list[dict[str, Any]] = self.call("GET", "orders").body["orders"]
        return orders

    @property
    def stats(self) -> dict[str, Any]:
        """Requests per operation and status, and tokens issued."""
        stats: dict[str, Any] = self.call("GET", "stats").body
        return stats

    def requests(self, operation: str) -> dict[str, int]:
        """Requests of one operation by status."""
        requests: dict[str, int] = self.stats["requests"].get(operation, {})
        return requests


def order(**changes: Any) -> dict[str, Any]:
    """The documented order with some properties changed."""
    documented: dict[str, Any] = example("ordersV2Submit.request")
    return documented | changes


def order_under(po_number: str) -> dict[str, Any]:
    """The documented order under another PO number."""
    payload = order()
    return payload | {"poDetails": payload["poDetails"] | {"poNumber": po_number}}


def raw(url: str) -> socket.socket:
    """A connection without a client."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE)


def rest(connection: socket.socket) -> bytes:
    """All that still comes, until the other end closes or resets the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65_536):
            received += data
    return received
