"""Find an order in what SIPS lists, and decide what a look says: pure decisions, no I/O.

SIPS looks orders up by PO number, which a partner may have used before; so the rows are compared here, not believed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.sips.models import OrderRow

__all__ = [
    "ROW_LIMIT",
    "Finding",
    "Found",
    "Patience",
    "Wanted",
    "conclude_absence",
    "find",
    "is_refused",
    "shown_transaction_id",
    "window",
]

#: Rows that a look asks for. A list as long as this may be cut off, and proves no absence.
ROW_LIMIT = 100

#: Days by which the window of dates is wider on each side: SIPS' dates have no zone.
SLACK = timedelta(days=1)

#: What a listed order's status says when SIPS did not take it. Other words pass through; the list of them is not public.
REFUSED = frozenset({"rejected", "declined", "cancelled", "canceled"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """The order that is looked for.

    Attributes:
        customer_code, po_number: must equal a row's.
        transaction_ids: of its runs, in small letters; one must equal a row's where the row shows one.
        since: the day of the order's date or of its first send, whichever is earlier; older rows are other orders.
        key: of our ledger row, to tell what belongs to others.
    """

    customer_code: str
    po_number: str
    transaction_ids: frozenset[str]
    since: date
    key: str


class Finding(enum.Enum):
    """What a look came to."""

    FOUND = "found"
    SEVERAL = "several"
    ABSENT = "absent"
    #: The list may be cut off: neither found nor absent.
    CUT_OFF = "cut-off"


@dataclass(frozen=True, slots=True)
class Found:
    """A finding, and the one row where there is exactly one."""

    finding: Finding
    row: OrderRow | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """When absence may be concluded: counted looks, seconds since the send, seconds since SIPS was last in trouble."""

    looks: int
    seconds_after_send: float
    seconds_after_trouble: float


def window(since: date, today: date) -> tuple[str, str]:
    """The first and the last day to ask for, as SIPS writes dates."""
    return (since - SLACK).isoformat(), (today + SLACK).isoformat()


def find(rows: Sequence[OrderRow], wanted: Wanted, owners: Mapping[str, str]) -> Found:
    """Find the order among the listed rows; `owners` maps order ids to the ledger keys they belong to already."""
    matches = {row.orderId: row for row in rows if _matches(row, wanted, owners)}
    if len(matches) > 1:
        return Found(Finding.SEVERAL)
    if matches:
        return Found(Finding.FOUND, *matches.values())
    return Found(Finding.CUT_OFF if len(rows) >= ROW_LIMIT else Finding.ABSENT)


def _matches(row: OrderRow, wanted: Wanted, owners: Mapping[str, str]) -> bool:
    if row.orderId is None or _same(row.customerCode) != _same(wanted.customer_code) or row.PONumber is None:
        return False
    if row.PONumber.strip() != wanted.po_number or owners.get(row.orderId, wanted.key) != wanted.key:
        return False
    if (shown := shown_transaction_id(row)) is not None:
        return shown in wanted.transaction_ids
    listed = day(row.orderDate)
    return listed is None or listed >= wanted.since - SLACK


def shown_transaction_id(row: OrderRow) -> str | None:
    """The transaction id in a row, in small letters; SIPS' description has none there."""
    extra = row.model_extra or {}
    shown = extra.get("transactionID") or extra.get("transactionId")
    return None if shown is None else str(shown).lower()


def _same(code: str | None) -> str:
    return (code or "").strip().upper()


def day(text: str | None) -> date | None:
    """The day of one of SIPS' dates, which have no zone and no settled form; None where it cannot be read."""
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def conclude_absence(*, looks: int, since_send: float, since_trouble: float, patience: Patience, controlled: bool) -> bool:
    """Whether enough looks found nothing to say that nobody will find it.

    Args:
        looks: counted ones, the last one included: answered 200, in the expected shape, not cut off.
        since_send: seconds from the send to the last look.
        since_trouble: seconds since SIPS last failed to answer a look, or since it came back.
        patience: the settings.
        controlled: this SIPS was seen to list a known order and not to list an invented one.
    """
    return (
        controlled
        and looks >= patience.looks
        and since_send >= patience.seconds_after_send
        and since_trouble >= patience.seconds_after_trouble
    )


def is_refused(statuses: Iterable[str | None]) -> bool:
    """Whether a listed order's status says that SIPS refused it."""
    return any((status or "").strip().lower() in REFUSED for status in statuses)
