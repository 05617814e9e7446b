"""Sandboxes that write down what they are asked, so that a test fails which has SIPS asked for what its description has not.

`python -m tests.sandbox.recording sandbox` runs one, in place of `python -m worker sandbox`. `tests.conftest` has every sandbox
of the tests be such a one.
"""

from __future__ import annotations

import functools
import json
import os
from typing import TYPE_CHECKING, Any

from worker.cli import main
from worker.sandbox.server import UNKNOWN, Sandbox

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from pathlib import Path

    from worker.sandbox.wire import Request

__all__ = ["FILE", "answer_recorded", "problems", "take"]

#: The variable of the environment that names the file; requests are lines of JSON.
FILE = "RECORDED_REQUESTS"

_answer = Sandbox._answer_sips


def answer_recorded(sandbox: Sandbox, connection: socket.socket, request: Request) -> bool:
    """In place of `Sandbox._answer_sips`: the same, with the request written down first, whatever becomes of it."""
    found = sandbox._routes.find(request.method, request.path)
    row = {
        "operation": found[0].operation if found else UNKNOWN,
        "method": request.method,
        "target": f"{request.path}?{request.query}" if request.query else request.path,
        "body": request.raw.decode("latin-1"),
    }
    os.write(_file(), json.dumps(row).encode() + b"\n")  # at once, so that the lines of several sandboxes do not mix
    return _answer(sandbox, connection, request)


@functools.cache
def _file() -> int:
    return os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def take(file: Path) -> set[str]:
    """The requests that were written down since the last time."""
    if not file.exists() or not file.stat().st_size:
        return set()
    rows = set(file.read_text(encoding="utf-8").splitlines())
    os.truncate(file, 0)
    return rows


def problems(rows: Iterable[str]) -> list[str]:
    """What is wrong with requests by SIPS' description."""
    from tests.sandbox.description import request_problems  # takes a second to read, which most tests do not need

    found = []
    for row in rows:
        asked: dict[str, Any] = json.loads(row)
        operation, method, target, body = (asked[name] for name in ("operation", "method", "target", "body"))
        if operation == UNKNOWN:
            found.append(f"no operation is at {method} {target}")
            continue
        try:
            found += request_problems(operation, method, target, body.encode("latin-1") or None)
        except ValueError:
            found.append(f"{operation}: the body is no JSON")
    return found


if __name__ == "__main__":
    Sandbox._answer_sips = answer_recorded  # type: ignore[assignment]
    main()
