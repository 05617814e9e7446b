"""Run a plan against real parts, and judge what it came to."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING

from tests.acceptance.conftest import FAST
from tests.amqp import channel, count, left_in_queues, purge, take_all
from tests.chaos import plan as plans
from tests.chaos.disturbing import Disturber, Surroundings
from tests.chaos.fleet import BrokenWorker, Fleet
from tests.chaos.judge import Evidence, Figures, Verdict, judge
from tests.chaos.plan import Kind
from tests.chaos.publishing import publish_all
from tests.chaos.tap import Tap
from tests.databases import postgres_schema
from tests.proxy import Proxy
from worker.local.stack import Sandbox, Worker
from worker.main import make_topology
from worker.messaging.topology import DEAD
from worker.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.chaos.plan import Plan
    from worker.local.rabbitmq import RabbitMQNode

__all__ = ["Report", "run"]

#: How many workers there are, and how many processes each has.
WORKERS, PROCESSES = 3, 2

#: The workers' settings: times shortened, windows in the proportions of the defaults.
SETTINGS = FAST | {
    "RETRY_ATTEMPTS": "60",
    "RETRY_MAX_SECONDS": "4",
    "SIPS_CALL_SECONDS": str(plans.CALL_SECONDS),
    "ABSENCE_SECONDS": str(plans.ABSENCE_SECONDS),
    "ABSENCE_AFTER_TROUBLE_SECONDS": "3",
    "LOOK_SECONDS": "[1, 1, 2]",
}

#: Where somebody would open the workers' files.
FILES_URL = "https://files.example"

#: Seconds between two lines of progress.
PROGRESS_SECONDS = 5.0

#: Seconds between two looks at whether the run has come to its end.
LOOK_SECONDS = 1.0

#: Seconds without an event after which nothing more is expected. Whatever was lost in a crash comes again within a minute.
QUIET_SECONDS = 100.0

#: Seconds after the plan in which everything must have come to its end.
PATIENCE_SECONDS = 420.0

#: Seconds in which a second outcome would still come, when everything has ended.
CALM_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to; `left` are the messages that still lie in some queue, `statuses` the workers' exit statuses."""

    figures: Figures
    verdict: Verdict
    left: dict[str, int]
    statuses: list[int]

    @property
    def line(self) -> str:
        """The figures as JSON."""
        return json.dumps(asdict(self.figures))


def run(plan: Plan, surroundings: Surroundings, *, broken: str | None = None) -> Report:
    """Run a plan; `broken` names a protection to switch off, see `tests.chaos.broken`."""
    node, postgres = surroundings.node, surroundings.postgres
    _prepare(node)
    with contextlib.ExitStack() as stack:
        database_url = stack.enter_context(postgres_schema(postgres.url))
        migrate(database_url)
        to_broker, broker_url = Proxy.of(node.url)
        to_database, through_url = Proxy.of(database_url)
        stack.enter_context(to_broker)
        stack.enter_context(to_database)
        sandbox = stack.enter_context(Sandbox(surroundings.folder))
        tap = stack.enter_context(Tap(node.url))
        settings = SETTINGS | {"AMQP_URL": broker_url, "DATABASE_URL": through_url, "SIPS_BASE_URL": sandbox.url}
        settings |= {"BLOB_FOLDER": str(_files(surroundings.folder)), "BLOB_BASE_URL": FILES_URL}
        fleet = stack.enter_context(Fleet(_maker(surroundings.folder, settings, broken), WORKERS, sandbox))
        disturber = Disturber(surroundings, fleet, to_broker, to_database)
        return Run(plan, surroundings, sandbox, tap, fleet, disturber).execute()


def _prepare(node: RabbitMQNode) -> None:
    """The whole topology, nothing in it, and no store that it belongs to."""
    with channel(node.url) as opened:
        make_topology().declare(opened)
    purge(node.url)


def _files(folder: Path) -> Path:
    """Where the workers keep what is too large for an event."""
    files = folder / "files"
    files.mkdir(exist_ok=True)
    return files


def _maker(folder: Path, settings: dict[str, str], broken: str | None) -> Callable[[int], Worker]:
    options = ("--processes", str(PROCESSES))
    if broken is None:
        return lambda number: Worker(f"worker-{number}", folder, settings, *options)
    return lambda number: BrokenWorker(f"worker-{number}", folder, settings | {"BREAK": broken}, *options)


