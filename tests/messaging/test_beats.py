"""The loops of the broker tell that they get on, whether RabbitMQ is there or not."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import dramatiq
import pytest

from tests.amqp import eventually
from tests.proxy import Proxy
from worker.main import make_topology
from worker.messaging import connection, loop
from worker.messaging.broker import RabbitBroker
from worker.messaging.keeper import LOOK_SECONDS
from worker.messaging.topology import ORDERS, QUERIES, SUSPECTS

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPS = {"sips-worker connections", ORDERS, QUERIES, SUSPECTS}


class Subject:
    """A broker behind a proxy with dramatiq's worker in this process, and the beats of its loops."""

    def __init__(self, url: str, proxy: Proxy) -> None:
        self.proxy = proxy
        self.beats: Counter[str] = Counter()
        self.patience: defaultdict[str, float] = defaultdict(float)
        self.broker = RabbitBroker(
            url=url,
            topology=make_topology(),
            threads=1,
            heartbeat=2,
            queues=(ORDERS, QUERIES),
            execute=lambda _delivery: None,
            beat=self._beat,
        )
        self.worker = dramatiq.Worker(self.broker, worker_threads=1, worker_timeout=100)

    def _beat(self, name: str, allow: float = 0.0) -> None:
        self.beats[name] += 1
        self.patience[name] = max(self.patience[name], allow)

    def start(self) -> None:
        """Connect and consume."""
        self.broker.start()
        self.worker.start()

    def every_loop_goes_round(self) -> None:
        """Several times from now on."""
        before = self.beats.copy()
        eventually(lambda: all(self.beats[loop] > before[loop] + 2 for loop in LOOPS), f"{sorted(LOOPS)} go round")


@pytest.fixture
def subject(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    """Not started yet; its loops go round quickly."""
    monkeypatch.setattr(loop, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(connection, "LONGEST_BACKOFF", 0.2)
    proxy, through = Proxy.of(amqp_url)
    with proxy:
        made = Subject(through, proxy)
        yield made
        made.broker.stop_consuming()
        made.worker.stop(timeout=5000)
        made.broker.close()


def test_every_loop_beats_while_rabbitmq_is_there_and_while_it_is_not(subject: Subject) -> None:
    """Trying to reach it is progress."""
    subject.start()
    eventually(lambda: not subject.broker.unready(), "it consumes")
    subject.every_loop_goes_round()

    subject.proxy.down()

    eventually(lambda: subject.broker.unready() == ["no connection to RabbitMQ"], "it is not ready")
    subject.every_loop_goes_round()

    subject.proxy.up()

    eventually(lambda: not subject.broker.unready(), "it consumes again")
    assert LOOPS == set(subject.beats)


def test_what_may_take_long_is_said_beforehand(subject: Subject) -> None:
    """A look at the topology, which RabbitMQ may keep waiting."""
    subject.start()
    eventually(lambda: not subject.broker.unready(), "it consumes")
    assert dict.fromkeys((ORDERS, QUERIES, SUSPECTS), LOOK_SECONDS) == {
        name: seconds for name, seconds in subject.patience.items() if seconds
    }


def test_a_worker_is_not_ready_before_the_topology_was_looked_at(subject: Subject) -> None:
    """However long RabbitMQ makes that wait."""
    with subject.broker.keeper._lock:
        subject.start()
        reasons = [f"not consumed yet: {ORDERS}, {QUERIES}, {SUSPECTS}"]
        eventually(lambda: reasons == subject.broker.unready(), "it is connected and says what is missing")
    eventually(lambda: not subject.broker.unready(), "it consumes")


def test_the_reasons_of_closed_gates_are_why_it_is_not_ready(subject: Subject) -> None:
    """Each with the queues that it holds closed."""
    assert ["no connection to RabbitMQ"] == subject.broker.unready()
    subject.start()
    eventually(lambda: not subject.broker.unready(), "it consumes")

    subject.broker.gates[QUERIES].close("sips-down")

    assert ["sips-down: sips.queries"] == subject.broker.unready()
    subject.broker.gates[QUERIES].open("sips-down")
    eventually(lambda: not subject.broker.unready(), "it consumes again")
