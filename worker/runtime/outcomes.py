"""The data of the three outcomes, as the wire contract has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from worker.runtime.payload import pointer

if TYPE_CHECKING:
    from pydantic import ValidationError

    from worker.messaging.envelope import Command
    from worker.sips import Abridged, Answer

__all__ = ["MAX_ERRORS", "Problem", "RefusedError", "invalid_payload", "problem_data", "succeeded_data"]

#: Faults of a payload that `.failed` lists at most: a million empty lines must not make an event that nobody can publish.
MAX_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a command failed: RFC 9457 problem details with our own members.

    Attributes:
        code: stable, such as `invalid-payload`; becomes `type`.
        title: the same in words, for every case of the code.
        detail: what happened this time, without payload values.
        errors: one `{"pointer", "detail"}` per problem of the payload (JSON pointers).
        retryable: a new command may succeed.
        key_reusable: the idempotency key may be used for it.
        sips_status, sips_code: what SIPS answered, where it did.
    """

    code: str
    title: str
    detail: str
    errors: tuple[dict[str, str], ...] = field(default_factory=tuple)
    retryable: bool = False
    key_reusable: bool = False
    sips_status: int | None = None
    sips_code: str | None = None


class RefusedError(Exception):
    """A handler cannot do what the command asks, and a repeat ends the same: `.failed` with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def succeeded_data(command: Command, result: Any, answer: Answer | None, abridged: Abridged | None = None) -> dict[str, Any]:
    """The data of `.succeeded`: our documented result, and SIPS' answer untouched, byte for byte, or what is told instead.

    Raises:
        TypeError: the result, or what is told instead, cannot be written as JSON: something in the answer is nested too deep.
    """
    sips: dict[str, Any] = {"status": answer.status if answer is not None else None}
    if abridged is None:
        sips["body"] = orjson.Fragment(answer.raw) if answer is not None and answer.raw else None
    else:
        sips |= {"body": _written(abridged.body), "bodyOmitted": abridged.why}
    return {"command": about(command), "result": _written(result), "sips": sips}


def _written(value: Any) -> orjson.Fragment:
    """As JSON already, so that one that cannot be written is told from a fault of the event around it."""
    return orjson.Fragment(orjson.dumps(value))


def problem_data(problem: Problem, about_command: dict[str, Any]) -> dict[str, Any]:
    """The data of `.failed`."""
    return {
        "type": problem.code,
        "title": problem.title,
        "detail": problem.detail,
        "errors": list(problem.errors),
        "retryable": problem.retryable,
        "keyReusable": problem.key_reusable,
        "sips": {"status": problem.sips_status, "code": problem.sips_code},
        "command": about_command,
    }


def about(command: Command) -> dict[str, Any]:
    """What every outcome says of its command."""
    return {"id": command.id, "type": command.type, "run": command.run, "attempts": command.attempt}


def invalid_payload(error: ValidationError) -> Problem:
    """The problem of a payload that its model refuses: one JSON pointer per fault up to `MAX_ERRORS`, no values."""
    errors = tuple(
        {"pointer": pointer(fault["loc"]), "detail": fault["msg"].removeprefix("Value error, ")}
        for fault in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
    )
    number = error.error_count()
    first = f", the first {MAX_ERRORS}" if number > MAX_ERRORS else ""
    return Problem(
        code="invalid-payload",
        title="The payload is not what the command needs",
        detail=f"{number} problem(s){first}, each with a JSON pointer into the payload",
        errors=errors,
        key_reusable=True,
    )
