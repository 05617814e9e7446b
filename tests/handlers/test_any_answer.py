"""Whatever SIPS answers, a handler keeps its promises."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import handlers
from tests.acceptance.conftest import example
from tests.handlers.conftest import SUBMISSION
from tests.handlers.test_deliveries import ROW
from tests.sandbox.test_routes import places, replaced
from worker.runtime.registry import registry
from worker.runtime.submission import InDoubtError
from worker.sips import Sips, SipsError

if TYPE_CHECKING:
    from tests.handlers.conftest import Scripted
    from worker.runtime.payload import Result

assert handlers.__all__  # importing it registers the handlers

#: A row of SIPS' list of orders, as it is inferred.
LISTED = {"orderId": 1, "orderStatus": "Open", "orderDate": "2021-04-12", "customerCode": "DEMO001", "PONumber": "5641-8"}

#: Command type to (documented payload, answers to start from).
COMMANDS: dict[str, tuple[Any, list[Any]]] = {
    "sips.pricing.fetch": (example("productsV2Price.request"), [example("productsV2Price.response")]),
    "sips.delivery.get": ({"orderId": "35818786"}, [{"deliveryList": [ROW, ROW]}]),
    "sips.order.submit": (
        example("ordersV2Submit.request"),
        [
            example("ordersV2Submit.sync.response") | {"transactionID": SUBMISSION.transaction_id},
            example("ordersV2Submit.queued.inferred.response") | {"transactionID": SUBMISSION.transaction_id},
            example("error.inferred.response"),
        ],
    ),
    "sips.order.list": ({"poNumber": "5641-8"}, [{"orderList": [LISTED, LISTED]}]),
}

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


def test_every_handler_is_tried() -> None:
    """A new one needs a line here."""
    ours = {handler for handler in registry if handler.run.__module__.startswith("handlers.")}
    assert {handler.type for handler in ours if handler.port is Sips} == set(COMMANDS)


def result_of(scripted: Scripted, command_type: str, body: Any, status: int) -> Result | None:
    """What the handler returns, or None if it raises one of the errors that the pipeline has an end for."""
    handler = registry.find(command_type)
    assert handler
    payload = handler.payload.model_validate(copy.deepcopy(COMMANDS[command_type][0]))
    arguments = (payload, scripted.answers(body, status), *([SUBMISSION] if handler.changes else []))
    try:
        result = handler.run(*arguments)
    except (SipsError, InDoubtError, ValidationError):
        return None
    assert isinstance(result, handler.result)
    return result


@pytest.mark.parametrize("command_type", COMMANDS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), status=st.sampled_from([200, 200, 200, 200, 400, 404, 429, 500]))
def test_whatever_json_is_answered_a_handler_returns_its_result_or_a_known_error(
    scripted: Scripted, command_type: str, data: st.DataObject, status: int
) -> None:
    """A result can be written as JSON, and a value of it is never what SIPS forbids to show."""
    whole = data.draw(st.sampled_from(COMMANDS[command_type][1]))
    other = data.draw(json_values)
    body: Any = replaced(whole, data.draw(st.sampled_from(places(whole))), other) if data.draw(st.booleans()) else other
    result = result_of(scripted, command_type, body, status)
    if result is None:
        return
    assert 200 == status
    told = orjson.loads(orjson.dumps(result.model_dump(mode="json")))
    for line in told.get("lines", []):
        assert (line["price"] is None) == (line["displayText"] == "Please call branch for product pricing")
        assert 0 != line["price"]
    if told.get("status") == "confirmed":
        assert told["orderId"] == str(body["orderID"]).strip()
        assert re.fullmatch(r"[0-9]+", told["orderId"])


@pytest.mark.parametrize("command_type", COMMANDS)
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd[:12]))
def test_an_odd_text_at_any_place_is_survived(scripted: Scripted, command_type: str, odd: str) -> None:
    """Each at each place of each documented answer; what becomes of it can be written as JSON."""
    for whole in COMMANDS[command_type][1]:
        for place in places(whole):
            result = result_of(scripted, command_type, replaced(whole, place, odd), 200)
            if result is not None:
                assert orjson.dumps(result.model_dump(mode="json"))
