"""Look for every operation: at its own path first, then at the variants, until one answers as it should."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from worker.cli.calibrate.asking import StoppedError
from worker.cli.calibrate.fields import differences
from worker.cli.calibrate.judging import Grade, are_alike, best, judge, odd_one, twin
from worker.cli.calibrate.questions import UnknownFactError, learn, payload, tellers
from worker.sips.errors import Unauthorized
from worker.sips.variants import variants

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.cli.calibrate.asking import Asker, Look
    from worker.cli.calibrate.fields import Difference
    from worker.cli.calibrate.judging import Verdict
    from worker.cli.calibrate.questions import Fact, Question
    from worker.sips import Operation

__all__ = ["Finding", "State", "search"]


class State(StrEnum):
    """What was found out about an operation."""

    CONFIRMED = "confirmed"
    MOVED = "moved"
    PERHAPS = "perhaps"
    NOT_FOUND = "not found"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Finding:
    """One operation after the search.

    Attributes:
        operation: as it is set now.
        state: what was found out.
        path: where it is, or may be; None where nobody knows.
        why: what the answer from there was, or why nothing was found.
        tried: each path that was asked, and what came.
        differences: from the model; None where there was none to hold the answer against.
        look: the answer that the finding rests on.
    """

    operation: Operation
    state: State
    path: str | None = None
    why: str = ""
    tried: tuple[tuple[str, str], ...] = ()
    differences: tuple[Difference, ...] | None = None
    look: Look | None = field(default=None, repr=False)

    @property
    def is_sure(self) -> bool:
        """Whether the operation answers there."""
        return self.state in {State.CONFIRMED, State.MOVED}


def search(questions: Sequence[Question], asker: Asker, facts: dict[Fact, str], only: Sequence[str] = ()) -> Iterator[Finding]:
    """A finding for each question, in their order; the facts grow with what SIPS tells.

    Of questions that are none of `only`, those that tell nothing new are left out.
    """
    stopped = ""
    found: set[str] = set()
    for question in questions:
        if only and question.operation not in only and (stopped or facts.keys() >= question.tells.keys()):
            continue
        if stopped:
            yield Finding(asker.operation(question.operation), State.NOT_TRIED, why=stopped)
            continue
        try:
            finding = _found(question, asker, facts, found)
            objection = _objection(finding)
        except StoppedError as error:
            finding = Finding(asker.operation(question.operation), State.NOT_TRIED)
            objection = str(error)
        if objection:
            finding = replace(finding, why=f"{finding.why}; {objection}" if finding.why else objection)
            stopped = f"stopped at {question.operation}"
        if finding.is_sure and finding.look and finding.look.answer:
            found.add(f"{finding.operation.method} {finding.path}")
            facts |= {fact: value for fact, value in learn(question, finding.look.answer.body).items() if fact not in facts}
        yield finding


def _found(question: Question, asker: Asker, facts: dict[Fact, str], found: set[str]) -> Finding:
    operation = asker.operation(question.operation)
    try:
        return _look_for(question, operation, asker, payload(question, facts), found)
    except UnknownFactError as error:
        return Finding(operation, State.NOT_TRIED, why=_unknown(error.fact))
    except ValidationError as error:
        places = {str(problem["loc"][0]) for problem in error.errors(include_input=False, include_url=False) if problem["loc"]}
        why = f"its command does not take what was given for {', '.join(sorted(places))}"
        return Finding(operation, State.NOT_TRIED, why=why)


def _objection(finding: Finding) -> str:
    """Why there is no point in asking on, after an operation that everything else builds on; empty where there is."""
    if finding.operation.id != "customerDetails" or finding.is_sure:
        return ""
    if finding.look is not None and isinstance(finding.look.error, Unauthorized):
        return "SIPS refuses the token: `sips-worker doctor` looks at it"
    if finding.state is State.NOT_FOUND:
        return (
            "if SIPS does not know --customer, it shows nothing of theirs: check the code, and that these credentials may see it"
        )
    return ""


def _look_for(question: Question, operation: Operation, asker: Asker, asked: dict[str, Any], found: set[str]) -> Finding:
    """Where the operation is, but where another one was found."""
    verdicts: list[Verdict] = []
    twins: dict[str, Look] = {}
    for path in (operation.path, *variants(operation)):
        if f"{operation.method} {path}" in found:
            continue
        verdict = judge(asker.ask(question, asked, path), question.expects)
        if verdict.needs_twin:
            verdict = _held_against_its_twin(verdict, question, asker, asked, twins)
        verdicts.append(verdict)
        if verdict.grade is Grade.CLEAR or (verdict.grade is Grade.HIT and path == operation.path):
            break
    return _finding(operation, verdicts)


def _held_against_its_twin(
    verdict: Verdict, question: Question, asker: Asker, asked: dict[str, Any], twins: dict[str, Look]
) -> Verdict:
    """A miss where an invented path is answered alike: then the answer is a gateway's, or a wildcard's."""
    path = twin(verdict.look.path)
    if path not in twins:
        twins[path] = asker.ask(question, asked, path)
    if not are_alike(verdict.look.answer, twins[path].answer):
        return verdict
    return type(verdict)(verdict.look, Grade.MISS, f"{verdict.words}, as an invented path")


def _finding(operation: Operation, verdicts: Sequence[Verdict]) -> Finding:
    tried = tuple((verdict.look.path, verdict.words) for verdict in verdicts)
    found = best(verdicts)
    if found is None:
        odd = odd_one(verdicts)
        hint = f"; {odd} answers it otherwise than the others: it may be there, and have no such thing" if odd else ""
        return Finding(operation, State.NOT_FOUND, why=f"{_summed(tried)}{hint}", tried=tried)
    state = State.PERHAPS if found.grade is Grade.PERHAPS else State.MOVED
    if state is State.MOVED and found.look.path == operation.path:
        state = State.CONFIRMED
    look = found.look
    is_answer = look.error is None and look.answer is not None and look.expected is not None
    differ = tuple(differences(look.answer.body, look.expected)) if is_answer and look.answer and look.expected else None
    return Finding(operation, state, look.path, found.words, tried, differ, look)


def _summed(tried: Sequence[tuple[str, str]]) -> str:
    """What came how often."""
    counts: dict[str, int] = {}
    for _path, words in tried:
        counts[words] = counts.get(words, 0) + 1
    return ", ".join(f"{words} from {count} path{'s' if count > 1 else ''}" for words, count in counts.items())


def _unknown(fact: Fact) -> str:
    if names := tellers(fact):
        return f"it takes {fact.value}, which {' and '.join(names)} did not tell"
    return f"it takes {fact.value}: give one"
