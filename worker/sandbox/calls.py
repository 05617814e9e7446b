"""What a route is given, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.sandbox import shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.sandbox.faults import Faults
    from worker.sandbox.state import Order, State

__all__ = ["JSON", "Answer", "Call", "Route", "error", "found", "refusal"]

JSON = "application/json"


@dataclass(slots=True)
class Answer:
    """A status and a body: of JSON, or bytes of `media_type`. `order` is the order that was accepted by the call."""

    status: int
    body: Any
    order: Order | None = None
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and what it is answered from; `parameters` are those of the path, decoded."""

    parameters: Mapping[str, str]
    body: Any
    state: State
    faults: Faults
    credentials: Mapping[str, str] | None
    query: Mapping[str, str] = field(default_factory=dict)

    def mib(self, operation: str) -> float:
        """How many MiB an answer has at least, where a fault wants it large."""
        large = self.faults.strikes("large", operation)
        return float(large["mib"]) if large else 0.0


@dataclass(frozen=True, slots=True)
class Route:
    """One operation; names in braces match one segment of the path. A body of another media type is refused."""

    operation: str
    method: str
    path: str
    answer: Callable[[Call], Answer]
    media_types: tuple[str, ...] = ()


def error(status: int, message: str, *faults: tuple[tuple[str, ...], str]) -> Answer:
    """An error in the shape that integrators report; each fault is the path of a property and what is wrong with it."""
    errors = [
        {
            "domain": ".".join(path[:-1]) or "request",
            "reason": "invalid",
            "message": f"{'.'.join(path[-1:]) or 'body'} {what}",
            "parameter": ".".join(path[-1:]) or "body",
        }
        for path, what in faults
    ]
    return Answer(status, {"message": message, "errors": errors})


def refusal(call: Call, shape: shapes.Rule) -> Answer | None:
    """The answer to a body that has not the shape, or None for one that has."""
    faults = tuple(shapes.faults(call.body, shape))
    return error(400, "Bad Request", *faults) if faults else None


def found(body: Any) -> Answer:
    """What was asked for, or that it is not there."""
    return error(404, "Not Found") if body is None else Answer(200, body)
