"""Suspects run one at a time and at once, so that RabbitMQ's mark on them means a crash; against the real RabbitMQ."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.amqp import PATIENCE, channel, count, eventually, publish, take_all
from tests.messaging.test_broker import THREADS, Harness, running, send
from worker.messaging.consumer import _identity
from worker.messaging.topology import QUERIES, RETRY, SUSPECTS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def harness(amqp_url: str) -> Iterator[Harness]:
    """A broker whose deliveries finish when the test lets them."""
    yield from running(amqp_url)


def suspect(url: str, body: bytes, **properties: Any) -> None:
    """A message straight to the queue of suspects."""
    publish(url, RETRY, SUSPECTS, body, **properties)


def test_a_suspect_starts_while_every_thread_is_busy(harness: Harness, amqp_url: str) -> None:
    """It does not wait in the process: a crash of what runs there would be put down to it."""
    for number in range(THREADS):
        send(amqp_url, b"%d" % number)
    for _ in range(THREADS):
        harness.next()

    suspect(amqp_url, b"suspect")

    assert b"suspect" == harness.next().body


def test_suspects_run_one_after_the_other(harness: Harness, amqp_url: str) -> None:
    """The next one stays in RabbitMQ, unmarked, until the first has come to its end."""
    for body in (b"one", b"two", b"three"):
        suspect(amqp_url, body)
    assert b"one" == harness.next().body
    assert 2 == count(amqp_url, SUSPECTS)

    harness.let(3)

    others = [harness.next(), harness.next()]
    assert [(b"two", False), (b"three", False)] == [(delivery.body, delivery.redelivered) for delivery in others]
    harness.stop()
    assert 0 == count(amqp_url, SUSPECTS)


def test_a_gate_that_flaps_marks_no_suspect(harness: Harness, amqp_url: str) -> None:
    """While one runs nothing is fetched, whatever the gate does, so that nothing is given back."""
    for body in (b"one", b"two", b"three"):
        suspect(amqp_url, body)
    first = harness.next()

    gate = harness.broker.gates[SUSPECTS]
    for _ in range(5):
        gate.close("test")
        eventually(lambda: first.channel.consumer_tags == [], "the consumer is cancelled")
        gate.open("test")
        let_the_connection_work(harness)
        assert 2 == count(amqp_url, SUSPECTS)
    harness.let(3)

    others = [harness.next(), harness.next()]
    assert [(b"two", False), (b"three", False)] == [(delivery.body, delivery.redelivered) for delivery in others]


def let_the_connection_work(harness: Harness) -> None:
    """Return when the connection's thread has done what it was asked for so far."""
    done = threading.Event()
    harness.broker._connection.call_soon(done.set)
    assert done.wait(PATIENCE)


def test_a_suspect_without_an_end_is_put_back_unmarked_while_the_process_lives(harness: Harness, amqp_url: str) -> None:
    """A confirm that did not come is no crash."""
    harness.disposition = None
    suspect(amqp_url, b"one", headers={"sips-crashes": 2, "sips-queue": QUERIES})
    harness.next()
    harness.let(1)

    again = harness.next()

    headers = again.properties.headers or {}
    assert (b"one", False, 2, QUERIES) == (again.body, again.redelivered, headers["sips-crashes"], headers["sips-queue"])


def test_a_suspect_that_was_put_back_is_not_taken_for_the_one_that_was_acked(harness: Harness, amqp_url: str) -> None:
    """An ack that may be lost is made up for after a reconnect: on the copy it would be the end of the command."""
    harness.disposition = None
    suspect(amqp_url, b"one", headers={"sips-routing-key": "sips.delivery.get"})
    first = harness.next()
    harness.let(1)

    again = harness.next()

    assert _identity(first.body, first.properties) != _identity(again.body, again.properties)


def test_a_suspect_that_runs_when_the_process_dies_is_marked(amqp_url: str) -> None:
    """This mark is what is counted; here another consumer dies with it."""
    suspect(amqp_url, b"one")
    with channel(amqp_url) as opened:
        assert opened.basic_get(SUSPECTS)[0]

    harness = Harness(amqp_url).start()
    try:
        assert harness.next().redelivered
    finally:
        harness.stop()


def test_closing_lets_the_suspect_that_runs_end_and_takes_no_other(harness: Harness, amqp_url: str) -> None:
    """Else every shutdown would count against it."""
    suspect(amqp_url, b"one")
    suspect(amqp_url, b"two")
    harness.next()
    harness.broker.stop_consuming()
    closing = threading.Thread(target=harness.broker.close)
    closing.start()
    eventually(harness.broker._suspects._stopping.is_set, "it is waited for")

    harness.let(1)
    closing.join(PATIENCE)

    eventually(lambda: count(amqp_url, SUSPECTS), "what did not run is there")
    assert [b"two"] == [body for _properties, body in take_all(amqp_url, SUSPECTS)]
