"""One worker from its start to its end, measured on the way."""

from __future__ import annotations

import sys
import time
import urllib.request
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import orjson

from tests.benchmarks.job import PRICES_PATH
from tests.benchmarks.process import MeasuredProcess
from tests.benchmarks.queues import Publisher, Results, ResultsError
from worker.local.processes import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.benchmarks.contenders import Contender

__all__ = ["DELAYS", "Bench", "Plan", "Sample", "measure", "running"]

#: Milliseconds after which SIPS answers.
DELAYS = (0, 20, 100)

#: The delay at which latency is measured.
LATENCY_DELAY = 20

#: Seconds that one measurement of throughput shall take at least, where the number of commands does not end it earlier.
THROUGHPUT_SECONDS = 3.0

#: Commands that warm a worker up.
WARM_UP = 200

#: Seconds in which a worker does what is left to do (acks) after its last event.
SETTLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        messages: commands for one figure of throughput, at most.
        latencies: commands one after the other.
        per_second: of these.
        idle_seconds: without a command.
    """

    messages: int = 2000
    latencies: int = 300
    per_second: float = 20.0
    idle_seconds: float = 5.0

    def number(self, contender: Contender, delay: int) -> int:
        """Commands for one figure: fewer where the delay lets no more through in `THROUGHPUT_SECONDS`."""
        if not delay:
            return self.messages
        return min(self.messages, int(contender.in_flight * THROUGHPUT_SECONDS * 1000 / delay))


@dataclass(slots=True)
class Sample:
    """What one session of a worker came to. Times of CPU are per command, in µs; `_ms` are all latencies."""

    contender: str
    start_seconds: float = 0.0
    cpu_us: dict[int, float] = field(default_factory=dict)
    per_second: dict[int, float] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    rss_mib: float = 0.0
    pss_mib: float = 0.0
    idle_cpu_percent: float = 0.0


class Sips:
    """The stand-in for SIPS, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.process = MeasuredProcess("sips", [sys.executable, "-m", "tests.benchmarks.server", str(port)], {}, folder)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.delay(0)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.process.stop()

    def delay(self, milliseconds: int) -> None:
        """Answer so late from now on, and begin to count anew."""
        self._ask("PUT", f"/_delay/{milliseconds}")

    def asked(self) -> int:
        """How often a price was asked with the token, since the delay was set."""
        counts: dict[str, int] = self._ask("GET", "/_counts")
        return counts.get(PRICES_PATH, 0) - counts.get("refused", 0)

    def _ask(self, method: str, path: str) -> Any:
        with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method), timeout=10) as answer:
            return orjson.loads(answer.read())


@dataclass(frozen=True, slots=True)
class Bench:
    """What all sessions share.

    Attributes:
        url: of RabbitMQ.
        sips: the stand-in.
        folder: for logs and the store.
        database_url: of the store that this worker uses.
        python: of the measured workers.
    """

    url: str
    sips: Sips
    folder: Path
    database_url: str
    python: str

    def start(self, contender: Contender, environment: Mapping[str, str] | None = None) -> MeasuredProcess:
        """The worker as a process."""
        surroundings = {"AMQP_URL": self.url, "SIPS_BASE_URL": self.sips.url}
        if contender.is_peer:
            surroundings["BENCH_QUEUE"] = contender.queue
        else:
            surroundings["DATABASE_URL"] = self.database_url
        return MeasuredProcess(
            contender.name, [self.python, *contender.arguments], surroundings | dict(environment or {}), self.folder
        )


@dataclass(slots=True)
class Session:
    """A worker that runs."""

    bench: Bench
    contender: Contender
    publisher: Publisher
    results: Results
    process: MeasuredProcess

    def load(self, number: int) -> tuple[float, float]:
        """Have so many commands carried out: how many in a second, from the first event to the last, and CPU µs for each."""
        ids, asked = _ids(number), self.bench.sips.asked()
        before = self.process.processor_seconds()
        self.publisher.fill(self.contender.message(command_id) for command_id in ids)
        self.results.wait(number, alive=lambda: self.process.is_running)
        time.sleep(SETTLE_SECONDS)
        spent = self.process.processor_seconds() - before
        times = self.results.take(ids).values()
        if (asked := self.bench.sips.asked() - asked) < number:
            raise ResultsError(f"{self.contender.name} asked SIPS {asked} times for {number} commands")
        return (number - 1) / (max(times) - min(times)), spent * 1e6 / number

    def latencies(self, number: int, per_second: float) -> list[float]:
        """Milliseconds from the publishing of a command to its event, for commands that come one by one."""
        ids, published, started = _ids(number), {}, time.monotonic()
        for position, command_id in enumerate(ids):
            message = self.contender.message(command_id)
            time.sleep(max(started + position / per_second - time.monotonic(), 0.0))
            published[command_id] = time.monotonic()
            self.publisher.publish(message)
        self.results.wait(number, alive=lambda: self.process.is_running)
        came = self.results.take(ids)
        return [(came[command_id] - published[command_id]) * 1000 for command_id in ids]

    def idle(self, seconds: float) -> float:
        """Percent of a core that it takes to do nothing."""
        time.sleep(1)
        before, since = self.process.processor_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.process.processor_seconds() - before) / (time.monotonic() - since) * 100


@contextmanager
def running(bench: Bench, contender: Contender, environment: Mapping[str, str] | None = None) -> Iterator[tuple[Session, float]]:
    """A worker that has carried out its first command, and the seconds from the start of its process to the event."""
    with Publisher(bench.url) as publisher, Results(bench.url) as results:
        bench.sips.delay(0)
        if contender.is_peer:
            publisher.declare(contender.queue, contender.queue_arguments)
        (first,) = _ids(1)
        publisher.publish(contender.message(first))
        with bench.start(contender, environment) as process:
            results.wait(1, alive=lambda: process.is_running)
            at = results.take([first])[first] - time.monotonic() + time.clock_gettime(time.CLOCK_BOOTTIME)
            yield Session(bench, contender, publisher, results, process), at - process.started_at()
        publisher.empty(contender.queue)


def measure(bench: Bench, contender: Contender, plan: Plan) -> Sample:
    """Everything about one worker, once."""
    sample = Sample(contender.name)
    with running(bench, contender) as (session, sample.start_seconds):
        session.load(min(WARM_UP, plan.messages))
        for delay in DELAYS:
            bench.sips.delay(delay)
            number = plan.number(contender, delay)
            sample.per_second[delay], sample.cpu_us[delay] = session.load(number)
        memory = session.process.memory()
        sample.rss_mib, sample.pss_mib = memory.rss, memory.pss
        bench.sips.delay(LATENCY_DELAY)
        sample.latencies_ms = session.latencies(plan.latencies, plan.per_second)
        sample.idle_cpu_percent = session.idle(plan.idle_seconds)
    return sample


def _ids(number: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(number)]
