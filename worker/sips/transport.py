"""Send one HTTP request to SIPS and read its answer: within a deadline, at most once, and knowing what was sent.

An answer is read whole, or in pieces that go to a sink where it may be too large to hold.

Nothing is opened before the first call.
"""

from __future__ import annotations

import errno
import math
import ssl
import time
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import urllib3

from worker.sips.answers import Answer, media_type, parse_json, parse_retry_after
from worker.sips.classify import SUCCESS
from worker.sips.connections import Exchange
from worker.sips.deadline import Watchdog
from worker.sips.errors import ConnectFailed, DeadlinePassed, Executed, LostAnswer, SipsError, Unreadable
from worker.sips.http1 import WIRE_ERRORS, decompressed, request_head
from worker.sips.operations import Kind
from worker.sips.pool import ConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from worker.settings import Settings
    from worker.sips.connections import Connection
    from worker.sips.deadline import Deadline
    from worker.sips.operations import Operation

__all__ = ["MAX_ANSWER_BYTES", "MAX_STREAM_BYTES", "MUTATION_MAX_IDLE", "Request", "Sink", "Transport"]

#: Largest answer body (bytes, decompressed) that is read whole, and that is streamed: the full catalogue is the largest
#: expected, tens of MiB.
MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_STREAM_BYTES = 1024 * 1024 * 1024

#: A call that changes something uses a kept connection only if it was idle for less than this (seconds): gateways close
#: idle connections after a few seconds at the earliest, and a request lost that way looks like a lost answer.
MUTATION_MAX_IDLE = 2.0

#: A read asks the operating system whether a kept connection is still open only if it was idle for this long (seconds). To ask
#: costs a tenth of a command where many threads want to run, and a read that meets a closed connection is sent again.
READ_UNASKED_IDLE = 0.1

#: Bytes of a body by which a page is known, and a byte order mark.
_START_BYTES = 64

#: Largest body (bytes) that is copied to be written together with the head.
_MAX_JOINED_BYTES = 8_192

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_TRANSPORT_ERRORS = (urllib3.exceptions.HTTPError, OSError, *WIRE_ERRORS)
_TIMEOUTS = (urllib3.exceptions.TimeoutError, TimeoutError)


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """An HTTP request to SIPS, without its token; has no repr because it holds payload."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


#: Takes the body of a success in pieces, decompressed and without a byte order mark. What it raises ends the call.
Sink: TypeAlias = "Callable[[bytes], None]"


class _TooLargeError(Exception):
    """The body is larger than is accepted; holds the limit."""


class Transport:
    """The pooled connections of one process to SIPS; thread-safe.

    Parameters:
        settings: Address and number of threads.
        max_answer_bytes: Larger answers are not read whole.
        on_end: Told of each request that was tried, in its thread: the operation, and the answer or error it ended with.

    Raises:
        SettingsError: The environment names a CA bundle that cannot be read, or a SOCKS proxy.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        on_end: Callable[[Operation, Answer | SipsError], None] = lambda _operation, _end: None,
    ) -> None:
        self.base_url = settings.base_url
        self._pool = ConnectionPool(self.base_url, keep=settings.threads)
        self._watchdog = Watchdog()
        self._max_answer_bytes = max_answer_bytes
        self._on_end = on_end

    def send(self, operation: Operation, request: Request, deadline: Deadline, sink: Sink | None = None) -> Answer:
        """The answer to a request, whatever its status.

        A read whose kept connection turns out closed is sent once more over a fresh one; a mutation never is. The body of a
        success that is no page goes to `sink`, where there is one: bytes of one answer only, but of a failed call as well.

        Raises:
            ConnectFailed: No request byte was written.
            LostAnswer: The connection broke after that.
            DeadlinePassed: Time was up, before or after.
            Unreadable: The body is too large, or its compression is broken.
        """
        if deadline.passed:
            raise DeadlinePassed(operation.id, "no time was left to send the request")
        started = time.monotonic()
        reads = operation.kind is Kind.READ
        max_idle, unasked_idle = (math.inf, READ_UNASKED_IDLE) if reads else (MUTATION_MAX_IDLE, 0.0)
        exchange = Exchange(deadline, self._watchdog, max_idle=max_idle, unasked_idle=unasked_idle)
        outcome = self._exchange(operation, request, exchange, started, sink)
        if reads and exchange.reused and not exchange.answered and isinstance(outcome, ConnectFailed | LostAnswer):
            exchange = Exchange(deadline, self._watchdog, max_idle=0.0, unasked_idle=unasked_idle)
            outcome = self._exchange(operation, request, exchange, started, sink)
        self._on_end(operation, outcome)
        if isinstance(outcome, SipsError):
            raise outcome
        return outcome

    def close(self) -> None:
        """Close the idle connections; calls that still run end by their deadlines, and the thread of these with the last."""
        self._pool.close()
        self._watchdog.close()

    def _exchange(
        self, operation: Operation, request: Request, exchange: Exchange, started: float, sink: Sink | None
    ) -> Answer | SipsError:
        """One request and its answer. Errors are returned: raised here, they would drag those of urllib3 along."""
        connection = None
        try:
            connection = self._pool.take(exchange)
            answer = self._answer(operation, request, connection, started, sink)
            self._pool.give_back(connection, exchange)
            connection = None
        except _TRANSPORT_ERRORS as error:
            return _failure(operation, exchange, error)
        except _TooLargeError as error:
            return _unreadable(operation, f"the answer is larger than {error} bytes")
        finally:
            if connection is not None:
                connection.close()
            exchange.end()
        return _failure(operation, exchange, TimeoutError()) if exchange.cut else answer

    def _answer(
        self, operation: Operation, request: Request, connection: Connection, started: float, sink: Sink | None
    ) -> Answer:
        body = request.body or b""
        headers = {**self._pool.headers, **request.headers}
        head = request_head(request.method, self._pool.target(request.url), headers, None if request.body is None else len(body))
        if len(body) <= _MAX_JOINED_BYTES:
            connection.write(head + body)
        else:
            connection.write(head)
            connection.write(body)
        wire = connection.read_head()
        pieces = decompressed(wire.body(), wire.headers.get("content-encoding"))
        start = raw = b""
        streamed = False
        if sink is not None and wire.status in SUCCESS:
            start = _start(pieces)
            streamed = not start.lstrip().startswith(b"<")
        if sink is not None and streamed:
            _pour(start, pieces, sink)
        else:
            raw = b"".join(_limited(start, pieces, self._max_answer_bytes)).removeprefix(_BYTE_ORDER_MARK)
        return Answer(
            operation=operation.id,
            status=wire.status,
            body=parse_json(raw),
            raw=raw,
            media_type=media_type(wire.headers.get("content-type", ""), start or raw),
            seconds=time.monotonic() - started,
            retry_after=parse_retry_after(wire.headers.get("retry-after")),
            streamed=streamed,
        )


