"""Let an order that was given up run again: only one that SIPS never executed, and only while its PO number is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.runtime.order_words import MEANING
from worker.runtime.submission import po_claim, transaction_id_of
from worker.store.transitions import State

if TYPE_CHECKING:
    from worker.store.ledger import Ledger

__all__ = ["RedriveError", "allow_redrive"]


class RedriveError(Exception):
    """The order must not run again; the text says why, and what to do."""


def allow_redrive(ledger: Ledger, key: str) -> int:
    """Let the order under a ledger key be sent again, and tell the number of its new run.

    Called before its command is published again. If that fails, a second call finds the run allowed and tells it once more.

    Raises:
        RedriveError: the ledger has no such order, it does not stand where nothing was executed, or its PO number is taken.
        StoreError: the ledger cannot be asked.
    """
    order = ledger.find(key)
    if order is None:
        raise RedriveError(f"the ledger has no order under {key}")
    if order.state is State.UNSENT and order.run > 1:
        return order.run
    if order.state is not State.GAVE_UP:
        raise RedriveError(f"the order is {order.state} ({MEANING[order.state]}); only one that gave up can run again")
    claim = ledger.redrive(
        order,
        po_claim(order.base_url, order.customer_code, order.po_number),
        transaction_id=transaction_id_of(order.key, order.run + 1),
    )
    if claim.po_taken:
        raise RedriveError(
            f"the PO number {order.po_number} was taken by another order meanwhile (command {claim.order.command_id} "
            f"of {claim.order.command_source}, {claim.order.state}); publish the order as a new command with another PO number"
        )
    if not claim.claimed:
        raise RedriveError("the order changed while it was looked at; look again")
    return claim.order.run
