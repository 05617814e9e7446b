"""The ASGI application that takes SIPS' calls: verify, read, hand on, answer. It never waits for SIPS, and never for long.

POST /webhooks/sips[/<secret>]
    200 {"accepted": 2}: every event is in RabbitMQ.
    503 with Retry-After: RabbitMQ is away or too slow, or too much came at once; the sender repeats.
    404, 401: not verified. 405, 408, 413: no POST, a body that does not come, or is too large.
GET /livez, /readyz on HEALTH_PORT alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from worker.webhook.events import read

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence

    from worker.settings import Settings
    from worker.webhook.events import Event
    from worker.webhook.verifiers import Verifiers

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

__all__ = ["NotTakenError", "Receiver"]

#: Calls that wait for RabbitMQ's confirm at the same time; at 500 a second some five do. Whoever comes beyond is to repeat.
MAX_PUBLISHING = 128

#: Bytes of bodies that are held at the same time, so that a thousand large ones do not fill the memory.
MAX_HELD_BYTES = 67_108_864

#: Seconds after which a sender may repeat what was not taken.
RETRY_SECONDS = 5

#: Seconds in which what a refused caller still sends is read away: closed at once, its kernel would drop our answer unread.
LINGER_SECONDS = 1.0

#: Ids on a log line.
MAX_LOGGED = 20

log = structlog.get_logger(__name__)


class NotTakenError(Exception):
    """An event did not get into RabbitMQ as far as is known; the text says why, without a word of its content."""


class Refusal(Exception):  # noqa: N818 - an answer, no error of ours
    """A call ends with this status; `reason` is counted and never told to the caller."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers


class Receiver:
    """One per process.

    Args:
        settings: its limits.
        verifiers: of the calls; may be set anew at any time.
        names: field to property of an event.
        publish: blocks until every event is confirmed; raises `NotTakenError` after WEBHOOK_PUBLISH_SECONDS at most. Called in
            threads, whose end the process waits for.
        is_up: whether publishing can succeed now.
    """

    def __init__(
        self,
        settings: Settings,
        verifiers: Verifiers,
        names: Mapping[str, str],
        *,
        publish: Callable[[Sequence[Event]], None],
        is_up: Callable[[], bool],
    ) -> None:
        self.verifiers = verifiers
        self._settings = settings
        self._names = names
        self._publish = publish
        self._is_up = is_up
        self._threads = ThreadPoolExecutor(MAX_PUBLISHING, thread_name_prefix="publish")
        self._publishing = 0
        self._held_bytes = 0
        self._refused: Counter[str] = Counter()
        self._last_error: str | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["server"][1] == self._settings.health_port:
            await self._answer_health(scope, receive, send)
            return
        try:
            accepted = await self._take(scope, receive)
        except Refusal as refusal:
            self._refused[refusal.reason] += 1
            await _refuse(receive, send, refusal)
        else:
            await _answer(send, 200, {"accepted": accepted})

    def tell_refused(self) -> None:
        """Say how many calls were refused since the last time, by reason, and RabbitMQ's last one; nothing where none were."""
        refused, self._refused = self._refused, Counter()
        error, self._last_error = self._last_error, None
        if refused:
            log.warning("webhook calls were refused", **refused, **({"last_error": error} if error else {}))

    async def _take(self, scope: Message, receive: Receive) -> int:
        """The number of events that RabbitMQ has confirmed."""
        headers = dict(scope["headers"])
        if not self.verifiers.knows_path(scope["path"]):
            raise Refusal(404, "unknown_path")
        if not self.verifiers.knows_headers(headers):
            raise Refusal(401, "wrong_header")
        if scope["method"] != "POST":
            raise Refusal(405, "no_post", allow="POST")
        held = bytearray()
        try:
            await self._read_body(headers, receive, held)
            body = bytes(held)
        finally:
            self._held_bytes -= len(held)
        if not self.verifiers.knows_body(headers, body):
            raise Refusal(401, "wrong_signature")
        events = read(body, self._names)
        await self._hand_on(events)
        return len(events)

    async def _read_body(self, headers: Mapping[bytes, bytes], receive: Receive, held: bytearray) -> None:
        declared = headers.get(b"content-length", b"0")
        if int(declared) > self._settings.webhook_max_bytes:
            raise Refusal(413, "too_large")
        try:
            async with asyncio.timeout(self._settings.webhook_body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(408, "caller_left")
                    self._hold(held, message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            raise Refusal(408, "body_too_slow") from None

    def _hold(self, held: bytearray, chunk: bytes) -> None:
        held += chunk
        self._held_bytes += len(chunk)
        if len(held) > self._settings.webhook_max_bytes:
            raise Refusal(413, "too_large")
        if self._held_bytes > MAX_HELD_BYTES:
            raise _later("too_many_bytes")

    async def _hand_on(self, events: Sequence[Event]) -> None:
        if not self._is_up():
            raise _later("rabbitmq_away")
        if self._publishing >= MAX_PUBLISHING:
            raise _later("too_many_calls")
        started = time.monotonic()
        self._publishing += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._publish, events)
        except NotTakenError as error:
            self._last_error = str(error)
            raise _later("not_taken") from None
        finally:
            self._publishing -= 1
        log.info(
            "webhook",
            ids=[event.id for event in events[:MAX_LOGGED]],
            events=len(events),
            unrecognized=sum(not event.fields for event in events),
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    async def _answer_health(self, scope: Message, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/livez":
                await _answer(send, 200, {"status": "ok"})  # who can say this gets on
            case "/readyz" if self._is_up():
                await _answer(send, 200, {"status": "ok"})
            case "/readyz":
                await _answer(send, 503, {"status": "not ready", "reasons": ["RabbitMQ takes no messages"]})
            case _:
                await _refuse(receive, send, Refusal(404, "unknown_path"))


def _later(reason: str) -> Refusal:
    return Refusal(503, reason, **{"retry-after": str(RETRY_SECONDS)})


async def _refuse(receive: Receive, send: Send, refusal: Refusal) -> None:
    """Answer without a word, and close the connection once the caller has had the time to read that."""
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            await _answer(send, refusal.status, {}, refusal.headers | {"connection": "close"}, more_body=True)
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


async def _answer(
    send: Send, status: int, content: dict[str, Any], headers: Mapping[str, str] | None = None, *, more_body: bool = False
) -> None:
    body = orjson.dumps(content) + b"\n"
    fixed = {"content-type": "application/json", "content-length": str(len(body)), "cache-control": "no-store"}
    named = [(name.encode(), value.encode()) for name, value in (fixed | dict(headers or {})).items()]
    await send({"type": "http.response.start", "status": status, "headers": named})
    await send({"type": "http.response.body", "body": body, "more_body": more_body})
