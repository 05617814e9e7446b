"""What becomes of a hint, on both databases; SIPS and the publisher are stand-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import delete, update

from tests.orders import Rows
from tests.runtime.standins import Recorder, deliver
from tests.runtime.test_watch_ticks import URL, Sips, listed, run, statuses
from worker.messaging.delivery import Disposition
from worker.messaging.topology import WEBHOOKS
from worker.runtime.hints import hint
from worker.sips.errors import ServerFault
from worker.store.hints import Hint, Hints
from worker.store.ledger import Ledger
from worker.store.schema import hints, now
from worker.store.timers import Timers
from worker.store.watched import NewWatch
from worker.store.watches import HINT, Watches

if TYPE_CHECKING:
    from tests.runtime.standins import Client, Make
    from worker.store.engine import Store


def told(make: Make, client: Client, **fields: str) -> list[dict[str, Any]]:
    """A hint `h1` comes; the facts that it led to."""
    recorder, message = Recorder(), hint("h1", fields, orjson.dumps(fields), is_json=True, environment="sandbox")
    delivery = deliver("sips.webhook.received", orjson.loads(message.body), WEBHOOKS)
    delivery.properties = message.properties
    make(recorder, client).execute(delivery)
    assert Disposition.ACK is delivery.disposition
    return recorder.outcomes


def again(make: Make, store: Store, client: Client, *, age: float) -> list[dict[str, Any]]:
    """Its timer is due when it is so many seconds old; the facts that it led to."""
    with store.write() as connection:
        connection.execute(update(hints).values(received_at=now() - age))
    Timers(store).start(HINT, "h1", -1.0)
    return run(make, store, HINT, client)


@pytest.mark.parametrize("age", [30.0, 100_000.0])
def test_a_hint_of_no_known_order_is_tried_as_often_as_it_is_young(store: Store, make: Make, age: float) -> None:
    """Most are of orders that others placed, and each waits for a month."""
    assert [] == told(make, Sips(), type="OU", id="999")
    first = Timers(store).of("h1")[HINT]

    again(make, store, Sips(), age=age)

    assert 1 < first <= 2
    assert age * 0.9 < Timers(store).of("h1")[HINT] < age * 1.1


def test_a_hint_that_names_no_order_is_told_as_it_came(store: Store, make: Make) -> None:
    """Of a known type as well: somebody may make sense of it."""
    (event,) = told(make, Sips(), type="OU", status="confirmed")

    assert ("sips.webhook.unrecognized", "h1", {"type": "OU", "status": "confirmed"}) == (
        event["type"],
        event["id"],
        event["data"]["fields"],
    )
    kept = Hints(store).find("h1")
    assert kept
    assert kept.is_handled


def test_a_hint_that_sips_did_not_answer_is_tried_again_soon(store: Store, make: Make) -> None:
    """However long it had waited for its order."""

    class Faulty(Sips):
        def call(self, operation_id: str, **_call: Any) -> Any:
            raise ServerFault(operation_id, "500")

    told(make, Sips(), type="OU", id="7")
    Watches(store).open(NewWatch(URL, "7", "C1"))

    again(make, store, Faulty(), age=100_000.0)

    assert 30 < Timers(store).of("h1")[HINT] <= 60


def test_an_order_that_is_opened_while_its_hint_is_tried_is_not_waited_for(store: Store) -> None:
    """The hint is tried at once, whatever comes of the try."""
    Hints(store).keep(Hint("h1", "OU", "7", "", "", ""), -1.0)
    (timer,) = Timers(store).claim(9, lease_seconds=60.0)

    Watches(store).open(NewWatch(URL, "7", "C1"))
    Timers(store).again(timer, 100_000.0)

    assert Timers(store).of("h1")[HINT] <= 0


def test_a_change_that_sips_tells_of_before_it_shows_it_is_told_though_nobody_watches(store: Store, make: Make) -> None:
    """The hint itself is tried once more; where somebody watches, the next look is near."""
    Rows(Ledger(store), URL).confirmed("c1", "40000001")
    fields = {"type": "OU", "id": "40000001"}
    before, after = (Sips(ordersList=listed(("40000001", status))) for status in ("Open", "Held"))
    assert [("40000001", "Open")] == statuses(told(make, before, **fields))
    with store.write() as connection:
        connection.execute(delete(hints))

    assert [] == told(make, before, **fields)
    assert 50 < Timers(store).of("h1")[HINT] <= 60
    assert [("40000001", "Held")] == statuses(again(make, store, after, age=61.0))
    assert {} == Timers(store).of("h1")
    kept = Hints(store).find("h1")
    assert kept
    assert kept.is_handled
