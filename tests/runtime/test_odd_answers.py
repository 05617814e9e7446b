"""An odd answer of SIPS, or an odd order, stops no other one and tells nothing of another one; on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import BaseModel
from sqlalchemy import update

from tests.runtime.standins import Recorder, deliver
from tests.runtime.test_watch_ticks import FAR, URL, Sips, listed, run, statuses, watched
from worker.messaging.topology import CONTROL, QUERIES
from worker.sips.errors import Rejected, Throttled
from worker.store.schema import now, subscriptions, watches
from worker.store.timers import Timers
from worker.store.watched import Kind, customer_ref, watch_key
from worker.store.watches import DELIVERIES, INVOICES, ORDERS, Watches

if TYPE_CHECKING:
    from tests.runtime.standins import Make
    from worker.sips import Answer
    from worker.store.engine import Store


class Picky(Sips):
    """Answers no order that is asked for by its number, and encodes what is sent, as the client does."""

    def __init__(self, refusal: type[Rejected | Throttled] = Rejected, **bodies: Any) -> None:
        super().__init__(**bodies)
        self.refusal = refusal

    def call(self, operation_id: str, **call: Any) -> Answer:
        """As `SipsClient.call`."""
        body = call.get("json")
        sent = body.model_dump(exclude_none=True) if isinstance(body, BaseModel) else body
        orjson.dumps(sent)
        if isinstance(sent, dict) and "orderId" in sent:
            self.asked.append((operation_id, sent))
            error = self.refusal(operation_id, "no")
            error.retry_after = 120.0
            raise error
        return super().call(operation_id, **call)


def test_an_order_that_sips_does_not_answer_for_goes_behind_the_others(store: Store, make: Make) -> None:
    """They are told, and it is asked for again as if nothing had come of it."""
    watched(store, "1", "2")

    facts = run(make, store, ORDERS, Picky(ordersList=listed(("2", "Open"))))

    assert [("2", "Open")] == statuses(facts)
    assert (Watches(store).next_due(URL, "C1") or 0) > 60


def test_sips_is_not_asked_before_it_wants_to_be(store: Store, make: Make) -> None:
    """Also where others are due."""
    watched(store, "1", "2")

    run(make, store, ORDERS, sips := Picky(Throttled, ordersList=listed(("3", "Open"))))

    assert [("ordersList", {"orderId": 1})] == sips.asked[1:]
    assert 100 < Timers(store).of(customer_ref(URL, "C1"))[ORDERS] <= 120


def test_a_row_that_cannot_be_read_hides_no_other(store: Store, make: Make) -> None:
    """It may be of an order that nobody watches."""
    watched(store, "1")
    body = listed(("1", "Open"))
    body["orderList"] += [{"orderId": 7, "orderStatus": {"code": 5}}, None]

    assert [("1", "Open")] == statuses(run(make, store, ORDERS, Sips(ordersList=body)))


def test_a_deadline_does_not_wait_for_a_list_that_never_comes(store: Store, make: Make) -> None:
    """Such as that of a customer whom SIPS does not know any more."""
    watched(store, "1")
    with store.write() as connection:
        connection.execute(update(subscriptions).values(until=now() - 1))

    run(make, store, ORDERS, Sips())

    assert [] == Watches(store).search()


@pytest.mark.parametrize("order_id", ["9" * 30, "١٢٣", "SO-1"])
def test_an_id_that_no_list_can_be_asked_for_is_not_asked_for(store: Store, make: Make, order_id: str) -> None:
    """SIPS' numbers fit 64 bits."""
    watched(store, order_id, "2")

    facts = run(make, store, ORDERS, Picky(ordersList=listed(("2", "Open"))))

    assert [("2", "Open")] == statuses(facts)
    Timers(store).claim(9, lease_seconds=60.0)
    Timers(store).start(INVOICES, watch_key(URL, order_id), -1.0)
    assert [] == run(make, store, INVOICES, Picky())


def test_rows_of_another_order_are_not_told(store: Store, make: Make) -> None:
    """SIPS might not heed what it was asked for; a row that does not say whose it is, is believed."""
    (watch,) = watched(store, "40000001", kind=Kind.DELIVERY)
    rows = [
        {"orderId": 40000002, "shipmentNumber": 9, "deliveryStatus": "Completed"},
        {"orderId": "0040000001", "shipmentNumber": 1, "deliveryStatus": "Pending"},
        {"shipmentNumber": 2, "deliveryStatus": "Pending"},
    ]
    heads = [
        {"orderNumber": 40000002, "invoiceNumber": "0040000002-001"},
        {"orderNumber": 40000001, "invoiceNumber": "0040000001-001"},
    ]

    deliveries = run(make, store, DELIVERIES, Sips(deliveryDetails={"deliveryList": rows}))
    Timers(store).start(INVOICES, watch.key, -1.0)
    invoices = run(make, store, INVOICES, Sips(invoicesList={"invoiceList": heads}))

    assert [1, 2] == [fact["data"]["shipmentNumber"] for fact in deliveries]
    assert ["0040000001-001"] == [fact["data"]["invoiceNumber"] for fact in invoices]


