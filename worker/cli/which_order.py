"""Which order a person means by an id, a number or a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worker.cli.order_text import table
from worker.cli.refusal import Refusal
from worker.runtime.order_words import printable

if TYPE_CHECKING:
    from worker.store.ledger import Ledger
    from worker.store.orders import Order

__all__ = ["which_order"]

#: Orders that are shown where several match.
SHOWN = 10


def which_order(ledger: Ledger, text: str) -> Order:
    """The one order that is meant.

    Raises:
        Refusal: none matches, or several do; then they are listed on standard output.
        StoreError: the ledger cannot be asked.
    """
    found = ledger.search(text=text, limit=SHOWN + 1)
    if not found:
        raise Refusal(
            f"the ledger has no order {printable(text)}; `sips-worker explain {printable(text)}` tells where else to look"
        )
    if len(found) > 1:
        for line in table(found[:SHOWN]):
            click.echo(line)
        number = f"{len(found)}" if len(found) <= SHOWN else f"more than {SHOWN}"
        raise Refusal(f"{number} orders match {printable(text)}; name the one you mean by its command's id or its ledger key")
    return found[0]
