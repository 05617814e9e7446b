"""What a look at SIPS' list of orders says."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from worker.runtime.matching import ROW_LIMIT, Finding, Patience, Wanted, conclude_absence, day, find, is_refused, window
from worker.sips.models import OrderRow

WANTED = Wanted(
    customer_code="DEMO001", po_number="5641-8", transaction_ids=frozenset({"t-1", "t-0"}), since=date(2026, 1, 15), key="ours"
)
ROW: dict[str, Any] = {"orderId": 1, "customerCode": "DEMO001", "PONumber": "5641-8", "orderDate": "2026-01-15"}


def rows(*changes: dict[str, Any]) -> list[OrderRow]:
    """Listed rows: the matching one with these changes."""
    return [OrderRow.model_validate({**ROW, **change}) for change in changes]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, True),
        # SIPS pads and changes the case of codes; a PO number is the partner's own and must be the same to the letter.
        ({"customerCode": " demo001 "}, True),
        ({"PONumber": "5641-8 "}, True),
        ({"PONumber": "5641-80"}, False),
        ({"PONumber": "x5641-8"}, False),
        ({"PONumber": None}, False),
        ({"customerCode": "DEMO002"}, False),
        ({"customerCode": None}, False),
        ({"orderId": None}, False),
        # An earlier order under the same PO number is another order; a day of slack, as dates have no zone.
        ({"orderDate": "2026-01-14"}, True),
        ({"orderDate": "2026-01-13"}, False),
        ({"orderDate": "2026-01-16T08:00:00"}, True),
        ({"orderDate": None}, True),
        ({"orderDate": "last week"}, True),
        # Where a row shows the transaction id, it decides.
        ({"transactionID": "T-1", "orderDate": "2020-01-01"}, True),
        ({"transactionID": "t-0"}, True),
        ({"transactionID": "t-2"}, False),
        ({"transactionId": "t-2"}, False),
    ],
)
def test_a_row_is_ours_or_not(change: dict[str, Any], found: bool) -> None:
    """Customer and PO number are compared here, and then what tells one order under them from another."""
    expected = Finding.FOUND if found else Finding.ABSENT

    assert expected is find(rows(change), WANTED, {}).finding


def test_an_order_of_another_ledger_row_is_not_ours() -> None:
    """Two orders of ours under one PO number must not share one of SIPS'."""
    assert Finding.ABSENT is find(rows({}), WANTED, {"1": "another"}).finding
    assert Finding.FOUND is find(rows({}), WANTED, {"1": "ours"}).finding


def test_several_orders_under_one_number_are_for_a_person() -> None:
    """While one order that is listed twice is one."""
    assert Finding.SEVERAL is find(rows({}, {"orderId": 2}), WANTED, {}).finding
    assert Finding.FOUND is find(rows({}, {}), WANTED, {}).finding


def test_a_list_that_may_be_cut_off_proves_no_absence() -> None:
    """But what is found in it is found."""
    others = [{"PONumber": f"other-{number}", "orderId": number + 10} for number in range(ROW_LIMIT)]

    assert Finding.CUT_OFF is find(rows(*others), WANTED, {}).finding
    assert Finding.FOUND is find(rows({}, *others), WANTED, {}).finding


def test_the_window_is_a_day_wider_on_each_side() -> None:
    """SIPS' dates have no zone."""
    assert ("2026-01-14", "2026-02-01") == window(date(2026, 1, 15), date(2026, 1, 31))


@pytest.mark.parametrize(
    ("looks", "since_send", "since_trouble", "controlled", "absent"),
    [
        (4, 1800, 600, True, True),
        (3, 1800, 600, True, False),
        (4, 1799, 600, True, False),
        (4, 1800, 599, True, False),
        (99, 1e6, 1e6, False, False),
    ],
)
def test_absence_takes_looks_time_and_a_control(
    looks: int, since_send: float, since_trouble: float, controlled: bool, absent: bool
) -> None:
    """SIPS lists orders late: not finding one proves nothing for a long while."""
    patience = Patience(looks=4, seconds_after_send=1800, seconds_after_trouble=600)

    assert absent is conclude_absence(
        looks=looks, since_send=since_send, since_trouble=since_trouble, patience=patience, controlled=controlled
    )


@pytest.mark.parametrize(
    ("status", "refused"), [("Rejected", True), (" cancelled", True), ("Open", False), (None, False), ("rejected?", False)]
)
def test_only_plain_words_refuse_an_order(status: str | None, refused: bool) -> None:
    """An unknown status passes through."""
    assert refused is is_refused([status])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-15", date(2026, 1, 15)),
        ("2026-01-15T10:00:00.000", date(2026, 1, 15)),
        ("15.1.26", None),
        ("", None),
        (None, None),
    ],
)
def test_a_day_is_read_where_it_can_be(text: str | None, expected: date | None) -> None:
    """SIPS' dates have no settled form."""
    assert expected == day(text)
