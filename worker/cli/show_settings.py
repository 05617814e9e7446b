"""`sips-worker settings`: every setting, its value and where it came from."""

from __future__ import annotations

import click

from worker import settings as settings_module


@click.command()
def settings() -> None:
    """Show every setting and its source.

    Secrets and passwords are masked.
    """
    rows = settings_module.describe()
    width = max(len(row[0]) for row in rows)
    for name, value, source, meaning in rows:
        click.echo(f"{click.style(f'{name:<{width}}', bold=True)}  {value or '-'}  ({source})")
        click.echo(f"{'':<{width}}  {click.style(meaning, dim=True)}")