def _start(pieces: Iterator[bytes]) -> bytes:
    """The first pieces of a body, as many as tell what it is, without a byte order mark."""
    start = b""
    while len(start) < _START_BYTES and (piece := next(pieces, b"")):
        start += piece
    return start.removeprefix(_BYTE_ORDER_MARK)


def _limited(start: bytes, pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for piece in chain((start,), pieces):
        size += len(piece)
        if size > limit:
            raise _TooLargeError(limit)
        yield piece


def _pour(start: bytes, pieces: Iterable[bytes], sink: Sink) -> None:
    for piece in _limited(start, pieces, MAX_STREAM_BYTES):
        if piece:
            sink(piece)


def _failure(operation: Operation, exchange: Exchange, error: Exception) -> SipsError:
    executed = Executed.MAYBE if exchange.written else Executed.NO
    when = "after the request was written" if exchange.written else "before a request byte was written"
    if exchange.cut or exchange.deadline.passed or isinstance(error, _TIMEOUTS):
        return DeadlinePassed(operation.id, f"time was up {when}", executed=executed)
    if isinstance(error, urllib3.exceptions.DecodeError):
        return _unreadable(operation, "the answer's compression is broken")
    if exchange.written:
        return LostAnswer(operation.id, f"the connection broke {when} ({_reason(error)})", executed=executed)
    return ConnectFailed(
        operation.id, f"the connection failed {when} ({_reason(error)}); check the network and SIPS_BASE_URL", executed=executed
    )


def _unreadable(operation: Operation, what: str) -> Unreadable:
    return Unreadable(operation.id, what)


def _reason(error: BaseException) -> str:
    """The innermost error's kind: the texts of requests and urllib3 hold URLs, and those hold what was asked."""
    while (inner := _inner(error)) is not None:
        error = inner
    details = [type(error).__name__]
    if isinstance(error, ssl.SSLError) and isinstance(error.reason, str):
        details.append(error.reason)
    elif isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        details.append(errno.errorcode[error.errno])
    return " ".join(details)


def _inner(error: BaseException) -> BaseException | None:
    candidates = (getattr(error, "reason", None), *error.args, error.__cause__)
    return next((candidate for candidate in candidates if isinstance(candidate, BaseException)), None)
