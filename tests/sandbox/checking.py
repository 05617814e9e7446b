"""A sandbox that holds every request against SIPS' description, whoever sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.sandbox.description import request_problems
from worker.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.sandbox.calls import Answer, Route
    from worker.sandbox.wire import Request

__all__ = ["CheckingSandbox"]


class CheckingSandbox(Sandbox):
    """As the sandbox; `problems` are what is wrong with the requests that came, `operations` what they asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.operations: set[str] = set()

    def _work(self, found: tuple[Route, Mapping[str, str]] | None, request: Request, body: Any) -> Answer:
        if found is None:
            self.problems.append(f"no operation is at {request.method} {request.path}")
        else:
            target = f"{request.path}?{request.query}"
            self.operations.add(found[0].operation)
            self.problems += request_problems(found[0].operation, request.method, target, request.raw or None)
        return super()._work(found, request, body)
