"""The composition root of a worker process: settings, logs, handlers, SIPS client and broker, put together once.

dramatiq's process manager forks the process and calls `boot` in it; connections and threads are made only after that.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import dramatiq
import structlog

import handlers
from worker import __version__
from worker import settings as settings_module
from worker.blobs import make_blob_store
from worker.messaging import topology
from worker.messaging.broker import RabbitBroker
from worker.ops import configure_logs, health_reports, health_server, register_secret
from worker.ops.health import Beats
from worker.ops.health_middleware import HealthMiddleware
from worker.ops.health_reports import Reporter
from worker.runtime.comparing import Comparing
from worker.runtime.daily import Daily
from worker.runtime.endings import Endings
from worker.runtime.facts import Facts
from worker.runtime.hint_reading import HintReading
from worker.runtime.housekeeping import Housekeeping
from worker.runtime.lookup import Lookup
from worker.runtime.observations import Observations
from worker.runtime.observing import Observer
from worker.runtime.orders import Orders
from worker.runtime.pipeline import Executors, Pipeline
from worker.runtime.probe import Probe
from worker.runtime.reconcile import Reconcile
from worker.runtime.registry import registry
from worker.runtime.service import Service, WatchedTokens
from worker.runtime.store_gate import StoreGate
from worker.runtime.ticks import Ticks
from worker.runtime.watch_ticks import WatchTicks
from worker.runtime.watching import Watching
from worker.sips import Limits, SipsClient, Transport, make_token_source
from worker.store.controls import Controls
from worker.store.engine import Store
from worker.store.hints import Hints
from worker.store.ledger import Ledger
from worker.store.open_orders import OpenOrders
from worker.store.timers import Timers
from worker.store.tokens import Tokens
from worker.store.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from worker.blobs import BlobStore
    from worker.messaging.publisher import Publisher
    from worker.messaging.topology import Topology
    from worker.runtime.attempt_lines import AttemptLines
    from worker.settings import Settings

__all__ = [
    "boot",
    "check",
    "commands_of_operations",
    "make_broker",
    "make_comparing",
    "make_pipeline",
    "make_topology",
    "queues_of_commands",
    "serve_health",
    "start_logs",
]

#: prctl's option that sends a signal to a process whose parent died (linux/prctl.h).
PR_SET_PDEATHSIG = 1

#: Seconds that the last round of housekeeping may take.
HOUSEKEEPING_SECONDS = 2.0

#: Seconds between two looks whether the process manager is still there.
LOOK_SECONDS = 1.0

#: Seconds beyond GRACE_SECONDS for what a stopping process does after its commands.
CLOSING_SECONDS = 5.0

log = structlog.get_logger("worker")


def make_topology() -> Topology:
    """The topology for every handler of this installation."""
    return topology.build(queues_of_commands())


def queues_of_commands() -> Mapping[str, str]:
    """Command type to work queue, for every handler of this installation."""
    assert handlers.__all__  # noqa: S101 - importing the package is what registers them
    return registry.bindings()


def commands_of_operations() -> Mapping[str, str]:
    """Id of an operation of SIPS to the type of the command that calls it, for every handler of this installation."""
    assert handlers.__all__  # noqa: S101 - as above
    return {operation: handler.type for handler in registry for operation in handler.calls}


def make_broker(settings: Settings, stopping: threading.Event, beats: Beats) -> RabbitBroker:
    """Everything of one worker process, wired; opens nothing. Its loops tell `beats` that they get on."""
    store, blobs = Store(settings.database_url.get_secret_value()), make_blob_store(settings)

    def execute(delivery: Any) -> None:
        pipeline.execute(delivery)

    broker = RabbitBroker(
        url=settings.amqp_url.get_secret_value(),
        topology=make_topology(),
        threads=settings.threads,
        heartbeat=settings.amqp_heartbeat,
        queues=(*topology.WORK_QUEUES, topology.UNDELIVERED),
        execute=execute,
        middleware=[lifecycle := Lifecycle(stopping, settings.grace_seconds)],
        beat=beats.touch,
    )
    lifecycle.housekeeping = Housekeeping(
        store=store,
        publisher=broker.publisher,
        on_store=StoreGate(broker.gates, store, settings),
        blobs=blobs,
        repair=broker.keeper.repair,
        settings=settings,
        beat=beats.touch,
    )
    limits = Limits(concurrency=settings.sips_max_concurrency, per_second=settings.sips_max_rps, threads=settings.threads)
    gates = [broker.gates[name] for name in topology.WORK_QUEUES if name != topology.CONTROL]
    service = Service(gates, limits, settings, Facts(broker.publisher, settings).publish, stopping)
    client = _make_client(settings, limits, service, store)
    service.use(Probe(client, settings))
    pipeline = make_pipeline(
        settings,
        client,
        broker.publisher,
        store,
        blobs,
        housekeeping=lifecycle.housekeeping,
        up_seconds=service.up_seconds,
        stopping=stopping,
    )
    lifecycle.lines = pipeline.lines
    return broker


def make_pipeline(
    settings: Settings,
    client: SipsClient,
    publisher: Publisher,
    store: Store,
    blobs: BlobStore | None = None,
    *,
    housekeeping: Housekeeping,
    up_seconds: Callable[[], float],
    stopping: threading.Event,
) -> Pipeline:
    """What executes deliveries."""
    ledger = Ledger(store)
    lookup = Lookup(ledger, Controls(store), settings)
    endings = Endings(publisher, settings, blobs)
    published, clock = housekeeping.published, housekeeping.clock
    orders = Orders(
        ledger=ledger, client=client, lookup=lookup, endings=endings, published=published, clock=clock, settings=settings
    )
    watches = Watches(store)
    observer, timers = Observer(watches, endings, published, settings), Timers(store)
    hints = HintReading(
        hints=Hints(store),
        watches=watches,
        ledger=ledger,
        timers=timers,
        observer=observer,
        client=client,
        endings=endings,
        settings=settings,
    )
    daily = Daily(make_comparing(settings, store), store, timers, settings)
    ticks = Ticks(
        ledger=ledger,
        timers=timers,
        watch_ticks=WatchTicks(watches, observer, ledger, hints, daily, settings),
        reconcile=Reconcile(ledger, lookup, settings, up_seconds),
        client=client,
        endings=endings,
        published=published,
        settings=settings,
    )
    return Pipeline(
        registry,
        client,
        endings=endings,
        executors=Executors(orders, ticks, hints, partial(Watching, watches, observer, ledger, settings)),
        settings=settings,
        stopping=stopping,
        on_store_down=housekeeping.store_failed,
    )


def make_comparing(settings: Settings, store: Store) -> Comparing:
    """What compares open orders with SIPS' list, in a worker and on the command line."""
    watches = Watches(store)
    return Comparing(
        open_orders=OpenOrders(store, settings.base_url, settings.order_terminal),
        ledger=Ledger(store),
        watches=watches,
        observations=Observations(watches, settings),
        timers=Timers(store),
        settings=settings,
    )


