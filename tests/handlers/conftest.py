"""Handlers as functions: the real client, and SIPS as the sandbox or as a server that answers what a test says."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.sandbox.description import request_problems
from tests.sips.making import ample, settings
from tests.sips.servers import TOKEN_PATH, Peer, Received, Server, answer, token_answer
from worker.runtime.files import INLINE_BYTES, JSON, Files
from worker.runtime.submission import Submission
from worker.sandbox import Sandbox
from worker.sips import Sips, SipsClient, Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.sips import Answer, Deadline, Operation
    from worker.sips.transport import Request, Sink

#: The worker's own fields of every order in these tests.
SUBMISSION = Submission("0b54be43-0d87-5b2e-9b0a-6f1f7f5a3c11", "2026-01-15T08:05:00.123", "5641-8Test")

#: Where files are kept in these tests: in the event, as there is no store.
FILES = Files(None, inline_bytes=INLINE_BYTES, deadline=math.inf)

#: The partner's name.
SOURCE_SYSTEM = "PARTNER"


class Scripted:
    """A SIPS whose every answer a test decides, and the real client of it."""

    def __init__(self) -> None:
        self.body: Any = None
        self.status = 200
        self.content_type = JSON
        self.sent: list[bytes] = []
        self.received: list[Received] = []
        self._server = Server(self._script)

    def _script(self, peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            if request.target == TOKEN_PATH:
                peer.send(token_answer())
            else:
                self.sent.append(request.body)
                self.received.append(request)
                peer.send(answer(self.body, status=self.status, content_type=self.content_type))

    @contextlib.contextmanager
    def running(self) -> Iterator[Scripted]:
        """While it listens."""
        with self._server as server:
            self._client = SipsClient(settings(server.url, sips_source_system=SOURCE_SYSTEM))
            try:
                yield self
            finally:
                self._client.close()

    def answers(self, body: Any, status: int = 200, content_type: str = JSON) -> Sips:
        """What a handler gets that is answered so."""
        self.body, self.status, self.content_type = body, status, content_type
        return Sips(self._client, ample())


@pytest.fixture(autouse=True, scope="module")
def _described() -> Iterator[None]:
    """Every request of the client is one that SIPS' description knows, and as it wants it."""
    send = Transport.send

    def checked(self: Transport, operation: Operation, request: Request, deadline: Deadline, sink: Sink | None = None) -> Answer:
        target = request.url.removeprefix(self.base_url)
        assert [] == request_problems(operation.id, request.method, target, request.body)
        return send(self, operation, request, deadline, sink)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transport, "send", checked)
        yield


@pytest.fixture
def files() -> Files:
    """Where a handler keeps files."""
    return FILES


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Log lines go nowhere."""
    with capture_logs():
        yield


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    """A SIPS that answers what a test says."""
    with Scripted().running() as started:
        yield started


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The stand-in for SIPS."""
    with Sandbox() as started:
        yield started


@pytest.fixture
def sips(sandbox: Sandbox) -> Iterator[Sips]:
    """What a handler gets: the stand-in, through the real client."""
    client = SipsClient(settings(sandbox.url, sips_source_system=SOURCE_SYSTEM))
    yield Sips(client, ample())
    client.close()
