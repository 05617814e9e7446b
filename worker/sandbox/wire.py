"""HTTP/1.1 as far as the sandbox speaks it: a request read from a connection, a reply written to one."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass
from http.client import responses
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from io import BufferedReader

__all__ = ["Reply", "Request", "UnreadableRequestError", "json_reply", "read", "refuse", "send", "send_slowly"]

#: Limits of a request in bytes: its head, and its body.
MAX_HEAD = 65_536
MAX_BODY = 64 * 1024 * 1024

#: How much (bytes) and how long (seconds per read) is read of a refused request, so that its sender sees the refusal:
#: closing a connection with bytes unread resets it.
LINGER_BYTES = 1024 * 1024
LINGER_SECONDS = 1.0

JSON = "application/json; charset=utf-8"

_REQUEST_LINE = re.compile(r"([A-Z]+) (/[^\s?]*)(?:\?(\S*))? HTTP/1\.([01])")
_LENGTH = re.compile(r"[0-9]{1,20}")


class UnreadableRequestError(ValueError):
    """What came is no HTTP request, or one that the sandbox does not read; the text says which."""


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request; header names are in lower case, path and query are still percent-encoded."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    closes: bool = False
    query: str = ""

    @property
    def media_type(self) -> str:
        """The type of the body, in lower case and without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and the bytes of a body."""

    status: int
    body: bytes
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


def json_reply(status: int, body: Any, *headers: tuple[str, str]) -> Reply:
    """A reply with a JSON body."""
    return Reply(status, orjson.dumps(body), headers=headers)


def read(reader: BufferedReader) -> Request | None:
    """The next request, or None where the peer has gone. Half a request is none: nothing must be made of it.

    Raises:
        UnreadableRequestError: see there.
    """
    head = _read_head(reader)
    if head is None:
        return None
    match = _REQUEST_LINE.fullmatch(head[0])
    if match is None:
        raise UnreadableRequestError("this is no HTTP/1.1 request line")
    method, path, query, minor = match.groups()
    headers = _headers(head[1:])
    length = _length(headers)
    raw = reader.read(length)
    if len(raw) < length:
        return None
    connection = headers.get("connection", "").lower()
    closes = connection == "close" or (minor == "0" and connection != "keep-alive")
    return Request(method, path, headers, raw, closes, query or "")


def _read_head(reader: BufferedReader) -> list[str] | None:
    """The lines up to the empty one, or None where the peer went away before it."""
    lines: list[str] = []
    left = MAX_HEAD
    while (line := reader.readline(left)).endswith(b"\n"):
        left -= len(line)
        text = line.decode("latin-1").rstrip("\r\n")
        if not text and lines:
            return lines
        lines.append(text)
    if len(line) < left:
        return None
    raise UnreadableRequestError(f"the head of the request has more than {MAX_HEAD} bytes")


def _headers(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise UnreadableRequestError("a header has no colon")
        headers[name.strip().lower()] = value.strip()
    return headers


def _length(headers: Mapping[str, str]) -> int:
    """The body's length in bytes."""
    if "transfer-encoding" in headers:
        raise UnreadableRequestError("the sandbox reads bodies with a Content-Length, not in chunks")
    text = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(text):
        raise UnreadableRequestError("Content-Length is no number of bytes")
    if int(text) > MAX_BODY:
        raise UnreadableRequestError(f"the body has more than {MAX_BODY} bytes")
    return int(text)


def send(connection: socket.socket, reply: Reply) -> None:
    """Write a reply."""
    connection.sendall(_head(reply) + reply.body)


def send_slowly(connection: socket.socket, reply: Reply, pause: Callable[[], bool]) -> bool:
    """Write a reply, its body byte by byte; `pause` waits after each and is true to give up. Whether all was written."""
    connection.sendall(_head(reply))
    for byte in reply.body:
        connection.sendall(bytes([byte]))
        if pause():
            return False
    return True


def refuse(connection: socket.socket, message: str) -> None:
    """Answer an unreadable request with 400, as the last thing on its connection."""
    send(connection, json_reply(400, {"message": message}, ("Connection", "close")))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LINGER_SECONDS)
        left = LINGER_BYTES
        while left > 0 and (data := connection.recv(65_536)):
            left -= len(data)


def _head(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {responses.get(reply.status, 'Unknown')}", f"Content-Type: {reply.media_type}"]
    lines += [f"Content-Length: {len(reply.body)}", *(f"{name}: {value}" for name, value in reply.headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
