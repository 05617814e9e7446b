"""What ends a command of the command line with one clear line."""

from __future__ import annotations

from typing import IO, Any

import click

__all__ = ["CANNOT", "NO", "Refusal"]

#: Exit statuses: the answer is no (not found, not possible); the question could not be dealt with (store or broker away).
NO, CANNOT = 1, 2


class Refusal(click.ClickException):
    """The text says what happened and what to do."""

    def __init__(self, text: str, *, status: int = NO) -> None:
        super().__init__(text)
        self._status = status

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """What click ends the process with."""
        return self._status

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it to stderr."""
        for line in self.message.splitlines():
            click.secho(f"sips-worker: {line}", fg="red", err=True, file=file)
