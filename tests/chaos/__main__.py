"""`make chaos`: run a plan from its seed, show how it goes, and say in one JSON line what it came to.

Exits with 1 if anything was duplicated, lost, contradictory or falsely unknown.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from pathlib import Path

import click

from tests.chaos import plan as plans
from tests.chaos.broken import BREAKS
from tests.chaos.disturbing import Surroundings
from tests.chaos.rabbitmq4 import RabbitMQ4
from tests.chaos.run import run
from worker.local.postgres import PostgresCluster, PostgresError
from worker.local.rabbitmq import RabbitMQError, RabbitMQNode


@click.command()
@click.option("--orders", default=1000, show_default=True, help="Commands that submit an order.")
@click.option("--reads", default=1000, show_default=True, help="Commands that read.")
@click.option("--seed", default=7, show_default=True, help="What the whole plan follows from.")
@click.option("--minutes", default=5.0, show_default=True, help="How long things break; then what is under way is waited for.")
@click.option("--rabbitmq", type=click.Choice(["", "4"]), default="", help="4: on RabbitMQ 4, in a tree of its own.")
@click.option("--break", "broken", type=click.Choice(["", *BREAKS]), default="", help="Switch a protection off.")
def main(orders: int, reads: int, seed: int, minutes: float, rabbitmq: str, broken: str) -> None:
    """Break everything around the workers, and count."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is stopped on the way out
    folder = Path(tempfile.mkdtemp(prefix=f"sips-chaos-{seed}-"))
    plan = plans.make(seed, orders=orders, reads=reads, seconds=minutes * 60)
    try:
        with RabbitMQNode(RabbitMQ4() if rabbitmq else None) as node, PostgresCluster() as postgres:
            _show(f"logs, kept if anything is wrong: {folder}")
            report = run(plan, Surroundings(node, postgres, folder, _show), broken=broken or None)
    except (RabbitMQError, PostgresError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(report.line)
    if report.verdict.holds:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if report.verdict.holds else 1)


def _show(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
