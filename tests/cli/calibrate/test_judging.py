"""What an answer says of the path that it came from."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from worker.cli.calibrate.asking import Look
from worker.cli.calibrate.fields import Expected
from worker.cli.calibrate.judging import Grade, Verdict, are_alike, best, judge, odd_one, twin
from worker.runtime.payload import Result
from worker.sips import OPERATIONS, Answer
from worker.sips.classify import error_of
from worker.sips.errors import LostAnswer, Unreadable
from worker.sips.operations import resolve

PATH = "/orders/{orderId}"
OPERATION = resolve(OPERATIONS["orderDetails"], {"orderDetails": PATH})
MISS, PERHAPS, HIT, CLEAR = Grade


class Shape(Result):
    """Five properties."""

    a: str | None = None
    b: str | None = None
    c: str | None = None
    d: str | None = None
    e: str | None = None


def came(status: int, body: Any, media_type: str = "application/json", path: str = PATH) -> Look:
    """What came, and what the client takes it for."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    answer = Answer("orderDetails", status, None if isinstance(body, bytes) else body, raw, media_type, 0.1)
    return Look(path, answer, error_of(OPERATION, answer), Expected("orderDetails", Shape))


@pytest.mark.parametrize(
    ("look", "grade", "words"),
    [
        (came(200, dict.fromkeys("abcde", "x")), CLEAR, "JSON with 5 of 5 expected properties"),
        (came(200, {"data": dict.fromkeys("abcd", "x")}), CLEAR, "JSON with 4 of 5 expected properties"),
        (came(201, dict.fromkeys("abc", "x")), HIT, "JSON with 3 of 5 expected properties"),
        (came(200, dict.fromkeys("ab", "x")), PERHAPS, "JSON with 2 of 5 expected properties"),
        (came(200, {"message": "hello"}), PERHAPS, "JSON with 0 of 5 expected properties"),
        (came(200, []), PERHAPS, "JSON with 0 of 5 expected properties"),
        (came(400, {"message": "Bad Request"}), PERHAPS, "HTTP 400"),
        (came(401, {"message": "Unauthorized"}), PERHAPS, "HTTP 401"),
        (came(403, {"message": "Forbidden"}), PERHAPS, "HTTP 403"),
        (came(422, {"message": "No"}), PERHAPS, "HTTP 422"),
        (came(500, {"message": "System Error"}), PERHAPS, "HTTP 500"),
        (came(404, {"message": "Not Found"}), MISS, "HTTP 404"),
        (came(405, {"message": "Not Allowed"}), MISS, "HTTP 405"),
        (came(503, {"message": "Busy"}), MISS, "HTTP 503"),
        (came(400, b"Bad Request", "text/plain"), MISS, "HTTP 400"),
        (came(302, b"", ""), MISS, "HTTP 302"),
        (came(200, b"<html>hello</html>", "text/html"), MISS, "HTTP 200 with a web page"),
        (came(403, b"<html>no</html>", "text/html"), MISS, "HTTP 403 with a web page"),
        (came(200, b"hello", "text/plain"), MISS, "HTTP 200"),
        (Look(PATH, None, LostAnswer("orderDetails", "the connection broke")), MISS, "the connection broke"),
        (Look(PATH, None, Unreadable("orderDetails", "the answer is too large")), PERHAPS, "the answer is too large"),
    ],
)
def test_an_answer_has_its_grade(look: Look, grade: Grade, words: str) -> None:
    """What is expected is there; a refusal is a sign of something; a page, a 404 and silence are none."""
    verdict = judge(look)

    assert (grade, words) == (verdict.grade, verdict.words)


@pytest.mark.parametrize("body", [[], {"anything": 1}])
def test_where_nothing_is_known_any_json_will_do_if_its_twin_does_not_get_it(body: Any) -> None:
    """A server may answer whatever it is asked."""
    look = Look(PATH, came(200, body).answer)

    assert (HIT, True) == (judge(look).grade, judge(look).needs_twin)
    assert not judge(came(200, dict.fromkeys("abc", "x"))).needs_twin


def test_a_document_needs_no_properties() -> None:
    """But it must be one."""
    pdf = Answer("invoicePdf", 200, None, b"%PDF-1.4", "application/pdf", 0.1)

    assert CLEAR == judge(Look("/x", pdf)).grade


def test_the_best_has_the_most_of_what_is_expected() -> None:
    """Of equals the first; misses do not count."""
    looks = [came(404, {}), came(400, {}), came(200, {"a": "x"}), came(200, dict.fromkeys("abc", "x"), path="/1")]
    verdicts = [judge(look) for look in (*looks, came(200, dict.fromkeys("bcd", "x"), path="/2"))]

    found = best(verdicts)
    assert found
    assert "/1" == found.look.path
    assert best(verdicts[:1]) is None


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("/orders/details/{orderId}", "/orders/no-such-thing/{orderId}"),
        ("/orders/v2/{orderId}/pod", "/orders/v2/{orderId}/no-such-thing"),
        ("/orders/{orderId}", "/no-such-thing/{orderId}"),
        ("/products/v2/catalog/colors", "/products/v2/no-such-thing/no-such-thing"),
        ("/invoices/pdf?invoiceNumber={invoiceNumber}", "/invoices/no-such-thing?invoiceNumber={invoiceNumber}"),
        ("/customers/validate/", "/customers/no-such-thing/"),
    ],
)
def test_a_twin_has_the_same_form_and_is_nowhere(path: str, other: str) -> None:
    """Area, version and parameters are the same."""
    assert other == twin(path)


def test_answers_are_alike_in_form() -> None:
    """Whatever their values are."""
    one = came(400, {"message": "a"}).answer

    assert are_alike(one, came(400, {"message": "b"}).answer)
    assert not are_alike(one, came(404, {"message": "a"}).answer)
    assert not are_alike(one, came(400, {"title": "a"}).answer)
    assert not are_alike(one, None)


def missing(*bodies: Any) -> list[Verdict]:
    """A verdict for each body of a 404."""
    return [judge(came(404, body, path=f"/{index}")) for index, body in enumerate(bodies)]


@pytest.mark.parametrize(
    ("bodies", "odd"),
    [
        ([{}, {}, {"message": "no such order"}, {}], "/2"),
        ([{}, {}, {}, {}], None),
        ([{}, {"message": "x"}, {"message": "x"}, {}], None),
        ([{}, {"message": "x"}, {"title": "x"}, {}, {}], None),
        ([{}, {"message": "x"}], None),
    ],
)
def test_one_404_unlike_all_others_is_told(bodies: list[Any], odd: str | None) -> None:
    """The path may be there without the thing that was asked for, as an order without proofs of delivery."""
    assert odd == odd_one(missing(*bodies))
