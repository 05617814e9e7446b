"""The thread that keeps a connection."""

from __future__ import annotations

import os
import resource
import threading

import pytest
import structlog
from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowFailed, AMQPConnectorSocketConnectError
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker

from tests.amqp import eventually
from worker.messaging.connection import ConnectionThread, describe


def test_it_connects_as_soon_as_it_can_although_nothing_could_be_opened(amqp_url: str) -> None:
    """Out of descriptors is out of them for a while; a thread that ended would leave a worker that never consumes."""
    up = threading.Event()
    thread = ConnectionThread(amqp_url, name="test", heartbeat=2, on_up=lambda _connection: up.set(), on_down=lambda: None)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    with structlog.testing.capture_logs() as lines:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            thread.start()
            eventually(lambda: len(lines) > 0, "it failed")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

        assert up.wait(30)
        thread.stop(5)


def test_a_rabbitmq_that_is_away_is_said_once_and_with_what_to_look_at() -> None:
    """It is tried every few seconds; a line for each would fill the log."""
    pauses: list[float] = []

    def beat(name: str, allow: float = 0.0) -> None:
        assert name == "test"
        pauses.extend([allow] if allow else [])

    thread = ConnectionThread(
        "amqp://127.0.0.1:1", name="test", heartbeat=2, on_up=lambda _connection: None, on_down=lambda: None, beat=beat
    )
    with structlog.testing.capture_logs() as lines:
        thread.start()
        eventually(lambda: len(pauses) >= 3, "it tried three times")
        thread.stop(5)

    (line,) = [line for line in lines if line["event"] == "cannot connect to RabbitMQ"]
    assert "AMQP_URL" in line["check"]


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
