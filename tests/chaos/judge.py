"""Count what a run came to, from what was published, the events and the orders at SIPS; pure.

Nothing of it comes from the ledger: what the workers believe is not evidence. The plan lists every order within the window
unless it drops it, so an order that stands at SIPS must not end `.unknown`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.plan import SUBMIT
from worker.messaging.events import outcome_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.chaos.plan import Command

__all__ = ["SOURCE", "Evidence", "Figures", "Verdict", "judge"]

#: The source of the commands.
SOURCE = "chaos"

CONFIRMED = "sips.order.confirmed"
ENDS = ("succeeded", "failed", "unknown")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen from outside.

    Attributes:
        commands: by id.
        published: how often each command was published.
        events: all of `sips.events`, in the order in which they came.
        at_sips: the sandbox's orders.
        crashed: PO numbers of orders that were under way in a process at the moment of its SIGKILL.
        kept: the addresses of files to what they hold (sha256); None = not looked at yet.
    """

    commands: Mapping[str, Command]
    published: Mapping[str, int]
    events: Sequence[dict[str, Any]]
    at_sips: Sequence[dict[str, Any]]
    crashed: frozenset[str] = frozenset()
    kept: Mapping[str, str] | None = None


@dataclass(slots=True)
class Verdict:
    """What the evidence comes to. What was wrong is named in `problems`, one line for each."""

    commands: int = 0
    outcomes: int = 0
    succeeded: int = 0
    failed: int = 0
    unknown: int = 0
    false_unknown: int = 0
    orders_placed: int = 0
    duplicates: int = 0
    lost: int = 0
    conflicting_outcomes: int = 0
    repeated_reads: int = 0
    reconciled: int = 0
    crashed_while_sending: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing is duplicated, lost, contradictory or falsely unknown."""
        return not (self.duplicates or self.lost or self.conflicting_outcomes or self.false_unknown)


@dataclass(frozen=True, slots=True)
class Figures:
    """The last line of a run, in this order."""

    commands: int
    outcomes: int
    succeeded: int
    failed: int
    unknown: int
    false_unknown: int
    orders_placed: int
    duplicates: int
    lost: int
    conflicting_outcomes: int
    repeated_reads: int
    reconciled: int
    crashed_while_sending: int
    kills: int
    broker_restarts: int
    database_restarts: int
    cuts: int
    dead_letters: int
    seconds: float
    seed: int

    @classmethod
    def of(cls, verdict: Verdict, **further: Any) -> Figures:
        """A verdict with what was done to come to it."""
        return cls(**{name: value for name, value in asdict(verdict).items() if name != "problems"}, **further)


def judge(evidence: Evidence) -> Verdict:
    """Judge a run."""
    verdict = Verdict(commands=len(evidence.commands), orders_placed=len(evidence.at_sips))
    outcomes = _outcomes(evidence)
    for command in evidence.commands.values():
        _count(verdict, command, outcomes[command.id], evidence)
    _look_for_duplicates(verdict, evidence)
    placed = {order["poNumber"]: order for order in evidence.at_sips}
    for command in evidence.commands.values():
        if command.type == SUBMIT and outcomes[command.id]:
            _compare(verdict, command, outcomes[command.id], placed.get(command.po or ""))
    _look_for_unannounced(verdict, evidence, outcomes, placed)
    _look_for_files(verdict, evidence, outcomes)
    unanswered = {order["poNumber"] for order in evidence.at_sips if not order["answered"]}
    verdict.crashed_while_sending = len(evidence.crashed & unanswered)
    return verdict


def _outcomes(evidence: Evidence) -> defaultdict[str, list[dict[str, Any]]]:
    """Command id to its outcomes, in the order in which they came."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in evidence.events:
        command = evidence.commands.get(str(event.get("causationid")))
        if command and event["type"] in {f"{command.type}.{end}" for end in ENDS}:
            found[command.id].append(event)
    return found


def _count(verdict: Verdict, command: Command, outcomes: list[dict[str, Any]], evidence: Evidence) -> None:
    if not outcomes:
        verdict.lost += 1
        verdict.problems.append(f"lost: {command.type} {command.id} (PO {command.po}) has no outcome")
        return
    verdict.outcomes += 1
    end = _end(outcomes[0])
    setattr(verdict, end, getattr(verdict, end) + 1)
    if command.type != SUBMIT:
        verdict.repeated_reads += max(len(outcomes) - evidence.published[command.id], 0)
    elif end == "succeeded" and _was_looked_up(outcomes[0]):
        verdict.reconciled += 1


