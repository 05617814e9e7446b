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
from typing import TYPE_CHECKING

import pytest

from tests.amqp import eventually, take_all
from tests.webhook.calling import EVENT, PATH_SECRET, PATIENCE, Receiver, signed
from worker.messaging.topology import WEBHOOKS

if TYPE_CHECKING:
    from pathlib import Path

    from worker.local.rabbitmq import RabbitMQNode

#: Calls a second, for so many seconds, by so many senders that keep their connection.
RATE, SECONDS, SENDERS = 500, 60.0, 25

#: Connections that say nothing meanwhile.
IDLE = 2_000


class Senders:
    """Sends events at an even rate, each with an id of its own."""

    def __init__(self, receiver: Receiver) -> None:
        self.accepted: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self._receiver = receiver
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._end = 0.0
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]

    def start(self) -> None:
        """For SECONDS from now."""
        self._end = time.monotonic() + SECONDS
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait for the end."""
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._receiver.port, timeout=PATIENCE)
        due = time.monotonic()
        while due < self._end:
            time.sleep(max(0.0, due - time.monotonic()))
            due += SENDERS / RATE
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
    body = json.dumps(EVENT | {"eventId": name}).encode()
    headers = {key: str(value) for key, value in signed(body).items()}
    connection.request("POST", f"/webhooks/sips/{PATH_SECRET}", body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_what_is_accepted_under_load_is_in_rabbitmq(node: RabbitMQNode, private_url: str, tmp_path: Path) -> None:
    """With RabbitMQ restarted, thousands of idle connections, half bodies, a huge one and a wrong secret at the same time."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Receiver(tmp_path, private_url) as receiver, contextlib.ExitStack() as opened:
        receiver.wait_until(200)
        senders = Senders(receiver)
        senders.start()
        idle = [opened.enter_context(receiver.open()) for _ in range(IDLE)]
        for _ in range(20):
            opened.enter_context(receiver.open(length=1_000, sent=b"{"))
        assert 404 == receiver.call(b"{}", path="/webhooks/sips/wrong").status
        with contextlib.suppress(ConnectionError):
            assert 413 == receiver.call(b"x" * 104_857_600).status
        before = senders.statuses[200]
        node.restart()
        eventually(lambda: senders.statuses[200] > before + RATE, "calls are taken again")
        senders.join()
        receiver.wait_until(200)
        with contextlib.suppress(ConnectionResetError):
            assert b"" == idle[0].recv(1)  # it was not left open for ever

    assert 0 == receiver.process.returncode
    published = {json.loads(body)["data"]["fields"]["id"] for _properties, body in take_all(private_url, WEBHOOKS)}
    print(f"\nanswers {dict(senders.statuses)}, slowest {senders.slowest:.2f} s, published {len(published)}")  # noqa: T201
    assert set() == senders.accepted - published
    assert {200, 503, 0} >= set(senders.statuses)
