"""Keeping the topology in place."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pika.exceptions
import pytest

from worker.main import make_topology
from worker.messaging import connection
from worker.messaging.keeper import TopologyKeeper

THREADS = 5


def test_threads_that_wait_for_an_attempt_share_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A RabbitMQ that takes the connection and says nothing costs its time-out once, not once for each queue's thread."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 2.0)
    together = threading.Barrier(THREADS)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        keeper = TopologyKeeper(f"amqp://127.0.0.1:{silent.getsockname()[1]}", make_topology(), heartbeat=2)

        def ensure() -> None:
            together.wait(30)
            with pytest.raises(pika.exceptions.AMQPError):
                keeper.ensure()

        with ThreadPoolExecutor(THREADS) as threads:
            for done in [threads.submit(ensure) for _ in range(THREADS)]:
                done.result(60)

        assert 1 == connections_to(silent)
        with pytest.raises(pika.exceptions.AMQPError):
            keeper.ensure()
        assert 1 == connections_to(silent)  # whoever asks later is told anew


def connections_to(server: socket.socket) -> int:
    """How many connections were made to the server since the last look."""
    server.setblocking(False)
    made = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            made += 1
    return made
