"""Decisions of the pipeline that a real SIPS or RabbitMQ cannot be brought to cause on demand.

The publisher and the client are stand-ins here; tests/acceptance has the real ones.
"""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.acceptance.conftest import example
from tests.orders import aged, payload
from tests.runtime.standins import Client, Make, Recorder, deliver
from worker.blobs.folder import Folder
from worker.messaging.delivery import Disposition
from worker.messaging.header_tables import MAX_BYTES, encoded_size
from worker.messaging.publisher import PublishTimeoutError, RefusedError, UnroutableError
from worker.messaging.topology import RETRY, WATCHES, delay_exchange
from worker.runtime import endings as endings_module
from worker.runtime import orders as orders_module
from worker.runtime.looks import TRACK_TIMER
from worker.runtime.registry import registry
from worker.runtime.ticks import TICK
from worker.sips import Answer, Executed
from worker.sips.errors import Forbidden, Rejected, Throttled
from worker.store.errors import StoreDown
from worker.store.ledger import PUBLISH, Ledger
from worker.store.schema import orders as orders_table
from worker.store.timers import Timers
from worker.store.transitions import Event, State

#: The smallest MAX_EVENT_BYTES.
LIMIT = 65_536

if TYPE_CHECKING:
    from pathlib import Path

    from worker.messaging.publisher import PublishError
    from worker.runtime.payload import Payload, Result
    from worker.sips import Sips, SipsError
    from worker.store.engine import Store
    from worker.store.orders import Order


def test_what_is_not_confirmed_goes_back(make: Make) -> None:
    """An ack before the confirm would lose the outcome."""
    recorder = Recorder()
    recorder.error = PublishTimeoutError("no confirm")
    delivery = deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries")

    make(recorder, Client({"deliveryList": []})).execute(delivery)

    assert delivery.disposition is None


@pytest.mark.parametrize("error", [RefusedError("nacked"), UnroutableError("no queue")])
def test_a_read_whose_outcome_rabbitmq_does_not_take_waits_longer_each_time(make: Make, error: PublishError) -> None:
    """At once it would end the same, at SIPS' cost; the waits of an outage of SIPS are counted apart."""
    recorder = Recorder()
    recorder.error, recorder.refused = error, "sips.events"
    pipeline = make(recorder, Client({"deliveryList": []}), retry_base_seconds=1)

    for times in (0, 9):
        headers = {"sips-put-off": times, "sips-waits": 2, "sips-attempt": 2, "x-delivery-count": 1}
        delivery = deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries", headers=headers, redelivered=True)
        pipeline.execute(delivery)
        assert Disposition.ACK is delivery.disposition

    first, tenth = recorder.messages
    steps = [int(message.exchange.removeprefix("sips.delay.r1.")) for message in (first, tenth)]
    assert (steps[0] <= 2, steps[1] >= 256) == (True, True)
    expected = {"sips-put-off": 10, "sips-waits": 2, "sips-attempt": 2, "sips-redelivered": True}
    assert expected.items() <= tenth.properties.headers.items()


def test_a_tick_that_rabbitmq_does_not_take_the_event_of_is_left_to_its_timer(make: Make, store: Store) -> None:
    """The timer is due again by itself; the tick would go round until then."""
    recorder = Recorder()
    pipeline = make(recorder, Client({"message": "Order Submitted", "orderID": "35818786", "queueID": None}))
    recorder.error = PublishTimeoutError("no confirm")
    pipeline.execute(deliver("sips.order.submit", example("ordersV2Submit.request"), "sips.orders"))
    (order,) = Ledger(store).search()
    recorder.error = RefusedError("nacked")
    tick = deliver(TICK, {"kind": "publish", "ref": order.key, "claims": 0}, WATCHES)

    pipeline.execute(tick)

    assert (Disposition.ACK, []) == (tick.disposition, recorder.messages)
    assert {PUBLISH, TRACK_TIMER} == Timers(store).of(order.key).keys()


