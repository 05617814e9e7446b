"""What payloads have in common beside their spelling."""

from __future__ import annotations

from typing import Any

import pytest

from worker.runtime.outcomes import invalid_payload
from worker.runtime.payload import Identity, guess_identity, refuse, spelled


def test_a_validator_may_tell_several_places() -> None:
    """Braces in the text are no template."""
    error = refuse([(("a", 0), "is {wrong}"), (("b",), "too")])
    assert [{"pointer": "/a/0", "detail": "is {wrong}"}, {"pointer": "/b", "detail": "too"}] == list(
        invalid_payload(error).errors
    )


@pytest.mark.parametrize(
    ("data", "value"),
    [({"poNumber": 1}, 1), ({"PONumber": 1}, 1), ({"PONumber": 1, "poNumber": 2}, 2), ({"po": 1}, None), ([], None)],
)
def test_a_property_is_found_however_it_is_spelled(data: Any, value: Any) -> None:
    """In a payload as it came, which may be anything."""
    assert value == spelled(data, "poNumber")


def test_the_customer_of_a_wrong_payload_is_found_however_it_is_spelled() -> None:
    """So that it hears of it."""
    assert Identity(customer_code="C1") == guess_identity({"CustomerCode": "C1"})
