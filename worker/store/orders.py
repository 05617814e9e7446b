"""What the ledger keeps of one order, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.store.transitions import State

__all__ = ["ROW_VERSION", "Claim", "NewOrder", "Order", "StoredEvent"]

#: Version of the rules that write rows. A row of a newer release is left alone by an older one.
ROW_VERSION = 1


@dataclass(frozen=True, slots=True, repr=False)
class NewOrder:
    """An order that was not seen before.

    `payload` is the whole request as JSON and is kept out of logs. `run` is above 1 where a person had its command run again
    that had failed before the order was written down.
    """

    key: str
    fingerprint: str
    base_url: str
    command_id: str
    command_source: str
    command_type: str
    envelope: str
    customer_code: str
    branch_code: str
    po_number: str
    po_claim: str
    transaction_id: str
    transaction_date: str
    payload: str
    run: int = 1

    def with_po_number(self, po_number: str, po_claim: str) -> NewOrder:
        """The same order under another PO number."""
        return replace(self, po_number=po_number, po_claim=po_claim)


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """A row of the ledger; see `worker.store.schema.orders`. Times are the database's, in seconds since 1970."""

    key: str
    state: State
    run: int
    fingerprint: str
    resubmitted: bool
    owner: str | None
    lease_until: float | None
    sent_at: float | None
    base_url: str
    command_id: str
    command_source: str
    command_type: str
    envelope: str
    attempts: int
    customer_code: str
    branch_code: str
    po_number: str
    po_claim: str | None
    transaction_id: str
    transaction_date: str
    payload: str | None
    order_id: str | None
    queue_id: str | None
    looks: int
    trouble_at: float | None
    last_error: str | None
    created_at: float
    updated_at: float
    ended_at: float | None
    resolution: str | None
    #: The database's clock when the row was read.
    read_at: float

    @property
    def lease_is_over(self) -> bool:
        """Whether whoever was sending it has had time enough to finish, or to die."""
        return self.lease_until is None or self.lease_until < self.read_at

    def __repr__(self) -> str:
        return f"<Order {self.key} {self.state} run {self.run}>"


@dataclass(frozen=True, slots=True)
class Claim:
    """What became of an attempt to claim an order.

    Attributes:
        order: the row as it stands now; of the other order, where `po_taken`.
        claimed: whether the caller may send it.
        po_taken: another open order has the customer's PO number.
    """

    order: Order
    claimed: bool
    po_taken: bool = False


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A CloudEvent that is stored with the order it speaks of; `body` is its JSON. The times are the database's, once stored."""

    id: str
    type: str
    run: int
    body: str
    published: bool = False
    said_at: float | None = field(default=None, compare=False)
    published_at: float | None = field(default=None, compare=False)
