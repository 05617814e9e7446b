"""A file that keeps what is about to be deleted: readable by its owner alone, and on the disk before the deletion."""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Any, Self

import click
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["KeepFile"]

#: It holds payloads, and so names and addresses.
OWNER_ONLY = 0o600


class KeepFile:
    """A new file of JSON lines; without a path nothing is kept.

    Raises:
        click.ClickException: it is there already, or cannot be written.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
            except OSError as error:
                raise click.ClickException(f"{self._path} cannot be made: {error.strerror}; name a new file") from None
            self._file = os.fdopen(number, "wb")
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # only of lines that were never said to be safe
                self._file.close()

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add a line; it is safe only after `sync`.

        Raises:
            click.ClickException: it cannot be written.
        """
        if self._file is not None:
            with self._explained():
                self._file.write(orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS) + b"\n")

    def sync(self) -> None:
        """Return when every line is on the disk.

        Raises:
            click.ClickException: they cannot be written.
        """
        if self._file is not None:
            with self._explained():
                self._file.flush()
                os.fsync(self._file.fileno())

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise click.ClickException(f"{self._path} cannot be written: {error.strerror}; nothing more was deleted") from None
