"""`sips-worker orders resolve`: show what is known, ask, and write down what a person decides, who and when."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import click
import pika.exceptions

from worker import settings as settings_module
from worker.cli.ask import ask, login
from worker.cli.refusal import CANNOT, Refusal
from worker.cli.store_access import opened_store
from worker.cli.which_order import which_order
from worker.messaging.connection import describe
from worker.messaging.publisher import Publisher, PublishError
from worker.messaging.store_mark import mark_broker
from worker.runtime import decisions
from worker.runtime.decisions import Decision, DecisionError, Signature
from worker.runtime.lookup import Lookup
from worker.runtime.order_events import OrderVoice
from worker.runtime.order_words import name
from worker.runtime.republish import command_message
from worker.runtime.timeline import recorded_decisions
from worker.sips import Deadline, Sips, SipsClient
from worker.store.controls import Controls
from worker.store.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings
    from worker.store.engine import Store
    from worker.store.orders import Order

__all__ = ["resolve"]


@click.command()
@click.argument("text", metavar="ORDER")
@click.argument("decision", type=click.Choice([decision.value for decision in Decision]))
@click.option("--order-id", help="With `confirmed`: the number that SIPS gave the order.")
@click.option("--by", help="Who decides.  [default: the login name]")
@click.option("--note", help="Why, for whoever reads it later.")
@click.option(
    "--without-look", is_flag=True, help="With `resubmit`: do not look at SIPS first. If SIPS has it, it gets a second one."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def resolve(
    text: str, decision: str, order_id: str | None, by: str | None, note: str | None, *, without_look: bool, yes: bool
) -> None:
    """Decide about an order that was looked up without a result.

    First look the order up at SIPS, by its PO number or by telephone. Then tell what you found:

    \b
    confirmed   SIPS has it, as order --order-id N: `sips.order.confirmed` is published
    abandoned   SIPS does not have it, and it is not wanted any more: its PO number is free again
    resubmit    SIPS does not have it, and it shall be sent again: its command is published as a new run.
                SIPS is looked at once more before, and nothing is changed if it lists the order or does not answer.

    Asks before it changes anything; exit status 1 if the order does not stand where this can be decided, 2 if it cannot be asked.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    chosen = Decision(decision)
    if (order_id is not None) != (chosen is Decision.CONFIRMED):
        raise click.UsageError("`confirmed` needs --order-id N, and nothing else does")
    if order_id is not None and not (order_id.isascii() and order_id.isdigit()):
        raise click.UsageError(f"--order-id {order_id!r} is no order id of SIPS: those are numbers")
    settings, signature = settings_module.load(), Signature(by or login(), note)
    with opened_store(settings) as store:
        ledger = Ledger(store)
        order = which_order(ledger, text)
        try:
            if reason := decisions.refuse(order, chosen):
                raise Refusal(reason)
            if chosen is Decision.RESUBMIT:
                _resubmit(settings, store, order, signature, looks=not without_look, yes=yes)
            elif chosen is Decision.ABANDONED:
                ask(order, "its PO number is free again, and nothing more is done for it", signature, yes=yes)
                decisions.abandon(ledger, order, signature)
                click.echo("abandoned")
            else:
                decisions.check_order_id(ledger, order, order_id or "")
                what = f"it is confirmed as SIPS' order {order_id}, and a worker publishes sips.order.confirmed"
                ask(order, what, signature, yes=yes)
                decisions.confirm(ledger, order, OrderVoice.of(settings), signature, order_id or "")
                click.echo(f"confirmed as order {order_id}; a worker publishes sips.order.confirmed within seconds")
        except DecisionError as error:
            raise Refusal(str(error)) from None


def _resubmit(settings: Settings, store: Store, order: Order, signature: Signature, *, looks: bool, yes: bool) -> None:
    ledger, again = Ledger(store), decisions.is_resubmitted(order)
    if looks and not again:
        sips = Sips(SipsClient(settings), Deadline.after(settings.sips_call_seconds))
        decisions.look_once_more(Lookup(ledger, Controls(store), settings), sips, order)
        click.echo("looked at SIPS once more: it does not list the order\n")
    with _publishing(settings, store) as publisher:
        if again:
            last = recorded_decisions(order)[-1]
            decided = f"its command is published once more; {last['by']} decided at {last['at']} to send it again"
            ask(order, decided, None, yes=yes)
        else:
            ask(order, f"run {order.run + 1}: it is sent to SIPS again, under a new transaction id", signature, yes=yes)
        sent = decisions.resubmit(ledger, order, signature)
        try:
            publisher.publish(command_message(sent), timeout=settings.publish_seconds)
        except PublishError as error:
            raise Refusal(
                f"the decision is written down, but RabbitMQ did not take the command ({error}): nothing is sent yet. "
                f"Repeat `sips-worker orders resolve {name(order)} resubmit`, which then only publishes it",
                status=CANNOT,
            ) from None
    click.echo(f"published as run {sent.run}; `sips-worker explain {name(order)}` tells what becomes of it")


@contextlib.contextmanager
def _publishing(settings: Settings, store: Store) -> Iterator[Publisher]:
    """A publisher that is connected, so that nothing is decided which cannot be carried out.

    Raises:
        TopologyError: this RabbitMQ belongs to another store, whose workers would not know what was sent before.
        Refusal: it cannot be reached.
    """
    try:
        mark_broker(settings.amqp_url.get_secret_value(), store.id, heartbeat=settings.amqp_heartbeat)
    except (pika.exceptions.AMQPError, OSError) as error:
        raise Refusal(
            f"RabbitMQ cannot be reached ({describe(error)}), and nothing was changed; check AMQP_URL", status=CANNOT
        ) from None
    is_up = threading.Event()
    publisher = Publisher(
        settings.amqp_url.get_secret_value(),
        name="sips-worker resolve",
        heartbeat=settings.amqp_heartbeat,
        on_state=lambda up: is_up.set() if up else is_up.clear(),
    )
    publisher.start()
    try:
        if not is_up.wait(settings.publish_seconds):
            raise Refusal(
                "RabbitMQ cannot be reached or takes no messages, and nothing was changed; check AMQP_URL", status=CANNOT
            )
        yield publisher
    finally:
        publisher.stop(timeout=2.0)
