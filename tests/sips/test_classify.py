"""What an answer means, as a table."""

from __future__ import annotations

import pytest

from worker.sips.answers import Answer
from worker.sips.classify import _ADVICE, classify, error_of, executed
from worker.sips.errors import (
    BadAnswer,
    Executed,
    Forbidden,
    Gateway,
    NotFound,
    PathUnconfirmed,
    Rejected,
    ServerFault,
    Throttled,
    Unauthorized,
    Unexpected,
    Unreadable,
)
from worker.sips.operations import OPERATIONS, Confidence, Operation, resolve

SUBMIT = OPERATIONS["ordersV2Submit"]
LIST = OPERATIONS["ordersList"]
#: A path that is a guess; the same, once it was set; a path quoted by a third party.
GUESS = OPERATIONS["deliveryDetails"]
SET = resolve(GUESS, {"deliveryDetails": "/v9/{orderId}"})
QUOTED = OPERATIONS["productsV2Catalog"]
PDF = OPERATIONS["proofOfDelivery"]

JSON, HTML, TEXT, NONE = "application/json", "text/html", "text/plain", ""

TABLE = [
    # operation, status, media type, is JSON, meaning, executed
    # A success, to be judged by its content.
    (SUBMIT, 200, JSON, True, None, None),
    (LIST, 200, JSON, True, None, None),
    (LIST, 201, JSON, True, None, None),
    (LIST, 202, JSON, True, None, None),
    # JSON counts as JSON whatever it is labelled; old servers label all as HTML.
    (SUBMIT, 200, TEXT, True, None, None),
    (SUBMIT, 200, HTML, True, None, None),
    # A document only where one may come.
    (PDF, 200, "application/pdf", False, None, None),
    (LIST, 200, "application/pdf", False, Unreadable, Executed.MAYBE),
    # 200 that cannot be read: the order may stand.
    (SUBMIT, 200, JSON, False, Unreadable, Executed.MAYBE),
    (SUBMIT, 200, NONE, False, Unreadable, Executed.MAYBE),
    (SUBMIT, 200, TEXT, False, Unreadable, Executed.MAYBE),
    # No success that is documented or near to one.
    (SUBMIT, 204, NONE, False, Unexpected, Executed.MAYBE),
    (LIST, 206, JSON, True, Unexpected, Executed.MAYBE),
    # Refused at the door, whoever says so.
    (SUBMIT, 401, JSON, True, Unauthorized, Executed.NO),
    (SUBMIT, 401, HTML, False, Unauthorized, Executed.NO),
    (SUBMIT, 403, JSON, True, Forbidden, Executed.NO),
    (SUBMIT, 403, NONE, False, Forbidden, Executed.NO),
    (SUBMIT, 429, JSON, True, Throttled, Executed.NO),
    (SUBMIT, 429, HTML, False, Throttled, Executed.NO),
    # Read and refused.
    (SUBMIT, 400, JSON, True, Rejected, Executed.YES),
    (SUBMIT, 422, JSON, True, Rejected, Executed.YES),
    # Refused by nobody knows whom.
    (SUBMIT, 400, TEXT, False, Unreadable, Executed.MAYBE),
    (SUBMIT, 422, NONE, False, Unreadable, Executed.MAYBE),
    # A gateway, a firewall, a login page.
    (SUBMIT, 400, HTML, False, Gateway, Executed.MAYBE),
    (SUBMIT, 403, HTML, False, Gateway, Executed.NO),
    (LIST, 404, HTML, False, Gateway, Executed.NO),
    (SUBMIT, 200, HTML, False, Gateway, Executed.MAYBE),
    (SUBMIT, 502, HTML, False, Gateway, Executed.MAYBE),
    (SUBMIT, 504, HTML, False, Gateway, Executed.MAYBE),
    # Sent elsewhere: not executed here, unless "see other" means that it was.
    (SUBMIT, 301, NONE, False, Gateway, Executed.NO),
    (SUBMIT, 302, HTML, False, Gateway, Executed.NO),
    (SUBMIT, 303, NONE, False, Gateway, Executed.MAYBE),
    (SUBMIT, 307, JSON, True, Gateway, Executed.NO),
    (LIST, 304, NONE, False, Gateway, Executed.MAYBE),
    # Not there: a guessed path first, then the path of something new, then a thing.
    (GUESS, 404, JSON, True, PathUnconfirmed, Executed.NO),
    (GUESS, 404, HTML, False, PathUnconfirmed, Executed.NO),
    (GUESS, 405, NONE, False, PathUnconfirmed, Executed.NO),
    (SET, 404, JSON, True, NotFound, Executed.NO),
    (QUOTED, 404, JSON, True, NotFound, Executed.NO),
    (SUBMIT, 404, JSON, True, Gateway, Executed.NO),
    (SUBMIT, 405, JSON, True, Gateway, Executed.NO),
    (LIST, 404, JSON, True, NotFound, Executed.NO),
    (LIST, 405, JSON, True, Unexpected, Executed.NO),
    # Something failed on the way back.
    (SUBMIT, 500, JSON, True, ServerFault, Executed.MAYBE),
    (SUBMIT, 503, NONE, False, ServerFault, Executed.MAYBE),
    (SUBMIT, 599, TEXT, False, ServerFault, Executed.MAYBE),
    (SUBMIT, 408, JSON, True, ServerFault, Executed.MAYBE),
    # No rule: never a rejection.
    (SUBMIT, 409, JSON, True, Unexpected, Executed.MAYBE),
    (SUBMIT, 410, JSON, True, Unexpected, Executed.MAYBE),
    (SUBMIT, 418, JSON, True, Unexpected, Executed.MAYBE),
]


