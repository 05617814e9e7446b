"""Describes an exception for a log line: type, message and frames, without local variables and without source lines."""

from __future__ import annotations

import functools
import itertools
import sys
import traceback
from typing import Any

from pydantic import ValidationError

from worker.ops.text import text_of

__all__ = ["describe_exception"]

#: Exceptions of one chain that are described; requests and urllib3 wrap a socket's error four times.
MAX_CHAIN = 6

#: Innermost frames of one exception that are listed; a RecursionError has a thousand.
MAX_FRAMES = 30


def describe_exception(error: BaseException, chain: int = MAX_CHAIN) -> dict[str, Any]:
    """`error` as `type`, `message`, `frames` (outermost first) and, where there is one, `cause` or `exceptions` of the same form.

    A frame is `file:line function`; the file is relative to the entry of `sys.path` it was imported from.

    Args:
        error: what was raised.
        chain: how many exceptions, this one included, may still be described.
    """
    described: dict[str, Any] = {
        "type": _name(type(error)),
        "message": _message(error),
        "frames": _frames(error),
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and chain > 1:
        described["cause"] = describe_exception(cause, chain - 1)
    if isinstance(error, BaseExceptionGroup) and chain > 1:
        described["exceptions"] = [describe_exception(each, chain - 1) for each in error.exceptions[:MAX_CHAIN]]
    return described


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        # The text of pydantic's error quotes the input: a payload, with names and addresses in it.
        return text_of(_locations(error) if isinstance(error, ValidationError) else str(error))
    except Exception as failure:  # noqa: BLE001 - a third party's __str__ may do anything
        return f"<its text raised {type(failure).__name__}>"


def _locations(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    places = (f"/{'/'.join(str(part) for part in problem['loc'])} {problem['type']}" for problem in problems)
    return f"{error.title}: {', '.join(places)}"


def _frames(error: BaseException) -> list[str]:
    steps = list(traceback.walk_tb(error.__traceback__))[-MAX_FRAMES:]
    return [f"{_short(frame.f_code.co_filename)}:{line} {frame.f_code.co_qualname}" for frame, line in steps]


@functools.lru_cache(maxsize=1024)
def _short(filename: str) -> str:
    roots = (root.rstrip("/") + "/" for root in sys.path if root)
    longest = max(itertools.chain([""], filter(filename.startswith, roots)), key=len)
    return filename.removeprefix(longest)
