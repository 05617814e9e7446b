"""Keep bytes that are too many for a message, for a while, where a receiver can open them: in a folder, or in S3."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from worker.blobs.folder import Folder
from worker.blobs.store import Blob, BlobError, BlobStore

if TYPE_CHECKING:
    from worker.settings import Settings

__all__ = ["Blob", "BlobError", "BlobStore", "make_blob_store"]


def make_blob_store(settings: Settings) -> BlobStore | None:
    """The store that the settings ask for, if any; opens nothing.

    Raises:
        SettingsError: the library of S3 cannot work with them.
    """
    retention = timedelta(days=settings.blob_retention_days)
    if settings.blob_folder:
        return Folder(settings.blob_folder, settings.blob_base_url, retention)
    if settings.blob_s3_bucket:
        from worker.blobs.s3 import make_s3  # noqa: PLC0415 - some MiB that only those pay who use it

        return make_s3(settings, retention)
    return None
