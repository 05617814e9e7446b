"""A receiver in a process of its own, and calls to it over real sockets."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.amqp import eventually
from worker.local.processes import free_ports
from worker.local.stack import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: Made up; the secrets that SIPS is told, and the ones that come next.
PATH_SECRET, NEXT_PATH_SECRET = "c0rrect-horse-battery", "5taple-is-the-next-one"
HEADER_SECRET, HMAC_SECRET = "Tr0ub4dor", "k3y-of-the-body"

#: Seconds for an answer; a bound for a broken receiver, not an expectation.
PATIENCE = 30.0

#: An event as it was seen in the field.
EVENT = {
    "eventId": "SO-1001",
    "eventType": "OU",
    "eventStatus": "Shipped",
    "eventDateTime": "2026-07-23T10:00:00",
    "subscriberReferenceNum": "PO-77",
    "subscriberReferenceNum3": "T-5",
}


class Answered(NamedTuple):
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Receiver(Service):
    """`sips-worker webhook` with all three verifiers, on free ports."""

    def __init__(self, folder: Path, amqp_url: str, **settings: str) -> None:
        self.port, self.health_port = free_ports(2)
        own = {
            "AMQP_URL": amqp_url,
            "WEBHOOK_PORT": str(self.port),
            "HEALTH_PORT": str(self.health_port),
            "WEBHOOK_PATH_SECRET": f"{PATH_SECRET} {NEXT_PATH_SECRET}",
            "WEBHOOK_HEADER": "X-Partner-Key",
            "WEBHOOK_HEADER_SECRET": HEADER_SECRET,
            "WEBHOOK_HMAC_HEADER": "X-Signature",
            "WEBHOOK_HMAC_SECRET": HMAC_SECRET,
            "WEBHOOK_BODY_SECONDS": "1",
            "LOG_FORMAT": "json",
        }
        self.settings = own | settings
        super().__init__("webhook", ["webhook"], folder, self.settings)

    def wait_until(self, status: int) -> None:
        """Until /readyz answers so."""
        eventually(lambda: self._readyz() == status, f"/readyz answers {status}")

    def _readyz(self) -> int:
        if self.process.poll() is not None:
            raise self._error("ended")
        try:
            return self.get("/readyz").status
        except OSError:
            return 0

    def get(self, path: str) -> Answered:
        """Ask at the port for health."""
        return ask(self.health_port, "GET", path)

    def call(
        self, body: bytes, *, path: str = f"/webhooks/sips/{PATH_SECRET}", method: str = "POST", **headers: str | None
    ) -> Answered:
        """Call as SIPS would, but for what is given; a header of None is left out (`_` is written for `-`)."""
        return ask(self.port, method, path, body, signed(body) | {name.replace("_", "-"): text for name, text in headers.items()})

    def post(self, content: Any) -> Answered:
        """Call with a JSON body."""
        return self.call(json.dumps(content).encode())

    def open(self, *, length: int | None = None, sent: bytes = b"") -> socket.socket:
        """A connection on which a call was begun: headers that announce a body of `length`, and what was sent of it."""
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        if length is not None:
            opened.sendall(head(length) + sent)
        return opened

    def events(self, name: str) -> Iterator[dict[str, Any]]:
        """The log lines so far that say `name`."""
        return (line for line in self.lines() if line["event"] == name)


def signed(body: bytes) -> dict[str, str | None]:
    """The headers of a call of SIPS."""
    digest = hmac.new(HMAC_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Partner-Key": HEADER_SECRET, "X-Signature": f"sha256={digest}"}


def head(length: int) -> bytes:
    """The head of a call whose body is said to have `length` bytes."""
    lines = [f"POST /webhooks/sips/{PATH_SECRET} HTTP/1.1", "Host: x", f"X-Partner-Key: {HEADER_SECRET}"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def ask(port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str | None] | None = None) -> Answered:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, {name: text for name, text in (headers or {}).items() if text is not None})
        answer = connection.getresponse()
        return Answered(answer.status, dict(answer.headers), answer.read())
    finally:
        connection.close()


def read_answer(connection: socket.socket) -> bytes:
    """What comes on a connection until the receiver closes it."""
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received
