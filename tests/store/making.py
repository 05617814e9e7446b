"""Orders for the tests of the ledger."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from worker.store.orders import NewOrder, Order

if TYPE_CHECKING:
    from worker.store.ledger import Ledger

LEASE = 60.0


def new_order(**changes: Any) -> NewOrder:
    """An order that no other test has."""
    name = uuid.uuid4().hex[:10]
    values: dict[str, Any] = {
        "key": f'["http://sips","shop","{name}"]',
        "fingerprint": "1:abc",
        "base_url": "http://sips",
        "command_id": name,
        "command_source": "shop",
        "command_type": "sips.order.submit",
        "envelope": "{}",
        "customer_code": "DEMO001",
        "branch_code": "B1",
        "po_number": f"PO-{name}",
        "po_claim": f"claim-{name}",
        "transaction_id": f"t-{name}",
        "transaction_date": "2026-01-15T10:00:00.000",
        "payload": "{}",
    }
    return NewOrder(**values | changes)


def claimed(ledger: Ledger, **changes: Any) -> Order:
    """An order that somebody is sending."""
    claim = ledger.claim(new_order(**changes), owner="me", lease_seconds=LEASE)
    assert claim.claimed
    return claim.order
