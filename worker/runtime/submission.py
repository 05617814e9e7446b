"""What makes one order recognisable at SIPS, whatever happens to its answer, and what a handler says of that answer."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import orjson

from worker.runtime.payload import PayloadWarning, Result

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = [
    "InDoubtError",
    "OrderResult",
    "Submission",
    "order_key",
    "po_claim",
    "suffixed",
    "transaction_date",
    "transaction_id",
    "transaction_id_of",
]

#: Namespace of transaction ids (UUIDv5). It never changes: the same command must keep its transaction id.
TRANSACTION_NAMESPACE = uuid.UUID("8f7c2f1e-6a43-5f0b-9a55-2f1f0c9d7b21")

#: Letters and digits of a suffix that nobody confuses on a packing slip.
SUFFIX_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


class InDoubtError(Exception):
    """SIPS answered, and the answer does not prove whether it has the order."""


class OrderResult(Result):
    """What SIPS did with the order: `confirmed` with its order id, or `queued` with the id of the queue's entry.

    `transaction_id`, `transaction_date` and `source_system` are the worker's, as they were sent.
    """

    status: Literal["confirmed", "queued"]
    order_id: str | None
    queue_id: str | None
    transaction_id: str
    transaction_date: str
    source_system: str
    customer_code: str
    po_number: str
    warnings: list[PayloadWarning]


@dataclass(frozen=True, slots=True)
class Submission:
    """The worker's own fields of an order; stored before the send, so that they never change.

    Attributes:
        transaction_id: UUID derived from the command's key and run.
        transaction_date: ISO date-time without a zone, in SIPS' zone, to the millisecond.
        po_number: the publisher's, with a suffix where it is not free.
    """

    transaction_id: str
    transaction_date: str
    po_number: str


def order_key(base_url: str, source: str, key: str) -> str:
    """The ledger's key of a command: JSON, so that no part can run into the next."""
    return orjson.dumps([base_url, source, key]).decode()


def po_claim(base_url: str, customer_code: str, po_number: str) -> str:
    """What is unique among open orders."""
    return orjson.dumps([base_url, customer_code, po_number]).decode()


def transaction_id(base_url: str, source: str, key: str, run: int) -> str:
    """The transaction id of one run of a command."""
    return str(uuid.uuid5(TRANSACTION_NAMESPACE, orjson.dumps([base_url, source, key, run]).decode()))


def transaction_id_of(order_key: str, run: int) -> str:
    """The same, from the ledger's key of the command."""
    base_url, source, key = orjson.loads(order_key)
    return transaction_id(base_url, source, key, run)


def transaction_date(zone: ZoneInfo) -> str:
    """Now, as SIPS writes it."""
    return datetime.now(UTC).astimezone(zone).replace(tzinfo=None).isoformat(timespec="milliseconds")


def suffixed(po_number: str, key: str) -> str:
    """A PO number made unique by its command's key, such as `5641-8/K7Q2`."""
    digest = hashlib.sha256(key.encode()).digest()
    return f"{po_number}/{''.join(SUFFIX_ALPHABET[byte % len(SUFFIX_ALPHABET)] for byte in digest[:4])}"
