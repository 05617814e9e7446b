"""What becomes of an order, at every moment of its life; the clock is set."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.calling import Caller, Control, order
from tests.sandbox.test_routes import LIST, SUBMIT, assert_documented
from worker.sandbox import Live, Sandbox
from worker.sandbox.life import DELIVERY, HOUR, INVOICE, ORDER, STEPS, Life, Lives, Pace

if TYPE_CHECKING:
    from collections.abc import Iterator

#: When orders are submitted.
START = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


class Clock:
    """A clock that stands where it is set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The sandbox's clock."""
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    """A sandbox whose orders live as fast as in reality."""
    with Sandbox(seed=1, live=Live(1, clock=clock)) as started:
        yield started


def life(key: str = "A", pace: Pace = 1, seed: int = 1, **how: Any) -> Life:
    """The life of an order that is accepted at the start."""
    return Lives(pace, seed).begin(key, START, **how)


# As a function.


def test_an_order_goes_through_every_step() -> None:
    """One after the other, each after a time that is plausible; then nothing changes any more."""
    made = life()
    assert [("order", "Open"), *((subject, status) for subject, status, _, _ in STEPS)] == [
        (change.subject, change.status) for change in made.changes
    ]
    for before, after, (*_, (least, most)) in zip(made.changes, made.changes[1:], STEPS, strict=False):
        assert least * HOUR <= after.at - before.at <= most * HOUR
    assert (False, True) == (made.has_ended(made.changes[-1].at - 1), made.has_ended(made.changes[-1].at))


def test_a_status_holds_from_its_change_to_the_next() -> None:
    """Of each subject by itself; before the first there is none."""
    made = life()
    for subject in (ORDER, DELIVERY, INVOICE):
        own = [change for change in made.changes if change.subject == subject]
        assert made.status(subject, own[0].at - 0.001) is None
        for change, end in zip(own, [*(change.at for change in own[1:]), math.inf], strict=True):
            assert change.status == made.status(subject, change.at) == made.status(subject, math.nextafter(end, 0))
    assert math.inf == made.at(ORDER, "nonsense")


def test_a_life_follows_from_its_key_and_the_seed() -> None:
    """And from nothing else; another key or seed is another life."""
    assert life() == life()
    assert 3 == len({life(), life("B"), life(seed=2)})


def test_a_life_is_as_much_faster_as_is_wanted() -> None:
    """Every step alike."""
    slow, fast = life(), life(pace=1_000)
    assert [pytest.approx((change.at - START) / 1_000, abs=1e-6) for change in slow.changes] == [
        change.at - START for change in fast.changes
    ]


def test_each_step_takes_as_many_seconds_as_are_wanted() -> None:
    """However long it takes in reality, the time in a queue as well; still no two lives are alike."""
    made = life(pace=(1.5, 2.5), queued=True, listed_after=60)
    assert ["Queued", "Open", *(status for _, status, _, _ in STEPS)] == [change.status for change in made.changes]
    waited, *steps = (after.at - before.at for before, after in zip(made.changes, made.changes[1:], strict=False))
    assert all(1.5 <= seconds <= 2.5 for seconds in (waited - 60, *steps))
    assert len(STEPS) == len(set(steps))
    assert made != life("B", pace=(1.5, 2.5), queued=True, listed_after=60)
    assert [START] * (1 + len(STEPS)) == [change.at for change in life(pace=(0, 0)).changes]


def test_a_queued_order_becomes_a_real_one() -> None:
    """Not before it was told to, and its life begins then; a dropped one has none."""
    queued = life(queued=True, listed_after=60)
    assert [("Queued", START), ("Open", queued.listed_at)] == [(change.status, change.at) for change in queued.changes[:2]]
    assert START + 60 < queued.listed_at < queued.changes[2].at
    dropped = life(queued=True, dropped=True)
    assert (math.inf, ["Queued"]) == (dropped.listed_at, [change.status for change in dropped.changes])


def test_without_a_pace_orders_stand_still() -> None:
    """From the moment they are real, which is when they were told to be."""
    still = Lives().begin("A", START, queued=True, listed_after=60)
    assert (START + 60, True) == (still.listed_at, still.is_still)
    assert ["Open", "Pending"] == [still.status(subject, START + 1e9) for subject in (ORDER, DELIVERY)]


# As it is read.


def shown(sips: Caller, order_id: str) -> dict[str, Any]:
    """What every route says of an order, each as described: order, delivery, proofs, where the truck is, invoice."""
    reads = {
        "orderDetails": ("GET", f"/orders/{order_id}", None),
        "ordersList": ("POST", LIST, {"orderId": int(order_id)}),
        "deliveryDetails": ("GET", f"/orders/{order_id}/deliveries", None),
        "deliveriesList": ("POST", "/orders/deliveries/List", {"orderId": int(order_id)}),
        "proofOfDelivery": ("GET", f"/orders/{order_id}/proofOfDelivery", None),
        "deliveryCoordinates": ("GET", f"/deliveries/v2/coordinates/{order_id}", None),
        "invoicesList": ("POST", "/invoices/list", {"orderNumber": int(order_id)}),
    }
    answers = {}
    for operation, (method, path, body) in reads.items():
        answer = sips.call(method, path, body)
        assert_documented(operation, answer, 200)
        answers[operation] = answer.body
    invoice = sips.call("GET", f"/invoices/{int(order_id):010}-001")
    assert_documented("invoiceDetails", invoice, 200 if answers["invoicesList"]["invoiceList"] else 404)
    if invoice.status == 200:
        assert answers["invoicesList"]["invoiceList"] == [invoice.body["invoiceHeader"]]
        assert 200 == sips.call("GET", f"/invoices/{int(order_id):010}-001/pdf").status
    assert answers["ordersList"]["orderList"] == [answers["orderDetails"]]
    assert answers["deliveriesList"] == answers["deliveryDetails"]
    return answers


