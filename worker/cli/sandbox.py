"""`sips-worker sandbox`: the stand-in for SIPS."""

from __future__ import annotations

import click

#: The largest port there is; 0 = a free one.
LAST_PORT = 65_535
PORT = click.IntRange(0, LAST_PORT)


def _pairs(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str] | None:
    """Client id to secret; None where any client is taken."""
    pairs: dict[str, str] = {}
    for text in given:
        client, _, secret = text.partition("=")
        if not client or not secret:
            raise click.BadParameter("write ID=SECRET")
        if client in pairs:
            raise click.BadParameter(f"client {client} is named twice; the two pairs of a rotation need two ids here")
        pairs[client] = secret
    return pairs or None


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
def sandbox(host: str, port: int, control_port: int | None, clients: dict[str, str] | None) -> None:
    """Run a stand-in for SIPS, with faults.

    It says in one line of JSON where it listens, and ends with SIGTERM or Ctrl-C. Faults are switched on with
    PUT /_sandbox/faults; README lists them.
    """
    from worker.sandbox import serve  # noqa: PLC0415 - no other command needs a server

    serve(host, port, _control_port(port) if control_port is None else control_port, clients)


def _control_port(port: int) -> int:
    return port + 1 if 0 < port < LAST_PORT else 0
