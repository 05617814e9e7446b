"""One thread per process that keeps things going.

Timers become ticks, published events are marked, the store is probed and its clock read, what somebody deleted of the topology
is put back, the store and the blob store are cleared of what they were to keep for long enough, and the daily round over open
orders has its timer.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import structlog

from worker.blobs import BlobError
from worker.messaging.keeper import LOOK_SECONDS
from worker.messaging.loop import unwatched
from worker.messaging.publisher import PublishError, PublishTimeoutError
from worker.runtime.clock import StoreClock
from worker.runtime.ticks import CLAIM_SECONDS, tick
from worker.seldom import Seldom
from worker.store.errors import StoreError
from worker.store.ledger import Ledger
from worker.store.migrate import check
from worker.store.open_orders import DAILY
from worker.store.retention import Retention
from worker.store.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.blobs import BlobStore
    from worker.messaging.loop import Beat
    from worker.messaging.publisher import Publisher
    from worker.settings import Settings
    from worker.store.engine import Store

__all__ = ["Housekeeping"]

#: Seconds between two rounds; half as much or as little again, so that processes do not march in step.
ROUND_SECONDS = 1.0

#: What the loop is called where its progress is watched, and the seconds that a database which hangs may cost a round.
NAME = "housekeeping"
STORE_SECONDS = 30.0

#: Seconds between two looks at the topology; half as much or as little again.
TOPOLOGY_SECONDS = 60.0

#: Seconds between two looks at the database's clock, and between two lines that say that this host's is another.
CLOCK_SECONDS = 60.0
CLOCK_LINE_SECONDS = 3_600.0

#: Timers that one round claims at most.
CLAIM_LIMIT = 100

#: Events whose publication is marked in one transaction.
MARK_LIMIT = 500

#: Seconds between two searches for what the ledger need not keep any more, and orders of which one round clears it.
RETENTION_SECONDS = 3_600.0
RETENTION_LIMIT = 200

#: Blobs of which one round clears the store, and the seconds that a store which hangs may cost a round.
BLOB_LIMIT = 500
BLOB_SECONDS = 60.0

#: Seconds between two looks whether the daily round has its timer, and until a store's first round (least, most): not while a
#: new fleet comes up, and not all fleets at once.
DAILY_LOOK_SECONDS = 3_600.0
FIRST_ROUND_SECONDS = (600.0, 3_600.0)

#: Seconds of a day.
DAY = 86_400.0

#: Days after which credentials that nobody used are forgotten, with their token: SIPS takes a secret for no longer. It rotates
#: them every 180 days and takes the old one for another 30.
TOKEN_DAYS = 210

log = structlog.get_logger("worker")


class Housekeeping:
    """Starts with the process and ends with it.

    Args:
        store: of this installation.
        publisher: of ticks.
        on_store: called with True when the store answers, with False when it does not.
        blobs: the blob store, if there is one.
        repair: declares the topology again; does not raise.
        settings: of the process.
        beat: told that the rounds go on, and for how many seconds the next step may take.

    Attributes:
        clock: of the store, as of the last look at it.
    """

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        on_store: Callable[[bool], None],
        blobs: BlobStore | None = None,
        repair: Callable[[], None] = lambda: None,
        settings: Settings,
        beat: Beat = unwatched,
    ) -> None:
        self._store = store
        self.clock = StoreClock()
        self._clock_due = 0.0
        self._may_tell_of_clock = Seldom(CLOCK_LINE_SECONDS)
        self._ledger = Ledger(store)
        self._timers = Timers(store)
        self._retention = Retention(store)
        self._retention_due = 0.0
        self._blobs = blobs
        self._blobs_due = 0.0
        self._publisher = publisher
        self._on_store = on_store
        self._may_tell_of_store = Seldom()
        self._repair = repair
        self._repair_at = time.monotonic() + _until_next_look()
        self._settings = settings
        self._beat = beat
        self._daily_due = 0.0
        self._published: list[str] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Mark what is known to be published, and end."""
        self._stopped.set()
        self._wake.set()
        self._thread.join(timeout)

    def published(self, ids: Sequence[str]) -> None:
        """RabbitMQ has these events; the mark is made with others, as nothing waits for it."""
        with self._lock:
            self._published.extend(ids)

    def store_failed(self, error: StoreError) -> None:
        """A worker thread found the store away: look after it now."""
        log.warning("the store failed", error=str(error))
        self._on_store(False)
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._beat(NAME, STORE_SECONDS)
            self._round()
            self._wake.wait(ROUND_SECONDS)
            self._wake.clear()
        self._mark()

    def _round(self) -> None:
        """Never raises: what fails now is tried again in the next round."""
        try:
            self._look_at_topology()
            check(self._store)
            self._may_tell_of_store.forget()
            if time.monotonic() >= self._clock_due:
                self._look_at_clock()
            self._on_store(True)
            self._mark()
            if self._publisher.is_up:
                self._tick()
            if time.monotonic() >= self._daily_due:
                self._start_daily()
            if time.monotonic() >= self._retention_due:
                self._clear()
            if self._blobs is not None and time.monotonic() >= self._blobs_due:
                self._clear_blobs(self._blobs)
        except StoreError as error:
            self._on_store(False)
            if self._may_tell_of_store():
                log.warning("the store cannot be used; orders and timers wait", error=str(error))
            self._stopped.wait(ROUND_SECONDS)
        except Exception:
            log.exception("housekeeping broke; the next round tries again")

    def _look_at_topology(self) -> None:
        """A part that nobody publishes to would be missed by nobody: the ladder gives back through bindings of its own."""
        if self._publisher.is_up and time.monotonic() >= self._repair_at:
            self._beat(NAME, LOOK_SECONDS)
            self._repair()
            self._repair_at = time.monotonic() + _until_next_look()

    def _look_at_clock(self) -> None:
        """Before the gates open: the first command of a process is judged by the store's clock as well."""
        self.clock.look(self._store)
        self._clock_due = time.monotonic() + CLOCK_SECONDS
        if self.clock.is_far_off and self._may_tell_of_clock():
            log.warning(
                "this host's clock is not the database's; expirytime goes by the database's",
                seconds_behind=round(self.clock.behind, 1),
                check="that both hosts synchronise their clocks (NTP); events and log lines have this host's time",
            )

    def _mark(self) -> None:
        with self._lock:
            ids, self._published = self._published, []
        for start in range(0, len(ids), MARK_LIMIT):
            try:
                self._ledger.mark_published(ids[start : start + MARK_LIMIT])
            except StoreError:
                with self._lock:
                    self._published.extend(ids[start:])
                raise

    def _tick(self) -> None:
        end = time.monotonic() + CLAIM_SECONDS / 2
        while timers := self._timers.claim(CLAIM_LIMIT, lease_seconds=CLAIM_SECONDS):
            self._beat(NAME, self._settings.publish_seconds)
            try:
                self._publisher.publish(*map(tick, timers), timeout=self._settings.publish_seconds)
            except PublishTimeoutError as error:
                log.warning("no tick can be published; the timers wait for RabbitMQ", error=str(error))
                self._timers.give_back(timers)
                return
            except PublishError as error:
                log.warning("ticks were not published; they come again", ticks=len(timers), error=str(error))
                return
            if len(timers) < CLAIM_LIMIT or time.monotonic() > end:
                return

    def _start_daily(self) -> None:
        """Have open orders compared every day, from now on."""
        if self._settings.reconcile_days:
            seconds = random.uniform(*FIRST_ROUND_SECONDS)  # noqa: S311 - jitter, no secret
            self._timers.start_missing(DAILY, self._settings.base_url, seconds)
        self._daily_due = time.monotonic() + DAILY_LOOK_SECONDS

    def _clear(self) -> None:
        """One batch; the next round goes on while there is more."""
        self._beat(NAME, STORE_SECONDS)
        settings, limit = self._settings, RETENTION_LIMIT
        retention = self._retention
        counted = {
            "orders_deleted": retention.delete_orders(ended_for=settings.ledger_days * DAY, limit=limit),
            "payloads_emptied": retention.empty_payloads(ended_for=settings.payload_days * DAY, limit=limit),
            "watches_deleted": retention.delete_watches(ended_for=settings.ledger_days * DAY, limit=limit),
            "hints_deleted": retention.delete_hints(received_for=settings.hint_days * DAY, limit=limit),
        }
        tokens = self._retention.delete_tokens(unused_for=TOKEN_DAYS * DAY)
        if tokens:
            log.info("credentials that nobody used for long were forgotten", deleted=tokens)
        if cleared := {name: number for name, number in counted.items() if number}:
            log.info("the store was cleared of what is old", **cleared)
        else:
            self._retention_due = time.monotonic() + RETENTION_SECONDS

    def _clear_blobs(self, blobs: BlobStore) -> None:
        """One batch as well; a store that cannot be cleared must not hold up what else is due."""
        self._beat(NAME, BLOB_SECONDS)
        cleared = 0
        try:
            cleared = blobs.clear(BLOB_LIMIT)
        except BlobError as error:
            log.warning("the blob store cannot be cleared of what is old; this is tried again", error=str(error))
        if cleared:
            log.info("the blob store was cleared of what is old", blobs_deleted=cleared)
        if cleared < BLOB_LIMIT:
            self._blobs_due = time.monotonic() + RETENTION_SECONDS


def _until_next_look() -> float:
    return TOPOLOGY_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, no secret
