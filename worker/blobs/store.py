"""What every blob store does, and how a blob is named.

A name is drawn by chance: whoever can open an address may read what is there, so none must be guessed, and nothing of what
SIPS or a publisher wrote gets into it.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import timedelta

__all__ = ["NAME", "Blob", "BlobError", "BlobStore", "new_name"]

#: Endings of names, by media type.
_ENDINGS = {"application/json": "json", "application/pdf": "pdf", "image/jpeg": "jpg", "image/png": "png"}

#: A name of ours; nothing else is ever deleted.
NAME = re.compile(r"[0-9a-f]{32}\.[a-z]{3,4}")


class BlobError(Exception):
    """The store keeps nothing now; the text says why, and what to check."""


class Blob(Protocol):
    """Bytes on their way into the store. Nobody can open them before `keep`."""

    def write(self, piece: bytes, /) -> None:
        """Take some more; raises `BlobError`."""

    def keep(self, seconds: float, /) -> str:
        """Complete it, within about so many seconds; the address where it can be opened. Raises `BlobError`."""

    def remove(self) -> None:
        """Take it out again after it was kept; raises `BlobError`."""


class BlobStore(Protocol):
    """Thread-safe."""

    #: How long a blob is kept.
    retention: timedelta
    #: What it is called in a message.
    place: str

    def new(self, media_type: str, /) -> AbstractContextManager[Blob]:
        """A new blob; what is not kept by the end of the block never was there. Raises `BlobError`."""

    def clear(self, limit: int, /) -> int:
        """Delete blobs that were kept for long enough, at most so many; how many it were. Raises `BlobError`."""


def new_name(media_type: str) -> str:
    """A name for a blob."""
    return f"{secrets.token_hex(16)}.{_ENDINGS.get(media_type, 'bin')}"
