"""Reads that end with the confirm of their outcome; the publisher is a stand-in that confirms when it is told to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.runtime.standins import Client, Make, Recorder, deliver
from worker.messaging.delivery import Disposition
from worker.messaging.publisher import PublishTimeoutError, RefusedError, UnroutableError
from worker.runtime import endings as endings_module
from worker.runtime import pipeline as pipeline_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.messaging.delivery import Delivery
    from worker.messaging.publisher import Message, PublishError
    from worker.runtime.pipeline import Pipeline

READ = "sips.delivery.get"


class Slow(Recorder):
    """Takes what is handed over, and confirms it later."""

    def __init__(self) -> None:
        super().__init__()
        self.handed_over: list[Message] = []
        self.replies: list[Message] = []

    def hand_over(self, message: Message, then: Callable[[PublishError | None], None], *, timeout: float) -> None:
        """As `Publisher.hand_over`."""
        assert timeout > 0
        self.handed_over.append(message)
        self.then = then

    def send(self, message: Message) -> None:
        """As `Publisher.send`."""
        self.replies.append(message)


@pytest.fixture
def recorder() -> Slow:
    """What a pipeline publishes to."""
    return Slow()


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Of a process that goes on."""
    monkeypatch.setattr(pipeline_module, "GIVE_BACK_SECONDS", 0.0)
    return threading.Event()


@pytest.fixture
def pipeline(make: Make, recorder: Slow, stopping: threading.Event) -> Pipeline:
    """Of a process that goes on, over a SIPS that answers."""
    return make(recorder, Client({"deliveryList": []}), stopping=stopping)


def read(**properties: Any) -> Delivery:
    """A read."""
    delivery = deliver(READ, {"orderId": "1"}, properties.pop("queue", "sips.queries"))
    for name, value in properties.items():
        setattr(delivery.properties, name, value)
    return delivery


def test_it_ends_with_the_confirm(pipeline: Pipeline, recorder: Slow) -> None:
    """Before that nothing is acked, logged or replied, whatever dramatiq thinks of it."""
    delivery = read(reply_to="shop.replies")
    with capture_logs() as lines:
        pipeline.execute(delivery)

        assert (True, None, False) == (delivery.deferred, delivery.disposition, delivery.settled)
        assert ([], [], [f"{READ}.succeeded"]) == (lines, recorder.replies, [each.routing_key for each in recorder.handed_over])

        recorder.then(None)

    assert (Disposition.ACK, True, []) == (delivery.disposition, delivery.settled, recorder.messages)
    assert ["shop.replies"] == [reply.routing_key for reply in recorder.replies]
    assert [("attempt", "succeeded", True, None)] == [
        (line["event"], line["outcome"], line["final"], line["error"]) for line in lines
    ]


def test_a_confirm_that_comes_before_the_thread_is_back_is_one_end(make: Make, stopping: threading.Event) -> None:
    """The two threads race for it."""
    delivery = read()
    with capture_logs() as lines:
        make(Recorder(), Client({"deliveryList": []}), stopping=stopping).execute(delivery)

    assert (Disposition.ACK, True, 1) == (delivery.disposition, delivery.settled, len(lines))


def test_what_was_not_confirmed_in_time_goes_back(pipeline: Pipeline, recorder: Slow) -> None:
    """As where a thread has waited for it."""
    delivery = read()
    with capture_logs() as lines:
        pipeline.execute(delivery)
        recorder.then(PublishTimeoutError("no confirm"))

    assert (None, True, []) == (delivery.disposition, delivery.settled, recorder.messages)
    assert [("requeued", False, "no confirm")] == [(line["outcome"], line["final"], line["error"]) for line in lines]


def test_what_has_no_way_is_published_again_by_a_thread_that_repairs_it(pipeline: Pipeline, recorder: Slow) -> None:
    """The thread of the connections must not declare anything."""
    delivery = read()
    with capture_logs() as lines:
        pipeline.execute(delivery)
        recorder.then(UnroutableError("no queue"))

    assert recorder.handed_over == recorder.messages
    assert (Disposition.ACK, True) == (delivery.disposition, delivery.settled)
    assert ["succeeded"] == [line["outcome"] for line in lines]


