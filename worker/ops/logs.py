"""Sets up logging for one process: one structured line per event on the inherited standard output, without secrets."""

from __future__ import annotations

import logging
import multiprocessing.util
import os
from typing import TYPE_CHECKING, Any, Literal

import structlog
from structlog.dev import ConsoleRenderer

from worker.ops.foreign import adopt
from worker.ops.known_secrets import KNOWN
from worker.ops.lines import LineRenderer
from worker.ops.stdout import STDOUT

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LogFormat", "configure_logs"]

LogFormat = Literal["auto", "json", "console"]

#: The file descriptor whose kind decides the format `auto`.
STDOUT_DESCRIPTOR = 1

#: Among what is done at the end of a process, after its own children have been waited for (multiprocessing's priorities).
LAST = -100

#: The processors of all loggers, also of those structlog has cached: one list that is changed in place.
_processors: list[Any] = []


class LineLogger:
    """What structlog's loggers end in: each of its methods writes a rendered line.

    Args:
        name: of the logger, as given to `structlog.get_logger`.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def info(self, line: bytes) -> None:
        """Write `line`."""
        STDOUT.write(line)

    debug = warning = error = critical = info


def configure_logs(log_format: LogFormat, environment: str, version: str, secrets: Iterable[str]) -> None:
    """Send all log lines of this process, redacted, to file descriptor 1.

    Call it in the process that forks the workers, so that lines of different processes never mix, and again in each
    child, where dramatiq has changed `sys.stdout` and pika's logger. Further calls replace the earlier ones' settings.

    Args:
        log_format: `json`, `console` (readable, in colours on a terminal) or `auto`: console on a terminal, else json.
        environment: sandbox, qa or production; stands on every line.
        version: of the worker; stands on every line.
        secrets: values that no line may show; of a URL its password. Later ones: `register_secret`.

    Raises:
        OSError: There is no room for the lock that processes share, neither in memory nor in a temporary folder.
    """
    for secret in secrets:
        KNOWN.keep(secret)
    STDOUT.share()
    # Not `atexit`, which multiprocessing's children pass by.
    multiprocessing.util.Finalize(None, STDOUT.flush, exitpriority=LAST)
    renderer = LineRenderer(environment, version, _console(log_format))
    _processors[:] = [renderer]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=LineLogger,
        cache_logger_on_first_use=True,
    )
    adopt(renderer)


def _console(log_format: LogFormat) -> ConsoleRenderer | None:
    terminal = os.isatty(STDOUT_DESCRIPTOR)
    if log_format == "json" or (log_format == "auto" and not terminal):
        return None
    return ConsoleRenderer(colors=terminal, sort_keys=False)
