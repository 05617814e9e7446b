"""`sips-worker token`: how the token of the fleet stands, and never the token."""

from __future__ import annotations

import sys
from operator import itemgetter
from typing import TYPE_CHECKING

import click

from worker import settings as settings_module
from worker.cli.fleet_token import kept
from worker.cli.store_access import opened_store
from worker.runtime.order_words import duration, printable
from worker.store.migrate import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Credentials
    from worker.store.tokens import StoredToken


@click.command()
def token() -> None:
    """Show how the token that the workers share stands.

    For each pair of credentials: whether the workers use it, age and expiry of its token, the token's fingerprint, and how
    the last refresh failed that did. Exit status 1 if there is no token that serves.
    """
    settings = settings_module.load()
    with opened_store(settings) as store:
        check(store)
        pairs = kept(settings, store)
    click.echo(f"{settings.sips_environment} at {settings.base_url}")
    used = _used(pairs)
    for credentials, entry in pairs:
        use = ", the one in use" if entry is not None and entry is used else ""
        click.echo(f"{credentials.pair} pair, client {credentials.client_id}{use}")
        for name, text in _details(entry):
            click.echo(f"  {name:<10}  {text}")
    for problem in settings.pairs().unreadable:
        click.echo(problem)
    sys.exit(0 if any(entry and _serves(entry) for _, entry in pairs) else 1)


def _used(pairs: list[tuple[Credentials, StoredToken | None]]) -> StoredToken | None:
    """What is known of the pair that the workers use: the one whose token was fetched last."""
    fetched = [(entry.age, entry) for _, entry in pairs if entry is not None and entry.age is not None]
    return min(fetched, key=itemgetter(0))[1] if fetched else None


def _serves(entry: StoredToken) -> bool:
    return entry.expires_in is not None and entry.expires_in > 0


def _details(entry: StoredToken | None) -> Iterator[tuple[str, str]]:
    if entry is None:
        yield "token", "never fetched with this pair"
        return
    yield "token", _token(entry)
    if entry.owner and (entry.leased_for or 0.0) > 0:
        yield "refresh", f"{entry.owner} is fetching one, for {duration(entry.leased_for or 0.0)} at most"
    if entry.failed_ago is not None:
        after = f"; {entry.failures} in a row" if entry.failures else "; a later one went well"
        told = f"{entry.error_code}: {printable(entry.error or '')}"
        yield "last error", f"{duration(entry.failed_ago)} ago{after}: {told}"
    yield "known", f"for {duration(entry.used_for)}"


def _token(entry: StoredToken) -> str:
    if entry.fingerprint is None or entry.expires_in is None or entry.age is None:
        return "none yet"
    was = f"fingerprint {entry.fingerprint}, fetched {duration(entry.age)} ago"
    if not _serves(entry):
        return f"{was}, expired {duration(-entry.expires_in)} ago"
    due = entry.refresh_in or 0.0
    refresh = f"to be refreshed in {duration(due)}" if due > 0 else "due to be refreshed"
    return f"{was}, {refresh}, expires in {duration(entry.expires_in)}"
