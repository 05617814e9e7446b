"""A stand-in for SIPS that answers a few operations as fast as Python can: `python -m tests.benchmarks.server PORT`.

It checks the token of each call, waits as long as it was last told (`PUT /_delay/MILLISECONDS`), and counts
(`GET /_counts`). Standard library only.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter
from typing import Any

from tests.benchmarks.job import ANSWER, PRICES_PATH, TOKEN, encoded

__all__ = ["ORDERS_PATH", "TOKEN_PATH"]

TOKEN_PATH = "/Authentication/token"
ORDERS_PATH = "/orders/v2/Submit"

#: What the token's endpoint says of it, as documented.
GRANT = {"token_type": "Bearer", "expires_in": 86_400, "ext_expires_in": 86_400, "access_token": TOKEN}

BEARER = f"authorization: bearer {TOKEN}".lower().encode()


def answer(status: str, value: Any) -> bytes:
    """An HTTP answer with a JSON body."""
    body = encoded(value)
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


PRICES = answer("200 OK", ANSWER)
REFUSED = answer("401 Unauthorized", {"message": "Unauthorized"})
UNKNOWN = answer("404 Not Found", {"message": "Not Found"})


class Sips:
    """What all connections share."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.counts: Counter[str] = Counter()
        self.order_ids = itertools.count(10_000_000)

    def answer(self, path: str, head: bytes, body: bytes) -> tuple[bytes, float]:
        """The answer to a request, and the seconds to wait with it."""
        if path.startswith("/_"):
            return self._control(path), 0.0
        self.counts[path] += 1
        if path == TOKEN_PATH:
            return answer("200 OK", GRANT), 0.0
        if BEARER not in head.lower():
            self.counts["refused"] += 1
            return REFUSED, 0.0
        if path == PRICES_PATH:
            return PRICES, self.delay
        if path == ORDERS_PATH:
            return self._take(json.loads(body)), self.delay
        return UNKNOWN, 0.0

    def _take(self, order: dict[str, Any]) -> bytes:
        transaction, order_id = order["transactionID"], str(next(self.order_ids))
        taken = {"message": "Order Submitted", "transactionID": transaction, "orderID": order_id, "queueID": None}
        return answer("200 OK", taken)

    def _control(self, path: str) -> bytes:
        if path.startswith("/_delay/"):
            self.delay = int(path.removeprefix("/_delay/")) / 1000
            self.counts.clear()
        return answer("200 OK", self.counts)


class Connection(asyncio.Protocol):
    """One kept connection; requests on it come one after the other."""

    def __init__(self, sips: Sips) -> None:
        self._sips = sips
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is answered through."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once a request is there whole."""
        self._received += data
        head, blank, rest = self._received.partition(b"\r\n\r\n")
        if not blank or len(rest) < (length := _length(head)):
            return
        self._received = rest[length:]
        path = head.split(b" ", 2)[1].decode()
        made, delay = self._sips.answer(path, head, rest[:length])
        if delay:
            self._loop.call_later(delay, self._transport.write, made)
        else:
            self._transport.write(made)


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def serve(port: int) -> None:
    """Until the process is ended."""
    sips = Sips()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(sips), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