def test_rows_of_one_number_or_of_none_are_told_apart(store: Store, make: Make) -> None:
    """In whichever sequence SIPS lists them: the watch lasts until all have come to their end."""
    (watch,) = watched(store, "1", kind=Kind.DELIVERY)
    done, open_ = {"deliveryStatus": "Completed"}, {"deliveryStatus": "Pending"}
    told = []
    for rows in (
        [open_, done, open_ | {"shipmentNumber": 1}, done | {"shipmentNumber": 1}],
        [done | {"shipmentNumber": 1}, open_ | {"shipmentNumber": 1}, done, open_],
        [done, done, done | {"shipmentNumber": 1}, done | {"shipmentNumber": 1}],
    ):
        Timers(store).start(DELIVERIES, watch.key, -1.0)
        told.append(run(make, store, DELIVERIES, Sips(deliveryDetails={"deliveryList": rows})))

    assert [6, 0, 4] == [len(facts) for facts in told]
    assert [None, None, None, 1, 1, 1] == [fact["data"]["shipmentNumber"] for fact in told[0]]
    assert DELIVERIES not in Timers(store).of(watch.key)


def test_a_fact_of_an_invoice_fits_a_message(store: Store, make: Make) -> None:
    """However long SIPS' texts are, and without what no other store takes."""
    (watch,) = watched(store, "1")
    Timers(store).start(INVOICES, watch.key, -1.0)
    head = {"invoiceNumber": "1-1\0", "paymentStatus": "x" * 100_000, "invoiceTotal": 1.5}

    (fact,) = run(make, store, INVOICES, Sips(invoicesList={"invoiceList": [head]}))

    assert ("1-1", 200, 1.5) == (
        fact["data"]["invoiceNumber"],
        len(fact["data"]["current"]["paymentStatus"]),
        fact["data"]["current"]["invoiceTotal"],
    )


def test_an_invoice_that_sips_does_not_know_yet_is_asked_for_again(store: Store, make: Make) -> None:
    """Where the order has come to its end; but not for ever."""
    (watch,) = watched(store, "1")
    run(make, store, ORDERS, Sips(ordersList=listed(("1", "Invoiced"))))

    run(make, store, INVOICES, Sips())
    assert FAR * 0.8 < Timers(store).of(watch.key)[INVOICES] < FAR * 1.2

    with store.write() as connection:
        connection.execute(update(watches).values(created_at=now() - 400 * 86_400))
    Timers(store).start(INVOICES, watch.key, -1.0)
    run(make, store, INVOICES, Sips())
    assert INVOICES not in Timers(store).of(watch.key)


def test_one_order_has_one_watch_however_its_id_is_spelled(store: Store, make: Make) -> None:
    """Else a change would be told twice, under two ids."""
    recorder, sips = Recorder(), Sips(ordersList=listed(("40000001", "Open")))

    for order_id in ("40000001", "0040000001", 40000001):
        make(recorder, sips).execute(deliver("sips.order.track", {"orderId": order_id, "watch": True}, QUERIES))
    make(recorder, sips).execute(deliver("sips.watch.cancel", {"orderId": "0040000001"}, CONTROL))

    assert ["sips.order.status_changed", *["sips.order.track.succeeded"] * 3, "sips.watch.cancel.succeeded"] == [
        event["type"] for event in recorder.outcomes
    ]
    assert ({"Open"}, 1) == (
        {event["data"]["result"]["status"] for event in recorder.outcomes[1:4]},
        recorder.outcomes[4]["data"]["result"]["cancelled"],
    )


@pytest.mark.parametrize(
    ("deadline", "until"),
    [
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-12:00", None),
        ("0001-01-01T00:00:00+12:00", None),
    ],
)
def test_a_deadline_may_be_any_time_of_the_calendar(make: Make, deadline: str, until: str | None) -> None:
    """Beyond, it is refused before anything is done."""
    recorder, sips = Recorder(), Sips(ordersList=listed(("1", "Open")))

    make(recorder, sips).execute(deliver("sips.order.track", {"orderId": "1", "watch": True, "deadline": deadline}, QUERIES))

    outcome = recorder.outcomes[-1]
    if until is None:
        assert (["/deadline"], []) == ([error["pointer"] for error in outcome["data"]["errors"]], sips.asked)
    else:
        assert until == outcome["data"]["result"]["watch"]["until"]