def test_a_step_of_the_ladder_that_takes_nothing_is_stepped_over(make: Make) -> None:
    """Somebody deleted it, and the worker has no right to put it back."""
    recorder = Recorder()
    recorder.error, recorder.refused = UnroutableError("no queue"), "sips.delay.r1.1"
    throttled = Client(error=Throttled("deliveryDetails", "too many calls", executed=Executed.NO))
    delivery = deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries")

    make(recorder, throttled, retry_base_seconds=0.1).execute(delivery)

    (message,) = recorder.messages
    assert ("sips.delay.r1.2", Disposition.ACK) == (message.exchange, delivery.disposition)


def test_what_the_ladder_does_not_take_either_goes_back(make: Make) -> None:
    """Nothing is lost where nothing can be published."""
    recorder = Recorder()
    recorder.error = RefusedError("nacked")
    delivery = deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries")

    make(recorder, Client({"deliveryList": []})).execute(delivery)

    assert delivery.disposition is None


@pytest.mark.parametrize(
    ("command_type", "data", "queue", "name", "pointer"),
    [
        ("sips.order.submit", example("ordersV2Submit.request"), "sips.orders", "PONumber", "/poDetails/poNumber"),
        ("sips.order.list", {"customerCode": "DEMO001"}, "sips.queries", "customerNumber", "/customerCode"),
    ],
)
def test_what_sips_objected_to_is_told_by_its_place(
    make: Make, command_type: str, data: Any, queue: str, name: str, pointer: str
) -> None:
    """Of an order and of a read: the publisher need not guess what to correct."""
    body = {"message": "Canary", "errors": [{"domain": "request", "reason": "invalid", "message": "Canary", "parameter": name}]}
    answer = Answer(operation="x", status=400, body=body, raw=orjson.dumps(body), media_type="application/json", seconds=0.1)
    recorder = Recorder()

    make(recorder, Client(error=Rejected("x", "refused", executed=Executed.YES, answer=answer))).execute(
        deliver(command_type, data, queue)
    )

    (outcome,) = recorder.outcomes
    assert ("sips-rejected", [{"pointer": pointer, "detail": "SIPS refused it (invalid)"}]) == (
        outcome["data"]["type"],
        outcome["data"]["errors"],
    )


