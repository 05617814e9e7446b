"""The fleet's token as a command of the command line gets it, and what is kept of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from worker.sips import entry_key, make_token_source
from worker.store.engine import Store
from worker.store.errors import StoreError
from worker.store.migrate import check
from worker.store.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Credentials, Settings
    from worker.sips import TokenManager
    from worker.store.tokens import StoredToken

__all__ = ["fleet_token", "kept"]


@contextlib.contextmanager
def fleet_token(settings: Settings) -> Iterator[TokenManager]:
    """The token that the workers share; where the store cannot be used, one for this command alone."""
    with contextlib.closing(Store(settings.database_url.get_secret_value())) as store:
        yield make_token_source(settings, storage=Tokens(store) if _can_be_used(store) else None)


def kept(settings: Settings, store: Store) -> list[tuple[Credentials, StoredToken | None]]:
    """What the store knows of each pair of credentials.

    Raises:
        SettingsError: no secret can be read.
        StoreError: the store cannot be used.
    """
    tokens = Tokens(store)
    return [(pair, tokens.read(entry_key(settings.base_url, pair))) for pair in settings.credentials()]


def _can_be_used(store: Store) -> bool:
    try:
        check(store)
    except StoreError:
        return False
    return True