def _make_client(settings: Settings, limits: Limits, service: Service, store: Store) -> SipsClient:
    """The client of SIPS, watched; every token it gets is told to the log's redaction, so that no line can show it."""
    transport = Transport(settings, on_end=service.ended)
    tokens = make_token_source(settings, transport, storage=Tokens(store), learn=register_secret)
    watched = WatchedTokens(tokens, service)
    return SipsClient(settings, watched, transport, limits=limits, is_away=service.is_away)


def check(settings: Settings) -> None:
    """Find out what would stop every worker process at its start; opens no connection.

    Raises:
        SettingsError: The current secret file cannot be read, a path is none of SIPS' operations, the CA bundle is missing,
            the settings of S3 cannot be used.
    """
    settings.client_secret()
    SipsClient(settings)
    make_blob_store(settings)


def boot() -> None:
    """Called by dramatiq in each worker process, right after it was forked."""
    settings = _prepare()
    _die_with_parent()
    stopping, beats = threading.Event(), Beats()
    broker = make_broker(settings, stopping, beats)
    if folder := health_reports.folder():
        reporter = Reporter(
            folder,
            beats,
            threads=settings.threads,
            stopping=stopping,
            unready=broker.unready,
            silence=settings.health_seconds,
        )
        broker.add_middleware(HealthMiddleware(beats, reporter))
    dramatiq.set_broker(broker)


