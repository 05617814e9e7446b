"""What becomes of ticks that are late, come twice, or kill the process; publisher and SIPS are stand-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog.testing

from tests.orders import VOICE, Rows
from tests.runtime.standins import Client, Recorder, deliver
from worker.messaging import redrive
from worker.messaging.dead_letters import Held, describe_letter
from worker.messaging.delivery import Disposition
from worker.messaging.publisher import RefusedError
from worker.messaging.topology import DEAD, SUSPECTS, WATCHES
from worker.runtime.looks import LOOK_TIMER, QUEUED_TIMER
from worker.runtime.ticks import CLAIM_SECONDS, TICK
from worker.settings import Settings
from worker.store.ledger import PUBLISH, Ledger
from worker.store.timers import Timer, Timers
from worker.store.transitions import Event, State

if TYPE_CHECKING:
    from tests.runtime.standins import Make
    from worker.messaging.delivery import Delivery
    from worker.messaging.publisher import Message
    from worker.store.engine import Store
    from worker.store.orders import Order


@pytest.fixture
def rows(store: Store) -> Rows:
    """Orders of the sandbox's SIPS."""
    return Rows(Ledger(store), Settings(_env_file=None).base_url)


@pytest.fixture
def timers(store: Store) -> Timers:
    """Of the same store."""
    return Timers(store)


@pytest.fixture
def client() -> Client:
    """A SIPS that lists nothing."""
    return Client({"orderList": []})


def due(timers: Timers, kind: str, order: Order) -> Timer:
    """A timer of the order that was claimed."""
    timers.start(kind, order.key, 0.0)
    (timer,) = (timer for timer in timers.claim(10, lease_seconds=CLAIM_SECONDS) if timer.kind == kind)
    return timer


def tick(timer: Timer, queue: str = WATCHES, *, redelivered: bool = False, **headers: Any) -> Delivery:
    """Its tick, with these headers (`_` stands for `-`)."""
    body = {"kind": timer.kind, "ref": timer.ref, "claims": timer.claims}
    delivery = deliver(TICK, body, queue, redelivered=redelivered)
    delivery.properties.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return delivery


def poison(timer: Timer, **how: Any) -> Delivery:
    """Its tick after five deaths."""
    return tick(timer, SUSPECTS, sips_crashes=5, sips_queue=WATCHES, **how)


def carry_out(make: Make, delivery: Delivery, client: Client) -> list[Message]:
    """What was published."""
    recorder = Recorder()
    make(recorder, client).execute(delivery)
    assert Disposition.ACK is delivery.disposition
    return recorder.messages


def test_a_tick_that_came_to_no_end_is_suspected(rows: Rows, timers: Timers, make: Make, client: Client) -> None:
    """First it is let run again, then it goes to run alone, like a command; nothing is looked at meanwhile."""
    timer = due(timers, LOOK_TIMER, rows.in_doubt("c1"))

    (again,) = carry_out(make, tick(timer, redelivered=True), client)
    (alone,) = carry_out(make, tick(timer, redelivered=True, sips_crashes=1), client)

    assert [(WATCHES, 1), (SUSPECTS, 2)] == [
        (message.routing_key, (message.properties.headers or {})["sips-crashes"]) for message in (again, alone)
    ]
    assert WATCHES == (alone.properties.headers or {})["sips-queue"]
    assert (TICK, 0) == (alone.properties.type, client.calls)


def test_a_tick_among_the_suspects_is_carried_out(rows: Rows, timers: Timers, make: Make, client: Client) -> None:
    """As from its own queue."""
    order = rows.in_doubt("c1")

    assert [] == carry_out(make, tick(due(timers, LOOK_TIMER, order), SUSPECTS, sips_crashes=4, sips_queue=WATCHES), client)

    assert (1, 1) == (client.calls, rows.again(order).looks)


@pytest.mark.parametrize(
    ("state", "kind", "says"),
    [("in_doubt", LOOK_TIMER, "sips.order.submit.unknown"), ("queued", QUEUED_TIMER, "sips.order.unresolved")],
)
def test_a_look_that_kills_each_time_leaves_its_order_to_a_person(
    rows: Rows, timers: Timers, make: Make, client: Client, state: str, kind: str, says: str
) -> None:
    """It is looked for no more; the tick is a dead letter, and a line in the log says what to do."""
    order = getattr(rows, state)("c1")
    rows.ledger.mark_published([event.id for event in rows.ledger.events(order.key)])
    timer = due(timers, kind, order)

    with structlog.testing.capture_logs() as lines:
        said, dead = carry_out(make, poison(timer), client)

    order = rows.again(order)
    assert (State.UNRESOLVED, [PUBLISH], 0) == (order.state, list(timers.of(order.key)), client.calls)
    assert (says, True) == (said.routing_key, "crash-loop" in orjson.loads(said.body)["data"]["lastError"])
    assert (DEAD, "crash-loop") == (dead.routing_key, (dead.properties.headers or {})["sips-reason"])
    (line,) = (line for line in lines if line["log_level"] == "error")
    assert ("c1", kind, "dead redrive --type sips.tick" in line["next"]) == (line["command"], line["timer"], True)


