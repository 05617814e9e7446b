"""The judge sees what must not be; each case is made up, and each is one that a worker might bring about."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lives.judge import COMPLETED, ISSUED, STATUS_CHANGED, Evidence, Verdict, judge

ORDER, DELIVERY = STATUS_CHANGED["order"], STATUS_CHANGED["delivery"]

CHANGES = [
    {"subject": subject, "status": status, "eventType": event_type}
    for subject, status, event_type in (
        ("order", "Open", None),
        ("order", "Acknowledged", "OA"),
        ("delivery", "Pending", "DU"),
        ("delivery", "Completed", "DU"),
        ("invoice", "Issued", "IU"),
        ("order", "Invoiced", "OU"),
    )
]
LIFE: dict[str, Any] = {"orderId": "40000000", "poNumber": "PO-1", "ended": True, "changes": CHANGES}

#: What facts say, in the order in which they come: type, status, status before.
Told = tuple[str, str, str | None]

ALL: list[Told] = [
    (ORDER, "Acknowledged", None),
    (DELIVERY, "Pending", None),
    (DELIVERY, "Completed", "Pending"),
    (COMPLETED, "", None),
    (ISSUED, "", None),
    (ORDER, "Invoiced", "Acknowledged"),
]
LAST: list[Told] = [(DELIVERY, "Completed", None), (COMPLETED, "", None), (ISSUED, "", None), (ORDER, "Invoiced", None)]


def fact(sequence: int, event_type: str, status: str, before: str | None, source: str = "webhook") -> dict[str, Any]:
    """A fact of the order."""
    states = {"previous": {"status": before} if before else None, "current": {"status": status}}
    data = {"orderId": "40000000", "sequence": sequence, "source": source, **states}
    return {"id": f"fact-{sequence}", "type": event_type, "correlationid": "command-1", "data": data}


def facts(told: list[Told]) -> list[dict[str, Any]]:
    """As they are numbered and come where nothing goes wrong."""
    return [fact(sequence, *one) for sequence, one in enumerate(told, 1)]


def verdict(events: list[dict[str, Any]], *, every_change: bool = True, life: dict[str, Any] = LIFE) -> Verdict:
    """Judge these events."""
    return judge(Evidence({"PO-1": "command-1"}, [life], events, every_change=every_change))


@pytest.mark.parametrize(
    ("told", "every_change", "expected"),
    [
        (ALL, True, 6),
        (ALL, False, 4),
        (LAST, False, 4),
        # The first state has no webhook, so that nothing demands it.
        ([(ORDER, "Open", None), (ORDER, "Acknowledged", "Open"), *ALL[1:]], True, 6),
    ],
)
def test_what_may_be(told: list[Told], every_change: bool, expected: int) -> None:
    """Nothing is wrong with it."""
    judged = verdict(facts(told), every_change=every_change)

    assert ([], True) == (judged.problems, judged.holds)
    assert (expected, len(told), len(told)) == (judged.expected, judged.published, judged.by_webhook)


def test_a_fact_that_comes_again_is_no_problem() -> None:
    """Its consumers drop it by its id; it is counted apart."""
    events = facts(ALL)

    judged = verdict([*events[:3], *events[:2], *events[3:], events[0]])

    assert (True, 6, 3) == (judged.holds, judged.published, judged.duplicate)


def test_what_else_is_published_is_none_of_it() -> None:
    """The ledger speaks of orders as well."""
    other = {"id": "other", "type": "sips.order.confirmed", "data": {"orderId": "40000000"}}

    assert (True, 6) == ((judged := verdict([other, *facts(ALL)])).holds, judged.published)


def test_facts_are_counted_by_what_led_to_them() -> None:
    """A run without webhooks has none of theirs."""
    events = facts(ALL)
    events[0] = fact(1, *ALL[0], source="poll")

    assert 5 == verdict(events).by_webhook


@pytest.mark.parametrize("left_out", range(len(ALL)))
def test_every_change_is_missed(left_out: int) -> None:
    """Each of them, where it never came to be a fact."""
    judged = verdict(facts([*ALL[:left_out], *ALL[left_out + 1 :]]))

    assert (1, False) == (judged.missing, judged.holds)


@pytest.mark.parametrize("left_out", range(len(LAST)))
def test_the_last_states_are_missed(left_out: int) -> None:
    """Where only they are demanded."""
    judged = verdict(facts([*LAST[:left_out], *LAST[left_out + 1 :]]), every_change=False)

    assert (1, False) == (judged.missing, judged.holds)


def test_a_life_that_has_not_ended_proves_nothing() -> None:
    """What comes last in it is not known."""
    assert 1 == verdict(facts(ALL), life=LIFE | {"ended": False}).missing


def test_an_order_that_never_was_is_missed() -> None:
    """Its command was lost."""
    judged = judge(Evidence({"PO-1": "command-1", "PO-2": "command-2"}, [LIFE], facts(ALL), every_change=True))

    assert (1, False) == (judged.missing, judged.holds)


@pytest.mark.parametrize("again", range(len(ALL)))
def test_what_is_told_of_under_two_ids_is_told_twice(again: int) -> None:
    """Of each kind."""
    judged = verdict(facts([*ALL, ALL[again]]))

    assert (1, 0, False) == (judged.twice, judged.missing, judged.holds)


@pytest.mark.parametrize(
    ("numbers", "out_of_sequence", "gone_back"),
    [
        ([1, 2, 3, 4, 5, 6], 0, 0),
        ([1, 2, 3, 4, 6, 5], 2, 1),
        # The second was written down and never published.
        ([1, 3, 4, 5, 6, 7], 1, 0),
        ([2, 3, 4, 5, 6, 7], 1, 0),
    ],
)
def test_numbers_go_up_by_one(numbers: list[int], out_of_sequence: int, gone_back: int) -> None:
    """In the order in which the facts come."""
    told = dict(zip(sorted(numbers), ALL, strict=True))

    judged = verdict([fact(number, *told[number]) for number in numbers])

    assert (out_of_sequence, gone_back) == (judged.out_of_sequence, judged.gone_back)
    assert (0, 0, out_of_sequence == 0) == (judged.missing, judged.untrue, judged.holds)


def test_a_number_that_two_facts_have_goes_back() -> None:
    """The same sequence under another id."""
    events = facts(ALL)
    events[5] = events[5] | {"data": events[5]["data"] | {"sequence": 5}}

    assert 1 == verdict(events).gone_back


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (0, {"correlationid": "command-2"}),
        (0, {"correlationid": None}),
        (5, {"data": fact(6, ORDER, "Invoiced", "Confirmed")["data"]}),
        (5, {"data": fact(6, ORDER, "Invoiced", None)["data"]}),
        (0, {"data": fact(1, ORDER, "Acknowledged", "Open")["data"]}),
    ],
)
def test_what_a_fact_says_beside_its_state_is_true(place: int, change: dict[str, Any]) -> None:
    """To whom it belongs, and what was before."""
    events = facts(ALL)
    events[place] = events[place] | change

    judged = verdict(events)

    assert (1, 0, False) == (judged.untrue, judged.missing, judged.holds)


@pytest.mark.parametrize(
    "told",
    [
        # A word that SIPS never said.
        [*ALL, (ORDER, "Nonsense", "Invoiced")],
        # An old look that came late.
        [(ORDER, "Invoiced", None), (ORDER, "Acknowledged", "Invoiced"), *ALL[1:5]],
        [*ALL, (ORDER, "Open", "Invoiced")],
    ],
)
def test_states_are_told_of_as_they_came(told: list[Told]) -> None:
    """None that never was, and none after a later one."""
    judged = verdict(facts(told))

    assert (1, 0, 0, False) == (judged.untrue, judged.missing, judged.twice, judged.holds)


def test_what_there_is_none_of_is_not_told_of() -> None:
    """An order that ended before it was sent."""
    life = LIFE | {"changes": [change for change in CHANGES if change["subject"] == "order"]}

    judged = verdict(facts([ALL[0], (ORDER, "Invoiced", "Acknowledged"), *ALL[3:5]]), life=life)

    assert (2, 0, 2) == (judged.untrue, judged.missing, judged.expected)


def test_an_order_of_nobody_is_not_told_of() -> None:
    """Facts of an id that SIPS does not have."""
    stray = fact(1, *ALL[0]) | {"id": "stray"}
    stray["data"]["orderId"] = "1"

    assert (1, False) == ((judged := verdict([*facts(ALL), stray])).untrue, judged.holds)


def test_one_id_says_one_thing() -> None:
    """A fact that comes again says what it said."""
    events = facts(ALL)

    judged = verdict([*events, events[0] | {"correlationid": "command-2"}])

    assert (1, 1, False) == (judged.untrue, judged.duplicate, judged.holds)
