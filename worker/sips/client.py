"""Call an operation of SIPS: put the request together, bear the token, judge the answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson
from pydantic import BaseModel

from worker import __version__
from worker.sips.classify import error_of
from worker.sips.errors import Executed, SipsError
from worker.sips.items import ItemCounter, ItemPicker
from worker.sips.limits import Limits
from worker.sips.operations import Confidence, Kind, Operation, resolve_all
from worker.sips.token import TokenManager
from worker.sips.token_endpoint import TokenEndpoint
from worker.sips.transport import Request, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.settings import Settings
    from worker.sips.answers import Answer
    from worker.sips.deadline import Deadline
    from worker.sips.token import TokenSource
    from worker.sips.token_rules import Token
    from worker.sips.token_storage import TokenStorage
    from worker.sips.transport import Sink

__all__ = ["PROBE", "Abridged", "Sips", "SipsClient", "make_token_source"]

#: Id of the operation that asks whether SIPS is there; it stands in no table, as its path is a setting.
PROBE = "probe"

_HEADERS = {"Accept-Encoding": "gzip, deflate", "User-Agent": f"sips-worker/{__version__}"}


class SipsClient:
    """SIPS for all threads of one process; opens nothing before the first call.

    Parameters:
        settings: Address, paths, credentials and the partner's name.
        tokens: Where the bearer token comes from; by default this process keeps one of its own.
        transport: The connections, closed with the client; by default its own.
        limits: What holds calls back; by default nothing.
        is_away: Whether SIPS is known to be away; noted on the errors of calls that end then.

    Raises:
        SettingsError: `sips_paths` names an unknown operation or gives it a path with other parameters, or the
            environment names a CA bundle or proxy that cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        tokens: TokenSource | None = None,
        transport: Transport | None = None,
        *,
        limits: Limits | None = None,
        is_away: Callable[[], bool] = lambda: False,
    ) -> None:
        self.source_system = settings.source_system
        self._operations = resolve_all(settings.sips_paths)
        self._transport = transport or Transport(settings)
        self._tokens = tokens or make_token_source(settings, self._transport)
        self._limits = limits or Limits()
        self._is_away = is_away

    def operation(self, operation_id: str) -> Operation:
        """The operation with the path that is in force.

        Raises:
            KeyError: SIPS has no such operation.
        """
        return self._operations[operation_id]

    def call(
        self,
        operation_id: str,
        *,
        deadline: Deadline,
        path: Mapping[str, str | int] | None = None,
        query: Mapping[str, str | int | float | None] | None = None,
        json: object = None,
    ) -> Answer:
        """The answer of a call that succeeded as far as HTTP tells; what it says is the caller's to judge.

        Parameters:
            operation_id: As in `worker.sips.operations`.
            deadline: By when the call ends, the token and a repeat included.
            path: The parameters of the path.
            query: The query; `None` values are left out.
            json: The body: bytes that are JSON already, a model (without its `None` properties), or plain data.

        Raises:
            SipsError: Anything else than a success; see `worker.sips.errors`.
        """
        operation = self.operation(operation_id)
        return self._make(operation, self._request(operation, path or {}, query or {}, json), deadline)

    def stream(
        self,
        operation_id: str,
        sink: Sink,
        *,
        deadline: Deadline,
        path: Mapping[str, str | int] | None = None,
        query: Mapping[str, str | int | float | None] | None = None,
    ) -> Answer:
        """As `call`, of an answer that may be too large to hold: its body goes to `sink` in pieces.

        Raises:
            SipsError: As `call`; `sink` may have taken a part of the body by then.
        """
        operation = self.operation(operation_id)
        return self._make(operation, self._request(operation, path or {}, query or {}, None), deadline, sink)

    def _make(self, operation: Operation, request: Request, deadline: Deadline, sink: Sink | None = None) -> Answer:
        try:
            if self._limits.free:
                return self._answer(operation, request, deadline, sink)
            with self._limits.turn(operation.id, deadline):
                return self._answer(operation, request, deadline, sink)
        except SipsError as error:
            error.while_away = self._is_away()
            raise

    def probe(self, path: str, *, deadline: Deadline) -> Answer:
        """The answer to a GET of `path` (with its query), outside of every limit.

        Raises:
            SipsError: As `call`.
        """
        operation = Operation(PROBE, "GET", path, Kind.READ, Confidence.CONFIGURED, page="")
        request = Request(operation.method, f"{self._transport.base_url}{path}", {"Accept": "application/json", **_HEADERS})
        return self._answer(operation, request, deadline)

    def _answer(self, operation: Operation, request: Request, deadline: Deadline, sink: Sink | None = None) -> Answer:
        """Bear the token, and repeat once with another one where SIPS refused it."""
        token = self._tokens.get(deadline)
        answer = self._transport.send(operation, _bearing(request, token), deadline, sink)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._tokens.invalidate(token.fingerprint)
            other = self._tokens.get(deadline)
            if other.fingerprint != token.fingerprint:
                answer = self._transport.send(operation, _bearing(request, other), deadline, sink)
        error = error_of(operation, answer)
        if error is not None:
            raise error
        return answer

    def authorize(self, deadline: Deadline) -> None:
        """See to it that a call made now has a token.

        Raises:
            TokenError: There is none.
        """
        self._tokens.get(deadline)

    def close(self) -> None:
        """Close the idle connections; calls that still run end by themselves."""
        self._transport.close()

    def _request(self, operation: Operation, path: Mapping[str, Any], query: Mapping[str, Any], json: object) -> Request:
        url = f"{self._transport.base_url}{operation.filled_path(path)}"
        given = {name: value for name, value in query.items() if value is not None}
        if given:
            # A path of SIPS_PATHS may have a query of its own.
            url = f"{url}{'&' if '?' in operation.path else '?'}{urlencode(given, quote_via=quote)}"
        headers = {"Accept": "application/pdf, application/json" if operation.document else "application/json", **_HEADERS}
        if json is None:
            return Request(operation.method, url, headers)
        return Request(operation.method, url, {**headers, "Content-Type": "application/json"}, _encoded(json))


