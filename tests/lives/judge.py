"""Compare what really became of orders with the facts that were published; pure.

The truth is the sandbox's. Nothing of it comes from the worker's store: what the workers believe is not evidence.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from worker.sandbox.life import DELIVERY, INVOICE, ORDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["COMPLETED", "FACTS", "ISSUED", "STATUS_CHANGED", "Evidence", "Figures", "Verdict", "judge"]

#: What becomes of a subject, to the fact that tells of it.
STATUS_CHANGED = {ORDER: "sips.order.status_changed", DELIVERY: "sips.delivery.status_changed"}
COMPLETED, ISSUED = "sips.delivery.completed", "sips.invoice.issued"
FACTS = frozenset({*STATUS_CHANGED.values(), COMPLETED, ISSUED})

#: What a fact says: its type, and the status that it tells of; the facts that tell of one thing only have none.
Saying = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen from outside.

    Attributes:
        commands: the PO number of each order that was submitted, to the id of its command.
        lives: the sandbox's, at the end.
        events: all of `sips.events`, in the order in which they came.
        every_change: whether each change that has a webhook must be told of, or the last ones alone.
    """

    commands: Mapping[str, str]
    lives: Sequence[dict[str, Any]]
    events: Sequence[dict[str, Any]]
    every_change: bool


@dataclass(slots=True)
class Verdict:
    """What the evidence comes to. What was wrong is named in `problems`, one line for each.

    Attributes:
        expected: facts that must be there.
        published: different facts, by id.
        missing: expected, and not there.
        duplicate: the same fact again, under the same id; consumers drop it, and so does everything below.
        out_of_sequence: the number of a fact is not the one after the order's fact before.
        gone_back: and is lower than that.
        twice: something is told of under more than one id.
        untrue: what is said is not so.
        by_webhook: facts that a webhook led to.
    """

    expected: int = 0
    published: int = 0
    missing: int = 0
    duplicate: int = 0
    out_of_sequence: int = 0
    gone_back: int = 0
    twice: int = 0
    untrue: int = 0
    by_webhook: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing is missing, told twice, out of sequence or untrue."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Figures:
    """The last line of a run, in this order."""

    webhooks: str
    orders: int
    expected: int
    published: int
    missing: int
    duplicate: int
    out_of_sequence: int
    gone_back: int
    twice: int
    untrue: int
    by_webhook: int
    kills: int
    seconds: float

    @classmethod
    def of(cls, verdict: Verdict, **further: Any) -> Figures:
        """A verdict with what was done to come to it."""
        return cls(**{name: value for name, value in asdict(verdict).items() if name != "problems"}, **further)


def judge(evidence: Evidence) -> Verdict:
    """Judge a run."""
    verdict = Verdict()
    facts = defaultdict(list)
    for fact in _different(evidence.events, verdict):
        facts[str(fact["data"]["orderId"])].append(fact)
    for number in sorted(evidence.commands.keys() - {life["poNumber"] for life in evidence.lives}):
        verdict.expected += 1
        verdict.missing += 1
        verdict.problems.append(f"missing: SIPS has no order for PO {number}")
    for life in evidence.lives:
        _compare(_Order(life, facts.pop(life["orderId"], []), verdict), evidence)
    for order_id, strange in facts.items():
        verdict.untrue += len(strange)
        verdict.problems.append(f"untrue: {len(strange)} facts of order {order_id}, which SIPS does not have")
    return verdict


def _different(events: Iterable[dict[str, Any]], verdict: Verdict) -> Iterator[dict[str, Any]]:
    """The facts, each id once: the first that came."""
    first: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["type"] not in FACTS:
            continue
        if known := first.get(event["id"]):
            verdict.duplicate += 1
            if known != event:
                verdict.untrue += 1
                verdict.problems.append(f"untrue: {event['type']} {event['id']} came again with another content")
            continue
        first[event["id"]] = event
        verdict.published += 1
        verdict.by_webhook += event["data"]["source"] == "webhook"
        yield event


