"""Orders in a ledger, brought to where they stand by the steps that a worker takes."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import update

from worker.runtime import problems
from worker.runtime.fingerprint import fingerprint
from worker.runtime.looks import LOOK_TIMER, QUEUED_TIMER
from worker.runtime.order_events import OrderVoice
from worker.runtime.submission import order_key, po_claim, transaction_id
from worker.store.engine import Store
from worker.store.migrate import migrate
from worker.store.orders import NewOrder, Order
from worker.store.schema import orders as table
from worker.store.transitions import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.store.ledger import Ledger

SOURCE = "shop"
CUSTOMER = "DEMO001"
VOICE = OrderVoice("sandbox", max_bytes=1_000_000)


def orders_url(folder: Path) -> str:
    """The address of a folder's store."""
    return f"sqlite:///{folder / 'orders.db'}"


@functools.cache
def _migrated() -> bytes:
    """A migrated SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        migrate(orders_url(Path(folder)))
        return (Path(folder) / "orders.db").read_bytes()


@contextlib.contextmanager
def empty_store(folder: Path) -> Iterator[Store]:
    """A store without a row."""
    (folder / "orders.db").write_bytes(_migrated())
    with contextlib.closing(Store(orders_url(folder))) as store:
        yield store


def aged(store: Store, order: Order, seconds: float) -> None:
    """Let an order have come in, been sent and ended so many seconds earlier."""
    earlier = {name: table.c[name] - seconds for name in ("created_at", "sent_at", "ended_at")}
    with store.write() as connection:
        connection.execute(update(table).where(table.c.key == order.key).values(earlier))


def payload(po_number: str) -> dict[str, Any]:
    """A request that SIPS takes."""
    address = {"addressLine1": "5 Example Rd"}
    contact = {
        "customerContactName": "Pat Example",
        "customerContactPhone": "555-0100",
        "customerContactAddress": address,
    }
    return {
        "customerCode": CUSTOMER,
        "branchCode": "HWPLY",
        "jobAccountNumber": 1,
        "shipTo": {"name": "Pat Example", "city": "Denver", "state": "CO", "zipCode": "80014"} | address,
        "poDetails": {"poNumber": po_number, "orderDate": "2026-01-15"},
        "orderLineItemDetails": [{"productId": 77673, "quantity": 1, "uom": "PC"}],
        "customerContactInfo": contact,
    }


def new(command_id: str, *, base_url: str, key: str | None = None, po_number: str | None = None, **changes: Any) -> NewOrder:
    """An order as a worker writes it down; the PO number is `PO-` and the command's id by default."""
    key, po_number = key or command_id, po_number or f"PO-{command_id}"
    data = payload(po_number)
    values: dict[str, Any] = {
        "key": order_key(base_url, SOURCE, key),
        "fingerprint": fingerprint(data),
        "base_url": base_url,
        "command_id": command_id,
        "command_source": SOURCE,
        "command_type": "sips.order.submit",
        "envelope": orjson.dumps({"correlationId": f"cor-{command_id}", "replyTo": None, "replyCorrelationId": None}).decode(),
        "customer_code": CUSTOMER,
        "branch_code": "HWPLY",
        "po_number": po_number,
        "po_claim": po_claim(base_url, CUSTOMER, po_number),
        "transaction_id": transaction_id(base_url, SOURCE, key, 1),
        "transaction_date": "2026-01-15T14:05:00.187",
        "payload": orjson.dumps(data).decode(),
    }
    return NewOrder(**values | changes)


class Rows:
    """Makes orders for one SIPS."""

    def __init__(self, ledger: Ledger, base_url: str = "https://sips.example") -> None:
        self.ledger = ledger
        self.base_url = base_url

    def sending(self, command_id: str, **changes: Any) -> Order:
        """Claimed by a worker that has not written down what came of it."""
        claim = self.ledger.claim(new(command_id, base_url=self.base_url, **changes), owner="a", lease_seconds=60)
        assert claim.claimed
        return claim.order

    def unsent(self, command_id: str, **changes: Any) -> Order:
        """Tried, and nothing of it was executed."""
        order = self.sending(command_id, **changes)
        return self._moved(order, Event.NOT_EXECUTED, last_error="connect-failed: ordersV2Submit: no connection")

    def confirmed(self, command_id: str, order_id: str, **changes: Any) -> Order:
        """SIPS answered with an order id, and its events are published."""
        order = self.sending(command_id, **changes)
        moved = self.ledger.move(
            order, Event.CONFIRM, say=lambda row: [VOICE.succeeded(row, None), VOICE.confirmed(row)], order_id=order_id
        )
        assert moved
        self.ledger.mark_published([event.id for event in moved.said])
        return moved.order

    def queued(self, command_id: str, **changes: Any) -> Order:
        """SIPS answered with a queue id."""
        order = self.sending(command_id, **changes)
        return self._moved(
            order, Event.QUEUE, say=lambda row: [VOICE.succeeded(row, None)], queue_id="q-1", timers_from_now={QUEUED_TIMER: 60.0}
        )

    def in_doubt(self, command_id: str, **changes: Any) -> Order:
        """Its answer was lost."""
        return self.doubted(self.sending(command_id, **changes))

    def taken(self, order: Order) -> Order:
        """Claimed again, as by a worker that was delivered its command."""
        parts = {name: getattr(order, name) for name in NewOrder.__slots__ if name != "po_claim"}
        claim = self.ledger.claim(NewOrder(**parts, po_claim=order.po_claim or ""), owner="b", lease_seconds=60)
        assert claim.claimed
        return claim.order

    def doubted(self, order: Order) -> Order:
        """One that is being sent: its answer was lost."""
        why = "lost-answer: ordersV2Submit: the connection broke"
        return self._moved(order, Event.DOUBT, last_error=why, timers_from_now={LOOK_TIMER: 120.0})

    def unresolved(self, command_id: str, **changes: Any) -> Order:
        """Looked up four times without a result."""
        return self.unresolve(self.in_doubt(command_id, **changes))

    def unresolve(self, order: Order) -> Order:
        """The same, of an order in doubt."""
        why = "4 looks did not find the order at SIPS"
        return self._moved(
            order,
            Event.UNRESOLVE,
            say=lambda row: [VOICE.unknown(row, why)],
            timers_from_now={LOOK_TIMER: 3_600.0},
            looks=4,
        )

    def gave_up(self, command_id: str, **changes: Any) -> Order:
        """Out of attempts."""
        order = self.unsent(command_id, **changes)
        return self._moved(order, Event.GIVE_UP, say=lambda row: [VOICE.failed(row, problems.conflict())])

    def again(self, order: Order) -> Order:
        """The order as the ledger has it now."""
        found = self.ledger.find(order.key)
        assert found
        return found

    def _moved(self, order: Order, event: Event, **changes: Any) -> Order:
        moved = self.ledger.move(order, event, **changes)
        assert moved
        return moved.order
