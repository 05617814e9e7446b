"""What the timers of watches do, on both databases; SIPS and the publisher are stand-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from sqlalchemy import update

from tests.orders import Rows
from tests.runtime.standins import Client, Recorder, deliver
from worker.messaging.delivery import Disposition
from worker.messaging.publisher import UnroutableError
from worker.messaging.topology import CONTROL, QUERIES, WATCHES
from worker.runtime import watch_ticks
from worker.runtime.looks import TRACK_TIMER
from worker.runtime.ticks import CLAIM_SECONDS, TICK
from worker.settings import Settings
from worker.sips.errors import NotFound
from worker.store.facts import TELL
from worker.store.ledger import Ledger
from worker.store.schema import now, subscriptions
from worker.store.timers import Timers
from worker.store.watched import Kind, NewWatch, Subscription, customer_ref, watch_key
from worker.store.watches import DELIVERIES, INVOICES, ORDERS, Watches

if TYPE_CHECKING:
    from tests.runtime.standins import Make
    from worker.sips import Answer
    from worker.store.engine import Store
    from worker.store.watched import Watch

URL = Settings(_env_file=None).base_url
FAR = Settings(_env_file=None).watch_far_seconds


class Sips(Client):
    """Answers each operation from a table, and notes what was asked; an operation without an answer is a 404."""

    def __init__(self, **bodies: Any) -> None:
        super().__init__()
        self.bodies = bodies
        self.asked: list[tuple[str, Any]] = []

    def call(self, operation_id: str, **call: Any) -> Answer:
        """As `SipsClient.call`."""
        body = call.get("json")
        self.asked.append((operation_id, body.model_dump(exclude_none=True) if isinstance(body, BaseModel) else body))
        if operation_id not in self.bodies:
            raise NotFound(operation_id, "no such thing")
        self.body = self.bodies[operation_id]
        return super().call(operation_id, **call)


def listed(*orders: tuple[str, str], customer: str = "C1") -> dict[str, Any]:
    """An answer of Order List."""
    return {"orderList": [{"orderId": int(order), "orderStatus": status, "customerCode": customer} for order, status in orders]}


def watched(store: Store, *order_ids: str, kind: Kind = Kind.ORDER, customer: str = "C1") -> list[Watch]:
    """Orders that somebody wants to be looked at now."""
    watches = Watches(store)
    wanted = [Subscription(kind, "shop", "c1", 4e9)]
    opened = [watches.open(NewWatch(URL, order_id, customer, f"PO-{order_id}")) for order_id in order_ids]
    return [watches.subscribe(watch, wanted, -1.0) for watch in opened]


def run(make: Make, store: Store, kind: str, client: Client, **settings: Any) -> list[dict[str, Any]]:
    """Execute the due timer of a kind; the facts that it told."""
    recorder = Recorder()
    (timer,) = [timer for timer in Timers(store).claim(99, lease_seconds=CLAIM_SECONDS) if timer.kind == kind]
    delivery = deliver(TICK, {"kind": timer.kind, "ref": timer.ref, "claims": timer.claims}, WATCHES)
    make(recorder, client, **settings).execute(delivery)
    assert Disposition.ACK is delivery.disposition
    return recorder.outcomes


def statuses(facts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Order and status that each tells of."""
    return [(fact["data"]["orderId"], fact["data"]["current"]["status"]) for fact in facts]


def test_the_orders_of_a_customer_are_read_by_one_call(store: Store, make: Make) -> None:
    """Each that changed is told; all are due again together."""
    watched(store, "1", "2", "3")
    sips = Sips(ordersList=listed(("1", "Open"), ("2", "Open"), ("3", "Confirmed"), ("4", "Open")))

    facts = run(make, store, ORDERS, sips)

    assert [("ordersList", {"customerNumber": "C1", "rowReturnLimit": 1_000})] == sips.asked
    assert [("1", "Open"), ("2", "Open"), ("3", "Confirmed")] == statuses(facts)
    assert {"sips.order.status_changed"} == {fact["type"] for fact in facts}
    again = Timers(store).of(customer_ref(URL, "C1"))[ORDERS]
    assert [] == Watches(store).of_customer(URL, "C1", within=again - 1, limit=9)
    assert 3 == len(Watches(store).of_customer(URL, "C1", within=again + 1, limit=9))


def test_an_order_that_is_as_it_was_is_not_told(store: Store, make: Make) -> None:
    """Nor is a status told again that goes and comes back: only what is another one."""
    (watch,) = watched(store, "1")
    told = []
    for status in ("Open", "Open", "Held", "Open"):
        Timers(store).start(ORDERS, customer_ref(URL, "C1"), -1.0)
        Watches(store).hasten_status(watch, -1.0)
        told += run(make, store, ORDERS, Sips(ordersList=listed(("1", status)), invoicesList={"invoiceList": []}))

    previous = [fact["data"]["previous"] for fact in told]
    assert ([("1", "Open"), ("1", "Held"), ("1", "Open")], [1, 2, 3]) == (
        statuses(told),
        [fact["data"]["sequence"] for fact in told],
    )
    assert [None, {"status": "Open"}, {"status": "Held"}] == previous
    assert {TELL} & Timers(store).of(watch.key).keys() == set()


