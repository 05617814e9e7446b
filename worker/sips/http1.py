"""HTTP/1.1 on the wire: the bytes of a request, and an answer out of the bytes that come in.

The answers are parsed by llhttp, the parser of Node.js, through httptools: a call of requests or urllib3 costs as much as
all else that is done for a command.
"""

from __future__ import annotations

import http.client
import io
import re
from typing import TYPE_CHECKING, Any

import httptools
import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["WIRE_ERRORS", "AnswerReader", "decompressed", "request_head"]

#: What reading an answer raises beside an `OSError`.
WIRE_ERRORS = (http.client.HTTPException, httptools.HttpParserError)

#: Bytes that are read at once: first, and of a body that is longer.
_FIRST_READ = 16_384
_NEXT_READ = 65_536

#: Most bytes (of a head, of trailers) that are read without any of a body.
_MAX_HEAD_BYTES = 65_536

#: What ends a line of a request's head for one server or the other.
_NOT_IN_A_LINE = re.compile(r"[\r\n\0]")


def request_head(method: str, target: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """The head of a request, whose body has `length` bytes.

    Raises:
        ValueError: A header would be read as several, or the target as more than one word. Says which, not what.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    head = "\r\n".join((*lines, "", ""))
    line_ends = {head.count("\r\n"), head.count("\r"), head.count("\n")}
    if " " in target or "\0" in head or line_ends != {len(lines) + 1}:
        named = zip(("target", *headers), (target, *headers.values()), strict=True)
        culprit = next((name for name, value in named if _NOT_IN_A_LINE.search(value)), "target")
        raise ValueError(f"the request's {culprit} holds a line end or a space")
    return head.encode("latin-1")


class AnswerReader:
    """Reads the answers to the requests of one connection, one after the other.

    Attributes:
        status: HTTP status; 0 until the head was read.
        headers: By name in lower case; values of one that came repeatedly are joined with a comma.
        ended: Whether the whole answer was read.
        reusable: Whether the connection can take another request, once `ended`.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # What gateways get wrong; strictness protects those who pass requests on, and leaves an order here in doubt.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._receive: Callable[[int], bytes] = lambda _size: b""
        self._forget()

    def _forget(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = False
        self.reusable = False
        self._pieces: list[bytes] = []
        self._bytes_without_body = 0

    def read_head(self, receive: Callable[[int], bytes]) -> None:
        """Read the next answer's head from `receive`, which gives at most so many bytes, and none at the end.

        Raises:
            http.client.HTTPException: The connection ended, or the head does not.
            httptools.HttpParserError: That is no HTTP/1.
            OSError: As `receive` does.
        """
        self._forget()
        self._receive = receive
        while not self.status:
            self._read(_FIRST_READ)

    def body(self) -> Iterator[bytes]:
        """The body in pieces as they come, none of them empty.

        Raises:
            as `read_head`.
        """
        while True:
            pieces, self._pieces = self._pieces, []
            yield from pieces
            if self.ended:
                return
            self._read(_NEXT_READ)

    def _read(self, size: int) -> None:
        data = self._receive(size)
        if not data:
            self._end_of_connection()
            return
        self._bytes_without_body += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise http.client.UnknownProtocol("the connection was switched to another protocol") from None
        except httptools.HttpParserError:
            if not self.ended:
                raise
            self.reusable = False  # more came than the answer
        if self._pieces:
            self._bytes_without_body = 0
        elif self._bytes_without_body > _MAX_HEAD_BYTES and not self.ended:
            raise http.client.LineTooLong("head or trailers")

    def _end_of_connection(self) -> None:
        if not self.status:
            raise http.client.IncompleteRead(b"") if self._bytes_without_body else http.client.RemoteDisconnected
        if "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower():
            raise http.client.IncompleteRead(b"")
        self.ended = True

    # Called by the parser.

    def on_message_begin(self) -> None:
        """A second answer, to a request that was not sent."""
        if self.ended:
            raise http.client.ResponseNotReady

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if self.status:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """The head is read; that of an interim answer (RFC 9110, 15.2) is passed over."""
        status = self._parser.get_status_code()
        if status >= 200:  # noqa: PLR2004
            self.status = status
        else:
            self.headers.clear()

    def on_body(self, piece: bytes) -> None:
        """Some of the body."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The answer is read."""
        if self.status:
            self.ended = True
            self.reusable = self._parser.should_keep_alive()


class _File(io.RawIOBase):
    """The pieces of a body as the file that urllib3 wants."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int = -1) -> bytes:
        return next(self._pieces, b"")


def decompressed(pieces: Iterator[bytes], encoding: str | None) -> Iterator[bytes]:
    """A body as it was before it was compressed, in pieces; none of them is empty.

    Raises:
        urllib3.exceptions.DecodeError: It is not compressed that way.
    """
    if encoding is None:
        return pieces
    file: Any = _File(pieces)
    body = urllib3.HTTPResponse(file, headers={"Content-Encoding": encoding}, preload_content=False)
    return iter(lambda: body.read(_NEXT_READ, decode_content=True), b"")
