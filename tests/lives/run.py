"""Have orders live while workers are killed, and compare what was told of them with what became of them."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import asdict, dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from tests.acceptance.conftest import FAST, example
from tests.amqp import channel, eventually, left_in_queues, publish
from tests.chaos.fleet import Fleet
from tests.chaos.tap import Tap
from tests.lives.judge import Evidence, Figures, Verdict, judge
from tests.webhook.calling import HEADER_SECRET, PATH_SECRET, Receiver
from worker.client import CommandClient
from worker.local.stack import Sandbox, Worker
from worker.messaging.topology import EVENTS, WEBHOOKS
from worker.sandbox.life import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from worker.local.rabbitmq import RabbitMQNode

__all__ = ["HALF", "LOST", "ON", "Plan", "Report", "Webhooks", "run"]

#: Workers, of one process each: when one is killed, another is there.
WORKERS = 2

#: The workers' settings, with times shortened.
SETTINGS = FAST | {"RETRY_ATTEMPTS": "60", "RETRY_MAX_SECONDS": "4", "THREADS": "32"}

#: Every second read is answered late, with what was so when it was asked: what is seen comes out of order, and a worker that is
#: killed dies in the middle of something.
SLOW = {"slow": {"rate": 0.5, "seconds": 0.4, "operations": ["ordersList", "deliveryDetails", "invoicesList"]}}

#: Whose orders they are: those of one customer are looked at by one call.
CUSTOMERS = ("DEMO001", "STO1170")

#: The source of the commands.
SOURCE = "lives"

#: Seconds (least, most) from each kill to the next; every worker is well before that.
KILL_SECONDS = (1.0, 3.0)

#: Seconds between two looks at how far it is, and between two lines that tell of it.
LOOK_SECONDS, PROGRESS_SECONDS = 1.0, 5.0

#: Seconds for everything else: workers that start, looks at an interval, what a killed worker has left to others.
PATIENCE_SECONDS = 100.0

#: The type of the event that tells that no other is on its way.
END = "lives.end"


class BrokenWorker(Worker):
    """`sips-worker run` without one of its protections; see `tests.lives.broken`."""

    module = "tests.lives.broken"


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What becomes of them, and so what can be demanded.

    Attributes:
        name: of the run.
        faults: the sandbox's.
        every_change: whether each change must be told of, or the last ones alone.
    """

    name: str
    faults: Mapping[str, Any]
    every_change: bool = False


