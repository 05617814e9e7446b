"""Whatever SIPS answers, a handler keeps its promises."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.acceptance.conftest import example
from tests.handlers.commands import CASES
from tests.sandbox.test_routes import places, replaced
from worker.runtime.submission import InDoubtError
from worker.sips import SipsError

if TYPE_CHECKING:
    from tests.handlers.commands import Case
    from tests.handlers.conftest import Scripted
    from worker.runtime.payload import Result


#: A case of each operation that a command may call, with answers to start from.
TRIED = {str(case): case for case in CASES}

#: Values that other systems have been seen to put where a number or a text belongs.
ODD = [
    "",
    " ",
    "0",
    "0.00",
    "-0",
    "1e400",
    "nan",
    "Infinity",
    "9" * 30,
    "9" * 5_000,
    "Order Queued",
    "not queued",
    "true",
    "٣",
    "\x00",
    "JVBERi0é",
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def answers_of(case: Case) -> list[Any]:
    """Answers to start from; to an order also an error."""
    return [*case.answers, *([example("error.inferred.response")] if case.handler.changes else [])]


def result_of(scripted: Scripted, case: Case, body: Any, status: int) -> Result | None:
    """What the handler returns, or None if it raises one of the errors that the pipeline has an end for."""
    try:
        result = case.run(scripted.answers(body, status))
    except (SipsError, InDoubtError, ValidationError):
        return None
    assert isinstance(result, case.handler.result)
    return result


@pytest.mark.parametrize("case", TRIED.values(), ids=str)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), status=st.sampled_from([200, 200, 200, 200, 400, 404, 429, 500]))
def test_whatever_json_is_answered_a_handler_returns_its_result_or_a_known_error(
    scripted: Scripted, case: Case, data: st.DataObject, status: int
) -> None:
    """A result can be written as JSON, and a value of it is never what SIPS forbids to show."""
    whole = data.draw(st.sampled_from(answers_of(case)))
    other = data.draw(json_values)
    body: Any = replaced(whole, data.draw(st.sampled_from(places(whole))), other) if data.draw(st.booleans()) else other
    result = result_of(scripted, case, body, status)
    if result is None:
        return
    assert 200 == status or case.type == "sips.order.check"  # which tells of parts that SIPS does not answer
    told = orjson.loads(orjson.dumps(result.model_dump(mode="json")))
    for line in told.get("lines", []):
        assert (line["price"] is None) == (line["displayText"] == "Please call branch for product pricing")
        assert 0 != line["price"]
    if told.get("status") == "confirmed":
        assert told["orderId"] == str(body["orderID"]).strip()
        assert re.fullmatch(r"[0-9]+", told["orderId"])


@pytest.mark.parametrize("case", TRIED.values(), ids=str)
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd[:12]))
def test_an_odd_text_at_any_place_is_survived(scripted: Scripted, case: Case, odd: str) -> None:
    """Each at each place of each documented answer; what becomes of it can be written as JSON."""
    for whole in answers_of(case):
        for place in places(whole):
            result = result_of(scripted, case, replaced(whole, place, odd), 200)
            if result is not None:
                assert orjson.dumps(result.model_dump(mode="json"))
