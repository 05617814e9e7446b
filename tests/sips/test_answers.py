"""Reading an answer as far as JSON."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from worker.sips.answers import Answer, is_json, media_type, parse_json, parse_retry_after
from worker.sips.errors import Executed, Unreadable
from worker.sips.models import OrderListAnswer, OrderRow


def answered(body: Any) -> Answer:
    """A 200 with a body."""
    return Answer("ordersList", 200, body, b"", "application/json", 0.1)


def test_a_body_is_read_as_a_model() -> None:
    """Or as a list of models, with what no model knows kept."""
    orders = answered({"orderList": [{"orderId": 35818786, "new": 1}]}).parse(OrderListAnswer)
    assert "35818786" == orders.orderList[0].orderId
    assert {"new": 1} == orders.orderList[0].model_extra
    assert ["7"] == [row.PONumber for row in answered([{"PONumber": 7}]).parse(list[OrderRow])]


@pytest.mark.parametrize("body", [None, [], {}, {"orderList": {}}, {"orderList": ["Jane Doe"]}])
def test_another_shape_is_unreadable(body: Any) -> None:
    """The places are named, the values are not."""
    with pytest.raises(Unreadable) as caught:
        answered(body).parse(OrderListAnswer)
    assert Executed.MAYBE == caught.value.executed
    assert 200 == caught.value.status
    assert "shape at /" in str(caught.value)
    assert "Jane" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_part_of_a_body_is_read_under_its_name() -> None:
    """And a body without it is unreadable, also where it is a list itself: the description says where the list is."""
    assert ["1"] == [row.orderId for row in answered({"rows": [{"orderId": 1}]}).parse(list[OrderRow], under="rows")]
    bodies: list[Any] = [{"other": []}, [], None, {"rows": None}]
    for body in bodies:
        with pytest.raises(Unreadable, match=r"shape at /rows/?;"):
            answered(body).parse(list[OrderRow], under="rows")
    with pytest.raises(Unreadable, match=r"shape at /rows/1;"):
        answered({"rows": [{}, 1]}).parse(list[OrderRow], under="rows")


def test_what_no_page_documents_is_read_as_far_as_it_can_be() -> None:
    """A guess that does not hold is no fault of the answer."""
    for body in ({"rows": [{"orderId": 1}]}, [{"orderId": 1}]):
        (row,) = answered(body).glean(list[OrderRow], under="rows") or []
        assert "1" == row.orderId
    others: list[Any] = [{"other": []}, {"rows": {}}, None, [1], 1]
    for other in others:
        assert answered(other).glean(list[OrderRow], under="rows") is None
    assert answered([]).glean(OrderRow) is None


@pytest.mark.parametrize(
    ("raw", "value", "counts"),
    [
        (b'{"a": 1}', {"a": 1}, True),
        (b" [] ", [], True),
        # JSON, but nothing that SIPS documents.
        (b'"Order Submitted"', "Order Submitted", False),
        (b"null", None, False),
        (b"true", True, False),
        # No JSON.
        (b"", None, False),
        (b"<html>", None, False),
        (b'{"a": 1', None, False),
        (b"[NaN]", None, False),
        (b'["\xe9"]', None, False),
        (b"[" * 100_000, None, False),
    ],
)
def test_json_is_an_object_or_an_array(raw: bytes, value: Any, counts: bool) -> None:
    """All else is nothing to judge."""
    assert value == parse_json(raw)
    assert counts is is_json(parse_json(raw))


@pytest.mark.parametrize(
    ("label", "raw", "expected"),
    [
        ("application/json", b"{}", "application/json"),
        ("Application/Problem+JSON; charset=utf-8", b"{}", "application/problem+json"),
        ("", b"{}", ""),
        ("text/html; charset=utf-8", b"Forbidden", "text/html"),
        ("application/xhtml+xml", b"", "text/html"),
        # A page is a page whatever it is labelled.
        ("application/json", b"\r\n <!DOCTYPE HTML PUBLIC", "text/html"),
        ("", b"<HTML><head>", "text/html"),
        ("text/plain", b"the <html> tag", "text/plain"),
        # So is a document.
        ("application/octet-stream", b"%PDF-1.7", "application/pdf"),
        ("application/json", b'"%PDF-1.7"', "application/json"),
    ],
)
def test_the_media_type(label: str, raw: bytes, expected: str) -> None:
    """Lower case, without parameters, and not fooled by the label of a web page or a document."""
    assert expected == media_type(label, raw)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("999999999", 86_400.0),
        ("inf", 86_400.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Fri, 99 Dec 1999 23:59:59 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Seconds or a date, at least 0 and at most a day; `None` where nobody can tell."""
    assert seconds == parse_retry_after(value)


def test_retry_after_a_date_ahead() -> None:
    """The wait is until then."""
    seconds = parse_retry_after(formatdate(time.time() + 600, usegmt=True))
    assert seconds is not None
    assert 500 < seconds <= 600
