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
from worker.messaging.topology import TopologyError

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


def test_a_connection_that_is_made_meanwhile_takes_nothing_from_what_is_told(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused is said, and the new connection is asked for the right to configure anew."""
    topology = make_topology()
    keeper = TopologyKeeper(amqp_url, topology, heartbeat=2)
    asked: list[bool] = []

    def refuse(*_: object) -> None:
        asked.append(True)
        raise TopologyError("ACCESS_REFUSED, so to say", access_refused=True)

    def miss(*_: object) -> list[str]:
        keeper.invalidate()
        return ["queue of somebody"]

    monkeypatch.setattr(type(topology), "declare", refuse)
    monkeypatch.setattr(type(topology), "check", miss)
    for looks in (1, 2):
        with pytest.raises(TopologyError, match="ACCESS_REFUSED, so to say; missing: queue of somebody"):
            keeper.ensure()
        assert looks == len(asked)


def connections_to(server: socket.socket) -> int:
    """How many connections were made to the server since the last look."""
    server.setblocking(False)
    made = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            made += 1
    return made
