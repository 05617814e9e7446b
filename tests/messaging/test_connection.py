"""A connection that always comes back, and the loop that serves it."""

from __future__ import annotations

import os
import resource
import threading
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowFailed, AMQPConnectorSocketConnectError
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker

from tests.amqp import eventually
from tests.proxy import Proxy
from worker.messaging import connection as connection_module
from worker.messaging.connection import KeptConnection, describe
from worker.messaging.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Subject:
    """Connections on one loop, and how often each came and went."""

    def __init__(self, *urls: str) -> None:
        self.loop = Loop("test")
        self.ups = [0 for _ in urls]
        self.downs = [0 for _ in urls]
        self.pika: list[Any] = [None for _ in urls]
        self.on_up: Callable[[], None] = lambda: None
        self.kept = [self._kept(number, url) for number, url in enumerate(urls)]

    def _kept(self, number: int, url: str) -> KeptConnection:
        def up(connection: Any) -> None:
            self.ups[number] += 1
            self.pika[number] = connection
            self.on_up()

        def down() -> None:
            self.downs[number] += 1

        return KeptConnection(self.loop, url, name=f"test {number}", heartbeat=2, on_up=up, on_down=down)

    def stop(self) -> None:
        """Close and end all."""
        for kept in self.kept:
            kept.stop(5)
        self.loop.stop(5)
        assert not self.loop._thread.is_alive()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Subject]]:
    """Those that are to be stopped; they come back quickly."""
    monkeypatch.setattr(connection_module, "LONGEST_BACKOFF", 0.2)
    subjects: list[Subject] = []
    yield subjects
    for subject in subjects:
        subject.stop()


def start(made: list[Subject], *urls: str) -> Subject:
    """Connections on a loop that runs."""
    subject = Subject(*urls)
    made.append(subject)
    subject.loop.start()
    return subject


def test_it_connects_as_soon_as_it_can_although_nothing_could_be_opened(made: list[Subject], amqp_url: str) -> None:
    """Out of descriptors is out of them for a while; a thread that ended would leave a worker that never consumes."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    with structlog.testing.capture_logs() as lines:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            subject = start(made, amqp_url)
            eventually(lambda: len(lines) > 0, "it failed")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

        eventually(lambda: subject.ups == [1], "it is up")


def test_a_connection_that_cannot_be_made_is_tried_again(
    made: list[Subject], amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one on its loop is not held up."""
    failures = iter([OSError("no descriptor"), OSError("no descriptor")])
    parameters = connection_module.parameters

    def fail(url: str, **kwargs: Any) -> Any:
        if kwargs["name"] == "test 0" and (error := next(failures, None)):
            raise error
        return parameters(url, **kwargs)

    monkeypatch.setattr(connection_module, "parameters", fail)
    with structlog.testing.capture_logs() as lines:
        subject = start(made, amqp_url, amqp_url)
        eventually(lambda: subject.ups == [1, 1], "both are up")
    assert 2 == [line["event"] for line in lines].count("the connection could not be made")


def test_a_rabbitmq_that_is_away_is_said_once_and_with_what_to_look_at(
    made: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried every few seconds; a line for each would fill the log."""
    attempts: list[str] = []
    parameters = connection_module.parameters

    def count(url: str, **kwargs: Any) -> Any:
        attempts.append(url)
        return parameters(url, **kwargs)

    monkeypatch.setattr(connection_module, "parameters", count)
    with structlog.testing.capture_logs() as lines:
        start(made, "amqp://127.0.0.1:1")
        eventually(lambda: len(attempts) >= 4, "it tried three times")

    (line,) = [line for line in lines if line["event"] == "cannot connect to RabbitMQ"]
    assert "AMQP_URL" in line["check"]


def test_one_that_is_lost_comes_back_and_leaves_the_other_alone(made: list[Subject], amqp_url: str) -> None:
    """They share a thread and nothing else; what is asked of one that is down is dropped."""
    proxy, through = Proxy.of(amqp_url)
    with proxy:
        subject = start(made, through, amqp_url)
        eventually(lambda: subject.ups == [1, 1], "both are up")

        proxy.down()
        eventually(lambda: subject.downs == [1, 0], "the first is down")
        done: list[str] = []
        subject.kept[0].call_soon(lambda: done.append("first"))
        subject.kept[1].call_soon(lambda: done.append("second"))
        eventually(lambda: done == ["second"], "the second works")
        proxy.up()
        eventually(lambda: subject.ups == [2, 1], "the first is back")

        assert ["second"] == done
        assert [1, 0] == subject.downs


def test_a_fault_in_what_is_called_costs_the_connections_but_not_the_thread(made: list[Subject], amqp_url: str) -> None:
    """A bug of ours or of pika's; nobody can say whose connection it left in which state."""
    subject = start(made, amqp_url, amqp_url)
    eventually(lambda: subject.ups == [1, 1], "both are up")
    sockets = [connection._transport._sock for connection in subject.pika]

    def fail() -> None:
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as lines:
        subject.kept[0].call_soon(fail)
        eventually(lambda: subject.ups == [2, 2], "both are back")

    assert [1, 1] == subject.downs
    assert [-1, -1] == [sock.fileno() for sock in sockets]
    assert [True] == [line["exc_info"] for line in lines if line["event"].startswith("the connections to RabbitMQ broke")]


def test_what_was_asked_before_the_stop_is_done_before_it(made: list[Subject], amqp_url: str) -> None:
    """An ack, say; and nothing comes back afterwards."""
    subject = start(made, amqp_url)
    eventually(lambda: subject.ups == [1], "it is up")
    done = threading.Event()
    subject.kept[0].call_soon(done.set)
    subject.kept[0].stop(5)
    assert done.is_set()
    assert subject.pika[0].is_closed
    assert [1] == subject.downs


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            AMQPConnectionError(
                AMQPConnectionWorkflowFailed([OSError("first"), AMQPConnectorSocketConnectError(OSError("last"))])
            ),
            "AMQPConnectionError: AMQPConnectionWorkflowFailed: AMQPConnectorSocketConnectError: OSError: last",
        ),
        (ChannelClosedByBroker(404, "NOT_FOUND - no exchange"), "ChannelClosedByBroker 404 NOT_FOUND - no exchange"),
        (AMQPConnectionError(), "AMQPConnectionError"),
    ],
)
def test_an_error_is_described_down_to_its_cause(error: Exception, text: str) -> None:
    """Nobody else tells it: pika's own lines are not written."""
    assert text == describe(error)