ON = Webhooks("on", {}, every_change=True)
LOST = Webhooks("all lost", {"webhook_drop": 1})
HALF = Webhooks(
    "half lost, all doubled and shuffled", {"webhook_drop": 0.5, "webhook_repeat": 1, "webhook_shuffle": {"seconds": 3}}
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much there is of it.

    Attributes:
        webhooks: what becomes of them.
        orders: how many are submitted.
        rate: orders per second.
        steps: seconds from each change of an order to its next (least, most).
        looks: seconds between the looks that workers take by themselves.
        seed: of the kills, and of what becomes of orders and webhooks.
    """

    webhooks: Webhooks
    orders: int
    rate: float
    steps: tuple[float, float]
    looks: float
    seed: int = 7

    @property
    def commands(self) -> dict[str, str]:
        """PO number to the id of the command that submits it."""
        return {f"PO-{number}": f"submit-{number}" for number in range(self.orders)}

    @property
    def seconds(self) -> float:
        """When everything must have been told, from the start."""
        return self.orders / self.rate + len(STEPS) * self.steps[1] + PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to; `statuses` are the workers' exit statuses."""

    figures: Figures
    verdict: Verdict
    statuses: list[int]

    @property
    def line(self) -> str:
        """The figures as JSON."""
        return json.dumps(asdict(self.figures))


def run(
    plan: Plan, node: RabbitMQNode, database_url: str, folder: Path, show: Callable[[str], None], *, broken: str | None = None
) -> Report:
    """Run a plan.

    Args:
        plan: what to do.
        node: a RabbitMQ with the topology and nothing in it.
        database_url: an empty store.
        folder: for logs.
        show: takes a line of progress.
        broken: a protection to switch off, see `tests.lives.broken`.
    """
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(Receiver(folder, node.url, WEBHOOK_HMAC_HEADER="", WEBHOOK_HMAC_SECRET=""))
        receiver.wait_until(200)
        sandbox = stack.enter_context(Sandbox(folder, options=_options(plan, receiver)))
        sandbox.set_faults(**SLOW, **plan.webhooks.faults)
        tap = stack.enter_context(Tap(node.url))
        settings = SETTINGS | {"AMQP_URL": node.url, "DATABASE_URL": database_url, "SIPS_BASE_URL": sandbox.url}
        settings |= {"WATCH_SECONDS": str(plan.looks), "WATCH_FAR_SECONDS": str(plan.looks)}
        fleet = stack.enter_context(Fleet(_maker(folder, settings, broken), WORKERS, sandbox))
        return Run(plan, node, sandbox, tap, fleet, show).execute()


def _options(plan: Plan, receiver: Receiver) -> list[str]:
    least, most = plan.steps
    live = ["--live-steps", f"{least}:{most}", "--seed", str(plan.seed)]
    url = f"http://127.0.0.1:{receiver.port}/webhooks/sips/{PATH_SECRET}"
    return [*live, "--webhook", url, "--webhook-header", f"X-Partner-Key={HEADER_SECRET}"]


def _maker(folder: Path, settings: dict[str, str], broken: str | None) -> Callable[[int], Worker]:
    if broken is None:
        return lambda number: Worker(f"worker-{number}", folder, settings)
    return lambda number: BrokenWorker(f"worker-{number}", folder, settings | {"BREAK": broken})


@dataclass(slots=True)
class Run:
    """One run under way."""

    plan: Plan
    node: RabbitMQNode
    sandbox: Sandbox
    tap: Tap
    fleet: Fleet
    show: Callable[[str], None]
    kills: int = 0
    started: float = 0.0
    _lives: list[dict[str, Any]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _broken: list[BaseException] = field(default_factory=list)

    def execute(self) -> Report:
        """Submit the orders, kill workers as long as something changes, wait for what is told of the last changes, and judge."""
        self.started = time.monotonic()
        killing = threading.Thread(target=self._kill, name="killing", daemon=True)
        killing.start()
        try:
            self._submit()
            self._settle()
        finally:
            self._over.set()
            killing.join()
        if self._broken:
            raise self._broken[0]
        self._await_the_workers()
        statuses = self.fleet.stop()
        self._await_the_rest()
        return self._report(statuses)

    def _submit(self) -> None:
        documented: dict[str, Any] = example("ordersV2Submit.request")
        with CommandClient(self.node.url, source=SOURCE) as client:
            for number, (po_number, command_id) in enumerate(self.plan.commands.items()):
                time.sleep(max(self.started + number / self.plan.rate - time.monotonic(), 0.0))
                customer = CUSTOMERS[number % len(CUSTOMERS)]
                own = {"customerCode": customer, "accountNumber": customer}
                own |= {"poDetails": documented["poDetails"] | {"poNumber": po_number}}
                client.publish("sips.order.submit", documented | own, command_id=command_id)

    # Kills, in a thread of their own.

    def _kill(self) -> None:
        """Kill workers, once every order is known: of one that a killed worker was about to send, it is a person who decides."""
        chance = Random(f"{self.plan.seed}/kills")
        try:
            eventually(lambda: self._confirmed() == self.plan.orders, "every order is known", self.plan.seconds)
            while not self._over.wait(chance.uniform(*KILL_SECONDS)):
                self._await_the_workers()
                if not self._over.is_set() and not self._has_ended():
                    self.kills += self.fleet.kill_process(chance)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._broken.append(error)

    def _confirmed(self) -> int:
        return sum(event["type"] == "sips.order.confirmed" for event in self.tap.events)

    def _await_the_workers(self) -> None:
        """Until each takes what webhooks tell."""
        with channel(self.node.url) as opened:
            eventually(
                lambda: opened.queue_declare(WEBHOOKS, passive=True).method.consumer_count >= WORKERS, "all workers are well"
            )

    # The end.

    def _settle(self) -> None:
        """Wait until nothing changes any more, every webhook has been taken and worked on, and everything was told."""
        told_at = 0.0
        while time.monotonic() < self.started + self.plan.seconds:
            self._lives = self.sandbox.lives()
            verdict = self._judge()
            if self._has_ended() and not verdict.missing and self._is_quiet():
                return
            if time.monotonic() > told_at + PROGRESS_SECONDS:
                told_at = time.monotonic()
                self._say(verdict)
            time.sleep(LOOK_SECONDS)

    def _has_ended(self) -> bool:
        lives = self._lives
        return len(lives) == self.plan.orders and all(life["ended"] for life in lives)

    def _is_quiet(self) -> bool:
        """Whether no webhook waits to be sent, or to be worked on."""
        if any(webhook["state"] == "waiting" for life in self._lives for webhook in life["webhooks"]):
            return False
        left = left_in_queues(self.node)
        return left is not None and WEBHOOKS not in left

    def _await_the_rest(self) -> None:
        """What the workers have published by now comes before this."""
        publish(self.node.url, EVENTS, END, json.dumps({"type": END}).encode())
        eventually(lambda: any(event["type"] == END for event in self.tap.events), "every event has come")

    def _judge(self) -> Verdict:
        return judge(Evidence(self.plan.commands, self._lives, self.tap.events, every_change=self.plan.webhooks.every_change))

    def _report(self, statuses: list[int]) -> Report:
        verdict = self._judge()
        figures = Figures.of(
            verdict,
            webhooks=self.plan.webhooks.name,
            orders=len(self._lives),
            kills=self.kills,
            seconds=round(time.monotonic() - self.started, 1),
        )
        for problem in verdict.problems:
            self.show(problem)
        return Report(figures, verdict, statuses)

    def _say(self, verdict: Verdict) -> None:
        ended = sum(life["ended"] for life in self._lives)
        self.show(
            f"{time.monotonic() - self.started:6.1f} s  orders at SIPS {len(self._lives)} ({ended} ended), facts "
            f"{verdict.published}, missing {verdict.missing}, duplicate {verdict.duplicate}, kills {self.kills}"
        )
