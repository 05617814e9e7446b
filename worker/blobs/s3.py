"""Blobs as objects of a bucket, in S3 or in what speaks like it.

A blob is collected in a nameless file of the temporary folder and sent once it is complete: memory stays small, and neither
a crash nor a failure leaves parts of an object behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from worker.blobs.store import NAME, BlobError, new_name
from worker.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore.store import ClientConfig, RetryConfig

    from worker.settings import Settings

__all__ = ["S3", "make_s3"]

#: Bytes of one part of an object, the smallest that S3 takes. One after the other is sent, as each is held until then; of
#: a file it is given, the library would hold three.
PART_BYTES = 5 * 1024 * 1024
PIECE_BYTES = 65_536

#: Limits of one request, so that a bucket that hangs holds up neither a command nor housekeeping.
CLIENT: ClientConfig = {"connect_timeout": timedelta(seconds=3), "timeout": timedelta(seconds=10)}
RETRIES: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}

_STATUS = re.compile(r"status code: (\d{3})")


def make_s3(settings: Settings, retention: timedelta) -> S3:
    """The bucket that the settings name; opens nothing.

    Raises:
        SettingsError: they cannot be used.
    """
    given = {
        "endpoint": settings.blob_s3_endpoint,
        "access_key_id": settings.blob_s3_access_key_id,
        "secret_access_key": settings.blob_s3_secret_access_key.get_secret_value(),
    }
    try:
        store = S3Store(
            settings.blob_s3_bucket,
            prefix=settings.blob_s3_prefix or None,
            region=settings.blob_s3_region,
            client_options={**CLIENT, "allow_http": settings.blob_s3_endpoint.startswith("http:")},
            retry_config=RETRIES,
            **{name: value for name, value in given.items() if value},  # type: ignore[arg-type]
        )
    except BaseError as error:
        what = type(error).__name__
        raise SettingsError(f"BLOB_S3_BUCKET={settings.blob_s3_bucket} and what belongs to it cannot be used ({what})") from None
    return S3(store, settings.blob_base_url, retention, place=f"BLOB_S3_BUCKET={settings.blob_s3_bucket}")


class S3:
    """A bucket, below a prefix.

    Args:
        store: the library's own.
        base_url: address of the prefix, where receivers may open it; else addresses are signed.
        retention: how long an object is kept.
        place: what it is called in a message.
    """

    def __init__(self, store: S3Store, base_url: str, retention: timedelta, *, place: str) -> None:
        self.retention = retention
        self.place = place
        self._store = store
        self._base_url = base_url

    @contextlib.contextmanager
    def new(self, media_type: str, /) -> Iterator[_Object]:
        """A new object; it is not in the bucket before it is kept."""
        with contextlib.ExitStack() as stack:
            with _explained(self.place):
                file = stack.enter_context(tempfile.TemporaryFile())
            yield _Object(self, file, new_name(media_type), media_type)

    def put(self, name: str, file: IO[bytes], media_type: str, seconds: float) -> None:
        """Send an object whole."""

        async def send() -> None:
            sending = obstore.put_async(
                self._store,
                name,
                iter(lambda: file.read(PIECE_BYTES), b""),
                attributes={"Content-Type": media_type},
                chunk_size=PART_BYTES,
                max_concurrency=1,
            )
            await asyncio.wait_for(sending, seconds)

        with _explained(self.place):
            file.seek(0)
            asyncio.run(send())

    def address(self, name: str) -> str:
        """Where an object can be opened for as long as it is kept."""
        if self._base_url:
            return f"{self._base_url}/{name}"
        with _explained(self.place):
            return obstore.sign(self._store, "GET", name, self.retention)

    def remove(self, name: str) -> None:
        """Delete an object."""
        with _explained(self.place):
            obstore.delete(self._store, name)

    def clear(self, limit: int, /) -> int:
        """Delete old objects of ours."""
        oldest, cleared = datetime.now(UTC) - self.retention, 0
        with _explained(self.place):
            for page in obstore.list(self._store, chunk_size=limit):
                old = [item["path"] for item in page if item["last_modified"] < oldest and NAME.fullmatch(item["path"])]
                if old := old[: limit - cleared]:
                    obstore.delete(self._store, old)
                    cleared += len(old)
                if cleared == limit:
                    break
        return cleared


class _Object:
    """One object that is being collected."""

    def __init__(self, bucket: S3, file: IO[bytes], name: str, media_type: str) -> None:
        self._bucket = bucket
        self._file = file
        self._name = name
        self._media_type = media_type

    def write(self, piece: bytes, /) -> None:
        """Take some more."""
        with _explained(f"the temporary folder {tempfile.gettempdir()}"):
            self._file.write(piece)

    def keep(self, seconds: float, /) -> str:
        """Send it."""
        self._bucket.put(self._name, self._file, self._media_type, seconds)
        return self._bucket.address(self._name)

    def remove(self) -> None:
        """Take it out again."""
        self._bucket.remove(self._name)


@contextlib.contextmanager
def _explained(place: str) -> Iterator[None]:
    """Turn what goes wrong into a `BlobError`; the library's own texts hold addresses and pages of XML."""
    try:
        yield
    except (BaseError, OSError, TimeoutError) as error:
        status = _STATUS.search(str(error))
        what = f"{type(error).__name__} HTTP {status[1]}" if status else type(error).__name__
        advice = "check the other BLOB_S3_ settings, the permissions, the network and the temporary folder's room"
        raise BlobError(f"{place} cannot be used ({what}); {advice}") from None
