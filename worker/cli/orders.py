"""`sips-worker orders`: what the ledger knows of orders, and what a person decides about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import orjson

from worker import settings as settings_module
from worker.cli.ages import age
from worker.cli.order_text import as_object, details, heading, outlook, table
from worker.cli.resolve import resolve
from worker.cli.store_access import opened_store
from worker.cli.which_order import which_order
from worker.cli.withdraw import withdraw
from worker.runtime.order_words import rfc3339
from worker.runtime.timeline import timeline
from worker.store.ledger import Ledger
from worker.store.timers import Timers
from worker.store.transitions import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from worker.runtime.timeline import Moment

__all__ = ["moments", "orders"]


@click.group()
def orders() -> None:
    """Look at orders, and decide what only a person can."""


orders.add_command(resolve)
orders.add_command(withdraw)


@orders.command(name="list")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([state.value for state in State]), help="In this state; repeatable."
)
@click.option("--customer", help="Of this customer code.")
@click.option("--older-than", callback=age, help="Came in longer ago than this: 90s, 15m, 2h, 3d.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_orders(states: tuple[str, ...], customer: str | None, older_than: float | None, limit: int, *, as_json: bool) -> None:
    """List orders, the newest first.

    Those that wait for a person: --state unresolved. What a worker looks after: --state in_doubt --state queued.
    """
    with opened_store(settings_module.load()) as store:
        chosen = [State(state) for state in states]
        found = Ledger(store).search(states=chosen, customer=customer, older_than=older_than, limit=limit + 1)
    shown = found[:limit]
    for line in (orjson.dumps(as_object(order)).decode() for order in shown) if as_json else table(shown) if shown else ():
        click.echo(line)
    if not found:
        click.echo("no order" if not (states or customer or older_than) else "no order that matches", err=as_json)
    elif len(found) > limit:
        click.echo(f"there are more; --limit {limit * 10} shows them", err=True)


@orders.command()
@click.argument("text", metavar="ORDER")
@click.option("--payload", is_flag=True, help="Also print the request: it holds names and addresses.")
def show(text: str, *, payload: bool) -> None:
    """Show everything that the ledger knows of an order.

    ORDER is SIPS' order id, the PO number, the idempotency key, the command's id, the transaction id or the queue id. Where
    several orders match, they are listed, and the exit status is 1.
    """
    with opened_store(settings_module.load()) as store:
        ledger = Ledger(store)
        order = which_order(ledger, text)
        events, timers = ledger.events(order.key), Timers(store).of(order.key)
    for line in (*heading(order), "", *details(order, payload=payload), "", *moments(timeline(order, events)), ""):
        click.echo(line)
    for line in outlook(order, timers):
        click.echo(line)


def moments(found: Iterable[Moment]) -> Iterator[str]:
    """One line each: when, what, and the rest."""
    for moment in found:
        at = rfc3339(moment.at) if moment.at is not None else ""
        yield f"{at:<20}  {click.style(f'{moment.what:<8}', fg='cyan')}  {moment.text}"