def make_token_source(
    settings: Settings,
    transport: Transport | None = None,
    *,
    storage: TokenStorage | None = None,
    learn: Callable[[str], None] = lambda _secret: None,
) -> TokenManager:
    """The token of the fleet, kept in `storage`; of this process alone without one. `learn` is told of tokens and secrets."""
    return TokenManager(
        TokenEndpoint(settings, transport or Transport(settings)).fetch,
        settings.pairs,
        base_url=settings.base_url,
        storage=storage,
        lease_seconds=settings.sips_token_lease_seconds,
        min_age_seconds=settings.sips_token_min_age_seconds,
        learn=learn,
    )


@dataclass(frozen=True, slots=True)
class Abridged:
    """What is told of an answer in the place of its body, and why."""

    body: Any
    why: str


class Sips:
    """What a handler sees of SIPS during one attempt: calls that end by the attempt's deadline, and what became of them.

    Attributes:
        calls: How many calls were made.
        seconds: Wall time of all calls together, the token's included.
        status: HTTP status of the last call; `None` where it was not answered.
        answer: The last answer; `None` where the last call had none.
        abridged: What is told of it instead of its whole body, where a handler said so.
        executed: Whether SIPS can have executed any of the calls that change something.
    """

    def __init__(self, client: SipsClient, deadline: Deadline) -> None:
        self._client = client
        self.deadline = deadline
        self.calls = 0
        self.seconds = 0.0
        self.status: int | None = None
        self.answer: Answer | None = None
        self.abridged: Abridged | None = None
        self.executed = Executed.NO

    @property
    def source_system(self) -> str:
        """The partner's name at SIPS (`sourceSystem` of requests)."""
        return self._client.source_system

    def authorize(self) -> None:
        """As `SipsClient.authorize`, by this attempt's deadline."""
        started = time.monotonic()
        try:
            self._client.authorize(self.deadline)
        finally:
            self.seconds += time.monotonic() - started

    def call(
        self,
        operation_id: str,
        *,
        path: Mapping[str, str | int] | None = None,
        query: Mapping[str, str | int | float | None] | None = None,
        json: object = None,
    ) -> Answer:
        """As `SipsClient.call`, by this attempt's deadline."""
        call = self._client.call
        return self._noted(operation_id, lambda: call(operation_id, path=path, query=query, json=json, deadline=self.deadline))

    def download(
        self,
        operation_id: str,
        sink: Sink,
        *,
        path: Mapping[str, str | int] | None = None,
        query: Mapping[str, str | int | float | None] | None = None,
        share: float = 1.0,
    ) -> int:
        """The number of items in a list that may be too long to hold; its bytes go to `sink`, checked piece by piece.

        `share` of the time that is left is what it may take.

        Raises:
            SipsError: As `call`, or `Unreadable` where it is no list of objects or not all of it. What `sink` has taken by
                then is worth nothing.
        """
        items = ItemCounter(operation_id)

        def take(piece: bytes) -> None:
            items.feed(piece)
            sink(piece)

        stream, deadline = self._client.stream, self.deadline.or_after(self.deadline.remaining() * share)
        self._noted(operation_id, lambda: stream(operation_id, take, path=path, query=query, deadline=deadline))
        self.abridge(None, "the answer is the file in result")
        return items.end()

    def pick(
        self,
        operation_id: str,
        wanted: Callable[[dict[str, Any]], bool],
        *,
        path: Mapping[str, str | int] | None = None,
        share: float = 1.0,
    ) -> list[dict[str, Any]]:
        """Those items that are wanted of a list that may be too long to hold; `share` as for `download`.

        Raises:
            SipsError: As `download`.
        """
        picker = ItemPicker(wanted)
        self.download(operation_id, picker.feed, path=path, share=share)
        self.abridge(None, "only some items of the answer were kept")
        return picker.picked

    def abridge(self, body: object, why: str) -> None:
        """Have the outcome tell `body` in the place of the last answer's, as the rest of it stands in the result."""
        self.abridged = Abridged(body, why)

    def _noted(self, operation_id: str, make: Callable[[], Answer]) -> Answer:
        """Make a call, and note what became of it."""
        started = time.monotonic()
        self.calls += 1
        self.status = self.answer = self.abridged = None
        executed = Executed.MAYBE
        try:
            self.answer = make()
        except SipsError as error:
            self.status, self.answer, executed = error.status, error.answer, error.executed
            raise
        else:
            self.status, executed = self.answer.status, Executed.YES
            return self.answer
        finally:
            self.seconds += time.monotonic() - started
            if executed is not Executed.NO and self._client.operation(operation_id).kind is Kind.MUTATION:
                self.executed = executed


def _bearing(request: Request, token: Token) -> Request:
    headers = {**request.headers, "Authorization": f"Bearer {token.value}"}
    return Request(request.method, request.url, headers, request.body)


def _encoded(json: object) -> bytes:
    if isinstance(json, bytes):
        return json
    if isinstance(json, BaseModel):
        return orjson.dumps(json.model_dump(mode="json", exclude_none=True))
    return orjson.dumps(json)