def serve_health() -> int:
    """Called by dramatiq in a process of its own, where HEALTH_PORT is set; the exit status."""
    folder = health_reports.folder()
    assert folder  # noqa: S101 - `run` made it
    return health_server.serve(_prepare(), folder)


def start_logs(settings: Settings) -> None:
    """Log as the settings say; none of their secrets can be shown from here on."""
    configure_logs(
        settings.log_format,
        environment=settings.sips_environment,
        version=__version__,
        secrets=[
            *(credentials.client_secret for credentials in settings.pairs().readable),
            settings.amqp_url.get_secret_value(),
            settings.database_url.get_secret_value(),
            settings.blob_s3_secret_access_key.get_secret_value(),
        ],
    )


def _prepare() -> Settings:
    """Settings and logs of a process that was just forked."""
    settings = settings_module.load()
    start_logs(settings)
    return settings


class Lifecycle(dramatiq.Middleware):
    """Starts the connections when the process has booted, and stops consuming the moment a signal says so.

    dramatiq notices the signal up to a second later, and gives nothing back before its threads are done.
    """

    def __init__(self, stopping: threading.Event, grace_seconds: float) -> None:
        self._stopping = stopping
        self._grace_seconds = grace_seconds
        self.lines: AttemptLines | None = None
        self.housekeeping: Housekeeping | None = None

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        """In the main thread of the worker process."""
        assert isinstance(broker, RabbitBroker)  # noqa: S101 - the only broker this is given to
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._wrap(signal.getsignal(number)))
        gc.freeze()  # what was made until here stays, and each full collection would look at all of it: 60 ms
        threading.Thread(target=self._stop_when_told, args=(broker,), name="stop-consuming", daemon=True).start()
        if self.lines is not None:
            self.lines.start()
        broker.start()
        if self.housekeeping is not None:
            self.housekeeping.start()

    def after_worker_shutdown(self, _broker: dramatiq.Broker, _worker: dramatiq.Worker) -> None:
        """When everything that ran has ended: its lines are written, and what it said is marked as published."""
        if self.lines is not None:
            self.lines.stop()
        if self.housekeeping is not None:
            self.housekeeping.stop(HOUSEKEEPING_SECONDS)

    def before_worker_shutdown(self, _broker: dramatiq.Broker, _worker: dramatiq.Worker) -> None:
        """However the stop was asked for."""
        self._stopping.set()

    def _wrap(self, inner: Any) -> Any:
        """Hand the first signal on, and no other: dramatiq ends the process at the second, with commands under way.

        A service manager signals a whole group of processes, and then dramatiq's master signals this one once more.
        """

        def handle(number: int, frame: FrameType | None) -> None:
            if self._stopping.is_set():
                return
            self._stopping.set()
            if callable(inner):
                inner(number, frame)

        return handle

    def _stop_when_told(self, broker: RabbitBroker) -> None:
        """In a thread of its own: stop consuming when told, or when the process manager is gone, and then end for certain.

        A manager that is killed while this process boots has it wait for ever in dramatiq's `event.set()`, where it goes on
        to consume and no signal stops it.
        """
        while not self._stopping.wait(LOOK_SECONDS) and not _is_orphan():
            pass
        self._stopping.set()
        broker.stop_consuming()
        while not _is_orphan():
            time.sleep(LOOK_SECONDS)
        time.sleep(self._grace_seconds + CLOSING_SECONDS)
        os._exit(1)


def _is_orphan() -> bool:
    manager = multiprocessing.parent_process()
    return manager is not None and manager.pid != os.getppid()


def _die_with_parent() -> None:
    """End with the process manager, on Linux: if it is killed, nobody else is left to stop this process."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
