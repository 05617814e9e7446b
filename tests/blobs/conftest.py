"""A blob store of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.s3 import S3Server, made
from worker.blobs import BlobStore, make_blob_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that speaks S3 and checks signatures."""
    with S3Server(tmp_path_factory.mktemp("s3") / "s3.log") as started:
        yield started


@pytest.fixture
def s3(s3_server: S3Server) -> Iterator[S3Server]:
    """The same with nothing in it."""
    yield s3_server
    s3_server.empty()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    path = tmp_path / "blobs"
    path.mkdir()
    return path


def store_of(settings: dict[str, str]) -> BlobStore:
    """The store that settings ask for."""
    store = make_blob_store(made(settings))
    assert store
    return store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, folder: Path) -> BlobStore:
    """A store of each kind, with nothing in it."""
    if request.param == "folder":
        return store_of({"BLOB_FOLDER": str(folder), "BLOB_BASE_URL": "https://files.example/sips"})
    return store_of(request.getfixturevalue("s3").settings())


@pytest.fixture
def contents(store: BlobStore, request: pytest.FixtureRequest, folder: Path) -> Callable[[], dict[str, bytes]]:
    """What is in the store now, by name."""
    if "folder" in request.node.callspec.id:
        return lambda: {path.name: path.read_bytes() for path in folder.iterdir()}
    assert store
    server: S3Server = request.getfixturevalue("s3")
    return server.contents