def _was_looked_up(outcome: dict[str, Any]) -> bool:
    """Whether the outcome rests on the list of orders: the answer to the order itself was lost."""
    body = outcome["data"]["sips"]["body"]
    return isinstance(body, dict) and "orderList" in body


def _look_for_duplicates(verdict: Verdict, evidence: Evidence) -> None:
    """A PO number twice at SIPS, or two orders under one key."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for command in evidence.commands.values():
        if command.po is not None:
            keys[command.key or command.id].add(command.po)
    placed = Counter(order["poNumber"] for order in evidence.at_sips)
    for key, numbers in keys.items():
        orders = sum(placed[number] for number in numbers)
        if orders > 1:
            verdict.duplicates += orders - 1
            verdict.problems.append(f"duplicated: SIPS has {orders} orders of key {key} (PO {', '.join(sorted(numbers))})")
    known = {number for numbers in keys.values() for number in numbers}
    for number in placed.keys() - known:
        verdict.duplicates += placed[number]
        verdict.problems.append(f"duplicated: SIPS has an order that nobody sent (PO {number})")


def _compare(verdict: Verdict, command: Command, outcomes: list[dict[str, Any]], at_sips: dict[str, Any] | None) -> None:
    """What is said of an order must be one thing, and true."""
    said = {(outcome["id"], outcome["type"], _order_id(outcome)) for outcome in outcomes}
    reason = _contradiction(command, outcomes[0], at_sips)
    if len(said) > 1:
        reason = f"{len(said)} different outcomes: {sorted(map(str, said))}"
    elif outcomes[0]["id"] != outcome_id(SOURCE, command.id, command.type, 1):
        reason = "the outcome's id does not follow from the command"
    if reason:
        verdict.conflicting_outcomes += 1
        verdict.problems.append(f"contradictory: order {command.id} (PO {command.po}): {reason}")
    if _end(outcomes[0]) == "unknown" and at_sips is not None and not at_sips["dropped"]:
        verdict.false_unknown += 1
        verdict.problems.append(f"falsely unknown: order {command.id} (PO {command.po}) is order {at_sips['orderId']} at SIPS")


def _contradiction(command: Command, outcome: dict[str, Any], at_sips: dict[str, Any] | None) -> str:
    match _end(outcome), at_sips:
        case "failed", dict():
            return f"`.failed` ({outcome['data'].get('type')}), and SIPS has it"
        case "succeeded", None:
            return "`.succeeded`, and SIPS does not have it"
        case "succeeded", dict() if _order_id(outcome) not in {None, at_sips["orderId"]}:
            return f"`.succeeded` as order {_order_id(outcome)}, and SIPS has it as {at_sips['orderId']}"
    return ""


def _look_for_unannounced(
    verdict: Verdict,
    evidence: Evidence,
    outcomes: Mapping[str, list[dict[str, Any]]],
    placed: Mapping[str, dict[str, Any]],
) -> None:
    """Every order that succeeded and that SIPS lists is announced as confirmed, under the order's own id."""
    announced = {(event["data"]["poNumber"], event["data"]["orderId"]) for event in evidence.events if event["type"] == CONFIRMED}
    succeeded = {
        command.po for command in evidence.commands.values() if _first_end(outcomes[command.id]) == "succeeded" and command.po
    }
    for number in sorted(succeeded & placed.keys()):
        order = placed[number]
        if order["listed"] and (number, order["orderId"]) not in announced:
            verdict.lost += 1
            verdict.problems.append(f"lost: {CONFIRMED} of order {order['orderId']} (PO {number})")


def _look_for_files(verdict: Verdict, evidence: Evidence, outcomes: Mapping[str, list[dict[str, Any]]]) -> None:
    """Every file that an outcome refers to is there, whole."""
    for command_id in evidence.commands if evidence.kept is not None else ():
        for outcome in outcomes[command_id]:
            file = outcome["data"].get("result") or {}
            if (address := file.get("dataref")) and file["sha256"] != (evidence.kept or {}).get(address):
                verdict.lost += 1
                verdict.problems.append(f"lost: the file {address} of {outcome['type']} {command_id}")


def _end(outcome: dict[str, Any]) -> str:
    return str(outcome["type"]).rsplit(".", 1)[1]


def _first_end(outcomes: Iterable[dict[str, Any]]) -> str | None:
    return next((_end(outcome) for outcome in outcomes), None)


def _order_id(outcome: dict[str, Any]) -> str | None:
    result = outcome["data"].get("result")
    return result.get("orderId") if isinstance(result, dict) else None
