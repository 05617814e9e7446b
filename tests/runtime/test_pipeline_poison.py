"""What the pipeline does with a suspect, a poison and an interrupted order; publisher and client are stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from tests.acceptance.conftest import example
from tests.orders import Rows, payload
from tests.runtime.standins import Client, Make, Recorder, deliver
from tests.store.making import new_order
from worker.messaging import redrive
from worker.messaging.dead_letters import Held, describe_letter
from worker.messaging.delivery import Delivery, Disposition
from worker.messaging.ladder import without_history
from worker.messaging.publisher import RefusedError
from worker.messaging.topology import DEAD, ORDERS, QUERIES, RETRY, SUSPECTS, UNDELIVERED, delay_exchange
from worker.runtime.decisions import Signature, resubmit
from worker.runtime.fingerprint import fingerprint
from worker.runtime.looks import LOOK_TIMER
from worker.runtime.submission import order_key, transaction_id
from worker.settings import Settings
from worker.sips.errors import ConnectFailed
from worker.store.ledger import Ledger
from worker.store.timers import Timers
from worker.store.transitions import Event, State

if TYPE_CHECKING:
    from worker.messaging.publisher import Message
    from worker.store.engine import Store
    from worker.store.orders import Order

CarryOut = Callable[..., list["Message"]]

READ, ORDER = "sips.delivery.get", "sips.order.submit"

#: The first rung of the ladder.
LATER = delay_exchange(1)


def interrupted(command_type: str, queue: str, *, redelivered: bool = False, data: Any = None, **headers: Any) -> Delivery:
    """A delivery with these headers (`_` stands for `-`)."""
    delivery = deliver(command_type, {"orderId": "1"} if data is None else data, queue)
    delivery.redelivered = redelivered
    delivery.properties.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return delivery


@pytest.fixture
def carry_out(make: Make) -> CarryOut:
    """Execute a delivery and tell what was published; it is acked."""

    def carried(delivery: Delivery, client: Client | None = None) -> list[Message]:
        recorder = Recorder()
        make(recorder, client or Client({"deliveryList": []})).execute(delivery)
        assert Disposition.ACK is delivery.disposition
        return recorder.messages

    return carried


def headers_of(message: Message) -> dict[str, Any]:
    """Its headers."""
    return cast("dict[str, Any]", message.properties.headers)


@pytest.mark.parametrize(
    ("delivery", "exchange", "queue", "crashes", "home"),
    [
        (interrupted(READ, QUERIES, redelivered=True), LATER, QUERIES, 1, QUERIES),
        (interrupted(READ, QUERIES, redelivered=True, x_delivery_count=2), LATER, SUSPECTS, 2, QUERIES),
        (interrupted(READ, SUSPECTS, redelivered=True, sips_crashes=2, sips_queue=ORDERS), RETRY, SUSPECTS, 3, ORDERS),
        # What a publisher says of its queue counts for nothing.
        (interrupted(READ, QUERIES, redelivered=True, sips_crashes=1, sips_queue=DEAD), LATER, SUSPECTS, 2, QUERIES),
    ],
)
def test_a_suspect_goes_on_unread(
    carry_out: CarryOut, delivery: Delivery, exchange: str, queue: str, crashes: int, home: str
) -> None:
    """Not even bad JSON is noticed; its body, its count and its queue go along. It comes there when it is acked here."""
    delivery.body = b"{"

    (message,) = carry_out(delivery)

    headers = headers_of(message)
    assert (exchange, queue, b"{") == (message.exchange, message.routing_key, message.body)
    assert (crashes, home) == (headers["sips-crashes"], headers["sips-queue"])


def test_an_innocent_suspect_is_answered(carry_out: CarryOut) -> None:
    """From the queue of suspects as from its own."""
    (message,) = carry_out(interrupted(READ, SUSPECTS, sips_crashes=4, sips_queue=QUERIES))

    assert f"{READ}.succeeded" == message.routing_key


class Down(Client):
    """SIPS cannot be reached."""

    def call(self, operation_id: str, **_call: Any) -> Any:
        """As `SipsClient.call`."""
        raise ConnectFailed(operation_id, "refused")


def test_a_suspect_that_is_to_be_repeated_is_innocent_and_goes_home(carry_out: CarryOut) -> None:
    """An attempt with an end of its own clears it; the next one runs in its queue again."""
    (message,) = carry_out(interrupted(READ, SUSPECTS, sips_crashes=3, sips_queue=QUERIES), Down())

    assert (QUERIES, 0) == (message.routing_key, headers_of(message)["sips-crashes"])


def test_a_suspect_from_another_queue_than_its_handlers_goes_there(carry_out: CarryOut) -> None:
    """What the broker set aside is returned, from the queue of suspects too."""
    (message,) = carry_out(interrupted(READ, SUSPECTS, sips_crashes=2, sips_queue=UNDELIVERED))

    assert ("sips.retry", QUERIES) == (message.exchange, message.routing_key)


def test_poison_is_failed_and_a_dead_letter(carry_out: CarryOut) -> None:
    """Without a call; the dead letter says where it came from and how often it was tried."""
    client = Client()

    outcome, dead = carry_out(interrupted(READ, SUSPECTS, sips_crashes=5, sips_queue=QUERIES), client)

    headers = headers_of(dead)
    assert (f"{READ}.failed", "crash-loop", 0) == (outcome.routing_key, orjson.loads(outcome.body)["data"]["type"], client.calls)
    assert (DEAD, "crash-loop", QUERIES, 5) == (
        dead.routing_key,
        headers["sips-reason"],
        headers["sips-queue"],
        headers["sips-crashes"],
    )


@pytest.mark.parametrize("home", [QUERIES, ORDERS])
def test_poison_whose_failure_cannot_be_told_yet_stays_poison(make: Make, home: str) -> None:
    """It would kill five more processes each time; it waits longer and longer, and holds up no other suspect."""
    recorder, command_type = Recorder(), READ if home == QUERIES else ORDER
    recorder.error, recorder.refused = RefusedError("nacked"), "sips.events"

    make(recorder, Client()).execute(interrupted(command_type, SUSPECTS, sips_crashes=5, sips_queue=home, sips_put_off=9))

    (message,) = recorder.messages
    assert int(message.exchange.removeprefix("sips.delay.r1.")) >= 256
    told = {name: headers_of(message)[name] for name in ("sips-crashes", "sips-queue", "sips-put-off")}
    assert (SUSPECTS, {"sips-crashes": 5, "sips-queue": home, "sips-put-off": 10}) == (message.routing_key, told)


def test_a_poisoned_order_is_failed_where_no_send_was_recorded(carry_out: CarryOut) -> None:
    """And a dead letter; one that was sent goes on to its own end."""
    delivery = interrupted(ORDER, SUSPECTS, data={"customerCode": "DEMO001"}, sips_crashes=5, sips_queue=ORDERS)

    outcome, dead = carry_out(delivery)

    data = orjson.loads(outcome.body)
    assert (f"{ORDER}.failed", "crash-loop", "DEMO001") == (outcome.routing_key, data["data"]["type"], data["customercode"])
    assert (DEAD, "crash-loop") == (dead.routing_key, headers_of(dead)["sips-reason"])


def test_an_order_that_failed_before_it_was_written_down_is_redriven_as_its_next_run(carry_out: CarryOut, rows: Rows) -> None:
    """Under the id of the first run's `.failed`, consumers would take its `.succeeded` for a repetition and drop it."""
    poisoned = interrupted(ORDER, SUSPECTS, data=payload("PO-1"), sips_crashes=5, sips_queue=ORDERS)
    failed, dead = carry_out(poisoned)
    letter = describe_letter(dead.properties, dead.body)
    again = redrive.message(Held(letter, dead.properties, dead.body, 1), ORDERS, letter.run + 1)

    succeeded, _confirmed = carry_out(
        deliver(ORDER, payload("PO-1"), ORDERS, headers=again.properties.headers),
        Client({"message": "Order Submitted", "orderID": "35818786", "queueID": None}),
    )

    told = orjson.loads(succeeded.body)
    assert (f"{ORDER}.succeeded", 2) == (succeeded.routing_key, told["data"]["command"]["run"])
    assert orjson.loads(failed.body)["id"] != told["id"]
    (order,) = rows.ledger.search(text="c1")
    assert (2, transaction_id(rows.base_url, "shop", "c1", 2)) == (order.run, order.transaction_id)


