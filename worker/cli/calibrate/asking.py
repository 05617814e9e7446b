"""Ask SIPS for an operation at some path, with the command's own handler, and note what came and how it was to be read."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from worker.cli.calibrate.fields import Expected
from worker.runtime.registry import registry
from worker.sips import OPERATIONS, Answer, Deadline, Kind, Limits, Sips, SipsClient, SipsError, Transport
from worker.sips.errors import NoAnswer, Throttled, TokenError
from worker.sips.variants import variants

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.cli.calibrate.questions import Question
    from worker.settings import Settings
    from worker.sips import Operation, TokenSource
    from worker.sips.token_rules import Token

__all__ = ["Asker", "Look", "StoppedError"]

#: So many calls in a row without an answer end the calibration: SIPS is away, and each would take as long.
MOST_UNANSWERED = 3


class StoppedError(Exception):
    """There is no point in asking on; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Look:
    """What came of asking at one path.

    Attributes:
        path: the path, with its parameters in braces.
        answer: what came; None where nothing came, or nothing that could be held.
        error: what it is taken for; None for a success, whatever it says.
        expected: how the handler reads a success; None where it takes it as it is.
    """

    path: str
    answer: Answer | None
    error: SipsError | None = None
    expected: Expected | None = None


class Asker:
    """SIPS as it is asked here: one call at a time, within the limits of a worker, with one token.

    Args:
        settings: address, credentials, limits, and the paths that are set already.
        tokens: the token of the fleet.

    Attributes:
        requests: how many were made.
    """

    def __init__(self, settings: Settings, tokens: TokenSource) -> None:
        self._settings = settings
        self._transport = Transport(settings)
        self._limits = Limits(concurrency=settings.sips_max_concurrency, per_second=settings.sips_max_rps)
        self._tokens = _OneToken(tokens)
        self._unanswered = 0
        self.requests = 0

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def operation(self, operation_id: str) -> Operation:
        """The operation at the path that is in force now."""
        return SipsClient(self._settings, self._tokens, self._transport).operation(operation_id)

    def ask(self, question: Question, payload: Mapping[str, Any], path: str) -> Look:
        """What comes from a path.

        Raises:
            StoppedError: SIPS is away, or wants to be left alone, or there is no token.
            ValidationError: the command does not take the payload.
        """
        sips = _Watched(self._client(question.operation, path), Deadline.after(self._settings.sips_call_seconds))
        ask = _handled(question.operation, payload)
        self.requests += 1
        try:
            ask(sips)
        except SipsError as error:
            if sips.watched is None:
                return self._failed(path, error)
        self._unanswered = 0
        assert sips.watched is not None  # noqa: S101 - a handler that calls nothing is none of these
        return Look(path, sips.watched, None, _expected(question, sips.watched))

    def _failed(self, path: str, error: SipsError) -> Look:
        if isinstance(error, TokenError):
            raise StoppedError(f"{error}{_where_else(error)}; `sips-worker doctor` looks at the token") from None
        if isinstance(error, Throttled):
            wait = f" and asks to wait {error.retry_after:g} s" if error.retry_after else ""
            raise StoppedError(f"SIPS says that these are too many calls{wait}; set SIPS_MAX_RPS=1 and run it again") from None
        self._unanswered = self._unanswered + 1 if isinstance(error, NoAnswer) else 0
        if self._unanswered == MOST_UNANSWERED:
            raise StoppedError(f"SIPS does not answer ({error.reason}); check SIPS_BASE_URL={self._settings.base_url}") from None
        return Look(path, error.answer, error)

    def _client(self, operation_id: str, path: str) -> SipsClient:
        """A client for which the operation is at a path; its connections and token are those of the others."""
        others = {name: set_ for name, set_ in self._settings.sips_paths.items() if name.casefold() != operation_id.casefold()}
        settings = self._settings.model_copy(update={"sips_paths": others | {operation_id: path}})
        client = SipsClient(settings, self._tokens, self._transport, limits=self._limits)
        assert client.operation(operation_id).kind is Kind.READ  # noqa: S101 - there is no question for anything else
        return client


def _where_else(error: TokenError) -> str:
    """Where the token endpoint may be, if it is not where it was looked for."""
    if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        return ""
    return f"; set SIPS_PATHS__authenticationToken to {' or '.join(variants(OPERATIONS['authenticationToken']))}"


class _OneToken:
    """The fleet's token, which is not given up because a path that may not exist answers 401."""

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    def get(self, deadline: Deadline) -> Token:
        return self._tokens.get(deadline)

    def invalidate(self, fingerprint: str) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _WatchedAnswer(Answer):
    """An answer that notes how it is read."""

    readings: tuple[list[tuple[Any, str | None]], ...] = ()

    def parse(self, shape: Any, under: str | None = None) -> Any:
        self.readings[0].append((shape, under))
        return Answer.parse(self, shape, under)

    def glean(self, shape: Any, under: str | None = None) -> Any:
        self.readings[0].append((shape, under))
        return Answer.glean(self, shape, under)


class _Watched(Sips):
    """What a handler sees of SIPS, and what came of its call: None where that failed."""

    watched: _WatchedAnswer | None = None

    def call(self, operation_id: str, **asked: Any) -> Answer:
        answer = super().call(operation_id, **asked)
        values = {name: getattr(answer, name) for name in answer.__slots__}
        self.watched = _WatchedAnswer(**values, readings=([],))
        return self.watched


def _handled(operation_id: str, payload: Mapping[str, Any]) -> Callable[[_Watched], object]:
    """The handler of the operation's command with its payload; what keeps files is called without keeping any."""
    handler = next(handler for handler in registry if operation_id in handler.calls)
    request = handler.payload.model_validate(payload)
    if handler.keeps_files:
        path = {name: str(value) for name, value in request.model_dump(by_alias=True).items()}
        return lambda sips: sips.call(operation_id, path=path)
    return lambda sips: handler.run(request, sips)


def _expected(question: Question, answer: _WatchedAnswer) -> Expected | None:
    readings = answer.readings[0]
    if not readings:
        return None
    shape, under = readings[0]
    return Expected(question.operation, shape, under, question.foreign)
