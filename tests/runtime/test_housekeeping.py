"""What goes on in the background of a process, on each kind of database."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pika
import pytest
from structlog.testing import capture_logs

from tests.amqp import channel, eventually
from worker.blobs import BlobError
from worker.main import make_topology
from worker.messaging.keeper import TopologyKeeper
from worker.messaging.publisher import PublishTimeoutError, RefusedError
from worker.messaging.topology import QUERIES, RETRY
from worker.runtime import housekeeping as housekeeping_module
from worker.runtime.housekeeping import Housekeeping
from worker.settings import Settings
from worker.store.open_orders import DAILY
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

    def publish(self, *messages: Message, timeout: float) -> None:
        """As `Publisher.publish`."""
        assert timeout > 0
        error, self.error = self.error, None
        if error:
            raise error
        self.refs += [message.body.decode() for message in messages]


@pytest.fixture
def keep(store: Store) -> Iterator[Callable[..., Housekeeping]]:
    """Housekeeping that runs until the end of the test."""
    started: list[Housekeeping] = []

    def start(publisher: Ticking, **options: Any) -> Housekeeping:
        settings = Settings(_env_file=None, **options.pop("settings", {}))
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


class Clearing:
    """A blob store with so much to clear; fails first where it is told to."""

    retention, place = timedelta(days=7), "here"

    def __init__(self, left: int, error: BlobError | None = None) -> None:
        self.left = left
        self.error = error
        self.cleared: list[int] = []

    def new(self, _media_type: str, /) -> Any:
        """Nothing is kept here."""

    def clear(self, limit: int, /) -> int:
        """As `BlobStore.clear`."""
        error, self.error = self.error, None
        if error:
            raise error
        self.cleared.append(min(limit, self.left))
        self.left -= self.cleared[-1]
        return self.cleared[-1]


def test_the_blob_store_is_cleared_of_what_is_old(keep: Callable[..., Housekeeping], monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches, until one is not full; then not again for a while."""
    monkeypatch.setattr(housekeeping_module, "ROUND_SECONDS", 0.01)
    rounds, blobs = threading.Semaphore(0), Clearing(housekeeping_module.BLOB_LIMIT + 1)

    keep(Ticking(), blobs=blobs, beat=lambda *_name, **_allow: rounds.release())

    eventually(lambda: blobs.left == 0, "all of it was cleared")
    for _ in range(20):
        assert rounds.acquire(timeout=30)
    assert [housekeeping_module.BLOB_LIMIT, 1] == blobs.cleared


def test_a_blob_store_that_cannot_be_cleared_holds_nothing_up(store: Store, keep: Callable[..., Housekeeping]) -> None:
    """It is said, and the rounds go on."""
    publisher, blobs = Ticking(), Clearing(1, BlobError("it is away"))

    with capture_logs() as lines:
        keep(publisher, blobs=blobs)
        eventually(lambda: blobs.error is None, "it was tried")
        Timers(store).start("look", "due", -1.0)
        eventually(lambda: publisher.refs, "a timer was ticked all the same")

    assert ["it is away"] == [line["error"] for line in lines if line["event"].startswith("the blob store cannot be cleared")]


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


@pytest.mark.parametrize(("days", "expected"), [(30, [DAILY]), (0, [])])
def test_open_orders_are_compared_every_day_unless_nobody_wants_it(
    store: Store, keep: Callable[..., Housekeeping], days: float, expected: list[str]
) -> None:
    """The first time not before the fleet is up."""
    rounds, url = threading.Semaphore(0), Settings(_env_file=None).base_url

    keep(Ticking(), settings={"reconcile_days": days}, beat=lambda *_name, **_allow: rounds.release())

    for _ in range(3):
        assert rounds.acquire(timeout=30)
    assert expected == list(Timers(store).of(url))
    assert all(500 < seconds <= 3_600 for seconds in Timers(store).of(url).values())


def test_a_daily_round_that_is_set_stays_as_it_is(store: Store, keep: Callable[..., Housekeeping]) -> None:
    """Workers that start again and again do not put it off."""
    rounds, url = threading.Semaphore(0), Settings(_env_file=None).base_url
    Timers(store).start(DAILY, url, 99.0)

    keep(Ticking(), beat=lambda *_name, **_allow: rounds.release())

    for _ in range(3):
        assert rounds.acquire(timeout=30)
    assert Timers(store).of(url)[DAILY] <= 99
