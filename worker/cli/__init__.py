"""The console command `sips-worker`."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import click
import structlog

from worker import __version__

__all__ = ["cli", "main"]

#: Where each command is: module and function. Imported when it is asked for, as `health` is run every few seconds.
COMMANDS = {
    "run": "worker.cli.run:run",
    "migrate": "worker.cli.migrate:migrate",
    "webhook": "worker.cli.webhook:webhook",
    "sandbox": "worker.cli.sandbox:sandbox",
    "publish": "worker.cli.publish:publish",
    "events": "worker.cli.publish:events",
    "topology": "worker.cli.topology:topology",
    "dead": "worker.cli.dead:dead",
    "doctor": "worker.cli.doctor:doctor",
    "operations": "worker.cli.operations:operations",
    "orders": "worker.cli.orders:orders",
    "watches": "worker.cli.watches:watches",
    "reconcile": "worker.cli.reconcile:reconcile",
    "explain": "worker.cli.explain:explain",
    "health": "worker.cli.health:health",
    "calibrate": "worker.cli.calibrate:calibrate",
    "token": "worker.cli.token:token",
    "settings": "worker.cli.show_settings:settings",
    "demo": "worker.cli.demo:demo",
}

#: Exceptions whose text is for the user.
CLEAR = (
    "worker.settings:SettingsError",
    "worker.messaging.topology:TopologyError",
    "worker.client:ClientError",
    "worker.store.errors:StoreError",
    "worker.cli.errors:CommandError",
)


class LazyGroup(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """The names, in the order of their help."""
        return sorted(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command of this name."""
        found: click.Command | None = _load(COMMANDS[name]) if name in COMMANDS else None
        return found


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sips-worker")
def cli() -> None:
    """Put the SIPS partner API behind RabbitMQ: commands in, outcomes out."""


def main() -> None:
    """Run the command line; what a user can mend is one clear line on stderr, never a traceback."""
    # Log lines are a worker's: `run` turns them on. Between the lines that other commands print they would only disturb.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        cli()
    except Exception as error:
        if not isinstance(error, tuple(_load(place) for place in CLEAR)):
            raise
        for line in str(error).splitlines():
            click.secho(f"sips-worker: {line}", fg="red", err=True)
        sys.exit(2)
