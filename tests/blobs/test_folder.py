"""A folder as a blob store: what can go wrong with it, and what it must never touch."""

from __future__ import annotations

import os
import resource
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.blobs.conftest import store_of
from worker.blobs import BlobError, BlobStore
from worker.blobs.store import new_name

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400


def opened(folder: Path, **others: str) -> BlobStore:
    """The store of a folder."""
    return store_of({"BLOB_FOLDER": str(folder), "BLOB_BASE_URL": "https://files.example/sips/"} | others)


def test_an_address_is_the_name_below_the_base_url(folder: Path) -> None:
    """However the latter ends."""
    address = kept(opened(folder), b"")

    (file,) = folder.iterdir()
    assert f"https://files.example/sips/{file.name}" == address


def kept(store: BlobStore, content: bytes) -> str:
    """The address of a new file."""
    with store.new("application/json") as blob:
        blob.write(content)
        return blob.keep(1)


def aged(path: Path, days: float) -> Path:
    """A file that was last written so many days ago."""
    path.write_bytes(b"x")
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def test_only_files_of_ours_are_cleared(folder: Path) -> None:
    """Whoever names the wrong folder loses nothing; a file that a dead process left half-written goes after a day."""
    new, old = aged(folder / new_name("application/pdf"), 6.9), aged(folder / new_name("application/pdf"), 7.1)
    written, left = aged(folder / f"{new_name('x')}.part", 0.9), aged(folder / f"{new_name('x')}.part", 1.1)
    foreign = [aged(folder / name, 100) for name in ("thesis.pdf", "0" * 32, f"{'0' * 33}.pdf", f"{'0' * 32}.pdf.bak", "x.part")]
    inner = folder / new_name("x")
    inner.mkdir()
    link = folder / new_name("x")
    link.symlink_to(foreign[0])
    os.utime(link, (0, 0), follow_symlinks=False)

    assert 2 == opened(folder).clear(100)

    assert {new, written, inner, link, *foreign} == set(folder.iterdir())
    assert (False, False) == (old.exists(), left.exists())


def test_the_retention_is_a_setting(folder: Path) -> None:
    """In days; half-written files do not outlive it either."""
    files = [aged(folder / new_name("x"), 0.4), aged(folder / f"{new_name('x')}.part", 0.6), aged(folder / new_name("x"), 0.6)]

    assert 2 == opened(folder, BLOB_RETENTION_DAYS="0.5").clear(100)
    assert [True, False, False] == [file.exists() for file in files]


def test_a_folder_that_is_not_there_is_said(folder: Path) -> None:
    """It is not made: where a disk is not mounted, files would fill another one."""
    folder.rmdir()
    store = opened(folder)
    text = (
        rf"BLOB_FOLDER={folder} cannot be used \(FileNotFoundError ENOENT\); check that it exists, may be written to and has room"
    )

    with pytest.raises(BlobError, match=text), store.new("application/json"):
        pass
    with pytest.raises(BlobError, match="ENOENT"):
        store.clear(1)
    assert not folder.exists()


def test_a_disk_that_is_full_is_said_and_nothing_is_left(folder: Path) -> None:
    """Python keeps the last bytes back until the file is completed; a limit of the process stands in for the disk's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(BlobError, match="OSError EFBIG"):
            kept(opened(folder), b"x" * 2_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)

    assert [] == list(folder.iterdir())
