"""Send one HTTP request to SIPS and read its answer: within a deadline, at most once, and knowing what was sent.

An answer is read whole, or in pieces that go to a sink where it may be too large to hold.

Nothing is opened before the first call.
"""

from __future__ import annotations

import errno
import http.client
import math
import ssl
import time
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from worker.sips.adapter import Adapter
from worker.sips.answers import Answer, media_type, parse_json, parse_retry_after
from worker.sips.classify import SUCCESS
from worker.sips.connections import Exchange, exchanging
from worker.sips.deadline import Watchdog
from worker.sips.errors import ConnectFailed, DeadlinePassed, Executed, LostAnswer, SipsError, Unreadable
from worker.sips.operations import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from worker.settings import Settings
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

#: Bytes that are read from a body at once.
_CHUNK = 65_536

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_TRANSPORT_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)
_TIMEOUTS = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """An HTTP request to SIPS, without its token; has no repr because it holds payload."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None

    def prepared(self) -> requests.PreparedRequest:
        """The request as requests sends it; `Request.prepare` would parse and encode all of it once more."""
        prepared = requests.PreparedRequest()
        prepared.method = self.method
        prepared.url = self.url
        prepared.headers = CaseInsensitiveDict(self.headers)
        prepared.body = self.body
        if self.body is not None:
            prepared.headers["Content-Length"] = str(len(self.body))
        return prepared


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
        self._adapter = Adapter(self.base_url, connections=settings.threads)
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
        exchange = Exchange(deadline, self._watchdog, max_idle=math.inf if reads else MUTATION_MAX_IDLE)
        outcome = self._exchange(operation, request, exchange, started, sink)
        if reads and exchange.reused and not exchange.answered and isinstance(outcome, ConnectFailed | LostAnswer):
            outcome = self._exchange(operation, request, Exchange(deadline, self._watchdog, max_idle=0), started, sink)
        self._on_end(operation, outcome)
        if isinstance(outcome, SipsError):
            raise outcome
        return outcome

    def close(self) -> None:
        """Close the idle connections and end the deadline thread; calls that still run end by their own time-outs."""
        self._adapter.close()
        self._watchdog.close()

    def _exchange(
        self, operation: Operation, request: Request, exchange: Exchange, started: float, sink: Sink | None
    ) -> Answer | SipsError:
        """One request and its answer. Errors are returned: raised here, they would drag URLs of requests' along."""
        with exchanging(exchange):
            try:
                answer = self._answer(operation, request, exchange, started, sink)
            except _TRANSPORT_ERRORS as error:
                return _failure(operation, exchange, error)
            except _TooLargeError as error:
                return _unreadable(operation, f"the answer is larger than {error} bytes")
        return _failure(operation, exchange, TimeoutError()) if exchange.cut else answer

    def _answer(self, operation: Operation, request: Request, exchange: Exchange, started: float, sink: Sink | None) -> Answer:
        seconds = max(exchange.deadline.remaining(), 0.001)
        adapter = self._adapter
        response = adapter.send(request.prepared(), stream=True, timeout=seconds, proxies=adapter.proxies)
        try:
            pieces = _pieces(response.raw)
            start = next(pieces, b"")
            whole = filter(None, chain((start,), pieces))
            if streamed := sink is not None and response.status_code in SUCCESS and not start.lstrip().startswith(b"<"):
                raw = _pour(whole, sink)
            else:
                raw = b"".join(_limited(whole, self._max_answer_bytes))
        except BaseException:
            response.close()
            raise
        return Answer(
            operation=operation.id,
            status=response.status_code,
            body=parse_json(raw),
            raw=raw,
            media_type=media_type(response.headers.get("Content-Type", ""), start),
            seconds=time.monotonic() - started,
            retry_after=parse_retry_after(response.headers.get("Retry-After")),
            streamed=streamed,
        )


def _pieces(body: urllib3.HTTPResponse) -> Iterator[bytes]:
    """The body, decompressed; none of the pieces is empty."""
    if start := body.read(_CHUNK, decode_content=True).removeprefix(_BYTE_ORDER_MARK):
        yield start
    while piece := body.read(_CHUNK, decode_content=True):
        yield piece


def _limited(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise _TooLargeError(limit)
        yield piece


def _pour(pieces: Iterable[bytes], sink: Sink) -> bytes:
    """Nothing is left of the body for the answer itself."""
    for piece in _limited(pieces, MAX_STREAM_BYTES):
        sink(piece)
    return b""


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
