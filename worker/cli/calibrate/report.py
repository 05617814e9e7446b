"""What was found out: lines for a person, and the same as JSON for a program. No value of an answer stands in either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from worker.cli.calibrate.search import State
from worker.sips import OPERATIONS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.cli.calibrate.fields import Difference
    from worker.cli.calibrate.search import Finding

__all__ = ["as_json", "closing", "line", "settings_of"]

#: Differences of one operation that a person is shown.
SHOWN = 12

_MARKS = {
    State.CONFIRMED: ("ok", "green"),
    State.MOVED: ("->", "green"),
    State.PERHAPS: ("??", "yellow"),
    State.NOT_FOUND: ("!!", "red"),
    State.NOT_TRIED: ("..", "yellow"),
}


def line(finding: Finding) -> str:
    """One operation."""
    mark, colour = _MARKS[finding.state]
    return f"  {click.style(mark, fg=colour)}  {finding.operation.id}: {_told(finding)}"


def _told(finding: Finding) -> str:
    match finding.state:
        case State.CONFIRMED:
            return f"{finding.path} ({finding.why})"
        case State.MOVED:
            return f"moved to {finding.path} ({finding.why})"
        case State.PERHAPS:
            return f"perhaps {finding.path} ({finding.why}); ask SRS, or try its command with what you know is there"
        case State.NOT_FOUND:
            return f"not found: {finding.why}; ask SRS for the path, and set SIPS_PATHS__{finding.operation.id}"
    return f"not tried: {finding.why}"


def settings_of(findings: Sequence[Finding]) -> list[str]:
    """The settings that put operations where they were found."""
    return [f"SIPS_PATHS__{finding.operation.id}={finding.path}" for finding in findings if finding.state is State.MOVED]


def closing(findings: Sequence[Finding], notes: Sequence[str]) -> Iterator[str]:
    """What comes after the operations: notes, settings, differences."""
    changing = [operation.id for operation in OPERATIONS.values() if operation.kind is Kind.MUTATION]
    yield f"  ..  never tried, because they change something: {', '.join(changing)}"
    for note in notes:
        yield click.style(f"  ..  {note}", fg="yellow")
    if lines := settings_of(findings):
        yield ""
        yield "Set these for every worker, in its environment or its .env:"
        yield from lines
    if different := [finding for finding in findings if finding.differences]:
        yield ""
        yield "Properties that are not as the models have them (new ones are passed on in sips.body):"
        for finding in different:
            yield f"  {finding.operation.id}"
            yield from (f"    {_difference(row)}" for row in (finding.differences or ())[:SHOWN])
            if (more := len(finding.differences or ()) - SHOWN) > 0:
                yield f"    and {more} more: --json shows all"


def _difference(row: Difference) -> str:
    return f"{row.kind:<8} {row.pointer or 'the whole answer'}{f': {row.note}' if row.note else ''}"


def as_json(findings: Sequence[Finding], notes: Sequence[str], requests: int) -> dict[str, Any]:
    """Everything, every path that was tried included."""
    return {
        "requests": requests,
        "settings": settings_of(findings),
        "notes": list(notes),
        "operations": [
            {
                "operation": finding.operation.id,
                "state": finding.state,
                "was": finding.operation.path,
                "path": finding.path,
                "why": finding.why,
                "tried": [{"path": path, "answer": words} for path, words in finding.tried],
                "differences": None
                if finding.differences is None
                else [{"kind": row.kind, "pointer": row.pointer, "note": row.note} for row in finding.differences],
            }
            for finding in findings
        ],
    }
