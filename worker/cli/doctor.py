"""`sips-worker doctor`: look at everything a worker needs; each line says what is wrong and what to do."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from worker import settings as settings_module
from worker.cli.connection import connected
from worker.cli.doctor_blobs import look_at_blobs
from worker.cli.doctor_orders import control_look, look_at_store
from worker.cli.errors import CommandError
from worker.cli.fleet_token import fleet_token
from worker.main import check, make_topology
from worker.messaging.topology import TopologyError
from worker.runtime.outage import End
from worker.runtime.probe import Probe
from worker.settings import SettingsError
from worker.sips import Deadline, SipsClient, SipsError
from worker.sips.errors import TokenUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.settings import Credentials, Settings
    from worker.sips import TokenManager

#: Names of missing exchanges and queues that are shown; `sips-worker topology check` shows all.
SHOWN = 5


@click.command()
@click.option(
    "--order-list",
    metavar="PO",
    help="Only find out whether SIPS' list of orders can be believed: PO is the number of an order that SIPS has.",
)
def doctor(order_list: str | None) -> None:
    """Find what is wrong, and what to do.

    Looks at the settings, RabbitMQ, the topology, the token, the probe, the blob store and the store; exit status 1 if
    something is wrong.
    """
    settings = settings_module.load()
    click.echo(f"  ..  {settings.sips_environment} at {settings.base_url}")
    if order_list is not None:
        sys.exit(0 if control_look(settings, order_list.strip()) else 1)
    complete = _report("settings", _settings, settings)
    reached = _report("RabbitMQ", _broker, settings)
    declared = _report("topology", _topology, settings, after=reached)
    granted = _tokens(settings, after=complete)
    probed = _report("probe", _probe, settings, after=any(granted))
    kept = _report("blobs", look_at_blobs, settings)
    stored = look_at_store(settings)
    sys.exit(0 if all((complete, reached, declared, *granted, probed, kept, stored)) else 1)


def _report(name: str, look: Callable[[Settings], str], settings: Settings, *, after: bool = True) -> bool:
    """Look and say what was found; where what must be well before is not, say only that."""
    if not after:
        click.echo(f"  {click.style('??', fg='yellow')}  {name}: not looked at, because of the above")
        return False
    try:
        click.echo(f"  {click.style('ok', fg='green')}  {name}: {look(settings)}")
    except (CommandError, TopologyError, SettingsError, SipsError) as error:
        click.echo(f"  {click.style('!!', fg='red')}  {name}: {error}")
        return False
    return True


def _settings(settings: Settings) -> str:
    check(settings)
    return "complete; `sips-worker settings` shows them"


def _broker(settings: Settings) -> str:
    with connected(settings.amqp_url.get_secret_value()) as connection:
        properties = connection._impl.server_properties or {}  # noqa: SLF001 - pika tells it nowhere else
    return f"{properties.get('product', 'AMQP broker')} {properties.get('version', '')} answers"


def _topology(settings: Settings) -> str:
    with connected(settings.amqp_url.get_secret_value()) as connection:
        _nothing_is_missing(make_topology().check(connection))
        try:
            # Declaring again is how RabbitMQ tells that the arguments are other than ours.
            make_topology().declare(connection.channel())
        except TopologyError as error:
            if not error.access_refused:
                raise
            return "every exchange and queue is there (no right to configure, so arguments were not compared)"
    return "every exchange, queue and binding is there"


def _nothing_is_missing(missing: list[str]) -> None:
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        advice = "start a worker, which declares them, or run `sips-worker topology declare`"
        raise TopologyError(f"missing: {', '.join(missing[:SHOWN])}{more}; {advice}")


def _tokens(settings: Settings, *, after: bool) -> list[bool]:
    """Judge each pair of credentials by itself: around a rotation one that is good is enough."""
    if not after:
        return [_report("token", _settings, settings, after=False)]
    pairs = settings.pairs()
    with fleet_token(settings) as tokens:
        good = [_report("token", partial(_token, tokens, pair), settings) for pair in pairs.readable]
    return good + [_report("token", partial(_unreadable, problem), settings) for problem in pairs.unreadable]


def _token(tokens: TokenManager, credentials: Credentials, settings: Settings) -> str:
    try:
        seconds = tokens.check(credentials, Deadline.after(settings.sips_call_seconds))
    except TokenUnavailable as error:
        if error.status is None and settings.sips_environment == "sandbox":
            raise CommandError(f"{error}, and start `sips-worker sandbox`") from None
        raise
    return f"SIPS gave one to client {credentials.client_id} ({credentials.pair} pair), valid for {seconds:.0f} s"


def _unreadable(problem: str, _settings: Settings) -> str:
    raise SettingsError(problem)


def _probe(settings: Settings) -> str:
    with fleet_token(settings) as tokens:
        probe = Probe(SipsClient(settings, tokens), settings)
        end = probe.ask()
    if end is not End.ANSWERED:
        raise SettingsError(
            f"{probe.found}; if SIPS works otherwise, set SIPS_PROBE_PATH to a path that these credentials may read"
        )
    return f"{probe.found} from {settings.sips_probe_path}"
