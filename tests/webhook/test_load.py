"""The receiver under load while everything around it goes wrong: what it answered 200 is in RabbitMQ."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import resource
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

import pytest
from sqlalchemy import select

from tests.acceptance.conftest import settings_of
from tests.amqp import count, eventually, forget_the_store, purge, take_all
from tests.proxy import Proxy
from tests.webhook.calling import EVENT, PATH_SECRET, PATIENCE, Receiver, signed
from worker.client import CommandClient
from worker.local.stack import Sandbox, Worker
from worker.messaging.topology import WEBHOOKS
from worker.sandbox.state import EXAMPLE_ORDER_ID
from worker.settings import WEBHOOK_FIELDS
from worker.store.engine import Store
from worker.store.schema import hints
from worker.webhook.events import read

if TYPE_CHECKING:
    from pathlib import Path

    from worker.local.rabbitmq import RabbitMQNode

#: The proof's size: calls a second, for so many seconds, and connections that say nothing meanwhile.
RATE, SECONDS, IDLE = 500, 60.0, 2_000

#: Its size in `make test`, for as long as it takes.
SMALL_RATE, SMALL_IDLE = 100, 100

#: Senders that keep their connection.
SENDERS = 25

#: Bytes of the largest body that comes.
HUGE = 104_857_600


class Senders:
    """Send events at an even rate in all, each with an id of its own, for the time of a block."""

    def __init__(self, receiver: Receiver, rate: float) -> None:
        self.accepted: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self._receiver = receiver
        self._pause = SENDERS / rate
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def until_taken(self, count: int) -> None:
        """Until so many more events were accepted."""
        wanted = self.statuses[200] + count
        eventually(lambda: self.statuses[200] >= wanted, "events were accepted")

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._receiver.port, timeout=PATIENCE)
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += self._pause
            name = str(next(self._numbers))
            started = time.monotonic()
            try:
                status = _post(connection, name)
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0  # the connection's time was up, as it may be at any moment; a sender repeats
            with self._lock:
                self.statuses[status] += 1
                self.slowest = max(self.slowest, time.monotonic() - started)
                if status == 200:
                    self.accepted.add(name)
        connection.close()


def _post(connection: http.client.HTTPConnection, name: str) -> int:
    body = content(name)
    headers = {key: str(value) for key, value in signed(body).items()}
    connection.request("POST", f"/webhooks/sips/{PATH_SECRET}", body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def content(name: str) -> bytes:
    """The body of one call: an event of an order that the sandbox has."""
    return json.dumps(EVENT | {"eventId": name, "subscriberReferenceNum2": EXAMPLE_ORDER_ID}).encode()


def misuse(receiver: Receiver, opened: contextlib.ExitStack, *, idle: int) -> None:
    """Say nothing, send half a body, a huge one, a wrong secret; what is not closed stays open for the stack's block."""
    for _ in range(idle):
        opened.enter_context(receiver.open())
    for _ in range(20):
        opened.enter_context(receiver.open(length=1_000, sent=b"{"))
    assert 404 == receiver.call(b"{}", path="/webhooks/sips/wrong").status
    with contextlib.suppress(ConnectionError):  # closed before all of it was sent
        assert 413 == receiver.call(b"x" * HUGE).status


def assert_published(senders: Senders, url: str) -> None:
    """Every accepted event is in the queue, and nobody heard anything but 200 or that he is to repeat."""
    published = {json.loads(body)["data"]["fields"]["id"] for _properties, body in take_all(url, WEBHOOKS)}
    print(f"\nanswers {dict(senders.statuses)}, slowest {senders.slowest:.2f} s, published {len(published)}")  # noqa: T201
    assert set() == senders.accepted - published
    assert {200, 503, 0} >= set(senders.statuses)


def test_what_is_accepted_while_rabbitmq_hangs_and_goes_is_in_rabbitmq(shared_url: str, tmp_path: Path) -> None:
    """With calls under way, and others who misuse the receiver."""
    proxy, url = Proxy.of(shared_url)
    with proxy, Receiver(tmp_path, url) as receiver:
        receiver.wait_until(200)
        purge(shared_url)
        with contextlib.ExitStack() as opened, Senders(receiver, SMALL_RATE) as senders:
            misuse(receiver, opened, idle=SMALL_IDLE)
            senders.until_taken(50)
            with proxy.hanging():
                eventually(lambda: senders.statuses[503] >= SENDERS, "calls are refused")
            senders.until_taken(50)

    assert_published(senders, shared_url)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_what_is_accepted_under_load_is_looked_up(node: RabbitMQNode, private_url: str, sqlite_url: str, tmp_path: Path) -> None:
    """500 calls a second for a minute, RabbitMQ restarted meanwhile, thousands of idle connections and other misuse."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Receiver(tmp_path, private_url) as receiver:
        receiver.wait_until(200)
        end = time.monotonic() + SECONDS
        with contextlib.ExitStack() as opened, Senders(receiver, RATE) as senders:
            misuse(receiver, opened, idle=IDLE)
            node.restart()
            senders.until_taken(RATE)
            time.sleep(max(0.0, end - time.monotonic()))
        receiver.wait_until(200)

    assert 0 == receiver.process.returncode
    waiting, started = count(private_url, WEBHOOKS), time.monotonic()
    forget_the_store(private_url)
    with (
        Sandbox(tmp_path) as sandbox,
        Worker("worker", tmp_path, settings_of(private_url, sandbox, sqlite_url)),
        CommandClient(private_url, source="tests") as client,
    ):
        client.publish("sips.order.track", {"orderId": EXAMPLE_ORDER_ID, "watch": True})
        eventually(lambda: count(private_url, WEBHOOKS) == 0, "no webhook waits", patience=400)
        accepted = {read(content(name), WEBHOOK_FIELDS)[0].id for name in senders.accepted}
        eventually(lambda: accepted <= looked_up(sqlite_url), "all that were accepted were looked up", patience=100)
    figures = {"proof": "webhooks", "answers": dict(senders.statuses), "slowest_seconds": round(senders.slowest, 2)}
    figures |= {"waiting": waiting, "accepted": len(accepted), "looked_up_in_seconds": round(time.monotonic() - started)}
    print(json.dumps(figures))  # noqa: T201 - the figures of the proof
    assert {200, 503, 0} >= set(senders.statuses)


def looked_up(database_url: str) -> set[str]:
    """The ids of hints that workers are done with."""
    with contextlib.closing(Store(database_url)) as store, store.read() as connection:
        return set(connection.execute(select(hints.c.id).where(hints.c.handled_at.is_not(None))).scalars())
