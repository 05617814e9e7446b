"""What every blob store does: in a real folder, and in a bucket of a real server that speaks S3."""

from __future__ import annotations

import contextlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from worker.blobs.store import NAME, new_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.blobs import BlobStore

    Contents = Callable[[], dict[str, bytes]]

#: More than one part of an object.
PIECES = [b"first ", b"x" * 5_300_000, b" last"]


def test_what_is_kept_is_there_byte_for_byte(store: BlobStore, contents: Contents) -> None:
    """Under the name that its address ends with, and not before it is complete."""
    with store.new("application/pdf") as blob:
        for piece in PIECES:
            blob.write(piece)
        assert not any(NAME.fullmatch(name) for name in contents())
        address = blob.keep(30)

    name = address.partition("?")[0].rpartition("/")[2]
    assert {name: b"".join(PIECES)} == contents()
    assert (True, True) == (NAME.fullmatch(name) is not None, name.endswith(".pdf"))


@pytest.mark.parametrize("size", [0, 1, 5_300_000])
def test_what_is_not_kept_never_was_there(store: BlobStore, contents: Contents, size: int) -> None:
    """Whatever ends it; nothing is left behind."""
    with contextlib.suppress(KeyError), store.new("application/json") as blob:
        blob.write(b"x" * size)
        raise KeyError
    with store.new("application/json") as blob:
        blob.write(b"x" * size)

    assert {} == contents()


def test_what_was_kept_can_be_taken_out_again(store: BlobStore, contents: Contents) -> None:
    """As `doctor` does with what it tries."""
    with store.new("application/json") as blob:
        blob.write(b"x")
        blob.keep(30)
        assert 1 == len(contents())
        blob.remove()

    assert {} == contents()


def test_what_is_old_is_cleared_in_batches(store: BlobStore, contents: Contents) -> None:
    """What is not is left alone."""
    for _ in range(3):
        with store.new("application/json") as blob:
            blob.write(b"x")
            blob.keep(30)
    assert (0, 3) == (store.clear(10), len(contents()))

    store.retention = timedelta(days=-1)
    assert [2, 1, 0] == [store.clear(2) for _ in range(3)]
    assert {} == contents()


def test_names_are_not_to_be_guessed() -> None:
    """None of them comes twice, and an unknown type has an ending as well."""
    names = {new_name("text/../../x") for _ in range(1_000)}

    assert 1_000 == len(names)
    assert all(NAME.fullmatch(name) and name.endswith(".bin") for name in names)
    assert re.fullmatch(r"[0-9a-f]{32}\.json", new_name("application/json"))
