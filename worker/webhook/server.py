"""Serves the receiver with uvicorn, and bounds what uvicorn leaves unbounded: silent connections, endless headers.

uvicorn parses with httptools and does everything in one loop, where an idle or slow caller costs a socket and no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import resource
import signal
import socket
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from worker.settings import SettingsError
from worker.webhook.verifiers import Verifiers

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.settings import Settings
    from worker.webhook.receiver import Receiver

__all__ = ["check_addresses", "serve"]

#: Seconds in which a connection must have sent the headers of its next request.
HEADER_SECONDS = 15.0

#: Longest headers of one request, in bytes.
MAX_HEADER_BYTES = 65_536

#: Bytes on the wire for each of a body that is sent in many small chunks.
CHUNK_OVERHEAD = 8

#: Connections beyond these are closed at once; descriptors are asked for so many, and kept for RabbitMQ and files.
MAX_CONNECTIONS = 16_384
SPARE_DESCRIPTORS = 64

#: Connections that the kernel may hold ready.
BACKLOG = 1_024

#: Seconds between two log lines that count refused calls, and two looks at secret files.
TELL_SECONDS = 60.0
SECRETS_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Protocol(HttpToolsProtocol):
    """One connection.

    Args:
        most_connections: open at the same time; at HEALTH_PORT, where strangers are not, one more is always taken.
        health_port: that one, 0 = none.
        most_bytes: of one request, headers and body as they are on the wire.
        arguments: of uvicorn.
    """

    def __init__(self, *arguments: Any, most_connections: int, health_port: int, most_bytes: int, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._most_connections = most_connections
        self._health_port = health_port
        self._most_bytes = most_bytes
        self._bytes = 0
        self._headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the caller, or leave it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._most_connections and transport.get_extra_info("sockname")[1] != self._health_port:
            transport.abort()
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Give up a request that does not come to its end."""
        self._bytes += len(data)
        super().data_received(data)
        most = MAX_HEADER_BYTES if self._headers_due else self._most_bytes
        if self._bytes > most and not (self.cycle and self.cycle.response_started):
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """From here on the receiver minds the time."""
        self._forget_headers()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The next request may come."""
        super().on_response_complete()
        self._bytes = 0
        if self.timeout_keep_alive_task is not None:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._forget_headers()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._headers_due = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _forget_headers(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None


def check_addresses(settings: Settings) -> list[socket.socket]:
    """Listen at WEBHOOK_PORT, and at HEALTH_PORT where there is one.

    Raises:
        SettingsError: one is taken, or its address is not one of this machine.
    """
    if settings.webhook_port == settings.health_port:
        raise SettingsError("HEALTH_PORT must be another one than WEBHOOK_PORT, which strangers can reach")
    addresses = [("WEBHOOK", settings.webhook_host, settings.webhook_port)]
    if settings.health_port:
        addresses.append(("HEALTH", settings.health_host, settings.health_port))
    return [_listen(*address) for address in addresses]


def _listen(prefix: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"{prefix}_PORT: cannot listen on {host} port {port} ({error.strerror or error}); "
            f"choose another {prefix}_PORT or {prefix}_HOST"
        ) from None
    # What it accepts has it as well. asyncio asks for it only on sockets that were made for TCP by number, and without it the
    # second half of each answer waits for the caller to acknowledge the first: 40 ms, and so 25 calls a second on a connection.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    return listening


def serve(receiver: Receiver, settings: Settings, sockets: list[socket.socket], learn: Callable[[str], None]) -> None:
    """Answer until SIGTERM or SIGINT; then no call is taken any more, and those that run get GRACE_SECONDS.

    Args:
        receiver: answers.
        settings: of the process.
        sockets: that listen.
        learn: told each secret before it is used.
    """
    protocol = functools.partial(
        Protocol,
        most_connections=_raise_descriptors(),
        health_port=settings.health_port,
        most_bytes=MAX_HEADER_BYTES + CHUNK_OVERHEAD * settings.webhook_max_bytes,
    )
    config = uvicorn.Config(
        receiver,
        http=protocol,  # type: ignore[arg-type]  # called like the class
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="error",
        access_log=False,  # would show the secret in the path
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(HEADER_SECONDS),
        timeout_graceful_shutdown=int(settings.grace_seconds),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal once more when it has ended
    asyncio.run(_serve(uvicorn.Server(config), receiver, settings, sockets, learn))


async def _serve(
    server: uvicorn.Server, receiver: Receiver, settings: Settings, sockets: list[socket.socket], learn: Callable[[str], None]
) -> None:
    beside = [
        asyncio.create_task(_every(TELL_SECONDS, receiver.tell_refused)),
        asyncio.create_task(_every(SECRETS_SECONDS, _SecretFiles(receiver, settings, learn).look)),
    ]
    log.info("webhook receiver listens", port=settings.webhook_port, host=settings.webhook_host)
    try:
        await server.serve(sockets)
    finally:
        for task in beside:
            task.cancel()
        receiver.tell_refused()
        log.info("webhook receiver ends")


async def _every(seconds: float, call: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        call()


class _SecretFiles:
    """Takes secrets over from files that were rewritten."""

    def __init__(self, receiver: Receiver, settings: Settings, learn: Callable[[str], None]) -> None:
        self._receiver = receiver
        self._settings = settings
        self._learn = learn
        self._said = ""

    def look(self) -> None:
        """Look once; what cannot be read leaves the secrets as they are, and is said once."""
        try:
            verifiers = Verifiers.of(self._settings)
        except SettingsError as error:
            if str(error) != self._said:
                log.error("the secrets in use are kept", error=str(error))  # noqa: TRY400 - the text says it all
            self._said = str(error)
            return
        self._said = ""
        if verifiers != self._receiver.verifiers:
            for secret in verifiers.secrets:
                self._learn(secret)
            self._receiver.verifiers = verifiers
            log.info("the secrets of the webhook were taken over anew")


def _raise_descriptors() -> int:
    """Ask for descriptors up to the hard limit; how many connections they allow."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + SPARE_DESCRIPTORS
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS)
