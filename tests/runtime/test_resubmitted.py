"""An order that a person had sent again is never denied by a machine: SIPS may have it from an earlier run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import update

from tests.orders import VOICE, Rows, payload
from tests.runtime.standins import Client, Recorder, deliver
from worker.messaging.delivery import Disposition
from worker.messaging.topology import CONTROL, DEAD, ORDERS, SUSPECTS
from worker.runtime.decisions import Signature, resubmit
from worker.runtime.looks import LOOK_TIMER
from worker.runtime.lookup import Lookup
from worker.runtime.reconcile import Reconcile
from worker.runtime.submission import transaction_id_of
from worker.settings import Settings
from worker.sips import Deadline, Executed, Sips
from worker.sips.errors import Forbidden, Rejected
from worker.store.controls import Controls
from worker.store.ledger import Ledger
from worker.store.schema import orders
from worker.store.timers import Timers
from worker.store.transitions import Event, State

if TYPE_CHECKING:
    from tests.runtime.standins import Make
    from worker.messaging.delivery import Delivery
    from worker.messaging.publisher import Message
    from worker.store.engine import Store
    from worker.store.orders import Order

SUBMIT = "sips.order.submit"


@pytest.fixture
def rows(store: Store) -> Rows:
    """Orders of the sandbox's SIPS."""
    return Rows(Ledger(store), Settings(_env_file=None).base_url)


@pytest.fixture
def order(rows: Rows) -> Order:
    """Run 2 of an order waits to be sent; run 1 was sent, and not found."""
    return resubmit(rows.ledger, rows.unresolved("c1"), Signature("anna"))


def submit(queue: str = ORDERS, **headers: Any) -> Delivery:
    """Its command."""
    delivery = deliver(SUBMIT, payload("PO-c1"), queue)
    delivery.properties.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return delivery


def carry_out(make: Make, delivery: Delivery, client: Client | None = None) -> list[Message]:
    """What was published."""
    recorder = Recorder()
    make(recorder, client or Client(), retry_attempts=1).execute(delivery)
    assert Disposition.ACK is delivery.disposition
    return recorder.messages


def is_left_to_a_person(order: Order, message: Message, why: str) -> None:
    """`.unknown` of its second run, and the row waits for a decision."""
    event = json.loads(message.body)
    assert (State.UNRESOLVED, 2, None) == (order.state, order.run, order.sent_at)
    assert (f"{SUBMIT}.unknown", 2, None) == (event["type"], event["data"]["command"]["run"], event["data"]["sentAt"])
    assert why in event["data"]["lastError"]
    assert "an earlier run was sent, and SIPS may have the order from that one" in event["data"]["lastError"]


def test_when_its_attempts_are_used_up_it_is_a_persons_again(rows: Rows, store: Store, make: Make, order: Order) -> None:
    """No `.failed`, and no dead letter: a person can resubmit it once more; meanwhile it is looked for."""
    refused = Forbidden("ordersV2Submit", "403", executed=Executed.NO, status=403)

    (message,) = carry_out(make, submit(), Client(error=refused))

    is_left_to_a_person(rows.again(order), message, "sips-forbidden")
    assert LOOK_TIMER in Timers(store).of(order.key)
    assert rows.again(order).po_claim


def test_a_refusal_of_its_second_run_proves_nothing(rows: Rows, store: Store, make: Make, order: Order) -> None:
    """It may be the first run's order that is in the way: the order is looked for, and nothing is said yet."""
    refused = Rejected("ordersV2Submit", "400", executed=Executed.YES, status=400)

    assert [] == carry_out(make, submit(), Client(error=refused))

    assert State.IN_DOUBT is rows.again(order).state
    assert LOOK_TIMER in Timers(store).of(order.key)


def test_when_a_copy_of_its_command_has_expired_it_is_a_persons_again(rows: Rows, make: Make, order: Order) -> None:
    """Of the first run, say, from a queue where it waited for long."""
    client = Client()

    (message,) = carry_out(make, submit(sips_expired=True), client)

    is_left_to_a_person(rows.again(order), message, "expired")
    assert 0 == client.calls


def test_when_its_command_is_poison_it_is_a_persons_again(rows: Rows, make: Make, order: Order) -> None:
    """The message is set aside as well: it is no use, and shows what kills."""
    message, dead = carry_out(make, submit(SUSPECTS, sips_crashes=5, sips_queue=ORDERS))

    is_left_to_a_person(rows.again(order), message, "crash-loop")
    assert (DEAD, "crash-loop") == (dead.routing_key, (dead.properties.headers or {})["sips-reason"])


def test_when_it_is_called_off_it_is_not_sent_and_a_persons_again(rows: Rows, make: Make, order: Order) -> None:
    """The withdrawal ends `too-late`, also when it comes again; the submit's outcome is stored, to be published at once."""
    for _ in range(2):
        (message,) = carry_out(make, deliver("sips.order.withdraw", {"idempotencyKey": "c1"}, CONTROL))

        problem = json.loads(message.body)
        assert ("sips.order.withdraw.failed", "too-late") == (problem["type"], problem["data"]["type"])
    events = [event for event in rows.ledger.events(order.key) if event.run == order.run]
    assert 1 == len(events)
    assert f"{SUBMIT}.unknown" == events[0].type
    assert (State.UNRESOLVED, 2) == (rows.again(order).state, rows.again(order).run)

    client = Client()
    (again,) = carry_out(make, submit(), client)

    assert (events[0].id, 0) == (json.loads(again.body)["id"], client.calls)
    is_left_to_a_person(rows.again(order), again, "it was called off")