def test_a_poisoned_order_that_somebody_is_sending_waits_for_that_end(carry_out: CarryOut, store: Store) -> None:
    """It is not set aside as well: its copy on the ladder would outlive the dead letter."""
    key = order_key(Settings(_env_file=None).base_url, "shop", "c1")
    payload = example("ordersV2Submit.request")
    Ledger(store).claim(new_order(key=key, fingerprint=fingerprint(payload)), owner="other", lease_seconds=60)

    (message,) = carry_out(interrupted(ORDER, SUSPECTS, data=payload, sips_crashes=5, sips_queue=ORDERS))

    assert (True, ORDERS) == (message.exchange.startswith("sips.delay."), message.routing_key)


def test_a_poisoned_order_in_doubt_is_left_to_its_looks(carry_out: CarryOut, store: Store) -> None:
    """Nothing is said, and nothing is set aside: its timer carries it on."""
    key = order_key(Settings(_env_file=None).base_url, "shop", "c1")
    payload, ledger = example("ordersV2Submit.request"), Ledger(store)
    new = new_order(key=key, fingerprint=fingerprint(payload), command_id="c1", command_source="shop")
    ledger.move(ledger.claim(new, owner="other", lease_seconds=60).order, Event.DOUBT)

    assert [] == carry_out(interrupted(ORDER, SUSPECTS, data=payload, sips_crashes=5, sips_queue=ORDERS))


