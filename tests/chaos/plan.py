"""What a chaos run does and when: commands, disturbances and what SIPS does wrong, all from one seed; pure."""

from __future__ import annotations

import enum
import itertools
import uuid
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.client.commands import Form

__all__ = [
    "ABSENCE_SECONDS",
    "CALL_SECONDS",
    "LARGE",
    "LISTED_AFTER",
    "READS",
    "Command",
    "Disturbance",
    "Kind",
    "Phase",
    "Plan",
    "Publication",
    "When",
    "make",
]

SUBMIT = "sips.order.submit"

#: What is read: some of each area and of each queue, by the documented requests; the last has a file that the events refer to.
READS = (
    "sips.pricing.fetch",
    "sips.delivery.get",
    "sips.order.get",
    "sips.customer.validate",
    "sips.branch.customer_locations",
    "sips.product.units",
    "sips.invoice.list",
    "sips.invoice.pdf",
    "sips.delivery.proof",
    "sips.branch.products",
)

#: How SIPS answers the last, whatever else it does: with more than stands in an event.
LARGE = {"large": {"mib": 1.1, "operations": ["activeBranchProducts"]}}

#: Seconds that the workers wait for SIPS, and after which they may say that an order is not there (their settings).
CALL_SECONDS, ABSENCE_SECONDS = 3.0, 14.0

#: The latest that SIPS lists an order. With the longest call before it, an order is listed well within the window.
LISTED_AFTER = 5.0

#: Seconds for which SIPS is away when it is away for longer than the window.
LONG_OUTAGE = ABSENCE_SECONDS + 6.0

#: The part of the time in which commands are published.
PUBLISHING = 0.8

#: Mean seconds between two disturbances, and between two changes of what SIPS does wrong.
DISTURBED_EVERY, PHASE_SECONDS = 6.0, 7.0

#: The shortest run that has room for a long outage.
LONG_RUN = 120.0


class Kind(enum.Enum):
    """What is done to the workers and their surroundings."""

    KILL_SENDER = "SIGKILL to the process that sends most orders"
    KILL_MASTER = "SIGKILL to a master"
    STOP_WORKER = "SIGTERM to a worker"
    RESTART_BROKER = "RabbitMQ restarts"
    CRASH_BROKER = "RabbitMQ crashes"
    RESTART_DATABASE = "PostgreSQL restarts"
    CRASH_DATABASE = "PostgreSQL crashes"
    CUT_BROKER = "connections to RabbitMQ are cut"
    CUT_DATABASE = "connections to PostgreSQL are cut"
    FREEZE_BROKER = "connections to RabbitMQ are half-open"
    FREEZE_DATABASE = "connections to PostgreSQL are half-open"
    ALARM = "memory alarm"


#: What every run has, however short.
ESSENTIAL = (Kind.KILL_SENDER, Kind.CRASH_BROKER, Kind.CRASH_DATABASE, Kind.CUT_BROKER)

#: The rest of the deck; it is shuffled, dealt out and shuffled again. Kills of senders lead to most crashes while sending.
FURTHER = (
    *(Kind.KILL_SENDER,) * 8,
    *(Kind.KILL_MASTER,) * 2,
    *(Kind.STOP_WORKER,) * 3,
    *(Kind.FREEZE_BROKER, Kind.CUT_DATABASE, Kind.FREEZE_DATABASE, Kind.ALARM),
    *(Kind.RESTART_BROKER, Kind.RESTART_DATABASE),
)

_SUBMIT = {"operations": ["ordersV2Submit"]}


def _slow(seconds: float) -> dict[str, Any]:
    """Orders are accepted at once and answered late: a worker that dies meanwhile dies between claim and record."""
    return {"slow": {"seconds": seconds, **_SUBMIT}}


#: What SIPS does wrong, by name; every phase is one of them. Looks meet what names no operation.
FAULTS: dict[str, dict[str, Any]] = {
    "slow": _slow(1.5),
    "very slow": _slow(2.0),
    "lost answers": {"lost_answer": {"rate": 0.4, **_SUBMIT}, **_slow(0.5)},
    "lost answers, also of looks": {"lost_answer": 0.3, **_slow(0.5)},
    "errors after accepting": {"error_after": 0.4, **_slow(0.5)},
    "errors before accepting": {"error_before": 0.1, **_slow(0.5)},
    "queued and listed late": {"queued": {"rate": 0.5, "listed_after": LISTED_AFTER}, **_slow(0.5)},
    "queued, listed late and unanswered": {
        "queued": {"rate": 0.7, "listed_after": LISTED_AFTER},
        "lost_answer": {"rate": 0.5, **_SUBMIT},
        **_slow(0.5),
    },
    "401": {"unauthorized": 0.4, **_slow(0.5)},
    "429": {"throttle": {"rate": 0.5, "retry_after": 1}, **_slow(0.5)},
    "garbage": {"garbage": 0.4, **_slow(0.5)},
    "slower than the worker waits": {"slow": {"rate": 0.5, "seconds": CALL_SECONDS + 2}},
    "byte by byte": {"drip": {"rate": 0.3, "interval": 0.5}, **_slow(0.5)},
    "gateway": {"waf": 0.2, "not_found": {"rate": 0.2, **_SUBMIT}, **_slow(0.5)},
    "token endpoint fails": {"token_error": {"rate": 0.5}, "token_short": {"expires_in": 1}, **_slow(0.5)},
    "down": {"down": {}},
}