@pytest.mark.parametrize(("operation", "status", "media_type", "is_json", "meaning", "done"), TABLE)
def test_the_meaning_of_an_answer(
    operation: Operation, status: int, media_type: str, is_json: bool, meaning: type[BadAnswer] | None, done: Executed | None
) -> None:
    """Each row of the table above."""
    assert meaning == classify(operation, status, media_type, body_is_json=is_json)
    if meaning is not None:
        assert done == executed(meaning, status)


@pytest.mark.parametrize("operation", [row for row in OPERATIONS.values() if row.confidence is Confidence.PLACEHOLDER])
@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("media_type", [JSON, HTML, NONE])
def test_a_guessed_path_that_is_not_there_is_never_a_missing_thing(operation: Operation, status: int, media_type: str) -> None:
    """Whoever says so; once the path was set, a 404 speaks of the thing."""
    assert PathUnconfirmed is classify(operation, status, media_type, body_is_json=media_type == JSON)
    confirmed = resolve(operation, {operation.id: f"/v9{operation.path}"})
    assert NotFound is classify(confirmed, 404, JSON, body_is_json=True)


def test_twelve_paths_are_guesses() -> None:
    """As many as the description says."""
    assert 12 == [row.confidence for row in OPERATIONS.values()].count(Confidence.PLACEHOLDER)


def test_a_success_is_no_error() -> None:
    """There is nothing to raise."""
    assert error_of(LIST, Answer("ordersList", 200, [], b"[]", JSON, 0.1)) is None


def test_every_error_says_what_to_do_next() -> None:
    """It stands in `.failed`, whose reader knows nothing of the worker's inside."""
    assert _ADVICE.keys() == {row[4] for row in TABLE if row[4] is not None}
    assert [] == [kind for kind, advice in _ADVICE.items() if not advice.partition("; ")[2]]


def test_an_error_carries_the_answer_but_does_not_show_it() -> None:
    """Ids, status, path and advice stand in the message; what SIPS wrote does not."""
    raw = b'{"message": "Jane Doe may not order"}'
    answer = Answer("deliveryDetails", 404, {"message": "Jane Doe may not order"}, raw, JSON, 0.1, 7.0)
    error = error_of(GUESS, answer)
    assert isinstance(error, PathUnconfirmed)
    assert answer is error.answer
    assert (404, 7.0) == (error.status, error.retry_after)
    assert str(error).startswith("deliveryDetails: HTTP 404 from GET /orders/{orderId}/deliveries: ")
    assert "calibrate" in str(error)
    assert "SIPS_PATHS__deliveryDetails" in str(error)
    assert "Jane" not in f"{error} {error!r} {answer!r}"
