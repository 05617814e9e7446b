"""Log lines of this process, taken from the real file descriptor 1."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from worker.ops import configure_logs, foreign, stdout
from worker.ops.known_secrets import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A secret with every character that some encoding changes; its letters are in no word.
NASTY = 'Kx92mmZ "q\\b/s+p%&=ä€😀\tEnd7wVu'

#: A token as SIPS issues them: opaque.
TOKEN = "tok3n.A1b2-C3d4_E5f6"


class Output:
    """What stands on file descriptor 1.

    Args:
        capfd: captures it.
    """

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    @staticmethod
    def only_ours() -> None:
        """Take away pytest's own handlers, which raise what ours must not."""
        logging.root.handlers[:] = [handler for handler in logging.root.handlers if isinstance(handler, foreign.LineHandler)]

    def text(self) -> str:
        """All that was written since the last call."""
        return self._capfd.readouterr().out

    def lines(self) -> list[dict[str, Any]]:
        """All lines that were written since the last call, parsed."""
        return [orjson.loads(line) for line in self.text().splitlines()]

    def line(self) -> dict[str, Any]:
        """The one line that was written since the last call, parsed."""
        (line,) = self.lines()
        return line


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Secrets registered by a test are unknown after it."""
    before = dict(KNOWN.__dict__)
    KNOWN.__init__()  # type: ignore[misc]
    yield
    KNOWN.__dict__.update(before)


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str], forgotten: None) -> Iterator[Output]:
    """Logs are configured as JSON with `NASTY` as secret and `TOKEN` as token, and all is put back afterwards."""
    names = ("", *foreign.LEVELS)
    levels, handlers = [logging.getLogger(name).level for name in names], list(logging.root.handlers)
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
    configure_logs("json", "qa", "1.2.3", [NASTY, f"amqp://user:{TOKEN}@host"])
    yield Output(capfd)
    sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks
    logging.root.handlers[:] = handlers
    for name, level in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(level)
    stdout.STDOUT.after_fork()
