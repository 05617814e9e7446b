"""What `sips-worker doctor` finds of the blob store: it keeps a few bytes there, opens them, and takes them out again."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import requests

from worker.blobs import BlobError, make_blob_store
from worker.cli.errors import CommandError

if TYPE_CHECKING:
    from worker.settings import Settings

#: What is kept for a moment.
CONTENT = b'{"kept by": "sips-worker doctor"}'

#: Seconds for keeping it, and for opening it.
KEEP_SECONDS = 15.0
OPEN_SECONDS = 5.0


def look_at_blobs(settings: Settings) -> str:
    """What was found.

    Raises:
        CommandError: nothing can be kept there.
        SettingsError: the settings cannot be used.
    """
    store = make_blob_store(settings)
    if store is None:
        return "none; a command whose answer is too large for an event ends .failed and says what to set"
    try:
        with store.new("application/json") as blob:
            blob.write(CONTENT)
            opened = _opened(blob.keep(KEEP_SECONDS))
            blob.remove()
        store.clear(1)
    except BlobError as error:
        raise CommandError(str(error)) from None
    return f"{store.place} can be written and cleared, and {opened}"


def _opened(address: str) -> str:
    """Receivers may have another way than this host, so that what fails here is only told."""
    try:
        answer = requests.get(address, timeout=OPEN_SECONDS)
    except requests.RequestException as error:
        what = type(error).__name__
    else:
        if answer.content == CONTENT:
            return "what is kept there can be opened"
        what = f"HTTP {answer.status_code}" if answer.status_code != HTTPStatus.OK else "other content"
    return f"what is kept there cannot be opened from here ({what}): if receivers cannot either, check BLOB_BASE_URL"
