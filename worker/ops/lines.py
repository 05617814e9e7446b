"""Renders one log event as one whole line, JSON or for a terminal, with the fields that every line has."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from worker.ops.exceptions import describe_exception
from worker.ops.redaction import redact
from worker.ops.text import text_of

if TYPE_CHECKING:
    from structlog.dev import ConsoleRenderer
    from structlog.typing import EventDict, WrappedLogger

__all__ = ["LineRenderer"]

Fields = dict[str, Any]

#: A dataclass is shown by its `repr`, which leaves out what its author keeps out of it.
JSON_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS


class LineRenderer:
    """The last processor of structlog, also used for what comes from elsewhere; it never raises an `Exception`.

    Args:
        environment: stands on every line.
        version: of the worker; stands on every line.
        console: renders lines for people; None = JSON lines.
    """

    def __init__(self, environment: str, version: str, console: ConsoleRenderer | None = None) -> None:
        self._environment = environment
        self._version = version
        self._console = console

    def __call__(self, logger: WrappedLogger, method_name: str, event_dict: EventDict) -> bytes:
        """As a processor: `logger` may have a `name`; the method's name is the level."""
        return self.render(method_name, getattr(logger, "name", None), event_dict)

    def render(self, level: str, logger: str | None, event_dict: EventDict) -> bytes:
        """The line, ending with a newline, with no secret in it.

        Args:
            level: `info`, `warning`, `error` or `critical`.
            logger: its name, or None.
            event_dict: `event`, any fields, `exc_info` as logging knows it, and `timestamp` (UTC) where it was before now.
        """
        try:
            line = redact(_json(self._fields(level, logger, event_dict)))
            return (line if self._console is None else _for_people(line, self._console)) + b"\n"
        except Exception as error:  # noqa: BLE001 - an attempt must not fail because of its log line
            return orjson.dumps(self._fields(level, logger, _unrenderable(error))) + b"\n"

    def _fields(self, level: str, logger: str | None, event_dict: EventDict) -> Fields:
        fields: Fields = {"timestamp": "", "level": "", "event": "", **event_dict}
        given = fields["timestamp"]
        at = given if isinstance(given, datetime) and given.tzinfo is UTC else datetime.now(UTC)
        fields["timestamp"] = at.isoformat(timespec="milliseconds")[:-6] + "Z"
        fields["level"] = level
        fields["environment"] = self._environment
        fields["version"] = self._version
        if logger:
            fields["logger"] = logger
        if "exc_info" in fields and (error := _raised(fields.pop("exc_info"))):
            fields["exception"] = describe_exception(error)
        return fields


def _for_people(line: bytes, console: ConsoleRenderer) -> bytes:
    fields = orjson.loads(line)
    if isinstance(exception := fields.get("exception"), dict):
        fields["exception"] = _indented(exception)
    return console(None, fields["level"], fields).encode()


def _json(fields: Fields) -> bytes:
    try:
        return orjson.dumps(fields, default=_plain, option=JSON_OPTIONS)
    except TypeError:
        return orjson.dumps({text_of(name): _possible(value) for name, value in fields.items()})


def _plain(value: object) -> Any:
    if isinstance(value, BaseException):
        return describe_exception(value)
    return list(value) if isinstance(value, set | frozenset) else text_of(value)


def _possible(value: object) -> object:
    try:
        return orjson.Fragment(orjson.dumps(value, default=_plain, option=JSON_OPTIONS))
    except TypeError:  # a big integer, a key that is no string, a lone surrogate, a circle
        return text_of(value)


def _raised(exc_info: Any) -> BaseException | None:
    """The exception of what logging and structlog accept as `exc_info`: itself, a triple, or true for the current one."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if len(exc_info) > 1 else None
    return sys.exc_info()[1] if exc_info else None


def _unrenderable(error: Exception) -> EventDict:
    return {"event": "a log line could not be rendered; it is left out", "reason": type(error).__name__}


def _indented(exception: Fields, title: str = "") -> str:
    lines = [f"{title}{exception['type']}: {exception['message']}", *(f"    {frame}" for frame in exception["frames"])]
    if cause := exception.get("cause"):
        lines.append(_indented(cause, "caused by "))
    lines.extend(_indented(each, "together with ") for each in exception.get("exceptions", ()))
    return "\n".join(lines)