#: What a short run has of them, in this order, after a slow start.
SHORT = ("slow", "lost answers", "queued, listed late and unanswered", "429", "errors after accepting", "very slow")


@dataclass(frozen=True, slots=True)
class Phase:
    """For `seconds` from second `at` on, SIPS has these faults."""

    at: float
    seconds: float
    name: str
    faults: dict[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens at second `at`, and for how long, where it lasts."""

    at: float
    kind: Kind
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command; `po` is the PO number of an order, `key` its idempotency key where that is not its id."""

    id: str
    type: str
    form: Form
    po: str | None = None
    key: str | None = None


class When(enum.Enum):
    """When a command is published."""

    #: At its second.
    AT = "at"
    #: From its second on, as soon as SIPS works on the order and has not answered it yet.
    WHILE_RUNNING = "while running"


@dataclass(frozen=True, slots=True)
class Publication:
    """One time that a command is published."""

    at: float
    command: Command
    when: When = When.AT


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run; each list in the order of its times."""

    seed: int
    seconds: float
    publications: tuple[Publication, ...]
    disturbances: tuple[Disturbance, ...]
    phases: tuple[Phase, ...]

    @property
    def commands(self) -> dict[str, Command]:
        """Every command by its id."""
        return {publication.command.id: publication.command for publication in self.publications}


def make(seed: int, *, orders: int, reads: int, seconds: float) -> Plan:
    """The plan of a run of about so many seconds, with so many commands of each kind."""
    publications = [*_orders(Random(f"{seed}/orders"), orders), *_reads(Random(f"{seed}/reads"), reads)]
    scaled = [Publication(item.at * seconds * PUBLISHING, item.command, item.when) for item in publications]
    return Plan(
        seed=seed,
        seconds=seconds,
        publications=tuple(sorted(scaled, key=lambda item: item.at)),
        disturbances=tuple(_disturbances(Random(f"{seed}/disturbances"), seconds)),
        phases=tuple(_phases(Random(f"{seed}/phases"), seconds)),
    )


def _orders(chance: Random, number: int) -> Iterator[Publication]:
    """Orders; times run from 0 to 1. Some are published twice, some share their key with another."""
    made = 0
    while made < number:
        first = _order(chance)
        at = chance.random()
        yield Publication(at, first)
        made += 1
        match chance.choices(("once", "twice", "running", "rival", "twin"), (80, 7, 6, 5, 2))[0]:
            case "twice":
                yield Publication(min(at + chance.random() * 0.1, 1.0), first)
            case "running":
                yield Publication(at, first, When.WHILE_RUNNING)
            case "rival" | "twin" as other if made < number:
                po = _po(chance) if other == "rival" else first.po
                second = Command(_id(chance), SUBMIT, _keyed_form(chance), po, key=first.id)
                yield Publication(min(at + chance.random() * 0.05, 1.0), second)
                made += 1


def _order(chance: Random) -> Command:
    return Command(_id(chance), SUBMIT, chance.choice(("structured", "binary", "plain")), _po(chance))


def _reads(chance: Random, number: int) -> Iterator[Publication]:
    for _ in range(number):
        read = Command(_id(chance), chance.choice(READS), chance.choice(("structured", "binary", "plain")))
        at = chance.random()
        yield Publication(at, read)
        if chance.random() < 0.05:
            yield Publication(min(at + chance.random() * 0.1, 1.0), read)


def _id(chance: Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _po(chance: Random) -> str:
    return f"PO-{chance.getrandbits(48):012x}"


def _keyed_form(chance: Random) -> Form:
    """The plain form has no place for a key."""
    form: Form = chance.choice(("structured", "binary"))
    return form


def _disturbances(chance: Random, seconds: float) -> Iterator[Disturbance]:
    """One every few seconds; the last early enough to be followed by what it leads to."""
    number = max(int(seconds / DISTURBED_EVERY) - 1, len(ESSENTIAL))
    step = seconds * 0.9 / number
    for turn, kind in zip(range(number), _deck(chance), strict=False):
        at = seconds * 0.08 + (turn + chance.random() * 0.5) * step
        yield Disturbance(min(at, seconds), kind, seconds=chance.uniform(2, 5) if kind is Kind.ALARM else 0.0)


def _deck(chance: Random) -> Iterator[Kind]:
    essential = list(ESSENTIAL)
    chance.shuffle(essential)
    yield from essential
    while True:
        deck = [*FURTHER, *ESSENTIAL]
        chance.shuffle(deck)
        yield from deck


def _phases(chance: Random, seconds: float) -> Iterator[Phase]:
    """One after the other without a gap; one that is slow stands between two others, so that kills meet orders under way."""
    at = 0.0
    for name in _names(chance, long=seconds >= LONG_RUN):
        if at >= seconds:
            return
        lasts = LONG_OUTAGE if name == "down" and seconds >= LONG_RUN else chance.uniform(0.6, 1.4) * PHASE_SECONDS
        lasts = min(lasts, seconds - at) if seconds - at - lasts > 1.0 else seconds - at
        yield Phase(at, lasts, name, FAULTS[name])
        at += lasts


def _names(chance: Random, *, long: bool) -> Iterator[str]:
    if not long:
        yield from itertools.cycle(SHORT)
    while True:
        names = [name for name in FAULTS if name not in {"slow", "very slow"}]
        chance.shuffle(names)
        for name in names:
            yield name
            yield chance.choice(("slow", "very slow"))
