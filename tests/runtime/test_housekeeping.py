"""What goes on in the background of a process, on each kind of database."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import pika
import pytest

from tests.amqp import channel, eventually
from worker.main import make_topology
from worker.messaging.keeper import TopologyKeeper
from worker.messaging.publisher import PublishTimeoutError, RefusedError
from worker.messaging.topology import QUERIES, RETRY
from worker.runtime import housekeeping as housekeeping_module
from worker.runtime.housekeeping import Housekeeping
from worker.settings import Settings
from worker.store.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.messaging.publisher import Message, Publisher
    from worker.store.engine import Store


class Ticking:
    """Takes ticks; fails once where it is told to."""

    is_up = True

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.refs: list[str] = []

    def publish(self, message: Message, *, timeout: float) -> None:
        """As `Publisher.publish`."""
        assert timeout > 0
        error, self.error = self.error, None
        if error:
            raise error
        self.refs.append(message.body.decode())


@pytest.fixture
def keep(store: Store) -> Iterator[Callable[..., Housekeeping]]:
    """Housekeeping that runs until the end of the test."""
    started: list[Housekeeping] = []

    def start(publisher: Ticking, **options: Any) -> Housekeeping:
        settings = Settings(_env_file=None)
        started.append(
            Housekeeping(
                store=store, publisher=cast("Publisher", publisher), on_store=lambda _up: None, settings=settings, **options
            )
        )
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop(30)


def test_timers_that_were_claimed_as_rabbitmq_went_away_do_not_wait_for_their_lease(
    store: Store, keep: Callable[..., Housekeeping]
) -> None:
    """All of them are ticked as soon as there is somebody to take it."""
    for ref in ("a", "b", "c"):
        Timers(store).start("look", ref, -1.0)
    publisher = Ticking(PublishTimeoutError("no confirm"))

    keep(publisher)

    eventually(lambda: len(publisher.refs) == 3, "each was ticked", patience=30)


def test_a_tick_that_is_refused_is_not_tried_each_second(store: Store, keep: Callable[..., Housekeeping]) -> None:
    """Its timer waits for the lease, as a refusal does not pass by itself."""
    Timers(store).start("look", "refused", -1.0)
    publisher = Ticking(RefusedError("nacked"))

    keep(publisher)

    eventually(lambda: publisher.error is None, "it was refused")
    assert 30 < Timers(store).of("refused")["look"]


def test_what_somebody_deleted_of_the_topology_is_put_back(
    amqp_url: str, keep: Callable[..., Housekeeping], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody publishes through the binding by which the ladder gives back, so nobody else would miss it."""
    monkeypatch.setattr(housekeeping_module, "TOPOLOGY_SECONDS", 0.0)
    with channel(amqp_url) as opened:
        opened.queue_unbind(QUERIES, RETRY, QUERIES)

    try:
        keep(Ticking(), repair=TopologyKeeper(amqp_url, make_topology(), heartbeat=5).repair)

        eventually(lambda: is_bound(amqp_url), "the binding is there again")
    finally:
        with channel(amqp_url) as opened:
            make_topology().declare(opened)


def is_bound(url: str) -> bool:
    """Whether a retry would reach its queue."""
    with channel(url) as opened:
        try:
            opened.basic_publish(RETRY, QUERIES, b"", mandatory=True)
        except pika.exceptions.UnroutableError:
            return False
    return True


def test_the_topology_is_not_looked_at_while_rabbitmq_is_away(
    keep: Callable[..., Housekeeping], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connections tell of that, and the timers of the store must not wait for it."""
    monkeypatch.setattr(housekeeping_module, "TOPOLOGY_SECONDS", 0.0)
    looked, rounds, publisher = threading.Event(), threading.Semaphore(0), Ticking()
    publisher.is_up = False

    keep(publisher, repair=looked.set, beat=lambda *_name, **_allow: rounds.release())

    for _ in range(2):
        assert rounds.acquire(timeout=30)
    assert not looked.is_set()