def test_what_could_not_be_published_is_told_by_its_timer(store: Store, make: Make) -> None:
    """Under the same id; its own kind of timer, which workers of an earlier release leave alone."""
    (watch,) = watched(store, "1")
    refusing = Recorder()
    refusing.error = UnroutableError("no route")
    (timer,) = Timers(store).claim(9, lease_seconds=CLAIM_SECONDS)
    sips = Sips(ordersList=listed(("1", "Open")))
    make(refusing, sips).execute(deliver(TICK, {"kind": timer.kind, "ref": timer.ref, "claims": timer.claims}, WATCHES))
    stored = [event.id for event in Watches(store).waiting(watch.key)]
    Timers(store).start(TELL, watch.key, -1.0)

    facts = run(make, store, TELL, Sips())

    assert ([("1", "Open")], stored) == (statuses(facts), [fact["id"] for fact in facts])
    assert TELL not in Timers(store).of(watch.key)


def test_what_a_list_lacks_is_asked_for_alone(store: Store, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be cut off where nobody knows; as far as one tick goes, and the rest is due at once."""
    monkeypatch.setattr(watch_ticks, "SINGLY", 1)
    watched(store, "1", "2", "3")
    sips = Sips(ordersList=listed(("3", "Open")))

    facts = run(make, store, ORDERS, sips)

    assert [("3", "Open")] == statuses(facts)
    assert [{"customerNumber": "C1", "rowReturnLimit": 1_000}, {"orderId": 1}] == [json for _operation, json in sips.asked]
    assert Timers(store).of(customer_ref(URL, "C1"))[ORDERS] <= 0


def test_whose_order_it_is_is_learned(store: Store, make: Make) -> None:
    """From there on it is read with that customer's."""
    (watch,) = watched(store, "1", customer="")

    run(make, store, ORDERS, Sips(ordersList=listed(("1", "Open"), customer="C9")))

    found = Watches(store).find(watch.key)
    assert found
    assert "C9" == found.customer_code
    assert [[], [ORDERS]] == [[*Timers(store).of(customer_ref(URL, customer))] for customer in ("", "C9")]


def test_an_order_at_its_end_is_not_looked_at_any_more(store: Store, make: Make) -> None:
    """Its invoices are asked for, and again until there is one."""
    (watch,) = watched(store, "1")

    facts = run(make, store, ORDERS, Sips(ordersList=listed(("1", "Invoiced"))))
    assert [("1", "Invoiced")] == statuses(facts)
    assert [] == [*Timers(store).of(customer_ref(URL, "C1"))]
    assert {DELIVERIES, INVOICES} == Timers(store).of(watch.key).keys()  # all that may have come with it
    assert [] == run(make, store, DELIVERIES, Sips(deliveryDetails={"deliveryList": []}))
    assert [INVOICES] == [*Timers(store).of(watch.key)]

    Timers(store).start(INVOICES, watch.key, -1.0)
    assert [] == run(make, store, INVOICES, Sips(invoicesList={"invoiceList": []}))
    assert FAR * 0.8 < Timers(store).of(watch.key)[INVOICES] < FAR * 1.2
    Timers(store).start(INVOICES, watch.key, -1.0)
    heads = [{"invoiceNumber": "0000000001-001", "invoiceTotal": 12.5}]
    (issued,) = run(make, store, INVOICES, Sips(invoicesList={"invoiceList": heads}))
    assert ("sips.invoice.issued", "0000000001-001", 12.5) == (
        issued["type"],
        issued["data"]["invoiceNumber"],
        issued["data"]["current"]["invoiceTotal"],
    )
    assert {} == Timers(store).of(watch.key)


def test_deliveries_are_told_one_by_one(store: Store, make: Make) -> None:
    """One that is completed is told so once; what SIPS does not list any more stays as it was."""
    (watch,) = watched(store, "1", kind=Kind.DELIVERY)
    told = []
    for rows in (
        [{"shipmentNumber": 1, "deliveryStatus": "Pending"}],
        [{"shipmentNumber": 1, "deliveryStatus": "Completed"}, {"shipmentNumber": 2, "deliveryStatus": "Pending"}],
        [{"shipmentNumber": 2, "deliveryStatus": "Moon"}],
        [{"shipmentNumber": 1, "deliveryStatus": "Completed"}, {"shipmentNumber": 2, "deliveryStatus": "Completed"}],
    ):
        Timers(store).start(DELIVERIES, watch.key, -1.0)
        told += run(make, store, DELIVERIES, Sips(deliveryDetails={"deliveryList": rows}))

    changed, completed = "sips.delivery.status_changed", "sips.delivery.completed"
    assert [
        (changed, 1, "Pending"),
        (changed, 1, "Completed"),
        (completed, 1, "Completed"),
        (changed, 2, "Pending"),
        (changed, 2, "Moon"),
        (changed, 2, "Completed"),
        (completed, 2, "Completed"),
    ] == [(fact["type"], fact["data"]["shipmentNumber"], fact["data"]["current"]["status"]) for fact in told]
    assert [1, 2, 3, 4, 5, 6, 7] == [fact["data"]["sequence"] for fact in told]
    assert [INVOICES] == [*Timers(store).of(watch.key)]


def test_a_watch_of_what_sips_does_not_know_ends_at_its_deadline(store: Store, make: Make) -> None:
    """Until then it is asked for again."""
    (watch,) = watched(store, "1", kind=Kind.DELIVERY)
    run(make, store, DELIVERIES, Sips())
    assert {DELIVERIES} == Timers(store).of(watch.key).keys()

    with store.write() as connection:
        connection.execute(update(subscriptions).values(until=now() - 1))
    Timers(store).start(DELIVERIES, watch.key, -1.0)
    run(make, store, DELIVERIES, Sips())

    found = Watches(store).find(watch.key)
    assert found
    assert ({}, True) == (Timers(store).of(watch.key), found.ended_at is not None)


def test_a_submitted_order_is_watched_on_behalf_of_who_submitted_it(store: Store, make: Make) -> None:
    """Its facts carry on what the command began; what its source asked for before stays."""
    order = Rows(Ledger(store), URL).confirmed("c1", "40000001")
    Timers(store).start(TRACK_TIMER, order.key, -1.0)

    assert [] == run(make, store, TRACK_TIMER, Sips())

    watch = Watches(store).find(watch_key(URL, "40000001"))
    assert watch
    assert [(Kind.DELIVERY, "shop"), (Kind.ORDER, "shop")] == sorted((one.kind, one.source) for one in watch.subscriptions)
    assert (order.customer_code, order.po_number) == (watch.customer_code, watch.po_number)
    (fact,) = run(make, store, ORDERS, Sips(ordersList=listed(("40000001", "Open"), customer=order.customer_code)))
    assert ("cor-c1", "c1", "shop") == (fact["correlationid"], fact["causationid"], fact["commandsource"])
    assert f"customer/{order.customer_code}/order/40000001" == fact["subject"]


def test_without_tracking_nothing_is_watched(store: Store, make: Make) -> None:
    """A timer of a worker that tracks does nothing with one that does not."""
    order = Rows(Ledger(store), URL).confirmed("c1", "40000001")
    Timers(store).start(TRACK_TIMER, order.key, -1.0)

    run(make, store, TRACK_TIMER, Sips(), order_tracking=False)

    assert Watches(store).find(watch_key(URL, "40000001")) is None


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"orderId": "1", "intervalSeconds": 1}, "/intervalSeconds"),
        ({"orderId": "1", "deadline": "tomorrow"}, "/deadline"),
        ({"orderId": "1", "deadline": "2026-07-23T10:00:00"}, "/deadline"),
        ({"orderId": "1", "terminalStatuses": []}, "/terminalStatuses"),
        ({"watch": True}, "/orderId"),
    ],
)
def test_a_watch_that_cannot_be_is_refused(make: Make, payload: dict[str, Any], pointer: str) -> None:
    """With the place of what is wrong."""
    recorder, sips = Recorder(), Sips()

    make(recorder, sips).execute(deliver("sips.order.track", payload, QUERIES))

    (outcome,) = recorder.outcomes
    assert ("sips.order.track.failed", [pointer], []) == (
        outcome["type"],
        [error["pointer"] for error in outcome["data"]["errors"]],
        sips.asked,
    )


def test_a_deadline_that_has_passed_watches_nothing(store: Store, make: Make) -> None:
    """The state now is told all the same."""
    recorder = Recorder()
    payload = {"orderId": "1", "watch": True, "deadline": "2020-01-01T00:00:00Z"}

    make(recorder, Sips(ordersList=listed(("1", "Open")))).execute(deliver("sips.order.track", payload, QUERIES))

    outcome = recorder.outcomes[-1]
    assert ("Open", False) == (outcome["data"]["result"]["status"], outcome["data"]["result"]["watch"]["active"])
    assert [] == Watches(store).search()


def test_cancelling_what_nobody_watches_is_no_fault(make: Make) -> None:
    """It may have ended by itself meanwhile."""
    recorder = Recorder()

    make(recorder, Sips()).execute(deliver("sips.watch.cancel", {"orderId": "1", "kind": "order"}, CONTROL))

    assert {"orderId": "1", "cancelled": 0, "stillWatched": False} == recorder.outcomes[0]["data"]["result"]
