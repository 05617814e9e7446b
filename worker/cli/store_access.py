"""The store as a command of the command line uses it: opened once, and every fault of it one clear line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from worker.cli.refusal import CANNOT, Refusal
from worker.store.engine import Store
from worker.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings

__all__ = ["opened_store"]


@contextlib.contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """The store of this installation.

    Raises:
        Refusal: it cannot be used; the text is the store's own.
    """
    try:
        with contextlib.closing(Store(settings.database_url.get_secret_value())) as store:
            yield store
    except StoreError as error:
        raise Refusal(f"the store cannot be used: {error}", status=CANNOT) from None
