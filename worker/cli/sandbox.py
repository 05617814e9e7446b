"""`sips-worker sandbox`: the stand-in for SIPS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from worker.sandbox import Live
    from worker.sandbox.life import Pace

#: The largest port there is; 0 = a free one.
LAST_PORT = 65_535
PORT = click.IntRange(0, LAST_PORT)

#: The fastest that orders live: a life of days within a second; and the longest that a step of theirs takes, in seconds.
MOST_FACTOR = 1_000_000
LONGEST_STEP = 86_400


def _pairs(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str] | None:
    """Client id to secret; None where any client is taken."""
    return _mapping(given, "ID=SECRET", "client {} is named twice; the two pairs of a rotation need two ids here") or None


def _headers(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    return _mapping(given, "NAME=VALUE", "header {} is named twice")


def _mapping(given: tuple[str, ...], form: str, twice: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        name, _, value = text.partition("=")
        if not name or not value:
            raise click.BadParameter(f"write {form}")
        if name in pairs:
            raise click.BadParameter(twice.format(name))
        pairs[name] = value
    return pairs


def _steps(_context: click.Context, _option: click.Parameter, given: str | None) -> tuple[float, float] | None:
    """Seconds from each change to the next (least, most)."""
    if given is None:
        return None
    try:
        least, most = map(float, given.split(":"))
    except ValueError:
        raise click.BadParameter("write LEAST:MOST, in seconds") from None
    if not 0 <= least <= most <= LONGEST_STEP:
        raise click.BadParameter(f"seconds from 0 to {LONGEST_STEP}, the least first")
    return least, most


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=PORT, default=8085, show_default=True, help="Port of the SIPS routes; 0 = a free one.")
@click.option("--control-port", type=PORT, help="Port that keeps answering /_sandbox while SIPS is down.  [default: port + 1]")
@click.option(
    "--client",
    "clients",
    metavar="ID=SECRET",
    multiple=True,
    callback=_pairs,
    help="Take only these credentials, made up for a rehearsal; repeatable.  [default: take any]",
)
@click.option(
    "--live",
    "factor",
    metavar="FACTOR",
    type=click.FloatRange(0, MOST_FACTOR, min_open=True),
    help="Have orders live, so many times as fast as in reality: 3600 makes a second of an hour.  [default: they stand still]",
)
@click.option(
    "--live-steps",
    "steps",
    metavar="LEAST:MOST",
    callback=_steps,
    help="Have orders live with so many seconds from each change to the next, in place of --live.",
)
@click.option("--webhook", metavar="URL", help="With --live or --live-steps: where each change of an order is told.")
@click.option(
    "--webhook-header",
    "headers",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_headers,
    help="With --webhook: a header of each call, made up for a rehearsal; repeatable.",
)
@click.option("--seed", type=int, help="Have the same faults strike and the same lives again.  [default: others each time]")
def sandbox(host: str, port: int, control_port: int | None, clients: dict[str, str] | None, **rest: Any) -> None:
    """Run a stand-in for SIPS, with faults.

    It says in one line of JSON where it listens, and ends with SIGTERM or Ctrl-C. Faults are switched on with
    PUT /_sandbox/faults; README lists them.
    """
    from worker.sandbox import serve  # noqa: PLC0415 - no other command needs a server

    live = _live(_pace(rest["factor"], rest["steps"]), rest["webhook"], rest["headers"])
    control = _control_port(port) if control_port is None else control_port
    serve(host, port, control, credentials=clients, seed=rest["seed"], live=live)


def _live(pace: Pace | None, url: str | None, headers: dict[str, str]) -> Live | None:
    from worker.sandbox import Live, Receiver  # noqa: PLC0415 - as above

    if url is not None and pace is None:
        raise click.UsageError("--webhook needs --live or --live-steps: orders that stand still have no changes to tell of")
    if headers and url is None:
        raise click.UsageError("--webhook-header needs --webhook")
    try:
        return None if pace is None else Live(pace, None if url is None else Receiver(url, headers))
    except ValueError as error:
        raise click.UsageError(f"--webhook: {error}") from None


def _pace(factor: float | None, steps: tuple[float, float] | None) -> Pace | None:
    if factor is not None and steps is not None:
        raise click.UsageError("--live and --live-steps are two ways to have orders live; choose one")
    return factor if steps is None else steps


def _control_port(port: int) -> int:
    return port + 1 if 0 < port < LAST_PORT else 0