def test_what_kills_even_while_its_publisher_is_told_is_set_aside_unread(carry_out: CarryOut) -> None:
    """The one way left to end it."""
    delivery = interrupted(READ, SUSPECTS, redelivered=True, sips_crashes=5, sips_queue=QUERIES)
    delivery.body = b"{"

    (dead,) = carry_out(delivery)

    assert (DEAD, "crash-on-read", b"{") == (dead.routing_key, headers_of(dead)["sips-reason"], dead.body)


@pytest.mark.parametrize("how", [{"redelivered": True, "x_delivery_count": 1}, {"sips_crashes": 1}])
def test_an_order_that_was_interrupted_is_looked_up_before_it_is_sent(carry_out: CarryOut, how: dict[str, Any]) -> None:
    """The broker's mark says so, or our header where the mark fell with a republish; the ledger does not know it."""
    client = Client({"orderList": [{"orderId": 1, "customerCode": "DEMO001", "PONumber": "5641-8Test"}]})

    assert [] == carry_out(interrupted(ORDER, ORDERS, data=example("ordersV2Submit.request"), **how), client)

    assert 1 == client.calls


@pytest.mark.parametrize(("command_type", "redelivered"), [(READ, True), ("sips.no.such_type", False)])
def test_that_its_time_was_up_is_not_forgotten_on_the_way(carry_out: CarryOut, command_type: str, redelivered: bool) -> None:
    """The broker's record of it is stripped when a message is published again, so ours takes its place."""
    death = [{"reason": "expired", "queue": QUERIES, "count": 1}]

    (message,) = carry_out(interrupted(command_type, UNDELIVERED, redelivered=redelivered, x_death=death))

    assert headers_of(message)["sips-expired"]
    assert "x-death" not in headers_of(message)