@dataclass(frozen=True, slots=True)
class _Order:
    """One order: what became of it, and what was told, in the order in which it came."""

    life: dict[str, Any]
    facts: list[dict[str, Any]]
    verdict: Verdict

    def problem(self, figure: str, what: str) -> None:
        setattr(self.verdict, figure, getattr(self.verdict, figure) + 1)
        self.verdict.problems.append(f"{figure.replace('_', ' ')}: order {self.life['orderId']}: {what}")

    def changes(self, subject: str | None = None) -> list[dict[str, Any]]:
        return [change for change in self.life["changes"] if subject in {None, change["subject"]}]


def _compare(order: _Order, evidence: Evidence) -> None:
    if not order.life["ended"]:
        order.problem("missing", "its life has not ended")
    due = _due(order, every_change=evidence.every_change)
    told = Counter(_saying(fact) for fact in order.facts)
    order.verdict.expected += len(due)
    for saying in sorted(due - told.keys()):
        order.problem("missing", _named(saying))
    for saying, times in told.items():
        if times > 1:
            order.problem("twice", f"{_named(saying)} under {times} ids")
    _look_at_sequence(order)
    _look_at_truth(order, evidence.commands.get(order.life["poNumber"]))


def _due(order: _Order, *, every_change: bool) -> set[Saying]:
    """What must be told of: every change that has a webhook, or where each subject ended."""
    due = {
        (STATUS_CHANGED[subject], change["status"])
        for subject in STATUS_CHANGED
        for change in (order.changes(subject) if every_change else order.changes(subject)[-1:])
        if change["eventType"]
    }
    due |= {(COMPLETED, "")} if order.changes(DELIVERY) else set()
    return due | ({(ISSUED, "")} if order.changes(INVOICE) else set())


def _look_at_sequence(order: _Order) -> None:
    """Facts come as they are numbered, from 1 on and without a gap."""
    last = 0
    for fact in order.facts:
        number = fact["data"]["sequence"]
        if number != last + 1:
            order.problem("out_of_sequence", f"{fact['type']} has number {number} and came after number {last}")
        if number <= last:
            order.problem("gone_back", f"number {number} came after number {last}")
        last = max(last, number)


def _look_at_truth(order: _Order, command_id: str | None) -> None:
    """A fact belongs to the order's own command, leads on from the fact before, and says what was so at some time after that."""
    facts = sorted(order.facts, key=lambda fact: int(fact["data"]["sequence"]))
    for fact in facts:
        if fact.get("correlationid") != command_id:
            order.problem("untrue", f"{fact['type']} is correlated with {fact.get('correlationid')}, not with {command_id}")
    for subject, event_type in STATUS_CHANGED.items():
        _look_at_states(order, subject, [fact for fact in facts if fact["type"] == event_type])
    for event_type, subject in ((COMPLETED, DELIVERY), (ISSUED, INVOICE)):
        if not order.changes(subject) and any(fact["type"] == event_type for fact in facts):
            order.problem("untrue", f"{event_type}, and there is no {subject}")


def _look_at_states(order: _Order, subject: str, facts: list[dict[str, Any]]) -> None:
    to_come = [change["status"] for change in order.changes(subject)]
    before = None
    for fact in facts:
        previous, current = ((fact["data"][when] or {}).get("status") for when in ("previous", "current"))
        if previous != before:
            order.problem("untrue", f"{fact['type']} leads from {previous} to {current}, and the fact before to {before}")
        if current in to_come:
            to_come = to_come[to_come.index(current) + 1 :]
        else:
            order.problem("untrue", f"{fact['type']} leads to {current}, which did not come after {before}")
        before = current


def _saying(fact: dict[str, Any]) -> Saying:
    return fact["type"], fact["data"]["current"]["status"] if fact["type"] in STATUS_CHANGED.values() else ""


def _named(saying: Saying) -> str:
    return " to ".join(filter(None, saying))