def test_what_rabbitmq_refuses_waits_on_the_ladder(pipeline: Pipeline, recorder: Slow) -> None:
    """At once it would end the same."""
    delivery = read()
    with capture_logs() as lines:
        pipeline.execute(delivery)
        recorder.then(RefusedError("nacked"))

    (message,) = recorder.messages
    assert message.exchange.startswith("sips.delay.")
    assert (Disposition.ACK, True) == (delivery.disposition, delivery.settled)
    assert ["put-off"] == [line["outcome"] for line in lines if line["event"] == "attempt"]


def test_what_a_stopping_process_was_not_confirmed_goes_back_at_once(
    pipeline: Pipeline, recorder: Slow, stopping: threading.Event
) -> None:
    """No thread is left to go on."""
    delivery = read()
    with capture_logs() as lines:
        pipeline.execute(delivery)
        stopping.set()
        recorder.then(UnroutableError("no queue"))

    assert (Disposition.REQUEUE, True, []) == (delivery.disposition, delivery.settled, recorder.messages)
    assert [("requeued", False, "no queue")] == [(line["outcome"], line["final"], line["error"]) for line in lines]


def test_what_was_to_be_resumed_when_the_process_stops_goes_back(
    pipeline: Pipeline, recorder: Slow, stopping: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no time to repair anything; another process carries it out."""
    delivery = read()
    resumed: list[Delivery] = []
    monkeypatch.setattr(delivery._subscription, "run_again", resumed.append)
    with capture_logs() as lines:
        pipeline.execute(delivery)
        recorder.then(UnroutableError("no queue"))
        stopping.set()
        assert delivery.finish()

    assert ([delivery], Disposition.REQUEUE, True, []) == (resumed, delivery.disposition, delivery.settled, recorder.messages)
    assert ["requeued"] == [line["outcome"] for line in lines]


def test_what_breaks_at_the_confirm_goes_back(pipeline: Pipeline, recorder: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections wait for that thread: it must go on, and the delivery must not stay for ever."""
    delivery = read(reply_to="shop.replies")
    monkeypatch.setattr(recorder, "send", lambda _message: 1 / 0)
    with capture_logs() as lines:
        pipeline.execute(delivery)
        recorder.then(None)

    assert (None, True) == (delivery.disposition, delivery.settled)
    assert ["an attempt broke at its end; its command goes back to the queue"] == [line["event"] for line in lines]


def test_what_breaks_in_the_rest_goes_back(pipeline: Pipeline, recorder: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a thread has waited: dramatiq tells of it."""
    delivery = read()
    monkeypatch.setattr(endings_module.Endings, "try_again", lambda *_arguments: 1 / 0)
    monkeypatch.setattr(delivery._subscription, "run_again", lambda _delivery: None)
    pipeline.execute(delivery)
    recorder.then(RefusedError("nacked"))
    with pytest.raises(ZeroDivisionError):
        delivery.finish()

    assert (None, True) == (delivery.disposition, delivery.settled)


def test_a_suspect_waits(pipeline: Pipeline, recorder: Slow) -> None:
    """Its process takes the next one only then, and never runs two."""
    delivery = read(queue="sips.suspects", headers={"sips-queue": "sips.queries"})

    pipeline.execute(delivery)

    assert ([], [f"{READ}.succeeded"]) == (recorder.handed_over, [each.routing_key for each in recorder.messages])
    assert (False, Disposition.ACK) == (delivery.deferred, delivery.disposition)


def test_a_read_waits_while_its_lines_do(pipeline: Pipeline, recorder: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read them slows the worker down, and does not fill its memory."""
    monkeypatch.setattr(type(pipeline.lines), "is_behind", True)
    delivery = read()

    pipeline.execute(delivery)

    assert ([], 1, Disposition.ACK) == (recorder.handed_over, len(recorder.messages), delivery.disposition)


def test_a_result_that_is_too_large_to_be_told_fails_at_once(make: Make, recorder: Slow, stopping: threading.Event) -> None:
    """It is another outcome, and waits for its confirm."""
    delivery = read()
    body = {"deliveryList": [], "more": "x" * 70_000}

    make(recorder, Client(body), stopping=stopping, max_event_bytes=65_536).execute(delivery)

    assert ([], [f"{READ}.failed"]) == (recorder.handed_over, [each.routing_key for each in recorder.messages])
    assert (False, Disposition.ACK) == (delivery.deferred, delivery.disposition)