def test_a_fault_of_the_worker_itself_goes_back(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is acked on a guess."""

    def broken(*_arguments: Any, **_keywords: Any) -> Any:
        raise RuntimeError("a fault of the test's own making")

    monkeypatch.setattr(endings_module, "parse", broken)
    delivery = deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries")

    make(Recorder(), Client()).execute(delivery)

    assert delivery.disposition is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"message": "Order Submitted", "orderID": None, "queueID": None},
        {"message": "Error", "orderID": "not a number", "queueID": None},
        {"message": "Order Submitted", "orderID": "35818786", "queueID": None, "transactionID": "another"},
        {"message": "Bad Request", "orderID": "35818786", "errors": [{"message": "x"}]},
    ],
)
def test_a_200_that_proves_no_order_leaves_it_in_doubt(make: Make, store: Store, body: Any) -> None:
    """Judged by its content, not by its status alone: it is looked up, and nothing is said yet."""
    recorder = Recorder()

    make(recorder, Client(body)).execute(deliver("sips.order.submit", example("ordersV2Submit.request"), "sips.orders"))

    (order,) = Ledger(store).search()
    assert (State.IN_DOUBT, ["look"], []) == (order.state, list(Timers(store).of(order.key)), recorder.messages)


@pytest.mark.parametrize(
    "how",
    [
        {"redelivered": True, "headers": {"x-delivery-count": 1}},
        {"headers": {"sips-crashes": 1, "sips-redelivered": True, "sips-queue": WATCHES}},
    ],
    ids=["again", "as a copy, where RabbitMQ does not count"],
)
def test_a_look_whose_outcome_was_not_confirmed_tells_it_when_its_tick_comes_again(
    make: Make, store: Store, how: dict[str, Any]
) -> None:
    """At once, and not only when the timer for what was never published is due."""
    order = example("ordersV2Submit.request")
    row = {"orderId": 1, "customerCode": order["customerCode"], "PONumber": order["poDetails"]["poNumber"]}
    recorder, client = Recorder(), Client({})
    pipeline = make(recorder, client)
    pipeline.execute(deliver("sips.order.submit", order, "sips.orders"))
    client.body = {"orderList": [row]}
    (found,) = Ledger(store).search()
    tick = {"kind": "look", "ref": found.key, "claims": 0}
    recorder.error = PublishTimeoutError("no confirm")
    pipeline.execute(deliver(TICK, tick, WATCHES))
    recorder.error = None

    pipeline.execute(deliver(TICK, tick, WATCHES, **how))

    assert ["sips.order.submit.succeeded", "sips.order.confirmed"] == [outcome["type"] for outcome in recorder.outcomes]


@pytest.mark.parametrize(("up_seconds", "state"), [(599, State.IN_DOUBT), (601, State.UNRESOLVED)])
def test_absence_is_not_concluded_soon_after_sips_came_back(make: Make, store: Store, up_seconds: float, state: State) -> None:
    """It lists late then, and behind closed gates no look was made that could have failed."""
    client, ledger = Client({}), Ledger(store)
    pipeline = make(Recorder(), client, up_seconds=up_seconds)
    pipeline.execute(deliver("sips.order.submit", example("ordersV2Submit.request"), "sips.orders"))
    (order,) = ledger.search()
    ledger.note(order, looks=3)
    aged(store, order, 3_600)
    client.body = {"orderList": []}

    pipeline.execute(deliver(TICK, {"kind": "look", "ref": order.key, "claims": 0}, WATCHES))

    assert [(state, 4)] == [(found.state, found.looks) for found in ledger.search()]


@pytest.fixture
def placed() -> Client:
    """SIPS places every order."""
    return Client({"message": "Order Submitted", "orderID": "35818786", "queueID": None})


def test_an_answer_is_written_down_once_the_database_is_back(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch, placed: Client
) -> None:
    """It went down after the call: the attempt waits for it while it has time."""
    move, down = Ledger.move, iter([True, True])

    def moved(ledger: Ledger, *arguments: Any, **keywords: Any) -> Any:
        if next(down, False):
            raise StoreDown("it is away")
        return move(ledger, *arguments, **keywords)

    monkeypatch.setattr(Ledger, "move", moved)
    monkeypatch.setattr(orders_module, "RECORD_RETRY_SECONDS", 0.01)
    recorder, delivery = Recorder(), deliver("sips.order.submit", example("ordersV2Submit.request"), "sips.orders")

    make(recorder, placed).execute(delivery)

    assert (1, Disposition.ACK, []) == (placed.calls, delivery.disposition, list(down))
    assert ["sips.order.submit.succeeded", "sips.order.confirmed"] == [outcome["type"] for outcome in recorder.outcomes]
    assert [State.CONFIRMED] == [order.state for order in Ledger(store).search()]


def test_an_order_whose_database_is_away_after_the_call_is_looked_up_and_not_sent_again(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch, placed: Client
) -> None:
    """It stands there as `sending`, so whoever is delivered its command next knows that SIPS may have it."""

    def away(*_arguments: Any, **_keywords: Any) -> Any:
        raise StoreDown("it is away")

    recorder, submit = Recorder(), example("ordersV2Submit.request")
    pipeline = make(recorder, placed, sips_call_seconds=0.1, handler_seconds=0.2)
    first = deliver("sips.order.submit", submit, "sips.orders")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "move", away)
        pipeline.execute(first)
    assert (None, [State.SENDING]) == (first.disposition, [order.state for order in Ledger(store).search()])
    with store.write() as connection:
        connection.execute(update(orders_table).values(lease_until=orders_table.c.lease_until - 3_600))
    again = deliver("sips.order.submit", submit, "sips.orders", redelivered=True, headers={"x-delivery-count": 1})

    pipeline.execute(again)

    (order,) = Ledger(store).search()
    assert (State.IN_DOUBT, ["look"]) == (order.state, list(Timers(store).of(order.key)))
    assert (1, Disposition.ACK, []) == (placed.calls, again.disposition, recorder.messages)


@pytest.mark.parametrize(
    ("error", "event", "state"),
    [
        (Throttled("ordersV2Submit", "wait", executed=Executed.NO), Event.NOT_EXECUTED, State.UNSENT),
        (Forbidden("ordersV2Submit", "no", executed=Executed.NO), Event.GIVE_UP, State.GAVE_UP),
    ],
)
def test_that_an_order_was_not_executed_is_written_down_once_the_store_is_back(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch, error: SipsError, event: Event, state: State
) -> None:
    """Else nobody would know by then: it would be looked for, and end `.unknown`."""
    move, failures = Ledger.move, [StoreDown("away")]

    def flaky(ledger: Ledger, order: Order, happened: Event, **changes: Any) -> Any:
        if happened is event and failures:
            raise failures.pop()
        return move(ledger, order, happened, **changes)

    monkeypatch.setattr(Ledger, "move", flaky)
    monkeypatch.setattr(orders_module, "RECORD_RETRY_SECONDS", 0.01)
    delivery = deliver("sips.order.submit", payload("PO-1"), "sips.orders")

    make(Recorder(), Client(error=error), retry_attempts=1).execute(delivery)

    assert (Disposition.ACK, []) == (delivery.disposition, failures)
    assert [state] == [order.state for order in Ledger(store).search()]


@pytest.mark.parametrize(("copies", "state"), [(0, State.GAVE_UP), (1, State.REJECTED)])
def test_an_order_that_expires_while_its_token_is_fetched_is_not_sent(
    make: Make, store: Store, copies: int, state: State
) -> None:
    """Another delivery of it, as after a lost connection, may have found no row meanwhile and said that it failed."""
    expiry = datetime.now(UTC) + timedelta(seconds=0.5)
    headers: dict[str, Any] = {"ce-specversion": "1.0", "ce-id": "c1", "ce-source": "shop", "ce-type": "sips.order.submit"}
    headers["ce-expirytime"] = expiry.isoformat()
    recorder = Recorder()

    class SlowToken(Client):
        """A token comes after the order's time."""

        def authorize(self, _deadline: object) -> None:
            """As `SipsClient.authorize`."""
            while store.now() <= expiry.timestamp():
                time.sleep(0.01)
            for _ in range(copies):
                make(recorder, Client()).execute(
                    deliver("sips.order.submit", payload("PO-1"), "sips.orders", redelivered=True, headers=headers)
                )

    client = SlowToken({"message": "Order Submitted", "orderID": "35818786", "queueID": None})
    headers["x-delivery-count"] = 1
    make(recorder, client).execute(deliver("sips.order.submit", payload("PO-1"), "sips.orders", headers=headers))

    assert (0, {"sips.order.submit.failed"}) == (client.calls, {outcome["type"] for outcome in recorder.outcomes})
    assert 1 == len({outcome["id"] for outcome in recorder.outcomes})
    assert [state] == [order.state for order in Ledger(store).search()]


def test_a_copy_of_an_expired_order_that_has_not_expired_says_the_same(make: Make, store: Store) -> None:
    """Published twice, as after a lost confirm, with RabbitMQ's expiration: one of them came too late. Its key stays its own."""
    recorder, client = Recorder(), Client({"message": "Order Submitted", "orderID": "35818786", "queueID": None})
    pipeline = make(recorder, client)

    for headers in ({"sips-expired": True}, {}):
        pipeline.execute(deliver("sips.order.submit", payload("PO-1"), "sips.orders", headers=headers))

    assert ["expired", "expired"] == [outcome["data"]["type"] for outcome in recorder.outcomes]
    assert (0, 1, {False}) == (
        client.calls,
        len({outcome["id"] for outcome in recorder.outcomes}),
        {outcome["data"]["keyReusable"] for outcome in recorder.outcomes},
    )
    assert [State.REJECTED] == [order.state for order in Ledger(store).search()]


def test_an_order_in_doubt_that_sips_lists_as_cancelled_is_left_to_a_person(make: Make, store: Store) -> None:
    """Nobody is told that it is confirmed."""
    order = example("ordersV2Submit.request")
    row = {"orderId": 1, "customerCode": order["customerCode"], "PONumber": order["poDetails"]["poNumber"]}
    recorder, client = Recorder(), Client({})
    pipeline = make(recorder, client)
    pipeline.execute(deliver("sips.order.submit", order, "sips.orders"))
    client.body = {"orderList": [row | {"orderStatus": "Cancelled"}]}
    (doubtful,) = Ledger(store).search()

    pipeline.execute(deliver(TICK, {"kind": "look", "ref": doubtful.key, "claims": 0}, WATCHES))

    (outcome,) = recorder.outcomes
    assert ("sips.order.submit.unknown", True) == (outcome["type"], "Cancelled" in outcome["data"]["lastError"])
    assert [State.UNRESOLVED] == [found.state for found in Ledger(store).search()]


@pytest.mark.parametrize(("asks", "state"), [(True, State.IN_DOUBT), (False, State.GAVE_UP)])
def test_a_handler_with_a_bug_leaves_an_order_in_doubt_only_if_sips_was_asked(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch, asks: bool, state: State
) -> None:
    """`.failed` must mean that SIPS does not have it."""
    recorder, submit = Recorder(), registry.find("sips.order.submit")
    assert submit

    def buggy(_payload: Payload, sips: Sips, _submission: object) -> Result:
        if asks:
            sips.call("ordersV2Submit", json={})
        raise RuntimeError("a fault of the test's own making")

    monkeypatch.setitem(registry._handlers, submit.type, replace(submit, run=buggy))
    make(recorder, Client({})).execute(deliver("sips.order.submit", example("ordersV2Submit.request"), "sips.orders"))

    (order,) = Ledger(store).search()
    assert state is order.state
    failed = [outcome["data"]["type"] for outcome in recorder.outcomes]
    assert ([] if asks else ["handler-fault"]) == failed


def test_an_order_with_a_nul_character_in_its_codes_is_failed(make: Make) -> None:
    """PostgreSQL keeps none: its command would go round for ever."""
    recorder, delivery = Recorder(), deliver("sips.order.submit", payload("PO\0-1"), "sips.orders")

    make(recorder, Client()).execute(delivery)

    assert Disposition.ACK is delivery.disposition
    (data,) = (outcome["data"] for outcome in recorder.outcomes)
    assert ("invalid-payload", ["/poDetails/poNumber"]) == (data["type"], [error["pointer"] for error in data["errors"]])


def test_an_order_whose_copy_has_larger_headers_than_a_publisher_may_send_goes_on(make: Make) -> None:
    """Ours come on top of the publisher's: it was taken once, and may have been sent by now."""
    recorder, order = Recorder(), payload("PO-1")
    pad = "x" * (MAX_BYTES - (encoded_size({"pad": ""}) or 0))
    make(recorder, Client(error=Throttled("ordersV2Submit", "wait", executed=Executed.NO))).execute(
        deliver("sips.order.submit", order, "sips.orders", headers={"pad": pad})
    )
    (copy,) = recorder.messages

    client = Client({"message": "Order Submitted", "orderID": "35818786", "queueID": None})
    make(recorder, client).execute(deliver("sips.order.submit", order, "sips.orders", headers=copy.properties.headers))

    assert ["sips.order.submit.succeeded", "sips.order.confirmed"] == [outcome["type"] for outcome in recorder.outcomes]


def test_a_read_whose_outcome_is_too_large_to_publish_is_failed(make: Make) -> None:
    """RabbitMQ would close the channel for it, again at every redelivery."""
    recorder = Recorder()
    delivery = deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries")

    make(recorder, Client({"deliveryList": [], "more": "x" * LIMIT}), max_event_bytes=LIMIT).execute(delivery)

    (outcome,) = recorder.outcomes
    data = outcome["data"]
    assert ("sips.delivery.get.failed", "result-too-large", False) == (outcome["type"], data["type"], data["retryable"])
    assert "MAX_EVENT_BYTES" in data["detail"]
    assert "set BLOB_FOLDER and BLOB_BASE_URL, or BLOB_S3_BUCKET" in data["detail"]
    assert Disposition.ACK is delivery.disposition


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for blobs."""
    path = tmp_path / "blobs"
    path.mkdir()
    return path


def test_a_read_whose_outcome_is_too_large_to_publish_is_kept_and_referenced(make: Make, folder: Path) -> None:
    """Its data stand where `dataref` says, whole, and not in the event (CloudEvents' extension of that name)."""
    recorder, body = Recorder(), {"deliveryList": [], "more": "x" * LIMIT}
    delivery = deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries")

    blobs = Folder(folder, "https://files.example", timedelta(days=7))
    make(recorder, Client(body), blobs=blobs, max_event_bytes=LIMIT).execute(delivery)

    (outcome,) = recorder.outcomes
    assert ("sips.delivery.get.succeeded", "application/json", "c1") == (
        outcome["type"],
        outcome["datacontenttype"],
        outcome["causationid"],
    )
    (kept,) = folder.iterdir()
    assert (False, f"https://files.example/{kept.name}") == ("data" in outcome, outcome["dataref"])
    data = orjson.loads(kept.read_bytes())
    assert ({"orderId": "1", "deliveries": []}, {"status": 200, "body": body}) == (data["result"], data["sips"])
    assert ("sips.delivery.get", Disposition.ACK) == (data["command"]["type"], delivery.disposition)


def test_an_outcome_that_is_small_enough_is_not_kept(make: Make, folder: Path) -> None:
    """Where there is a store."""
    recorder, blobs = Recorder(), Folder(folder, "https://files.example", timedelta(days=7))
    body = {"deliveryList": [], "more": "x" * (LIMIT - 2_000)}

    make(recorder, Client(body), blobs=blobs, max_event_bytes=LIMIT).execute(
        deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries")
    )

    (outcome,) = recorder.outcomes
    assert (body, False, []) == (outcome["data"]["sips"]["body"], "dataref" in outcome, list(folder.iterdir()))


def test_a_command_whose_file_cannot_be_kept_waits_longer_each_time(make: Make, tmp_path: Path) -> None:
    """At no attempt's cost: it is the store that is away, or set up wrongly. So does one whose outcome is too large."""
    recorder, blobs = Recorder(), Folder(tmp_path / "missing", "https://files.example", timedelta(days=7))
    client = Client({"documents": [{"data": base64.b64encode(b"%PDF-1.7" + b"x" * LIMIT).decode()}], "deliveryList": []})
    pipeline = make(recorder, client, blobs=blobs, max_event_bytes=LIMIT, retry_base_seconds=1)
    commands = [("sips.delivery.proof", "sips.bulk"), ("sips.delivery.get", "sips.queries")]

    with capture_logs() as lines:
        for times in (0, 9):
            for command_type, queue in commands:
                headers = {"sips-put-off": times, "sips-attempt": 2}
                delivery = deliver(command_type, {"orderId": "1"}, queue, headers=headers)
                pipeline.execute(delivery)
                assert Disposition.ACK is delivery.disposition

    steps = [int(message.exchange.removeprefix("sips.delay.r1.")) for message in recorder.messages]
    assert (4, True, True) == (len(steps), max(steps[:2]) <= 2, min(steps[2:]) >= 256)
    assert all({"sips-attempt": 2}.items() <= message.properties.headers.items() for message in recorder.messages)
    (told,) = (line for line in lines if line["event"].startswith("the blob store keeps nothing"))
    assert ("error", True) == (told["log_level"], "ENOENT" in told["error"])
    assert ["put-off"] * 4 == [line["outcome"] for line in lines if line["event"] == "attempt"]


def test_an_order_whose_answer_is_too_large_to_publish_is_told_as_succeeded_without_it(make: Make) -> None:
    """SIPS has the order, so nothing else may be said of it; what is left out is named."""
    recorder = Recorder()
    answer = {"message": "Order Submitted", "orderID": "35818786", "queueID": None, "more": "x" * LIMIT}
    delivery = deliver("sips.order.submit", example("ordersV2Submit.request"), "sips.orders")

    make(recorder, Client(answer), max_event_bytes=LIMIT).execute(delivery)

    succeeded, confirmed = recorder.outcomes
    assert ["sips.order.submit.succeeded", "sips.order.confirmed"] == [succeeded["type"], confirmed["type"]]
    said = succeeded["data"]
    assert ("35818786", 200, None) == (said["result"]["orderId"], said["sips"]["status"], said["sips"]["body"])
    assert "MAX_EVENT_BYTES" in said["sips"]["bodyOmitted"]
    assert Disposition.ACK is delivery.disposition


def test_an_answer_with_values_of_other_types_is_tried_again(make: Make) -> None:
    """SIPS' answers are under-documented: a surprise must not break a worker, nor be passed on as our shape."""
    recorder = Recorder()
    delivery = deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries")

    make(recorder, Client({"deliveryList": [{"shipmentNumber": {"odd": 1}}]})).execute(delivery)

    (message,) = recorder.messages
    assert (True, Disposition.ACK) == (message.exchange.startswith("sips.delay."), delivery.disposition)


@pytest.mark.parametrize(
    ("command_type", "payload", "queue", "body"),
    [
        ("sips.customer.templates", {"customerCode": "C"}, "sips.queries", '[{"products": [{"productOptions": DEEP}]}]'),
        ("sips.invoice.pdf", {"invoiceNumber": "1"}, "sips.bulk", '{"pdf": "JVBERi0xLjQK", "more": DEEP}'),
    ],
)
def test_an_answer_that_is_nested_too_deep_to_be_told_is_tried_again(
    make: Make, command_type: str, payload: Any, queue: str, body: str
) -> None:
    """It can be read and not be written; the command would go back to its queue for ever."""
    recorder, client = Recorder(), Client([])
    deep = orjson.loads(body.replace("DEEP", "[" * 300 + "]" * 300))
    answer = Answer("any", 200, deep, b"[]", "application/json", 0.0)
    client.call = lambda _operation_id, **_call: answer  # type: ignore[method-assign]
    delivery = deliver(command_type, payload, queue)

    make(recorder, client).execute(delivery)

    (message,) = recorder.messages
    assert (True, Disposition.ACK) == (message.exchange.startswith("sips.delay."), delivery.disposition)


def test_a_forged_counting_header_does_not_stop_a_retry(make: Make) -> None:
    """One more than the largest number could not be published."""
    recorder = Recorder()
    throttled = Client(error=Throttled("deliveryDetails", "too many calls", executed=Executed.NO))

    make(recorder, throttled).execute(
        deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries", headers={"sips-waits": 2**63 - 1})
    )

    assert recorder.messages[0].properties.encode()


@pytest.mark.parametrize(
    ("redelivered", "headers", "exchange", "marked"),
    [
        (False, {}, RETRY, False),
        (True, {}, delay_exchange(1), True),  # a suspect, back to the queue it is in when it is acked
        (False, {"x-death": [{"reason": "delivery_limit", "queue": "sips.orders"}]}, RETRY, True),
        (False, {"x-death": [{"reason": "expired", "queue": "sips.delay.r1.1"}]}, RETRY, False),
        (False, {"sips-redelivered": True}, RETRY, True),
        (False, {"x-death": "forged"}, RETRY, False),
    ],
)
def test_an_order_from_another_queue_still_says_that_it_was_delivered_before(
    make: Make, *, redelivered: bool, headers: dict[str, Any], exchange: str, marked: bool
) -> None:
    """Its copy is new to RabbitMQ; where the ledger has lost its row, SIPS must be asked all the same."""
    recorder, client = Recorder(), Client({})
    strayed = deliver("sips.order.submit", example("ordersV2Submit.request"), "sips.undelivered", redelivered=redelivered)
    strayed.properties.headers = headers

    make(recorder, client).execute(strayed)

    (copy,) = recorder.messages
    assert (exchange, marked) == (copy.exchange, copy.properties.headers.get("sips-redelivered", False))
