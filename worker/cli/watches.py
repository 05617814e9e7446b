"""`sips-worker watches`: which orders are watched, what is known of them, and the end of a watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import orjson

from worker import settings as settings_module
from worker.cli.ask import go_on
from worker.cli.orders import moments
from worker.cli.refusal import Refusal
from worker.cli.store_access import opened_store
from worker.cli.watch_text import as_object, details, heading, outlook, subscriptions, table
from worker.cli.watch_text import moments as moments_of
from worker.runtime.order_words import printable
from worker.store.hints import Hints
from worker.store.ledger import Ledger
from worker.store.timers import Timers
from worker.store.watched import Kind
from worker.store.watches import Watches

if TYPE_CHECKING:
    from worker.store.engine import Store
    from worker.store.watched import Watch

__all__ = ["watches"]

#: Watches that are shown where several match.
SHOWN = 10


@click.group()
def watches() -> None:
    """Look at the orders that are watched, and end watches."""


@watches.command(name="list")
@click.option("--customer", help="Of this customer code.")
@click.option("--order", "text", metavar="ORDER", help="Of this order id or PO number.")
@click.option("--ended", is_flag=True, help="Also those that nobody waits for any more.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_watches(customer: str | None, text: str | None, limit: int, *, ended: bool, as_json: bool) -> None:
    """List watches, those of the newest orders first.

    With what is known of each order, the next and the last look at it, and the time at which nobody waits for it any more.
    """
    with opened_store(settings_module.load()) as store:
        found = Watches(store).search(text=text, customer=customer, ended=ended, limit=limit + 1)
        shown = found[:limit]
        timers = Timers(store).of_all([watch.key for watch in shown])
    objects = (orjson.dumps(as_object(watch, timers[watch.key])).decode() for watch in shown)
    for line in objects if as_json else table(shown, timers) if shown else ():
        click.echo(line)
    if not found:
        click.echo("no watch that matches" if customer or text else "no watch", err=as_json)
    elif len(found) > limit:
        click.echo(f"there are more; --limit {limit * 10} shows them", err=True)


@watches.command()
@click.argument("text", metavar="ORDER")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(text: str, *, as_json: bool) -> None:
    """Show everything that is known of an order since SIPS has it.

    Its status, deliveries and invoices and when they were seen, who waits for changes, what was told, and what comes next.
    ORDER is SIPS' order id or the PO number. Where several match, they are listed, and the exit status is 1.
    """
    with opened_store(settings_module.load()) as store:
        watch = _which(store, text)
        facts, timers = Ledger(store).events(watch.key), Timers(store).of(watch.key)
        hints = Hints(store).of_order(watch.order_id)
    if as_json:
        told = [orjson.Fragment(fact.body) for fact in sorted(facts, key=lambda fact: fact.run)]
        click.echo(orjson.dumps(as_object(watch, timers) | {"facts": told}).decode())
        return
    waits = list(subscriptions(watch.subscriptions))
    happened = list(moments(moments_of(watch, facts, hints)))
    for lines in (heading(watch), details(watch), waits, happened):
        for line in lines:
            click.echo(line)
        if lines:
            click.echo()
    for line in outlook(watch, timers):
        click.echo(line)


@watches.command()
@click.argument("text", metavar="ORDER")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only what waits for this.")
@click.option("--source", help="Only what commands of this source asked for.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def cancel(text: str, kind: str | None, source: str | None, *, yes: bool) -> None:
    """End watches of an order, whoever asked for them.

    As the command `sips.watch.cancel` does for its own source. What was known of the order is kept, webhooks and the daily
    comparison with SIPS' list go on.

    Asks before it changes anything; exit status 1 if there is no such watch, 2 if it cannot be asked.
    """
    with opened_store(settings_module.load()) as store:
        watch = _which(store, text)
        wanted = [each for each in watch.subscriptions if kind in {None, each.kind} and source in {None, each.source}]
        if not watch.subscriptions:
            click.echo("nobody waits for it any more")
            return
        if not wanted:
            for line in subscriptions(watch.subscriptions):
                click.echo(line)
            raise Refusal(f"order {printable(watch.order_id)} is watched, but not so; the above is what there is")
        for line in (*heading(watch), "", *subscriptions(wanted), ""):
            click.echo(line)
        left = len(watch.subscriptions) - len(wanted)
        rest = f"{left} of others stay" if left else "nobody waits for the order then"
        click.echo(f"{click.style('then', bold=True)}   {'this ends' if len(wanted) == 1 else 'these end'}; {rest}\n")
        go_on(yes=yes)
        number = Watches(store).end(watch.key, wanted)
    click.echo(f"ended {number}")


def _which(store: Store, text: str) -> Watch:
    """The one watch that is meant, also one that ended.

    Raises:
        Refusal: none matches, or several do; then they are listed on standard output.
        StoreError: the store cannot be used.
    """
    found = Watches(store).search(text=text, ended=True, limit=SHOWN + 1)
    what = printable(text)
    if not found:
        raise Refusal(f"no order {what} is or was watched; `sips-worker explain {what}` tells what else is known of it")
    if len(found) > 1:
        shown = found[:SHOWN]
        for line in table(shown, Timers(store).of_all([watch.key for watch in shown])):
            click.echo(line)
        number = f"{len(found)}" if len(found) <= SHOWN else f"more than {SHOWN}"
        raise Refusal(f"{number} orders match {what}; name the one you mean by its order id")
    return found[0]