class Listing(Client):
    """SIPS lists these orders."""

    def __init__(self, *listed: dict[str, Any]) -> None:
        super().__init__({"orderList": list(listed)})


def look(rows: Rows, store: Store, kind: str, order: Order, *listed: dict[str, Any], **settings: Any) -> Order:
    """One tick of a timer; the order after it."""
    values = Settings(_env_file=None, **settings)
    reconcile = Reconcile(rows.ledger, Lookup(rows.ledger, Controls(store), values), values, up_seconds=lambda: 3_600.0)
    sips = Sips(cast("Any", Listing(*listed)), Deadline.after(30))
    getattr(reconcile, kind)(order.key, sips)
    return rows.again(order)


def listed(order: Order, **changes: Any) -> dict[str, Any]:
    """How SIPS lists an order."""
    return {"orderId": 7, "customerCode": order.customer_code, "PONumber": order.po_number} | changes


def test_when_sips_drops_it_from_its_queue_it_is_a_persons_again(rows: Rows, store: Store, order: Order) -> None:
    """A fact says so; the row that SIPS lists as rejected is not taken for the order later on."""
    queued = rows.ledger.move(rows.taken(order), Event.QUEUE, say=lambda row: [VOICE.succeeded(row, None)], queue_id="q-1")
    assert queued is not None

    order = look(rows, store, "queued", order, listed(order, orderStatus="Rejected"))

    fact = rows.ledger.events(order.key)[-1]
    assert (State.UNRESOLVED, "sips.order.unresolved") == (order.state, fact.type)
    assert "SIPS lists the order as Rejected" in json.loads(fact.body)["data"]["lastError"]
    assert State.UNRESOLVED is look(rows, store, "look", order, listed(order, orderStatus="Rejected")).state


#: Settings with which one look is enough for whatever is to be concluded.
AT_ONCE = {"absence_looks": 1, "absence_seconds": 1e-9, "absence_after_trouble_seconds": 1e-9}


@pytest.fixture
def first(order: Order) -> str:
    """The transaction id of its first run."""
    return transaction_id_of(order.key, 1)


def test_an_order_of_the_first_run_that_is_listed_late_is_found(rows: Rows, store: Store, order: Order, first: str) -> None:
    """Whatever became of the second one, once that one can be taken to have placed nothing; its outcome names what SIPS has."""
    order = rows.doubted(rows.taken(order))
    row = listed(order, transactionID=first.upper())

    assert State.IN_DOUBT is look(rows, store, "look", order, row).state
    order = look(rows, store, "look", order, row, **AT_ONCE)

    assert (State.CONFIRMED, "7", first) == (order.state, order.order_id, order.transaction_id)
    said = [event for event in rows.ledger.events(order.key) if event.run == order.run]
    assert {f"{SUBMIT}.succeeded", "sips.order.confirmed"} == {event.type for event in said}
    result = json.loads(next(event.body for event in said if event.type == f"{SUBMIT}.succeeded"))["data"]["result"]
    assert ("7", first) == (result["orderId"], result["transactionId"])


def test_an_order_of_the_first_run_is_found_under_its_old_date(rows: Rows, store: Store, order: Order) -> None:
    """It was sent days before the second one; the list shows no transaction ids, as SIPS' own."""
    order = rows.doubted(rows.taken(order))
    with store.write() as connection:
        connection.execute(update(orders).values(created_at=orders.c.created_at - 5 * 86_400, payload="{}"))
    row = listed(order, orderDate=(datetime.now(UTC) - timedelta(days=5)).date().isoformat())

    assert State.CONFIRMED is look(rows, store, "look", order, row, **AT_ONCE).state


def test_both_runs_orders_are_for_a_person(rows: Rows, store: Store, order: Order, first: str) -> None:
    """Also where the second one is listed after the first."""
    order = rows.doubted(rows.taken(order))
    one, other = listed(order, transactionID=first), listed(order, orderId=8, transactionID=order.transaction_id)
    assert State.IN_DOUBT is look(rows, store, "look", order, one).state

    order = look(rows, store, "look", order, one, other)

    assert (State.UNRESOLVED, None) == (order.state, order.order_id)
    assert "several orders under this PO number" in json.loads(rows.ledger.events(order.key)[-1].body)["data"]["lastError"]


def test_the_order_of_the_second_run_is_found_at_once(rows: Rows, store: Store, order: Order) -> None:
    """Where the list shows that it is that one's."""
    order = rows.doubted(rows.taken(order))

    order = look(rows, store, "look", order, listed(order, transactionID=order.transaction_id))

    assert (State.CONFIRMED, "7") == (order.state, order.order_id)


def test_an_order_of_the_first_run_beside_one_in_the_queue_is_for_a_person(
    rows: Rows, store: Store, order: Order, first: str
) -> None:
    """The queued one may become a second order; no later look takes the first one's for it."""
    queued = rows.ledger.move(rows.taken(order), Event.QUEUE, say=lambda row: [VOICE.succeeded(row, None)], queue_id="q-1")
    assert queued is not None
    row = listed(order, transactionID=first)

    assert State.UNRESOLVED is look(rows, store, "queued", order, row).state
    assert State.UNRESOLVED is look(rows, store, "look", order, row).state


def test_an_order_of_the_first_run_is_found_after_the_second_came_to_nothing(
    rows: Rows, store: Store, make: Make, order: Order, first: str
) -> None:
    """It waits for a person then, and a fact says that it is there."""
    carry_out(make, submit(sips_expired=True))

    order = look(rows, store, "look", order, listed(order, transactionID=first))

    assert (State.CONFIRMED, "7", "sips.order.confirmed") == (
        order.state,
        order.order_id,
        rows.ledger.events(order.key)[-1].type,
    )
