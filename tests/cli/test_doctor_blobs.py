"""What `sips-worker doctor` says of the blob store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.s3 import S3Server, made
from tests.sips.servers import Server, answer, serve
from worker.cli.doctor_blobs import CONTENT, look_at_blobs
from worker.cli.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (answer(CONTENT), "what is kept there can be opened"),
        (answer({}, status=404), "what is kept there cannot be opened from here (HTTP 404): {advice}"),
        (answer({}), "what is kept there cannot be opened from here (other content): {advice}"),
    ],
)
def test_a_folder_is_written_opened_and_left_as_it_was(tmp_path: Path, raw: bytes, said: str) -> None:
    """At the address that receivers are told."""
    advice = "if receivers cannot either, check BLOB_BASE_URL"
    with Server(serve(raw)) as server:
        found = look_at_blobs(made({"BLOB_FOLDER": str(tmp_path), "BLOB_BASE_URL": f"{server.url}/sips"}))
        (request,) = server.received

    assert f"BLOB_FOLDER={tmp_path} can be written and cleared, and {said.format(advice=advice)}" == found
    assert ("/sips/", True) == (request.target[:6], request.target.endswith(".json"))
    assert [] == list(tmp_path.iterdir())


def test_an_address_where_nobody_is_is_told(tmp_path: Path) -> None:
    """It may be another matter for receivers."""
    found = look_at_blobs(made({"BLOB_FOLDER": str(tmp_path), "BLOB_BASE_URL": "http://127.0.0.1:1"}))
    assert "cannot be opened from here (ConnectionError)" in found


def test_a_folder_that_cannot_be_written_is_wrong(tmp_path: Path) -> None:
    """Commands would wait for it."""
    with pytest.raises(CommandError, match=r"BLOB_FOLDER=.*missing cannot be used"):
        look_at_blobs(made({"BLOB_FOLDER": str(tmp_path / "missing"), "BLOB_BASE_URL": "http://127.0.0.1:1"}))


def test_a_bucket_is_looked_at_in_the_same_way(tmp_path: Path) -> None:
    """By its signed address, which is not shown."""
    with S3Server(tmp_path / "s3.log", checks_signatures=False) as s3:
        found = look_at_blobs(made(s3.settings()))
        assert {} == s3.contents()

    assert "BLOB_S3_BUCKET=results can be written and cleared, and what is kept there can be opened" == found
