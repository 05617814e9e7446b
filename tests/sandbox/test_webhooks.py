"""Webhooks as a receiver sees them, over real HTTP, with each fault; orders live as fast as they can."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import example
from tests.amqp import eventually
from tests.sandbox.calling import Caller, Control, order, order_under
from tests.sandbox.description import DOCUMENT, problems, unknown_properties
from tests.sandbox.receiving import Receiving
from tests.sandbox.test_routes import SUBMIT, types
from worker.sandbox import Live, Receiver, Sandbox
from worker.sandbox.faults import FAULTS, WEBHOOK, Faults
from worker.sandbox.life import STEPS, Lives
from worker.sandbox.sender import Outbox, Sender
from worker.sandbox.state import State
from worker.sandbox.webhooks import GARBAGE, WRONG_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A life within 0.3 s.
FAST = 1_000_000

#: What is told of a whole life, in the order of its changes.
TRUTH = [(event_type, status.lower()) for _, status, event_type, _ in STEPS]


@pytest.fixture
def receiving() -> Iterator[Receiving]:
    """A receiver that takes everything."""
    with Receiving() as started:
        yield started


@pytest.fixture
def sandbox(receiving: Receiving) -> Iterator[Sandbox]:
    """A sandbox that sends its webhooks there, with a header."""
    with Sandbox(seed=1, live=Live(FAST, Receiver(receiving.url, {"X-Key": "made-up"}))) as started:
        yield started


def lived(sips: Caller, control: Control, *numbers: str) -> list[dict[str, Any]]:
    """What the sandbox tells of orders under these PO numbers, once all is over."""
    for number in numbers:
        assert 200 == sips.call("POST", SUBMIT, order_under(number)).status

    def over() -> list[dict[str, Any]] | None:
        lives: list[dict[str, Any]] = control.call("GET", "lives").body["lives"]
        done = all(
            life["ended"]
            and len(TRUTH) == len({(call["event"]["eventType"], call["event"]["eventStatus"]) for call in life["webhooks"]})
            and all(call["state"] != "waiting" for call in life["webhooks"])
            for life in lives
        )
        return lives if done else None

    lives: list[dict[str, Any]] = eventually(over, "all lives are over and told")
    return lives


def told(receiving: Receiving) -> list[tuple[str, str]]:
    """The events in the order in which they came."""
    return [(event["eventType"], event["eventStatus"]) for event in map(json.loads, (call.body for call in receiving.calls))]


def test_each_change_is_told_once_and_in_order(sips: Caller, control: Control, receiving: Receiving) -> None:
    """With the properties and types that integrations know, under the header; what the control port says is what came."""
    (life,) = lived(sips, control, "A")
    assert TRUTH == told(receiving)
    assert {("/hooks/made-up", "made-up", "application/json")} == {
        (call.path, call.headers["x-key"], call.headers["content-type"]) for call in receiving.calls
    }
    schema = DOCUMENT["components"]["schemas"]["WebhookEvent"]
    events = [json.loads(call.body) for call in receiving.calls]
    for event in events:
        assert [] == problems(schema, event) == unknown_properties(schema, event)
        assert types(example("webhookEvent.inferred.request")) == types(event)
    number = life["orderId"]
    assert {("A", number, order()["transactionID"])} == {
        tuple(event[f"subscriberReferenceNum{suffix}"] for suffix in ("", "2", "3")) for event in events
    }
    assert {number, f"{int(number):010}-001"} == {event["eventId"] for event in events}
    assert events == [call["event"] for call in life["webhooks"]]
    assert [["sent", [], [200]]] * len(TRUTH) == [
        [call["state"], call["faults"], [tried["status"] for tried in call["tries"]]] for call in life["webhooks"]
    ]
    changes = [change for change in life["changes"] if change["eventType"]]
    assert [change["at"] for change in changes] == [event["eventDateTime"] for event in events]


def test_what_is_dropped_never_comes(sips: Caller, control: Control, receiving: Receiving) -> None:
    """The control port tells that it would have been sent; the other webhooks come, in order."""
    control.set_faults(webhook_drop=0.5)
    (life,) = lived(sips, control, "A")
    kept = [call["state"] == "sent" for call in life["webhooks"]]
    assert 0 < sum(kept) < len(TRUTH)
    assert [event for event, is_kept in zip(TRUTH, kept, strict=True) if is_kept] == told(receiving)
    assert {("dropped", ("webhook_drop",), 0), ("sent", (), 1)} == {
        (call["state"], tuple(call["faults"]), len(call["tries"])) for call in life["webhooks"]
    }


def test_what_is_repeated_comes_again_byte_for_byte(sips: Caller, control: Control, receiving: Receiving) -> None:
    """As often as is wanted."""
    control.set_faults(webhook_repeat={"times": 2})
    lived(sips, control, "A")
    assert {3} == set(Counter(call.body for call in receiving.calls).values())
    assert set(TRUTH) == set(told(receiving))


def test_what_is_shuffled_comes_out_of_order(sips: Caller, control: Control, receiving: Receiving) -> None:
    """And all of it."""
    control.set_faults(webhook_shuffle={"seconds": 1})
    lived(sips, control, "A")
    assert sorted(TRUTH) == sorted(told(receiving))
    assert TRUTH != told(receiving)


def test_what_is_late_comes_after_the_rest(sips: Caller, control: Control, receiving: Receiving) -> None:
    """For one customer, so many times."""
    control.set_faults(webhook_delay={"seconds": 1, "count": 1, "customers": ["DEMO001"]})
    lived(sips, control, "A")
    assert [*TRUTH[1:], TRUTH[0]] == told(receiving)


def test_faults_leave_the_webhooks_of_other_customers_alone(sips: Caller, control: Control, receiving: Receiving) -> None:
    """All of them together."""
    control.set_faults(**{name: {"customers": ["OTHER"]} for name in FAULTS if name.startswith(WEBHOOK)})
    lived(sips, control, "A")
    assert TRUTH == told(receiving)


def test_a_wrong_secret_is_in_every_header(sips: Caller, control: Control, receiving: Receiving) -> None:
    """The rest of the call is as it should be."""
    control.set_faults(webhook_secret=1)
    lived(sips, control, "A")
    assert TRUTH == told(receiving)
    assert {("/hooks/made-up", WRONG_SECRET)} == {(call.path, call.headers["x-key"]) for call in receiving.calls}


def test_without_headers_the_secret_is_the_end_of_the_path() -> None:
    """What is asked for stays."""
    wrong = Receiver("https://h:1/hooks/made-up?a=/b").with_wrong_secret()
    assert f"https://h:1/hooks/{WRONG_SECRET}?a=/b" == wrong.url


def test_garbage_is_no_json(sips: Caller, control: Control, receiving: Receiving) -> None:
    """It comes in the place of the event."""
    control.set_faults(webhook_garbage=1)
    lived(sips, control, "A")
    assert [GARBAGE] * len(TRUTH) == [call.body for call in receiving.calls]
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(GARBAGE)


def test_half_lost_and_all_doubled_and_shuffled_is_the_same_each_time(receiving: Receiving) -> None:
    """For the same orders, in whichever order they are placed; another seed loses others."""
    orders = ["A", "B", "C", "D"]

    def came(seed: int, numbers: list[str]) -> Counter[tuple[str, ...]]:
        receiving.calls.clear()
        with Sandbox(seed=seed, live=Live(FAST, Receiver(receiving.url))) as sandbox, Caller.of(sandbox) as sips:
            control = Control(sandbox.control_url)
            control.set_faults(webhook_drop=0.5, webhook_repeat=1, webhook_shuffle={"seconds": 0.2})
            lived(sips, control, *numbers)
        names = ("subscriberReferenceNum", "eventType", "eventStatus")
        return Counter(tuple(json.loads(call.body)[name] for name in names) for call in receiving.calls)

    first = came(7, orders)
    assert {2} == set(first.values())
    assert 9 <= len(first) <= 27
    deliveries = Counter(number for number, event_type, _ in first if event_type == "DU")
    assert any(0 < left < 4 for left in deliveries.values()), "each change has a chance of its own"
    assert first == came(7, orders[::-1])
    assert first != came(8, orders)


def test_what_is_refused_is_tried_again() -> None:
    """The same call, until it is taken."""
    with (
        Receiving([503, 302]) as receiving,
        Sandbox(seed=1, live=Live(FAST, Receiver(receiving.url))) as sandbox,
        Caller.of(sandbox) as sips,
    ):
        (life,) = lived(sips, Control(sandbox.control_url), "A")
        assert sorted([*TRUTH, *TRUTH[:2]]) == sorted(told(receiving))
    tries = [[tried["status"] for tried in call["tries"]] for call in life["webhooks"]]
    assert [[503, 200], [302, 200], *[[200]] * (len(TRUTH) - 2)] == tries


def test_why_a_receiver_got_nothing_is_told() -> None:
    """With each try."""
    with Receiving() as gone:
        url = gone.url
    with Sandbox(seed=1, live=Live(FAST, Receiver(url))) as sandbox, Caller.of(sandbox) as sips:
        sips.call("POST", SUBMIT, order())
        control = Control(sandbox.control_url)
        (tried, *_) = eventually(
            lambda: [
                tried
                for life in control.call("GET", "lives").body["lives"]
                for call in life["webhooks"]
                for tried in call["tries"]
            ],
            "it was tried",
        )
    assert tried["error"].startswith("ConnectionRefusedError: ")


def test_what_is_never_taken_is_given_up() -> None:
    """After so many tries."""
    faults, state = Faults([], seed=1), State(Lives(FAST, 1))
    placed = state.add_order(order(), queued=False, dropped=False, listed_after=0)
    with Receiving(itertools.repeat(500)) as receiving:
        sender = Sender(Receiver(receiving.url), faults, state.now, pauses=(0, 0))
        sender.follow(placed)
        eventually(
            lambda: [call.state for call in sender.sent(placed.order_id)] == ["given up"] * len(TRUTH), "everything was given up"
        )
        sender.stop()
    assert {3} == set(Counter(told(receiving)).values())


def test_the_stop_cuts_a_call_that_is_under_way() -> None:
    """A receiver that never answers holds nothing up, what is due as well is not sent, and no thread is left."""
    before, came, over = set(threading.enumerate()), threading.Event(), threading.Event()

    def statuses() -> Iterator[int]:
        came.set()
        over.wait(30)
        yield 200

    with Receiving(statuses()) as receiving:
        with Sandbox(live=Live(FAST, Receiver(receiving.url))) as sandbox, Caller.of(sandbox) as sips:
            Control(sandbox.control_url).set_faults(webhook_burst={"events": len(TRUTH)})
            sips.call("POST", SUBMIT, order())
            assert came.wait(30)
            sender = sandbox._sender
            assert sender is not None
        assert sender._thread is not None
        assert not sender._thread.is_alive()
        assert 1 == len(receiving.calls)
        over.set()
    eventually(lambda: set(threading.enumerate()) <= before, "the threads have ended")


# Bursts, by a clock that is set.


def outbox(**faults: Any) -> tuple[Outbox, Any]:
    """What tells of one order, and the order."""
    made = Faults([], seed=1)
    made.replace(faults)
    placed = State(Lives(1, 1)).add_order(order(), queued=False, dropped=False, listed_after=0)
    box = Outbox(Receiver("http://127.0.0.1:1/"), made)
    box.follow(placed)
    return box, placed.life


def test_a_burst_waits_until_there_are_enough() -> None:
    """Then all come at once."""
    box, life = outbox(webhook_burst={"events": 3, "seconds": 86_400})
    moments = [change.at for change in life.changes[1:]]
    assert [0, 0, 3, 0, 0, 3, 0, 0, 3] == [len(box.take(at)) for at in moments]
    assert box.due_at() is None


def test_a_burst_waits_for_no_longer_than_it_may() -> None:
    """From the first of it on."""
    box, life = outbox(webhook_burst={"events": 1_000, "seconds": 10})
    first = life.changes[1].at
    assert [] == box.take(first)
    assert first + 10 == box.due_at()
    assert ([], 1) == (box.take(first + 9.9), len(box.take(first + 10)))
    assert life.changes[2].at == box.due_at()


def test_faults_are_met_when_the_change_happens() -> None:
    """Not when the order is placed: they may be replaced meanwhile."""
    box, life = outbox()
    box._faults.replace({"webhook_drop": 1})
    assert ([], len(TRUTH)) == (box.take(life.changes[-1].at), len(next(iter(box.sent.values()))))


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("ftp://h/", {}),
        ("h:80/x", {}),
        ("http://", {}),
        ("http://h:x/", {}),
        ("http://h/a b", {}),
        ("http://h/ä", {}),
        ("http://h/", {"a b": "c"}),
        ("http://h/", {"a": "b\n"}),
    ],
)
def test_what_cannot_be_called_is_refused(url: str, headers: dict[str, str]) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=r"receiver is http|header is a name|Port could not"):
        Receiver(url, headers)
