"""`sips-worker run`: check the settings, then hand over to dramatiq's process manager."""

from __future__ import annotations

import os
import sys

import click
import dramatiq.cli

from worker import settings as settings_module
from worker.main import check, start_logs
from worker.messaging.topology import ORDERS, UNDELIVERED, WORK_QUEUES
from worker.ops.health_reports import temporary_folder
from worker.ops.health_server import check_address
from worker.settings import Settings, SettingsError
from worker.store import migrate
from worker.store.engine import Store
from worker.store.errors import StoreDown

#: Queues may be named without this.
PREFIX = "sips."


@click.command()
@click.option("--queues", default="", help="Comma-separated, e.g. orders,queries. Default: all.")
@click.option("--processes", type=int, help="Worker processes; default: PROCESSES.")
@click.option("--threads", type=int, help="Commands that one process handles at the same time; default: THREADS.")
def run(queues: str, processes: int | None, threads: int | None) -> None:
    """Consume commands and publish outcomes.

    SIGTERM or Ctrl-C stops it: nothing new is taken, running commands get GRACE_SECONDS. SIGHUP starts it anew, with
    `.env` read again.
    """
    given = {name: value for name, value in (("processes", processes), ("threads", threads)) if value is not None}
    settings = settings_module.load(**given)
    names = _queue_names(queues)
    check(settings)  # found out here, not in a child
    for problem in settings.pairs().unreadable:  # of the next pair: a worker that runs goes on without it as well
        click.secho(f"sips-worker: {problem}; the current pair is used alone", fg="yellow", err=True)
    _check_store(settings, names)
    start_logs(settings)
    # The children read their settings from the environment again: what the options said must stand there.
    os.environ.update({name.upper(): str(value) for name, value in given.items()})
    arguments = dramatiq.cli.make_argument_parser().parse_args(
        [
            "worker.main:boot",
            "--skip-logging",
            *("--processes", str(settings.processes)),
            *("--threads", str(settings.threads)),
            *("--worker-shutdown-timeout", str(int(settings.grace_seconds * 1000))),
            *(("--fork-function", "worker.main:serve_health") if settings.health_port else ()),
            "--path",  # no folder is put in front of the import path
            *("--queues", *names),
        ]
    )
    # SIGHUP makes dramatiq execute `sys.argv` again; a script that is no program of its own needs its interpreter there.
    sys.argv = [sys.executable, *sys.orig_argv[1:]]
    if settings.health_port:
        check_address(settings)
        with temporary_folder():
            sys.exit(dramatiq.cli.main(arguments))
    sys.exit(dramatiq.cli.main(arguments))


def _check_store(settings: Settings, queues: list[str]) -> None:
    """Find a store that can never be used before anything starts; one that is only away is waited for by the workers.

    Raises:
        StoreError: it was not migrated, or is not ours.
        SettingsError: it does not keep orders safe.
    """
    if ORDERS in queues and not settings.keeps_orders_safe:
        raise SettingsError(
            "DATABASE_URL is an SQLite file, which several hosts cannot share: use PostgreSQL, or set SQLITE_SINGLE_HOST=1 "
            "if every worker runs on this host"
        )
    store = Store(settings.database_url.get_secret_value())
    try:
        migrate.check(store)
    except StoreDown as error:
        click.secho(f"sips-worker: {error}; orders wait until it can be used", fg="yellow", err=True)
    finally:
        store.close()


def _queue_names(given: str) -> list[str]:
    """The queues to consume; what the broker sets aside is looked after by every worker."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    full = [name if name.startswith(PREFIX) else PREFIX + name for name in names]
    if unknown := [name for name in names if name not in WORK_QUEUES and PREFIX + name not in WORK_QUEUES]:
        known = ", ".join(name.removeprefix(PREFIX) for name in WORK_QUEUES)
        raise click.BadParameter(f"no such queue: {', '.join(unknown)}; there are {known}", param_hint="--queues")
    return [*(full or WORK_QUEUES), UNDELIVERED]
