"""`sips-worker explain`: what happened to an order, from everything that knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from worker import settings as settings_module
from worker.cli.dead_letters_of import dead_letters_of
from worker.cli.errors import CommandError
from worker.cli.order_text import heading, outlook
from worker.cli.orders import moments
from worker.cli.refusal import Refusal
from worker.cli.store_access import opened_store
from worker.cli.watch_text import standing
from worker.cli.which_order import which_order
from worker.runtime.order_words import idempotency_key, printable
from worker.runtime.timeline import timeline
from worker.store.ledger import Ledger
from worker.store.timers import Timers
from worker.store.watched import watch_key
from worker.store.watches import Watches

if TYPE_CHECKING:
    from worker.runtime.timeline import Moment
    from worker.settings import Settings

__all__ = ["explain"]

#: Where to look for what the ledger does not have.
ELSEWHERE = """\
  - the ledger keeps commands that change something; what reads (prices, deliveries) leaves only an outcome and log lines
  - a command that no worker has taken yet waits in RabbitMQ: `rabbitmqctl list_queues name messages consumers`
  - an order of another installation stands in the ledger of that one: `sips-worker settings` shows which DATABASE_URL this is
  - the workers' logs have a line for each attempt: look for it there under "id", "po_number" or "order_id"
  - SIPS itself: `sips-worker publish sips.order.list FILE.json --wait` with {"poNumber": "..."} asks for it"""


@click.command()
@click.argument("text", metavar="ORDER")
def explain(text: str) -> None:
    """Tell what happened to an order.

    And what happens next, and what you can do.

    ORDER is SIPS' order id, the PO number, the idempotency key, the command's id, the transaction id or the queue id. All times
    are UTC. Exit status 1 if nothing is known of it, or if several orders match.
    """
    settings = settings_module.load()
    with opened_store(settings) as store:
        ledger = Ledger(store)
        if not ledger.search(text=text, limit=1):
            _not_in_the_ledger(settings, text)
        order = which_order(ledger, text)
        events, timers = ledger.events(order.key), Timers(store).of(order.key)
        watch = Watches(store).find(watch_key(order.base_url, order.order_id)) if order.order_id else None
    names = frozenset({order.command_id, idempotency_key(order)}) - {""}
    dead, trouble = _dead_letters(settings, names, order.command_source)
    for line in (*heading(order), "", *moments(timeline(order, events, dead)), ""):
        click.echo(line)
    for line in outlook(order, timers):
        click.echo(line)
    if watch is not None:
        click.echo(f"{click.style('watched  ', bold=True)}{standing(watch)}")
    if dead:
        click.echo(f"{'':<9}its dead letter: `sips-worker dead show {printable(order.command_id)}`")
    if trouble:
        click.secho(f"\n{trouble}", fg="yellow")


def _not_in_the_ledger(settings: Settings, text: str) -> NoReturn:
    """Show the dead letters under this id, or tell where else to look."""
    what = printable(text)
    dead, trouble = _dead_letters(settings, frozenset({text}), None)
    for line in moments(dead):
        click.echo(line)
    if dead:
        raise Refusal(
            f"the ledger has no order {what}, but the above is set aside; `sips-worker dead show {what}` shows it whole"
        )
    click.echo("Where else to look:")
    click.echo(ELSEWHERE)
    if trouble:
        click.secho(f"  - {trouble}", fg="yellow")
    raise Refusal(f"the ledger has no order {what}" + ("" if trouble else ", and no dead letter has this id"))


def _dead_letters(settings: Settings, names: frozenset[str], source: str | None) -> tuple[list[Moment], str | None]:
    """Those under the names, and why they could not be looked at."""
    try:
        return dead_letters_of(settings, names, source), None
    except CommandError as error:
        return [], f"dead letters were not looked at: {error}"
