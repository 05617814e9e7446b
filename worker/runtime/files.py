"""Files in results: small ones stand in the event itself, larger ones in the blob store, with a reference."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.runtime import problems
from worker.runtime.outcomes import RefusedError
from worker.runtime.payload import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.blobs import Blob, BlobStore

__all__ = ["INLINE_BYTES", "JSON", "File", "Files", "Incoming"]

#: Largest file, in bytes, that stands in an event itself.
INLINE_BYTES = 1_048_576

#: Share of what is left of an attempt in which a file is completed; the rest is for its outcome.
KEEPING_SHARE = 0.5

JSON = "application/json"


class File(Result):
    """A file: `inline` with its bytes in `data` (base64), or to be fetched from `dataref` until `available_until`.

    `size` is in bytes, and `sha256` (hexadecimal) is of all of them.
    """

    media_type: str
    size: int
    sha256: str
    inline: bool
    data: str | None
    dataref: str | None
    available_until: datetime | None


class Files:
    """Where the files of one attempt are kept.

    Args:
        store: of what is too large for an event, if there is one.
        inline_bytes: largest file that stands in an event.
        deadline: end of the attempt in monotonic seconds.
    """

    def __init__(self, store: BlobStore | None, *, inline_bytes: int, deadline: float) -> None:
        self._store = store
        self._inline_bytes = inline_bytes
        self._deadline = deadline

    def keep(self, content: bytes, media_type: str) -> File:
        """A file from its bytes.

        Raises:
            RefusedError: it is too large for an event, and there is no store.
            BlobError: the store keeps nothing now.
        """
        with self.receive(media_type) as incoming:
            incoming.write(content)
            return incoming.done()

    @contextlib.contextmanager
    def receive(self, media_type: str) -> Iterator[Incoming]:
        """A file that comes in pieces; one that is not done by the end of the block is forgotten."""
        with contextlib.ExitStack() as stack:
            yield Incoming(self, media_type, stack)

    # For the file that comes.

    def fits(self, size: int) -> bool:
        """Whether a file of so many bytes stands in the event itself."""
        return size <= self._inline_bytes

    def blob(self, media_type: str, stack: contextlib.ExitStack) -> Blob:
        """A blob, for as long as the stack lasts."""
        if self._store is None:
            raise RefusedError(problems.blob_store_missing(self._inline_bytes))
        return stack.enter_context(self._store.new(media_type))

    def address(self, blob: Blob) -> tuple[str, datetime]:
        """Where a completed blob can be opened, and until when."""
        assert self._store is not None  # noqa: S101 - the blob is its own
        dataref = blob.keep(max((self._deadline - time.monotonic()) * KEEPING_SHARE, 0.1))
        return dataref, datetime.now(UTC) + self._store.retention


class Incoming:
    """A file that comes in pieces: held while it is small, and no more of it than that."""

    def __init__(self, files: Files, media_type: str, stack: contextlib.ExitStack) -> None:
        self._files = files
        self._media_type = media_type
        self._stack = stack
        self._held = bytearray()
        self._blob: Blob | None = None
        self._size = 0
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Take some more; raises as `Files.keep`."""
        self._size += len(piece)
        self._digest.update(piece)
        if self._blob is not None:
            self._blob.write(piece)
        elif self._files.fits(self._size):
            self._held += piece
        else:
            self._blob = self._files.blob(self._media_type, self._stack)
            self._blob.write(bytes(self._held))
            self._blob.write(piece)
            self._held.clear()

    def done(self) -> File:
        """The file, once all of it was taken; raises `BlobError`."""
        dataref, until = (None, None) if self._blob is None else self._files.address(self._blob)
        return File(
            media_type=self._media_type,
            size=self._size,
            sha256=self._digest.hexdigest(),
            inline=self._blob is None,
            data=base64.b64encode(self._held).decode() if self._blob is None else None,
            dataref=dataref,
            available_until=until,
        )
