"""Where the search for an order at SIPS begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import orjson
import pytest

from tests.orders import new, payload
from tests.sips.making import settings
from worker.runtime.lookup import Lookup


@pytest.mark.parametrize("spelling", [("poDetails", "orderDate"), ("PODetails", "OrderDate")])
def test_an_order_is_searched_from_its_own_date_however_it_is_spelled(spelling: tuple[str, str]) -> None:
    """SIPS lists it under that date, which may lie long before it was sent; else it would be taken for an older order."""
    outer, inner = spelling
    body: dict[str, Any] = payload("PO-1")
    details = body.pop("poDetails")
    body[outer] = {"poNumber": "PO-1", inner: details["orderDate"]}
    order = replace(new("c-1", base_url="https://sips.example"), payload=orjson.dumps(body).decode())

    lookup = Lookup(None, None, settings("https://sips.example"))  # type: ignore[arg-type]

    assert date(2026, 1, 15) == lookup._since(order, None)
