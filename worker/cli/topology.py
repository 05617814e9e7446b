"""`sips-worker topology`: declare, check or export what must stand in RabbitMQ."""

from __future__ import annotations

import sys

import click
import orjson

from worker import settings as settings_module
from worker.cli.connection import connected
from worker.main import make_topology


@click.group()
def topology() -> None:
    """Declare, check or export the topology.

    That is every exchange, queue and binding in RabbitMQ; workers with the right to configure declare it by themselves.
    """


@topology.command()
def declare() -> None:
    """Declare what is missing.

    What is there already stays as it is; where it has other arguments, that is said.
    """
    with connected(settings_module.load().amqp_url.get_secret_value()) as connection:
        make_topology().declare(connection.channel())
    click.echo("the topology is in place")


@topology.command()
def check() -> None:
    """Tell what is missing and change nothing.

    Exit status 1 if something is. Looks at names only; `sips-worker doctor` compares the arguments as well.
    """
    with connected(settings_module.load().amqp_url.get_secret_value()) as connection:
        missing = make_topology().check(connection)
    for name in missing:
        click.echo(f"missing: {name}")
    if missing:
        click.secho("declare it with `sips-worker topology declare`", fg="red", err=True)
        sys.exit(1)
    click.echo("every exchange and queue is there")


@topology.command()
def export() -> None:
    """Print RabbitMQ's definitions of it."""
    click.echo(orjson.dumps(make_topology().export(), option=orjson.OPT_INDENT_2).decode())
