"""Files of results: inline or referenced, whatever pieces they come in."""

from __future__ import annotations

import base64
import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from worker.blobs import BlobError
from worker.blobs.folder import Folder
from worker.runtime.files import Files
from worker.runtime.outcomes import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from worker.blobs import Blob, BlobStore

LIMIT = 1_000


def files(store: BlobStore | None) -> Files:
    """The files of an attempt that has time."""
    return Files(store, inline_bytes=LIMIT, deadline=time.monotonic() + 60)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A store."""
    return Folder(tmp_path, "https://files.example", timedelta(days=7))


@pytest.mark.parametrize("pieces", [[], [b""], [b"x" * LIMIT], [b"x"] * LIMIT, [b"x" * (LIMIT - 1), b"", b"x"]])
def test_a_small_file_stands_in_the_result_itself(folder: Folder, tmp_path: Path, pieces: list[bytes]) -> None:
    """Up to the limit and with it, in whatever pieces; also where there is a store, and where there is none."""
    content = b"".join(pieces)
    for store in (folder, None):
        with files(store).receive("application/pdf") as incoming:
            for piece in pieces:
                incoming.write(piece)
            file = incoming.done()
        assert {
            "mediaType": "application/pdf",
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "inline": True,
            "data": base64.b64encode(content).decode(),
            "dataref": None,
            "availableUntil": None,
        } == file.model_dump(mode="json")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("pieces", [[b"x" * (LIMIT + 1)], [b"x"] * (LIMIT + 1), [b"ab", b"x" * LIMIT, b"cd"]])
def test_a_large_file_is_kept_and_referenced(folder: Folder, tmp_path: Path, pieces: list[bytes]) -> None:
    """From one byte beyond the limit, in order."""
    content = b"".join(pieces)

    with files(folder).receive("application/pdf") as incoming:
        for piece in pieces:
            incoming.write(piece)
        file = incoming.done()

    (kept,) = tmp_path.iterdir()
    assert content == kept.read_bytes()
    assert (False, None, f"https://files.example/{kept.name}", len(content), hashlib.sha256(content).hexdigest()) == (
        file.inline,
        file.data,
        file.dataref,
        file.size,
        file.sha256,
    )
    assert file.available_until
    assert timedelta(days=6, hours=23) < file.available_until - datetime.now(UTC) <= timedelta(days=7)


def test_without_a_store_a_large_file_is_refused_as_soon_as_it_is_one() -> None:
    """With the settings that would mend it; the rest of it is not waited for."""
    with files(None).receive("application/json") as incoming:
        incoming.write(b"x" * LIMIT)
        with pytest.raises(RefusedError) as caught:
            incoming.write(b"x")

    problem = caught.value.problem
    assert ("blob-store-missing", False, True) == (problem.code, problem.retryable, problem.key_reusable)
    assert problem.detail.endswith(
        "set BLOB_FOLDER and BLOB_BASE_URL, or BLOB_S3_BUCKET, so that it is kept there and referenced"
    )


def test_a_file_that_is_not_done_is_forgotten(folder: Folder, tmp_path: Path) -> None:
    """Whatever ended it."""
    for limit in (LIMIT, LIMIT + 1):
        with files(folder).receive("application/json") as incoming:
            incoming.write(b"x" * limit)

    assert [] == list(tmp_path.iterdir())


def test_a_file_is_completed_within_what_is_left_of_the_attempt() -> None:
    """Half of that is for its outcome; an attempt that is over gives it a moment all the same."""
    given: list[float] = []

    class Slow:
        """Notes how long it may take."""

        retention, place = timedelta(days=7), "here"

        def new(self, _media_type: str, /) -> AbstractContextManager[Blob]:
            """As `BlobStore.new`."""
            import contextlib

            @contextlib.contextmanager
            def blob() -> Iterator[Slow]:
                yield self

            return blob()

        def write(self, _piece: bytes, /) -> None:
            """As `Blob.write`."""

        def keep(self, seconds: float, /) -> str:
            """As `Blob.keep`."""
            given.append(seconds)
            raise BlobError("it took too long")

        def remove(self) -> None:
            """As `Blob.remove`."""

        def clear(self, _limit: int, /) -> int:
            """As `BlobStore.clear`."""
            return 0

    for seconds in (10, -1):
        late = Files(Slow(), inline_bytes=0, deadline=time.monotonic() + seconds)
        with pytest.raises(BlobError):
            late.keep(b"x", "application/pdf")

    assert (True, 0.1) == (4 < given[0] <= 5, given[1])
