"""The settings of the blob store."""

from __future__ import annotations

from typing import Any

import pytest

from worker.blobs import make_blob_store
from worker.blobs.folder import Folder
from worker.blobs.s3 import S3
from worker.settings import SettingsError, describe, load

FOLDER = {"blob_folder": "/var/blobs", "blob_base_url": "https://files.example/sips/"}
BUCKET = {"blob_s3_bucket": "results"}
KEY = {"blob_s3_access_key_id": "AKIA", "blob_s3_secret_access_key": "Tr0ub4dor"}


pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, type(None)),
        ({"blob_folder": ""}, type(None)),
        (FOLDER, Folder),
        (BUCKET, S3),
        (BUCKET | KEY, S3),
        (BUCKET | {"blob_retention_days": "7"}, S3),
        (BUCKET | {"blob_retention_days": "30", "blob_base_url": "https://files.example"}, S3),
        (BUCKET | {"blob_s3_endpoint": "http://minio:9000", "blob_s3_region": "eu-1", "blob_s3_prefix": "/a/b-1_c.d/"}, S3),
        (BUCKET | {"blob_s3_prefix": ""}, S3),
    ],
)
def test_what_is_right_is_taken(given: dict[str, Any], kind: type) -> None:
    """A folder, a bucket, or nothing; nothing is opened."""
    assert isinstance(make_blob_store(load(**given)), kind)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (FOLDER | BUCKET, "set BLOB_FOLDER or BLOB_S3_BUCKET, not both"),
        ({"blob_folder": "/var/blobs"}, "BLOB_FOLDER also needs BLOB_BASE_URL, where receivers open what is kept in it"),
        (
            BUCKET | {"blob_s3_access_key_id": "AKIA"},
            "set both of BLOB_S3_ACCESS_KEY_ID and BLOB_S3_SECRET_ACCESS_KEY, or neither",
        ),
        (
            BUCKET | {"blob_s3_secret_access_key": "Tr0ub4dor"},
            "set both of BLOB_S3_ACCESS_KEY_ID and BLOB_S3_SECRET_ACCESS_KEY, or neither",
        ),
        (
            BUCKET | {"blob_retention_days": "7.1"},
            "BLOB_RETENTION_DAYS above 7 also needs BLOB_BASE_URL: S3 signs no address for longer",
        ),
        (
            FOLDER | {"blob_base_url": "files.example"},
            "BLOB_BASE_URL: must look like https://host, without a query or credentials",
        ),
        (
            BUCKET | {"blob_s3_endpoint": "https://us:Tr0ub4dor@s3.example"},
            "BLOB_S3_ENDPOINT: must look like https://host, without a query or credentials",
        ),
        (BUCKET | {"blob_s3_prefix": "a b"}, "BLOB_S3_PREFIX: must hold only letters, digits, -, _, . and /"),
        (BUCKET | {"blob_s3_region": ""}, "BLOB_S3_REGION: String should have at least 1 character"),
        (FOLDER | {"blob_retention_days": "0"}, "BLOB_RETENTION_DAYS: Input should be greater than 0"),
        (FOLDER | {"blob_retention_days": "3651"}, "BLOB_RETENTION_DAYS: Input should be less than or equal to 3650"),
    ],
)
def test_what_is_wrong_is_one_line(given: dict[str, Any], line: str) -> None:
    """That names what to change; no secret stands in it."""
    with pytest.raises(SettingsError) as caught:
        load(**given)
    assert line == str(caught.value)


def test_the_secret_is_not_shown() -> None:
    """The rest is, as it would be written."""
    shown = {name: value for name, value, *_ in describe(**BUCKET | KEY | FOLDER | {"blob_folder": ""})}

    assert ("results", "AKIA", "***", "https://files.example/sips", "7", "") == tuple(
        shown[f"BLOB_{name}"]
        for name in ("S3_BUCKET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "BASE_URL", "RETENTION_DAYS", "FOLDER")
    )
    assert "Tr0ub4dor" not in repr(load(**BUCKET | KEY))
    assert "" == {name: value for name, value, *_ in describe()}["BLOB_S3_SECRET_ACCESS_KEY"]
