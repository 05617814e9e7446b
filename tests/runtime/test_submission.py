"""What makes an order recognisable."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from worker.runtime.submission import order_key, po_claim, suffixed, transaction_date, transaction_id

KEY: dict[str, Any] = {"base_url": "https://sips", "source": "shop", "key": "k", "run": 1}


def test_every_attempt_of_a_run_has_the_same_transaction_id() -> None:
    """It is derived, not drawn."""
    assert transaction_id(**KEY) == transaction_id(**KEY)


@pytest.mark.parametrize("change", [{"base_url": "https://other"}, {"source": "s"}, {"key": "k2"}, {"run": 2}])
def test_another_key_or_run_has_another_transaction_id(change: dict[str, Any]) -> None:
    """QA and production, two services, two orders and two runs are told apart."""
    assert transaction_id(**KEY) != transaction_id(**(KEY | change))


def test_the_transaction_date_has_no_zone() -> None:
    """As in the documented example: 2023-05-11T10:49:34.187."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", transaction_date(ZoneInfo("UTC")))


def test_the_parts_of_a_key_cannot_run_into_each_other() -> None:
    """JSON keeps them apart."""
    assert order_key("u", "a", "b,c") != order_key("u", "a,b", "c")
    assert po_claim("u", "a", '","') != po_claim("u", 'a","', "")


def test_a_suffix_is_short_readable_and_the_commands_own() -> None:
    """As in 5641-8/K7Q2."""
    assert re.fullmatch(r"5641-8/[2-9A-HJ-NP-Z]{4}", suffixed("5641-8", "key-1"))
    assert suffixed("5641-8", "key-1") == suffixed("5641-8", "key-1") != suffixed("5641-8", "key-2")
