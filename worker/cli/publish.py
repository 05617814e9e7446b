"""`sips-worker publish` and `sips-worker events`: one command in, the events out, for people."""

from __future__ import annotations

import contextlib
import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, get_args

import click
import orjson

import worker
from worker import settings as settings_module
from worker.client import CommandClient, Form

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Schemas of every command's payload, each under the command's type.
CONTRACT = Path(worker.__file__).parent / "contract"

#: The source of commands that a person publishes.
SOURCE = "sips-worker-cli"

#: Exit status when no outcome came in time, and after Ctrl-C.
NO_OUTCOME = 3
INTERRUPTED = 130


@click.command()
@click.argument("command_type", metavar="TYPE")
@click.argument("file", type=click.File("rb"), metavar="FILE.json")
@click.option("--id", "command_id", help="The command's id; a new UUID by default. The same id again is the same command.")
@click.option("--form", type=click.Choice(get_args(Form)), default="structured", show_default=True)
@click.option("--source", default=SOURCE, show_default=True, help="The command's source.")
@click.option("--wait", is_flag=True, help="Wait for the outcome and print it.")
@click.option("--seconds", default=60.0, show_default=True, help="How long to wait.")
def publish(
    command_type: str, file: BinaryIO, command_id: str | None, form: Form, source: str, wait: bool, seconds: float
) -> None:
    """Publish a command, as any service would.

    FILE.json holds the payload of a command of TYPE, such as sips.pricing.fetch; "-" reads standard input. Exit status
    with --wait: 0 = succeeded, 1 = failed or unknown, 3 = no outcome in time, 130 = Ctrl-C.
    """
    data = _payload(file)
    url = settings_module.load().amqp_url.get_secret_value()
    _mind_the_type(command_type)
    with CommandClient(url, source=source, bindings=(f"{command_type}.*",) if wait else ()) as client:
        published = client.publish(command_type, data, command_id=command_id, form=form)
        try:
            click.echo(f"published {command_type} {published}", err=True)
            outcome = client.wait(published, seconds) if wait else None
        except KeyboardInterrupt:
            click.echo("not waited for; the outcome still may come", err=True)
            sys.exit(INTERRUPTED)
    if wait:
        _print_outcome(outcome, seconds)


def _mind_the_type(command_type: str) -> None:
    """A worker of a newer release may know it, which is waited for; so a slip takes minutes to be answered."""
    known = {file.name.partition(".payload.")[0] for file in CONTRACT.glob("*.payload.*")}  # to import handlers takes a second
    if command_type not in known:
        close = difflib.get_close_matches(command_type, known, n=1)
        meant = f"; is {close[0]} meant?" if close else "; the README has those that there are"
        click.secho(f"no command of this release is {command_type}{meant}", fg="yellow", err=True)


def _payload(file: BinaryIO) -> Any:
    try:
        return orjson.loads(file.read())
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"{file.name} is not JSON: {error}", param_hint="FILE.json") from None


def _print_outcome(outcome: dict[str, Any] | None, seconds: float) -> None:
    if outcome is None:
        click.secho(f"no outcome within {seconds:g} s: is a worker running? It still may come.", fg="red", err=True)
        sys.exit(NO_OUTCOME)
    click.echo(orjson.dumps(outcome, option=orjson.OPT_INDENT_2).decode())
    if not outcome["type"].endswith(".succeeded"):
        sys.exit(1)


@click.command()
@click.option("--bind", "bindings", multiple=True, default=("#",), show_default=True, help="Routing key, e.g. sips.order.#")
@click.option("--json", "as_json", is_flag=True, help="One event per line, as it came.")
@click.option("--count", type=click.IntRange(1), help="Stop after this many.")
def events(bindings: tuple[str, ...], as_json: bool, count: int | None) -> None:
    """Show outcomes and facts as they come."""
    url = settings_module.load().amqp_url.get_secret_value()
    with contextlib.suppress(KeyboardInterrupt), CommandClient(url, source=SOURCE, bindings=bindings) as client:
        click.echo(f"listening to {', '.join(bindings)}; Ctrl-C ends", err=True)
        show(client.events(), as_json=as_json, count=count)


def show(stream: Iterable[dict[str, Any]], *, as_json: bool, count: int | None) -> None:
    """Print events until `count` were seen."""
    for seen, event in enumerate(stream, start=1):
        click.echo(orjson.dumps(event).decode() if as_json else readable(event))
        if seen == count:
            return


def readable(event: dict[str, Any]) -> str:
    """One event in one line: when, what, of which command, and the reason where it failed. Others than ours may lack parts."""
    kind, data = str(event.get("type", "?")), event.get("data")
    colour = {"succeeded": "green", "failed": "red", "unknown": "yellow"}.get(kind.rsplit(".", 1)[-1], "cyan")
    parts = [
        str(event.get("time", ""))[11:23],
        click.style(f"{kind:<34}", fg=colour),
        str(event.get("causationid", ""))[:36],
        str(event.get("subject", "")),
    ]
    parts.extend(_reasons(data) if isinstance(data, dict) else ())
    return "  ".join(part for part in parts if part)


def _reasons(data: dict[str, Any]) -> Iterator[str]:
    if "type" in data:
        yield f"{data['type']}: {data.get('detail', '')}"
    for error in data.get("errors") or ():
        yield str(error["pointer"])
    if "lastError" in data:
        yield str(data["lastError"])
    if "sequence" in data:  # a fact of a watched order
        yield f"{_status(data.get('previous'))} -> {_status(data.get('current'))}, by {data.get('source')}"


def _status(state: Any) -> str:
    known = state if isinstance(state, dict) else {}
    return str(known.get("status") or known.get("invoiceNumber") or "nothing")
