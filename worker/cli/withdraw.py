"""`sips-worker orders withdraw`: call an order off that was not sent yet; who and when is written down."""

from __future__ import annotations

import click

from worker import settings as settings_module
from worker.cli.ask import ask, login
from worker.cli.refusal import Refusal
from worker.cli.store_access import opened_store
from worker.cli.which_order import which_order
from worker.runtime import decisions
from worker.runtime.decisions import DecisionError, Signature
from worker.runtime.order_events import OrderVoice
from worker.store.ledger import Ledger
from worker.store.transitions import State

__all__ = ["withdraw"]

#: What happens to the order.
_NEVER_SENT = "it is not sent, and a worker publishes its outcome: .failed (withdrawn)"
_SENT_BEFORE = "it is not sent again; as SIPS may have it from an earlier run, it is unresolved and you decide what is true"


@click.command()
@click.argument("text", metavar="ORDER")
@click.option("--by", help="Who decides.  [default: the login name]")
@click.option("--note", help="Why, for whoever reads it later.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def withdraw(text: str, by: str | None, note: str | None, *, yes: bool) -> None:
    """Call an order off that was not sent yet.

    Its submit ends `.failed` (`withdrawn`), as with the command `sips.order.withdraw`, which can also call off an order that no
    worker has seen. One that is to be sent again is not, but it waits for a person's decision anew: SIPS may have it.

    Asks before it changes anything; exit status 1 if the order was sent or has ended, 2 if it cannot be asked.
    """
    settings, signature = settings_module.load(), Signature(by or login(), note)
    with opened_store(settings) as store:
        ledger = Ledger(store)
        order = which_order(ledger, text)
        try:
            if order.state is State.WITHDRAWN:
                click.echo("it is withdrawn already")
                return
            if reason := decisions.refuse_withdrawal(order):
                raise Refusal(reason)
            ask(order, _SENT_BEFORE if order.resubmitted else _NEVER_SENT, signature, yes=yes)
            decisions.withdraw(ledger, order, OrderVoice.of(settings), signature)
        except DecisionError as error:
            raise Refusal(str(error)) from None
    click.echo("withdrawn; a worker publishes its outcome within seconds")
