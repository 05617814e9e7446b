"""`make bench`: this worker and its peers do the same job in turn; a table, a picture and, as the last line, JSON.

Everything runs on this machine: a private RabbitMQ and PostgreSQL, a stand-in for SIPS, and one worker at a time.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.amqp import channel
from tests.benchmarks import queues
from tests.benchmarks.contenders import CONTENDERS, OURS
from tests.benchmarks.figures import Figures
from tests.benchmarks.growth import BACKLOGS, growth_cpu_us
from tests.benchmarks.orders import order_cpu_us
from tests.benchmarks.picture import svg
from tests.benchmarks.queues import ResultsError
from tests.benchmarks.session import Bench, Plan, Sample, Sips, measure
from tests.databases import postgres_schema
from worker.local.postgres import PostgresCluster, PostgresError
from worker.local.rabbitmq import RabbitMQError, RabbitMQNode
from worker.main import make_topology
from worker.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURE = Path(__file__).parent / "bench.svg"

#: Packages whose versions are told.
PACKAGES = ("dramatiq", "celery", "faststream", "aiohttp", "requests", "pika")

#: Less of everything, to see that it works.
QUICK = Plan(messages=300, latencies=40, idle_seconds=2.0)


@click.command()
@click.option("--rounds", default=3, show_default=True, help="How often each worker is measured; the median counts.")
@click.option("--messages", default=2000, show_default=True, help="Commands for one figure of throughput.")
@click.option("--only", multiple=True, type=click.Choice([*CONTENDERS]), help="Only this worker; may be repeated.")
@click.option("--orders/--no-orders", default=True, help="What an order costs, on SQLite and on PostgreSQL.")
@click.option("--growth/--no-growth", default=True, help="What a command costs while up to 200 000 wait.")
@click.option("--quick", is_flag=True, help="One round of little, to see that all works; its figures mean nothing.")
@click.option("--picture", type=click.Path(path_type=Path), default=PICTURE, help="Where the picture is written.")
@click.option("--python", default=sys.executable, help="The Python of the measured workers; best without anything else.")
def main(
    rounds: int, messages: int, only: tuple[str, ...], orders: bool, growth: bool, quick: bool, picture: Path, python: str
) -> None:
    """Measure this worker and its peers at the same job."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is stopped on the way out
    python = os.path.abspath(python)  # noqa: PTH100 - the link itself: what it leads to has no packages
    plan, rounds = (QUICK, 1) if quick else (Plan(messages=messages), rounds)
    names = [name for name in CONTENDERS if name in only or not only]
    try:
        with surroundings(python) as (bench, postgres):
            _say(_machine(bench))
            samples: list[Sample] = []
            order_costs: dict[str, list[float]] = defaultdict(list)
            growth_costs: dict[int, list[float]] = defaultdict(list)
            for turn in range(rounds):
                for name in names[turn % len(names) :] + names[: turn % len(names)]:
                    samples.append(measure(bench, CONTENDERS[name], plan))
                    _say(_progress(turn, samples[-1]))
                if orders and OURS in names:
                    for database, cost in _orders(bench, postgres, turn, plan.messages // 4).items():
                        order_costs[database].append(cost)
                        _say(f"round {turn + 1}  an order on {database}: {cost:.0f} µs")
                if growth and OURS in names and turn < GROWTH_ROUNDS:
                    backlogs = BACKLOGS[:2] if quick else BACKLOGS
                    if turn % 2:
                        backlogs = backlogs[::-1]  # what the machine does meanwhile must not look like growth
                    for backlog, cost in growth_cpu_us(bench, backlogs, plan.messages).items():
                        growth_costs[backlog].append(cost)
                        _say(f"round {turn + 1}  {backlog} waiting: {cost:.0f} µs")
    except (RabbitMQError, PostgresError, ResultsError) as error:
        raise click.ClickException(str(error)) from None
    figures = Figures(sorted(samples, key=lambda sample: names.index(sample.contender)), order_costs, growth_costs)
    picture.write_text(svg(figures), encoding="utf-8")
    click.echo("\n".join(["", figures.table(), "", *figures.notes(), f"The picture: {picture}", ""]))
    click.echo(figures.line())


#: Rounds in which a backlog is laid up: it takes long.
GROWTH_ROUNDS = 2


@contextmanager
def surroundings(python: str) -> Iterator[tuple[Bench, PostgresCluster]]:
    """A RabbitMQ with the topology, the stand-in for SIPS, an empty store and a PostgreSQL; logs are kept if anything fails."""
    folder = Path(tempfile.mkdtemp(prefix="sips-bench-"))
    _say(f"logs, kept if anything is wrong: {folder}")
    with ExitStack() as stack:
        node = stack.enter_context(RabbitMQNode())
        postgres = stack.enter_context(PostgresCluster())
        with channel(node.url) as opened:
            make_topology().declare(opened)
        queues.declare(node.url)
        database_url = f"sqlite:///{folder}/store.db"
        migrate(database_url)
        sips = stack.enter_context(Sips(folder))
        yield Bench(node.url, sips, folder, database_url, python), postgres
    shutil.rmtree(folder, ignore_errors=True)


def _orders(bench: Bench, postgres: PostgresCluster, turn: int, number: int) -> dict[str, float]:
    sqlite = order_cpu_us(bench, f"sqlite:///{bench.folder}/orders-{turn}.db", number)
    with postgres_schema(postgres.url) as url:
        return {"sqlite": sqlite, "postgresql": order_cpu_us(bench, url, number)}


def _machine(bench: Bench) -> str:
    """What the figures were got on."""
    script = f"import importlib.metadata as m; print(', '.join(f'{{p}} {{m.version(p)}}' for p in {PACKAGES}))"
    versions = subprocess.run([bench.python, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load}; {versions}"


def _progress(turn: int, sample: Sample) -> str:
    rates = " / ".join(f"{value:.0f}" for value in sample.per_second.values())
    return f"round {turn + 1}  {sample.contender}: {sample.cpu_us[0]:.0f} µs, {rates} messages/s"


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
