"""Blobs as files of one folder, which something else serves under a public address."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from worker.blobs.store import NAME, BlobError, new_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

__all__ = ["Folder"]

#: What the name of a file ends with while it is written.
PART = ".part"

#: Seconds after which a file that is still being written was left by a process that died.
ABANDONED_SECONDS = 86_400.0


class Folder:
    """A folder that exists; it is not made here, as that would hide a missing mount.

    Args:
        folder: where the files are.
        base_url: its address, without a slash at its end.
        retention: how long a file is kept.
    """

    def __init__(self, folder: Path, base_url: str, retention: timedelta) -> None:
        self.retention = retention
        self.place = f"BLOB_FOLDER={folder}"
        self._folder = folder
        self._base_url = base_url

    @contextlib.contextmanager
    def new(self, media_type: str, /) -> Iterator[_File]:
        """A new file, under another name until it is kept."""
        file = _File(self._folder, self._base_url, new_name(media_type))
        try:
            yield file
        finally:
            file.close()

    def clear(self, limit: int, /) -> int:
        """Delete old files of ours, and what was left of others."""
        cleared, now = 0, time.time()
        with _explained(self._folder), os.scandir(self._folder) as entries:
            for entry in entries:
                if cleared == limit:
                    break
                if self._is_old(entry, now):
                    Path(entry).unlink(missing_ok=True)  # another process does the same
                    cleared += 1
        return cleared

    def _is_old(self, entry: os.DirEntry[str], now: float) -> bool:
        longest = self.retention.total_seconds()
        if entry.name.endswith(PART):
            longest = min(longest, ABANDONED_SECONDS)
        try:
            is_ours = NAME.fullmatch(entry.name.removesuffix(PART)) and entry.is_file(follow_symlinks=False)
            return bool(is_ours) and now - entry.stat(follow_symlinks=False).st_mtime > longest
        except FileNotFoundError:
            return False


class _File:
    """One file of the folder."""

    def __init__(self, folder: Path, base_url: str, name: str) -> None:
        self._folder = folder
        self._address = f"{base_url}/{name}"
        self._path = folder / name
        self._part = folder / f"{name}{PART}"
        with _explained(folder):
            self._file = self._part.open("xb")

    def write(self, piece: bytes, /) -> None:
        """Take some more."""
        with _explained(self._folder):
            self._file.write(piece)

    def keep(self, _seconds: float, /) -> str:
        """Give it its name once all of it is on the disk, so that no power failure leaves a name without its bytes."""
        with _explained(self._folder):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.rename(self._path)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return self._address

    def remove(self) -> None:
        """Take it out again."""
        with _explained(self._folder):
            self._path.unlink()

    def close(self) -> None:
        """Let go of it; what was not kept is deleted."""
        with contextlib.suppress(OSError):  # a full disk refuses what is still buffered; the file goes anyway
            self._file.close()
        with contextlib.suppress(OSError):  # kept, or a later clearing deletes it
            self._part.unlink()


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = errno.errorcode.get(error.errno or 0, "")
        text = f"BLOB_FOLDER={folder} cannot be used ({type(error).__name__} {what})"
        raise BlobError(f"{text}; check that it exists, may be written to and has room") from None
