"""Decide what an answer means: a success to be judged by its content, or one kind of error."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from worker.sips.answers import HTML, PDF, is_json
from worker.sips.errors import (
    BadAnswer,
    Executed,
    Forbidden,
    Gateway,
    NotFound,
    PathUnconfirmed,
    Rejected,
    ServerFault,
    Throttled,
    Unauthorized,
    Unexpected,
    Unreadable,
)
from worker.sips.operations import Kind

if TYPE_CHECKING:
    from worker.sips.answers import Answer
    from worker.sips.operations import Operation

__all__ = ["SUCCESS", "classify", "error_of", "executed"]

#: SIPS documents 200; its neighbours with a JSON body are judged by their content as well.
SUCCESS = frozenset({200, 201, 202})

#: First digit of the statuses that send a client elsewhere.
REDIRECTS = 3

#: Turned away before SIPS worked on the request: sent elsewhere, refused at the door, no such path, too many.
_NOT_EXECUTED = frozenset({301, 302, 307, 308, 401, 403, 404, 405, 429})

#: A path that is a guess did not hold; a call that makes something new names nothing that could be missing.
_NO_SUCH_PATH = frozenset({404, 405})

#: What each error says beside the status, and what to do next.
_ADVICE: dict[type[BadAnswer], str] = {
    Unauthorized: "the token was refused; check that the credentials belong to this environment",
    Forbidden: "the credentials may not do this; ask SRS for the permission",
    Throttled: "too many calls; wait, or lower the load",
    Rejected: "the request was refused; correct it",
    NotFound: "not found; check the ids, then the path",
    PathUnconfirmed: (
        "the path is a guess that did not hold; let `sips-worker calibrate` look for it, or ask SRS, and set SIPS_PATHS__{id}"
    ),
    ServerFault: "SIPS failed; repeat a read later, look an order up",
    Gateway: "a gateway or firewall answered instead of SIPS; check SIPS_BASE_URL, the path and the network",
    Unreadable: "the answer is not the JSON it should be; see whether SIPS_BASE_URL and the path lead to SIPS",
    Unexpected: "no rule for this status; ask SRS what it means there",
}


def classify(operation: Operation, status: int, media_type: str, *, body_is_json: bool) -> type[BadAnswer] | None:
    """The error an answer means, or `None` for a success whose content is still to be judged."""
    html = media_type == HTML and not body_is_json
    if status == HTTPStatus.UNAUTHORIZED:
        return Unauthorized
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled
    if status in _NO_SUCH_PATH and not operation.proved:
        return PathUnconfirmed
    if html or status // 100 == REDIRECTS or (status in _NO_SUCH_PATH and operation.kind is Kind.MUTATION):
        return Gateway
    if status in SUCCESS:
        readable = body_is_json or (operation.document and media_type == PDF)
        return None if readable else Unreadable
    return _failure(status, body_is_json=body_is_json)


def _failure(status: int, *, body_is_json: bool) -> type[BadAnswer]:
    if status in {400, 422}:
        return Rejected if body_is_json else Unreadable
    if status == HTTPStatus.FORBIDDEN:
        return Forbidden
    if status == HTTPStatus.NOT_FOUND:
        return NotFound
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return ServerFault
    return Unexpected


def executed(error: type[BadAnswer], status: int) -> Executed:
    """Whether SIPS can have executed a call that was answered so; in doubt, it can."""
    if status in _NOT_EXECUTED:
        return Executed.NO
    return Executed.YES if error is Rejected else Executed.MAYBE


def error_of(operation: Operation, answer: Answer) -> BadAnswer | None:
    """The error to raise for an answer, or `None` for a success."""
    # What was streamed is no page, and whether it is JSON was seen on the way.
    body_is_json = answer.streamed or is_json(answer.body)
    kind = classify(operation, answer.status, answer.media_type, body_is_json=body_is_json)
    if kind is None:
        return None
    return kind(
        operation.id,
        f"HTTP {answer.status} from {operation.method} {operation.path}: {_ADVICE[kind].format(id=operation.id)}",
        executed=executed(kind, answer.status),
        answer=answer,
    )