@dataclass(slots=True)
class Run:
    """One run under way."""

    plan: Plan
    surroundings: Surroundings
    sandbox: Sandbox
    tap: Tap
    fleet: Fleet
    disturber: Disturber
    started: float = 0.0
    phase: str = ""
    published: Counter[str] = field(default_factory=Counter)
    done: Counter[Kind] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)
    _broken: list[BaseException] = field(default_factory=list)

    def execute(self) -> Report:
        """Everything of the plan at its time; then wait for what it leads to, and judge."""
        self.started = time.monotonic()
        threads = [
            threading.Thread(target=self._guarded, args=(part,), name=part.__name__, daemon=True)
            for part in (self._publish, self._disturb, self._misbehave)
        ]
        progress = threading.Thread(target=self._show_progress, name="progress", daemon=True)
        for thread in (*threads, progress):
            thread.start()
        for thread in threads:
            thread.join()
        if self._broken:
            self._over.set()
            raise self._broken[0]
        left = self._settle()
        statuses = self.fleet.stop()
        self._over.set()
        progress.join()
        return self._report(left, statuses)

    def _guarded(self, part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._broken.append(error)

    def _say(self, text: str) -> None:
        self.surroundings.show(f"{time.monotonic() - self.started:6.1f} s  {text}")

    def _wait_until(self, at: float) -> None:
        time.sleep(max(self.started + at - time.monotonic(), 0.0))

    def _publish(self) -> None:
        publish_all(self.plan, self.started, self._url, self.sandbox, self.published)

    def _disturb(self) -> None:
        chance = Random(f"{self.plan.seed}/run")
        for disturbance in self.plan.disturbances:
            self._wait_until(disturbance.at)
            what = self.disturber.do(disturbance.kind, disturbance.seconds, chance)
            self.done[disturbance.kind] += 1
            self._say(f"{disturbance.kind.value}{what and f': {what}'}")

    def _misbehave(self) -> None:
        for phase in self.plan.phases:
            self._wait_until(phase.at)
            self.phase = phase.name
            self.sandbox.set_faults(**plans.LARGE, **phase.faults)
        self._wait_until(self.plan.seconds)
        self.phase = "well"
        self.sandbox.set_faults(**plans.LARGE)

    # The end.

    def _settle(self) -> dict[str, int]:
        """Wait until every command has ended and nothing is under way any more; what is left in the queues."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        self._say("the plan is over; waiting for what is under way")
        while True:
            left = left_in_queues(self.surroundings.node)
            quiet = time.monotonic() - self.tap.latest
            ended = left == {} and self._judge().lost == 0
            if (ended and quiet > CALM_SECONDS) or (left == {} and quiet > QUIET_SECONDS) or time.monotonic() > deadline:
                return left or {}
            time.sleep(LOOK_SECONDS)

    def _judge(self, kept: Mapping[str, str] | None = None) -> Verdict:
        return judge(
            Evidence(
                commands=self.plan.commands,
                published=self.published,
                events=self.tap.events,
                at_sips=self.sandbox.orders(),
                crashed=frozenset(self.fleet.crashed),
                kept=kept,
            )
        )

    def _report(self, left: dict[str, int], statuses: list[int]) -> Report:
        kept = _files(self.surroundings.folder).iterdir()
        verdict = self._judge({f"{FILES_URL}/{file.name}": sha256(file.read_bytes()).hexdigest() for file in kept})
        done = self.done
        figures = Figures.of(
            verdict,
            kills=sum(done[kind] for kind in (Kind.KILL_SENDER, Kind.KILL_MASTER, Kind.STOP_WORKER)),
            broker_restarts=done[Kind.RESTART_BROKER] + done[Kind.CRASH_BROKER],
            database_restarts=done[Kind.RESTART_DATABASE] + done[Kind.CRASH_DATABASE],
            cuts=sum(done[kind] for kind in (Kind.CUT_BROKER, Kind.CUT_DATABASE, Kind.FREEZE_BROKER, Kind.FREEZE_DATABASE)),
            dead_letters=count(self._url, DEAD),
            seconds=round(time.monotonic() - self.started, 1),
            seed=self.plan.seed,
        )
        for line in (*verdict.problems, *self._dead_letters()):
            self._say(line)
        if left:
            self._say(f"left in the queues: {left}")
        return Report(figures, verdict, left, statuses)

    def _dead_letters(self) -> Iterator[str]:
        """Why messages were set aside."""
        reasons = Counter(str((properties.headers or {}).get("sips-reason")) for properties, _ in take_all(self._url, DEAD))
        for reason, number in reasons.items():
            yield f"dead letters: {number} for {reason}"

    @property
    def _url(self) -> str:
        return self.surroundings.node.url

    def _show_progress(self) -> None:
        while not self._over.wait(PROGRESS_SECONDS):
            verdict = self._judge()
            self._say(
                f"published {sum(self.published.values())} of {len(self.plan.publications)}, "
                f"outcomes {verdict.outcomes} of {verdict.commands} ({verdict.unknown} unknown), "
                f"orders at SIPS {verdict.orders_placed} ({verdict.reconciled} found again), "
                f"done to the workers: {self.done.total()}; SIPS: {self.phase}"
            )
