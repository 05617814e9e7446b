"""What an answer says of the path it came from: there, perhaps there, or not. Decisions without any call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from worker.cli.calibrate.fields import share
from worker.sips import Unreadable
from worker.sips.answers import HTML, PDF, is_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.cli.calibrate.asking import Look
    from worker.sips import Answer

__all__ = ["INVENTED", "Grade", "Verdict", "are_alike", "best", "judge", "odd_one", "twin"]

#: What no path of SIPS has in it.
INVENTED = "no-such-thing"

#: Share of the expected properties from which an answer is taken for the operation's, and from which nothing better is sought.
ENOUGH, PLENTY = 0.5, 0.8

#: Refusals that come from behind a path, unless a gateway gives them to every path: see `are_alike`.
_REFUSALS = frozenset({400, 401, 403, 422, 500})


class Grade(IntEnum):
    """How sure it is that the operation is at a path."""

    MISS = 0
    #: Something is there: it refuses the question, or answers with little of what is expected.
    PERHAPS = 1
    #: It answers with what is expected.
    HIT = 2
    #: And with so much of it that there is no need to look further.
    CLEAR = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """A look and what it is worth; `words` say it, and `share` is that of the expected properties that the answer has."""

    look: Look
    grade: Grade
    words: str
    share: float = 0.0

    @property
    def needs_twin(self) -> bool:
        """Whether an invented path may well be answered in the same way: then the answer says nothing of this one."""
        return self.grade is Grade.PERHAPS or (self.grade is Grade.HIT and self.share == 0.0)


def judge(look: Look, names: tuple[str, ...] = ()) -> Verdict:
    """The verdict on one look; `names` are the expected properties where no model says them."""
    if look.error is not None:
        return _of_an_error(look)
    assert look.answer is not None  # noqa: S101 - a success has one
    if look.answer.media_type == PDF and not is_json(look.answer.body):
        return Verdict(look, Grade.CLEAR, "a PDF", 1.0)
    found, wanted = share(look.answer.body, look.expected, names)
    if wanted == 0:
        return Verdict(
            look, Grade.HIT, "an empty list" if look.answer.body == [] else "JSON, and nothing is known of its properties"
        )
    words = f"JSON with {found} of {wanted} expected properties"
    part = found / wanted
    grade = Grade.CLEAR if part >= PLENTY else Grade.HIT if part >= ENOUGH else Grade.PERHAPS
    return Verdict(look, grade, words, part)


def _of_an_error(look: Look) -> Verdict:
    assert look.error is not None  # noqa: S101 - see the caller
    answer = look.answer
    if answer is None:  # one that is too large to be held is one all the same
        return Verdict(look, Grade.PERHAPS if isinstance(look.error, Unreadable) else Grade.MISS, look.error.reason)
    words = f"HTTP {answer.status}" + (" with a web page" if answer.media_type == HTML else "")
    refused = answer.status in _REFUSALS and is_json(answer.body)
    return Verdict(look, Grade.PERHAPS if refused else Grade.MISS, words)


def best(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The likeliest that is no miss; of equals the first."""
    likely = [verdict for verdict in verdicts if verdict.grade is not Grade.MISS]
    return max(likely, key=lambda verdict: (verdict.grade, verdict.share), default=None)


def twin(path: str) -> str:
    """A path of the same form that does not exist: invented names, the same area, version and parameters."""
    place, mark, query = path.partition("?")
    segments = place.split("/")
    names = [index for index, part in enumerate(segments[2:], 2) if part and part not in {"v1", "v2"} and "{" not in part]
    changed = [INVENTED if index in (names or [1]) else part for index, part in enumerate(segments)]
    return "/".join(changed) + mark + query


def are_alike(one: Answer | None, other: Answer | None) -> bool:
    """Whether two answers are the same in form: status, media type and the names in their bodies' first level."""
    return bool(_form(one) == _form(other))


def odd_one(verdicts: Sequence[Verdict]) -> str | None:
    """The path whose 404 is unlike that of all the others: it may be there, without the thing that was asked for."""
    missing = [verdict.look for verdict in verdicts if verdict.look.answer and verdict.look.answer.status == HTTPStatus.NOT_FOUND]
    forms = [_form(look.answer) for look in missing]
    odd = [look.path for look, form in zip(missing, forms, strict=True) if forms.count(form) == 1]
    return odd[0] if len(odd) == 1 and len(missing) > 3 and len(set(forms)) == 2 else None  # noqa: PLR2004 - one against all


def _form(answer: Answer | None) -> Any:
    if answer is None:
        return None
    names = frozenset(answer.body) if isinstance(answer.body, dict) else type(answer.body).__name__
    return answer.status, answer.media_type, names
