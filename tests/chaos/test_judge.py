"""The judge sees what must not be; each case is made up, and each is one that a worker might bring about."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.judge import CONFIRMED, SOURCE, Evidence, Verdict, judge
from tests.chaos.plan import READS, SUBMIT, Command
from worker.messaging.events import outcome_id

ORDER = Command("order", SUBMIT, "structured", "PO-1")
RIVAL = Command("rival", SUBMIT, "structured", "PO-2", key="order")
TWIN = Command("twin", SUBMIT, "structured", "PO-1", key="order")
READ = Command("read", READS[-1], "plain")

AT_SIPS = {"poNumber": "PO-1", "orderId": "40000000", "answered": True, "listed": True, "dropped": False}

SUBMITTED = {"orderID": "40000000"}
LISTED: dict[str, Any] = {"orderList": []}


def outcome(command: Command, end: str, data: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    """An outcome of a command."""
    event_id = outcome_id(SOURCE, command.id, command.type, 1)
    return {"id": event_id, "type": f"{command.type}.{end}", "causationid": command.id, "data": data or {}} | other


def succeeded(command: Command = ORDER, order_id: str | None = "40000000", body: Any = SUBMITTED) -> dict[str, Any]:
    """`.succeeded` of an order."""
    return outcome(command, "succeeded", {"result": {"orderId": order_id}, "sips": {"body": body}})


def confirmed(po: str = "PO-1", order_id: str = "40000000") -> dict[str, Any]:
    """The fact that an order is real."""
    return {"id": "fact", "type": CONFIRMED, "causationid": "order", "data": {"poNumber": po, "orderId": order_id}}


FAILED = outcome(ORDER, "failed", {"type": "sips-rejected"})
UNKNOWN = outcome(ORDER, "unknown")
CONFLICT = outcome(RIVAL, "failed", {"type": "idempotency-conflict"})
READ_DONE = outcome(READ, "succeeded", {"result": {}, "sips": {"body": []}})


def verdict(
    *commands: Command,
    events: list[dict[str, Any]],
    at_sips: list[dict[str, Any]],
    published: int = 1,
    crashed: frozenset[str] = frozenset(),
) -> Verdict:
    """Judge these commands, each published so many times."""
    return judge(
        Evidence(
            {command.id: command for command in commands},
            {command.id: published for command in commands},
            events,
            at_sips,
            crashed,
        )
    )


@pytest.mark.parametrize(
    ("commands", "events", "at_sips"),
    [
        ([ORDER], [succeeded(), confirmed()], [AT_SIPS]),
        # Said again, as after a redelivery, and the fact before the outcome.
        ([ORDER], [confirmed(), succeeded(), succeeded()], [AT_SIPS]),
        # Queued: real a little later, or not listed yet.
        ([ORDER], [succeeded(order_id=None), confirmed()], [AT_SIPS]),
        ([ORDER], [succeeded(order_id=None)], [AT_SIPS | {"listed": False}]),
        ([ORDER], [FAILED], []),
        ([ORDER], [UNKNOWN], []),
        ([ORDER], [UNKNOWN], [AT_SIPS | {"dropped": True, "listed": False}]),
        # Either of two payloads under one key may be the order; two commands with the same payload both are.
        ([ORDER, RIVAL], [succeeded(), confirmed(), CONFLICT], [AT_SIPS]),
        ([ORDER, TWIN], [succeeded(), succeeded(TWIN), confirmed()], [AT_SIPS]),
        ([READ], [READ_DONE], []),
        ([READ], [outcome(READ, "failed", {"type": "sips-error"})], []),
    ],
)
def test_what_may_be(commands: list[Command], events: list[dict[str, Any]], at_sips: list[dict[str, Any]]) -> None:
    """Nothing is wrong with it."""
    judged = verdict(*commands, events=events, at_sips=at_sips)

    assert ([], True) == (judged.problems, judged.holds)
    assert (len(commands), len(commands)) == (judged.commands, judged.outcomes)


@pytest.mark.parametrize(
    ("figure", "commands", "events", "at_sips"),
    [
        ("lost", [ORDER], [], [AT_SIPS]),
        ("lost", [ORDER], [], []),
        ("lost", [READ], [], []),
        ("lost", [ORDER, TWIN], [succeeded(), confirmed()], [AT_SIPS]),
        # A fact is lost as well; one of another order's id does not count.
        ("lost", [ORDER], [succeeded()], [AT_SIPS]),
        ("lost", [ORDER], [succeeded(), confirmed(order_id="40000001")], [AT_SIPS]),
        ("lost", [ORDER], [succeeded(order_id=None)], [AT_SIPS]),
        ("duplicates", [ORDER], [succeeded(), confirmed()], [AT_SIPS, AT_SIPS]),
        # Two payloads under one key, and an order that nobody sent.
        (
            "duplicates",
            [ORDER, RIVAL],
            [succeeded(), confirmed(), CONFLICT],
            [AT_SIPS, AT_SIPS | {"poNumber": "PO-2", "orderId": "40000001"}],
        ),
        ("duplicates", [READ], [READ_DONE], [AT_SIPS | {"poNumber": "PO-3"}]),
        ("conflicting_outcomes", [ORDER], [succeeded(), FAILED, confirmed()], [AT_SIPS]),
        ("conflicting_outcomes", [ORDER], [UNKNOWN, succeeded(), confirmed()], []),
        ("conflicting_outcomes", [ORDER], [succeeded(), succeeded(order_id="40000001"), confirmed()], [AT_SIPS]),
        ("conflicting_outcomes", [ORDER], [succeeded(), succeeded() | {"id": "another"}, confirmed()], [AT_SIPS]),
        ("conflicting_outcomes", [ORDER], [succeeded() | {"id": "another"}, confirmed()], [AT_SIPS]),
        # What is said is not so.
        ("conflicting_outcomes", [ORDER], [FAILED], [AT_SIPS]),
        ("conflicting_outcomes", [ORDER], [succeeded()], []),
        ("conflicting_outcomes", [ORDER], [succeeded(order_id="40000001"), confirmed()], [AT_SIPS]),
        ("false_unknown", [ORDER], [UNKNOWN], [AT_SIPS]),
    ],
)
def test_what_must_not_be(
    figure: str, commands: list[Command], events: list[dict[str, Any]], at_sips: list[dict[str, Any]]
) -> None:
    """It is counted, named, and fails the run."""
    judged = verdict(*commands, events=events, at_sips=at_sips)

    assert 1 <= getattr(judged, figure)
    assert (True, False) == (bool(judged.problems), judged.holds)


def test_outcomes_are_counted_by_what_came_first() -> None:
    """One per command, however often it was said."""
    commands = [ORDER, RIVAL, READ]

    judged = verdict(*commands, events=[succeeded(), CONFLICT, READ_DONE, succeeded(), confirmed()], at_sips=[AT_SIPS])

    assert (3, 3, 2, 1, 0, 1) == (
        judged.commands,
        judged.outcomes,
        judged.succeeded,
        judged.failed,
        judged.unknown,
        judged.orders_placed,
    )


@pytest.mark.parametrize(("published", "repeated"), [(1, 2), (2, 1), (3, 0), (4, 0)])
def test_a_read_is_repeated_where_it_was_answered_more_often_than_published(published: int, repeated: int) -> None:
    """Allowed, and counted."""
    judged = verdict(READ, events=[READ_DONE] * 3, at_sips=[], published=published)

    assert (repeated, True) == (judged.repeated_reads, judged.holds)


@pytest.mark.parametrize(("body", "reconciled"), [(LISTED, 1), (SUBMITTED, 0), (None, 0)])
def test_an_order_whose_outcome_rests_on_the_list_was_found_again(body: Any, reconciled: int) -> None:
    """Its own answer was lost."""
    judged = verdict(ORDER, events=[succeeded(body=body), confirmed()], at_sips=[AT_SIPS])

    assert reconciled == judged.reconciled


@pytest.mark.parametrize(("answered", "crashed"), [(False, 1), (True, 0)])
def test_a_crash_hit_an_order_that_sips_has_and_could_answer_nobody(answered: bool, crashed: int) -> None:
    """An order that was answered in the moment of the kill does not count, nor one that SIPS never had."""
    orders = [AT_SIPS | {"answered": answered}]

    judged = verdict(ORDER, events=[succeeded(), confirmed()], at_sips=orders, crashed=frozenset({"PO-1", "PO-9"}))

    assert crashed == judged.crashed_while_sending


@pytest.mark.parametrize(
    ("kept", "lost"), [(None, 0), ({"a": "digest"}, 0), ({"a": "another"}, 1), ({"b": "digest"}, 1), ({}, 1)]
)
def test_a_file_that_an_outcome_refers_to_must_be_there(kept: dict[str, str] | None, lost: int) -> None:
    """Whole; of one that stands in the event itself there is nothing to look at."""
    large = outcome(READ, "succeeded", {"result": {"dataref": "a", "sha256": "digest"}})
    small = outcome(READ, "succeeded", {"result": {"dataref": None, "sha256": "other"}})

    judged = judge(Evidence({READ.id: READ}, {READ.id: 1}, [large, small], [], kept=kept))

    assert (lost, lost) == (judged.lost, len(judged.problems))