def test_other_ticks_of_a_timer_that_was_stopped_do_nothing(rows: Rows, timers: Timers, make: Make, client: Client) -> None:
    """While one was let run again and again, others were made for the same timer: they would kill as well."""
    order = rows.in_doubt("c1")
    first = due(timers, LOOK_TIMER, order)
    second = due(timers, LOOK_TIMER, order)
    carry_out(make, poison(first), client)

    assert [] == carry_out(make, tick(second), client)

    assert 0 == client.calls


def test_a_tick_that_a_newer_one_overtook_is_still_carried_out(rows: Rows, timers: Timers, make: Make, client: Client) -> None:
    """Where ticks wait for longer than their claim, each has a newer one behind it, and none would ever be."""
    order = rows.in_doubt("c1")
    first = due(timers, LOOK_TIMER, order)
    due(timers, LOOK_TIMER, order)

    carry_out(make, tick(first), client)

    assert 1 == client.calls


def test_a_tick_whose_timer_was_put_off_does_nothing(rows: Rows, timers: Timers, make: Make, client: Client) -> None:
    """Another one did its work."""
    order = rows.in_doubt("c1")
    timer = due(timers, LOOK_TIMER, order)
    timers.again(timer, CLAIM_SECONDS * 2)

    carry_out(make, tick(timer), client)

    assert 0 == client.calls


def test_what_kills_when_it_is_published_is_not_published_again_until_a_person_says_so(
    rows: Rows, timers: Timers, make: Make, client: Client
) -> None:
    """The order's last error tells of it; the dead letter, redriven, publishes it."""
    order = rows.sending("c1")
    moved = rows.ledger.move(order, Event.CONFIRM, say=lambda row: [VOICE.confirmed(row)], order_id="7")
    assert moved is not None
    timer = due(timers, PUBLISH, order)

    (dead,) = carry_out(make, poison(timer), client)

    assert (DEAD, {}) == (dead.routing_key, timers.of(order.key))
    assert (State.CONFIRMED, True) == (rows.again(order).state, "crash-loop" in (rows.again(order).last_error or ""))
    assert [] == carry_out(make, tick(timer), client)
    letter = describe_letter(dead.properties, dead.body, redelivered=False)
    again = redrive.message(Held(letter, dead.properties, dead.body, 1), redrive.target(letter, {}) or "", letter.run + 1)
    assert (TICK, WATCHES) == (letter.type, again.routing_key)
    (said,) = carry_out(make, tick(timer, **(again.properties.headers or {})), client)
    assert moved.said[0].id == orjson.loads(said.body)["id"]


def test_a_tick_that_kills_even_then_is_set_aside_with_its_timer_stopped(
    rows: Rows, timers: Timers, make: Make, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the sight of its order is what kills: nothing brings it back."""
    order = rows.in_doubt("c1")
    timer = due(timers, LOOK_TIMER, order)
    delivery = poison(timer)
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "find", None)
        make(Recorder(), client).execute(delivery)
    assert (None, {}) == (delivery.disposition, timers.of(order.key))

    (dead,) = carry_out(make, poison(timer, redelivered=True), client)

    assert (DEAD, "crash-on-read") == (dead.routing_key, (dead.properties.headers or {})["sips-reason"])


def test_a_look_that_a_person_runs_again_goes_on(rows: Rows, timers: Timers, make: Make, client: Client) -> None:
    """Its timer was stopped; without another one the order would be in doubt for ever."""
    order = rows.in_doubt("c1")
    timer = due(timers, LOOK_TIMER, order)
    timers.stop(timer)

    carry_out(make, tick(timer, sips_run=2), client)

    assert (1, [LOOK_TIMER]) == (client.calls, list(timers.of(order.key)))


def test_a_tick_that_is_poison_is_kept_until_rabbitmq_takes_its_dead_letter(
    rows: Rows, timers: Timers, make: Make, client: Client
) -> None:
    """Other ticks need not be: their timers make new ones."""
    order, second = rows.in_doubt("c1"), rows.confirmed("c2", "7")
    rows.ledger.say(second.key, [VOICE.overdue(second)])
    timer = due(timers, LOOK_TIMER, order)
    recorder, first, other = Recorder(), poison(timer), tick(due(timers, PUBLISH, second))
    recorder.error = RefusedError("nacked")
    for delivery in (first, other):
        make(recorder, client).execute(delivery)
    assert [None, Disposition.ACK] == [delivery.disposition for delivery in (first, other)]

    (dead,) = carry_out(make, poison(timer), client)

    assert (DEAD, State.UNRESOLVED) == (dead.routing_key, rows.again(order).state)
