"""What the receiver holds at the same time is bounded: connections, bytes, calls that wait for RabbitMQ."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
from typing import TYPE_CHECKING

import pytest

from tests.amqp import eventually, purge, take_all
from tests.proxy import Proxy
from tests.webhook.calling import EVENT, PATIENCE, Receiver, head, read_answer
from tests.webhook.narrow import CONNECTIONS
from worker.messaging.topology import WEBHOOKS
from worker.webhook.receiver import MAX_HELD_BYTES, MAX_PUBLISHING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Bytes of the largest body that a setting allows.
LARGEST = 8_388_608

#: How a call begins that is told to repeat.
BEGIN_503 = b"HTTP/1.1 503 Service Unavailable\r\n"


class NarrowReceiver(Receiver):
    """A receiver with few descriptors."""

    module = "tests.webhook.narrow"


@pytest.fixture(scope="module")
def proxy(shared_url: str) -> Iterator[tuple[Proxy, str]]:
    """RabbitMQ behind a proxy, and the address of that."""
    made, url = Proxy.of(shared_url)
    with made:
        yield made, url


@pytest.fixture(scope="module")
def running(proxy: tuple[Proxy, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """One for all tests of this file, patient in everything."""
    patient = {
        "WEBHOOK_MAX_BYTES": str(LARGEST),
        "WEBHOOK_BODY_SECONDS": "60",
        "WEBHOOK_PUBLISH_SECONDS": "10",
        "AMQP_HEARTBEAT": "60",
        "WEBHOOK_HMAC_HEADER": "",
        "WEBHOOK_HMAC_SECRET": "",
    }
    with NarrowReceiver(tmp_path_factory.mktemp("webhook"), proxy[1], **patient) as started:
        yield started


@pytest.fixture
def receiver(running: Receiver, shared_url: str) -> Receiver:
    """It, ready, with nothing in RabbitMQ."""
    running.wait_until(200)
    purge(shared_url)
    return running


def heard(connections: Sequence[socket.socket], count: int) -> list[socket.socket]:
    """Those on which something came, an answer or the end, as soon as there are so many."""
    found: list[socket.socket] = []
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        while len(found) < count:
            ready = [key.fileobj for key, _events in selector.select(PATIENCE) if isinstance(key.fileobj, socket.socket)]
            assert ready, f"{len(found)} of {count} heard something"
            for connection in ready:
                selector.unregister(connection)
            found += ready
    return found


def test_a_connection_too_many_is_closed_at_once(receiver: Receiver) -> None:
    """Those before it go on, and health is answered all the same; who comes later is taken again."""
    body = json.dumps(EVENT).encode()
    with contextlib.ExitStack() as opened:
        connections = [opened.enter_context(receiver.open()) for _ in range(CONNECTIONS + 5)]

        closed = heard(connections, 5)
        assert [b""] * 5 == [_read_end(connection) for connection in closed]
        assert (200, 200) == (receiver.get("/livez").status, receiver.get("/readyz").status)
        first = next(connection for connection in connections if connection not in closed)
        first.sendall(head(len(body)) + body)
        assert first.recv(65_536).startswith(b"HTTP/1.1 200 ")

    eventually(lambda: _is_taken(receiver), "another call was taken")


def _read_end(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1)
    except ConnectionError:
        return b""


def _is_taken(receiver: Receiver) -> bool:
    try:
        return receiver.post(EVENT).status == 200
    except OSError:
        return False


def test_bodies_that_are_too_much_together_are_to_be_sent_again(receiver: Receiver) -> None:
    """One gets a 503, the others are held; when they have left there is room again."""
    with contextlib.ExitStack() as opened:
        connections = [
            opened.enter_context(receiver.open(length=LARGEST, sent=b"x" * (LARGEST - 1)))
            for _ in range(MAX_HELD_BYTES // LARGEST)
        ]
        connections.append(opened.enter_context(receiver.open(length=LARGEST, sent=b"x" * 100)))

        (refused,) = heard(connections, 1)
        answer = read_answer(refused)
        assert answer.startswith(BEGIN_503)
        assert b"retry-after: 5\r\n" in answer

    eventually(lambda: receiver.post(EVENT).status == 200, "there is room again")


def test_calls_that_wait_for_rabbitmq_are_counted(receiver: Receiver, proxy: tuple[Proxy, str], shared_url: str) -> None:
    """Beyond so many, who comes is told to repeat, and does not wait; the others are taken as soon as RabbitMQ is back."""
    bodies = [json.dumps(EVENT | {"eventId": str(number)}).encode() for number in range(MAX_PUBLISHING + 2)]
    with contextlib.ExitStack() as opened:
        with proxy[0].hanging():
            connections = [opened.enter_context(receiver.open(length=len(body), sent=body)) for body in bodies]
            refused = heard(connections, 2)
            assert [True] * 2 == [read_answer(connection).startswith(BEGIN_503) for connection in refused]
        waiting = [connection for connection in connections if connection not in refused]
        assert [True] * MAX_PUBLISHING == [connection.recv(65_536).startswith(b"HTTP/1.1 200 ") for connection in waiting]

    assert MAX_PUBLISHING == len({properties.message_id for properties, _body in take_all(shared_url, WEBHOOKS)})
