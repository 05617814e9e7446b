"""What the store forgets, and what remains of an order whose payload is gone; publisher and SIPS are stand-ins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import insert, update

from tests.amqp import eventually
from tests.orders import Rows, payload
from tests.runtime.standins import Client, Recorder, deliver
from worker.messaging.delivery import Disposition
from worker.messaging.topology import ORDERS
from worker.runtime.housekeeping import DAY, Housekeeping
from worker.settings import Settings
from worker.store.ledger import Ledger
from worker.store.schema import now, orders, tokens
from worker.store.tokens import Tokens

if TYPE_CHECKING:
    from tests.runtime.standins import Make
    from worker.messaging.publisher import Publisher
    from worker.store.engine import Store
    from worker.store.orders import Order

SUBMIT = "sips.order.submit"


@pytest.fixture
def rows(store: Store) -> Rows:
    """Orders of the sandbox's SIPS."""
    return Rows(Ledger(store), Settings(_env_file=None).base_url)


def change(store: Store, order: Order, **columns: Any) -> None:
    """Change a row as time would."""
    with store.write() as connection:
        connection.execute(update(orders).where(orders.c.key == order.key).values(**columns))


@pytest.mark.parametrize(
    ("command_id", "quantity", "says"),
    [
        ("c1", 1, (f"{SUBMIT}.succeeded", "40000007")),
        ("c2", 1, (f"{SUBMIT}.succeeded", "40000007")),
        ("c2", 2, (f"{SUBMIT}.failed", None)),
    ],
    ids=["the same command", "another command", "another payload"],
)
def test_a_late_duplicate_gets_the_stored_outcome(
    rows: Rows, store: Store, make: Make, command_id: str, quantity: int, says: tuple[str, str | None]
) -> None:
    """Without a call; what tells payloads apart is the fingerprint."""
    change(store, rows.confirmed("c1", "40000007"), payload=None)
    data, recorder, client = payload("PO-c1"), Recorder(), Client()
    data["orderLineItemDetails"][0]["quantity"] = quantity
    attributes = {"specversion": "1.0", "id": command_id, "source": "shop", "type": SUBMIT, "idempotencykey": "c1"}
    delivery = deliver(SUBMIT, data, ORDERS, headers={f"ce-{name}": value for name, value in attributes.items()})

    make(recorder, client).execute(delivery)

    outcome = recorder.outcomes[0]
    assert (Disposition.ACK, 0, command_id) == (delivery.disposition, client.calls, outcome["causationid"])
    assert says == (outcome["type"], (outcome["data"].get("result") or {}).get("orderId"))


def test_housekeeping_clears_the_store(rows: Rows, store: Store) -> None:
    """Orders as its settings say, credentials once SIPS takes them no more; while RabbitMQ is away too."""
    with store.write() as connection:
        for days in (209, 211):
            connection.execute(insert(tokens).values(key=f"{days}", version=1, failures=0, used_since=now() - days * DAY))
    aged = {days: rows.confirmed(f"c{days}", f"4000{days}") for days in (3, 31, 61)}
    for days, order in aged.items():
        for name in ("updated_at", "ended_at"):
            change(store, order, **{name: orders.c[name] - days * DAY})
    settings = Settings(_env_file=None, payload_days=30, ledger_days=60)
    publisher = cast("Publisher", SimpleNamespace(is_up=False))
    housekeeping = Housekeeping(store=store, publisher=publisher, on_store=lambda _up: None, settings=settings)

    housekeeping.start()

    eventually(lambda: rows.ledger.find(aged[61].key) is None, "the oldest is gone")
    eventually(lambda: rows.again(aged[31]).payload is None, "the payload of the other one is gone")
    eventually(lambda: Tokens(store).read("211") is None, "old credentials are gone")
    housekeeping.stop(10.0)
    assert rows.again(aged[3]).payload
    assert Tokens(store).read("209")