@pytest.fixture
def rows(store: Store) -> Rows:
    """Orders of the sandbox's SIPS."""
    return Rows(Ledger(store), Settings(_env_file=None).base_url)


def unreadable(order: Order) -> Delivery:
    """The command of an order after reading it has killed its process once too often."""
    delivery = interrupted(ORDER, SUSPECTS, redelivered=True, sips_crashes=5, sips_queue=ORDERS, sips_order=order.key)
    delivery.body = b"{"
    return delivery


def test_an_order_that_waits_for_a_command_which_kills_its_reader_ends(carry_out: CarryOut, rows: Rows) -> None:
    """It was never sent: `.failed` and a dead letter, unread. A command with the same key need not wait for ever."""
    order = rows.unsent("c1", key="k")

    outcome, dead = carry_out(unreadable(order))

    assert (f"{ORDER}.failed", "crash-on-read", "c1") == (
        outcome.routing_key,
        orjson.loads(outcome.body)["data"]["type"],
        orjson.loads(outcome.body)["causationid"],
    )
    assert (DEAD, "crash-on-read", b"{") == (dead.routing_key, headers_of(dead)["sips-reason"], dead.body)
    assert (State.GAVE_UP, None) == (rows.again(order).state, rows.again(order).po_claim)
    attributes = {"specversion": "1.0", "id": "c2", "source": "shop", "type": ORDER, "idempotencykey": "k"}
    other = deliver(ORDER, payload("PO-c1"), ORDERS, headers={f"ce-{name}": value for name, value in attributes.items()})
    (answer,) = carry_out(other)
    assert ("c2", "crash-on-read") == (orjson.loads(answer.body)["causationid"], orjson.loads(answer.body)["data"]["type"])


def test_the_key_of_an_order_that_the_ledger_has_is_not_offered_again(carry_out: CarryOut, rows: Rows) -> None:
    """A command that took the offer would be told the same, without a call."""
    order = rows.unsent("c1")

    outcome, _dead = carry_out(interrupted(ORDER, SUSPECTS, data=payload(order.po_number), sips_crashes=5, sips_queue=ORDERS))

    data = orjson.loads(outcome.body)["data"]
    assert ("crash-loop", False, State.GAVE_UP) == (data["type"], data["keyReusable"], rows.again(order).state)


def test_a_resubmitted_order_whose_command_kills_its_reader_is_a_persons_again(carry_out: CarryOut, rows: Rows) -> None:
    """Its first run was sent; the message is set aside all the same."""
    order = resubmit(rows.ledger, rows.unresolved("c1"), Signature("anna"))

    outcome, dead = carry_out(unreadable(order))

    assert (f"{ORDER}.unknown", State.UNRESOLVED) == (outcome.routing_key, rows.again(order).state)
    assert (DEAD, "crash-on-read") == (dead.routing_key, headers_of(dead)["sips-reason"])


def test_an_order_that_is_sent_while_its_command_kills_its_reader_is_looked_after(
    carry_out: CarryOut, rows: Rows, store: Store
) -> None:
    """By a timer, since no delivery will come: when the lease is over, its sender is taken for dead."""
    order = rows.sending("c1")

    (dead,) = carry_out(unreadable(order))

    assert (DEAD, "crash-on-read") == (dead.routing_key, headers_of(dead)["sips-reason"])
    assert [LOOK_TIMER] == list(Timers(store).of(order.key))


def test_the_next_delivery_of_an_order_tells_which_one_it_is(carry_out: CarryOut, rows: Rows) -> None:
    """Without being read, and also once it is redriven."""
    (message,) = carry_out(deliver(ORDER, payload("PO-1"), ORDERS), Down())

    key = headers_of(message)["sips-order"]
    assert State.UNSENT is rows.again(rows.ledger.search(text="c1")[0]).state
    assert rows.ledger.find(key) is not None
    assert key == cast("dict[str, Any]", without_history(message.properties, ORDER).headers)["sips-order"]