def test_every_route_shows_the_state_of_the_moment(sips: Caller, control: Control, clock: Clock) -> None:
    """At each change, just before it and just after it; and the same again when the clock is set back."""
    order_id = sips.call("POST", SUBMIT, order()).body["orderID"]
    (row,) = control.call("GET", "lives").body["lives"]
    assert [{"at": "2026-03-01T12:00:00Z", "subject": "order", "status": "Open", "eventType": None}] == row["changes"]
    changes = Lives(1, 1).begin(f"{order()['transactionID']}/{order()['poDetails']['poNumber']}", START).changes
    moments = [change.at + offset for change in changes for offset in (-0.001, 0)][1:]
    told = {}
    for clock.now in moments:
        order_status, delivery, invoice = (
            next((change.status for change in reversed(changes) if change.subject == subject and change.at <= clock.now), None)
            for subject in (ORDER, DELIVERY, INVOICE)
        )
        told[clock.now] = answers = shown(sips, order_id)
        assert order_status == answers["orderDetails"]["orderStatus"]
        assert ([] if delivery is None else [delivery]) == [
            row["deliveryStatus"] for row in answers["deliveryDetails"]["deliveryList"]
        ]
        is_there = delivery in {"Delivered", "Completed"}
        assert is_there == bool(answers["proofOfDelivery"]["documents"])
        assert all(is_there == bool(row["deliveredDate"]) for row in answers["deliveryDetails"]["deliveryList"])
        assert delivery == answers["deliveryCoordinates"].get("status")
        assert bool(invoice) == bool(answers["invoicesList"]["invoiceList"])
    places = [
        answers["deliveryCoordinates"]["latitude"] for answers in told.values() if answers["deliveryCoordinates"].get("status")
    ]
    assert (sorted(places), [40.92, 41.02]) == (places, [min(places), max(places)])
    for clock.now in reversed(moments):
        assert told[clock.now] == shown(sips, order_id)


def test_a_truck_is_on_its_way_between_branch_and_site(sips: Caller, clock: Clock) -> None:
    """Half of the way at half of the time."""
    order_id = sips.call("POST", SUBMIT, order()).body["orderID"]
    made = Lives(1, 1).begin(f"{order()['transactionID']}/{order()['poDetails']['poNumber']}", START)
    clock.now = (made.at(DELIVERY, "En Route") + made.at(DELIVERY, "Delivered")) / 2
    assert 40.97 == sips.call("GET", f"/deliveries/v2/coordinates/{order_id}").body["latitude"]


def test_an_expected_day_is_the_day_of_the_delivery(sips: Caller, clock: Clock) -> None:
    """As soon as there is a delivery."""
    order_id = sips.call("POST", SUBMIT, order()).body["orderID"]
    clock.now += 8 * HOUR
    (expected,) = sips.call("GET", f"/orders/{order_id}/deliveries").body["deliveryList"]
    clock.now += 80 * HOUR
    (done,) = sips.call("GET", f"/orders/{order_id}/deliveries").body["deliveryList"]
    assert (None, expected["expectedDeliveryDate"]) == (expected["deliveredDate"], done["deliveredDate"])


def test_an_invoice_charges_the_order(sips: Caller, clock: Clock) -> None:
    """Its lines at their prices; and it proves whose account it is."""
    payload = order()
    payload["orderLineItemDetails"] = [payload["orderLineItemDetails"][0] | {"quantity": 3, "price": 1.25}]
    number = int(sips.call("POST", SUBMIT, payload).body["orderID"])
    clock.now += 100 * HOUR
    header = sips.call("GET", f"/invoices/{number:010}-001").body["invoiceHeader"]
    assert (3.75, number, "DEMO001", "5641-8Test") == tuple(
        header[name] for name in ("invoiceTotal", "orderNumber", "customerCode", "PONumber")
    )
    asked = f"/customers/validate/?accountNumber=DEMO001&invoiceNumber={number:010}-001"
    assert "Y" == sips.call("GET", asked).body["validIndicator"]


def test_a_queued_order_lives_once_it_is_real(sips: Caller, control: Control, clock: Clock) -> None:
    """Before, nobody can read it; a dropped one nobody ever can."""
    control.set_faults(queued={"count": 1})
    sips.call("POST", SUBMIT, order())
    control.set_faults(queued_dropped={"count": 1})
    sips.call("POST", SUBMIT, order())
    asked = {"PONumber": order()["poDetails"]["poNumber"]}
    assert [] == sips.call("POST", LIST, asked).body["orderList"]
    clock.now += 100 * HOUR
    assert ["Invoiced"] == [row["orderStatus"] for row in sips.call("POST", LIST, asked).body["orderList"]]
    queued, dropped = control.call("GET", "lives").body["lives"]
    assert (["Queued", "Open", "Acknowledged"], True) == (
        [change["status"] for change in queued["changes"][:3]],
        queued["ended"],
    )
    assert (["Queued"], True) == ([change["status"] for change in dropped["changes"]], dropped["ended"])
