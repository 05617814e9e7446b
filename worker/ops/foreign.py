"""Brings what is not logged through structlog to the same lines: stdlib logging, warnings and uncaught exceptions."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from worker.ops.redaction import REDACTED, is_secret_name
from worker.ops.stdout import STDOUT

if TYPE_CHECKING:
    from types import TracebackType

    from worker.ops.lines import LineRenderer

__all__ = ["adopt"]

#: The quietest level that is logged, per library. dramatiq tells of starts and stops at INFO and of each message only at
#: DEBUG; its command line sets pika to CRITICAL in the children, which would hide what is odd about a connection. Its
#: adapters write up to seven lines for each attempt to connect that fails; the one that is ours says the same.
LEVELS = {"dramatiq": logging.INFO, "pika": logging.WARNING, "pika.adapters": logging.CRITICAL, "urllib3": logging.WARNING}

#: Attributes that every record has; any other was passed in `extra`.
RECORD_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class LineHandler(logging.Handler):
    """Writes records of stdlib loggers as lines of ours.

    Args:
        renderer: makes the lines.
    """

    def __init__(self, renderer: LineRenderer) -> None:
        super().__init__()
        self._renderer = renderer

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`; one whose arguments do not fit its message is written without them."""
        extra = {name: value for name, value in record.__dict__.items() if name not in RECORD_ATTRIBUTES}
        fields = {"event": _message(record), **extra, "exc_info": record.exc_info}
        STDOUT.write(self._renderer.render(record.levelname.lower(), record.name, fields))


def _message(record: logging.LogRecord) -> object:
    if isinstance(record.args, Mapping):
        record.args = {name: REDACTED if is_secret_name(str(name)) else value for name, value in record.args.items()}
    try:
        return record.getMessage() if record.args else record.msg
    except Exception as error:  # noqa: BLE001 - formatting runs the code of third parties
        return f"{record.msg} <its arguments do not fit: {type(error).__name__}>"


def adopt(renderer: LineRenderer) -> None:
    """Replace the handlers of the root logger, the hooks of uncaught exceptions and that of warnings, in this process."""
    logging.root.handlers[:] = [LineHandler(renderer)]
    logging.root.setLevel(logging.WARNING)
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)
    _adopt_exceptions(renderer)
    _adopt_warnings(renderer)


def _adopt_exceptions(renderer: LineRenderer) -> None:
    def log(event: str, error: BaseException | None, **fields: Any) -> None:
        STDOUT.write(renderer.render("critical", None, {"event": event, **fields, "exc_info": error}))

    def in_main_thread(_kind: type[BaseException], error: BaseException, _traceback: TracebackType | None) -> None:
        log("an uncaught exception ends the process", error)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, SystemExit):
            log("an uncaught exception ends a thread", args.exc_value, thread=args.thread.name if args.thread else None)

    def nowhere(args: sys.UnraisableHookArgs) -> None:
        log("an exception was ignored", args.exc_value, where=type(args.object).__qualname__)

    sys.excepthook, threading.excepthook, sys.unraisablehook = in_main_thread, in_thread, nowhere


def _adopt_warnings(renderer: LineRenderer) -> None:
    # Not logging.captureWarnings, whose text quotes the source line.
    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_file_and_line: object) -> None:
        fields = {"event": str(message), "category": category.__name__, "place": f"{filename}:{lineno}"}
        STDOUT.write(renderer.render("warning", "py.warnings", fields))

    warnings.showwarning = show  # type: ignore[assignment]  # called with positions only
