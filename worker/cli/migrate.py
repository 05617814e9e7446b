"""`sips-worker migrate`: bring the database to the schema of this release."""

from __future__ import annotations

import click

from worker import settings as settings_module
from worker.store import migrate as migrations


@click.command()
def migrate() -> None:
    """Make or extend the tables in DATABASE_URL.

    Safe to repeat, and while workers of the release before are running.
    """
    done = migrations.migrate(settings_module.load().database_url.get_secret_value())
    if done.before == done.after:
        click.echo(f"nothing to do: {done.name} has schema {done.after}")
    else:
        click.echo(f"migrated: {done.name} has schema {done.after} now, after {done.before or 'none'}")
