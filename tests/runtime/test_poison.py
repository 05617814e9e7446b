"""When a message runs alone, and when it is poison."""

from __future__ import annotations

import pytest

from worker.runtime.poison import ALONE_AFTER, POISON_AT, Decision, Verdict, judge

RUN = Decision(Verdict.RUN)


@pytest.mark.parametrize(
    ("redelivered", "delivery_count", "crashes", "alone", "decision"),
    [
        # In company, RabbitMQ counts (3.10 up to 4.2): it runs where it is, then alone.
        (False, 0, 0, False, RUN),
        (True, 1, 0, False, RUN),
        (True, 2, 0, False, Decision(Verdict.ALONE, 2)),
        (True, 1000, 0, False, Decision(Verdict.ALONE, 2)),  # given back a thousand times: still only suspected
        # A count without the mark is one of the publisher's own making.
        (False, 9, 0, False, RUN),
        # RabbitMQ does not count: our own header does.
        (True, 0, 0, False, Decision(Verdict.AGAIN, 1)),
        (False, 0, 1, False, RUN),
        (True, 0, 1, False, Decision(Verdict.ALONE, 2)),
        (True, 1, 1, False, Decision(Verdict.ALONE, 2)),
        # Whoever was sent to run alone does not run in company, and brings no count along from there.
        (False, 0, 2, False, Decision(Verdict.ALONE, 2)),
        (True, 3, 4, False, Decision(Verdict.ALONE, 2)),
        (False, 0, 1_000_000, False, Decision(Verdict.ALONE, 2)),
        # Alone: every mark is a crash of its own, whatever RabbitMQ counts.
        (False, 0, 2, True, RUN),
        (True, 1, 2, True, Decision(Verdict.ALONE, 3)),
        (True, 0, 2, True, Decision(Verdict.ALONE, 3)),
        (False, 0, 3, True, RUN),
        (True, 7, 3, True, Decision(Verdict.ALONE, 4)),
        (False, 0, 4, True, RUN),
        (True, 1, 4, True, Decision(Verdict.ALONE, 5)),
        (False, 0, 5, True, Decision(Verdict.POISON)),
        (True, 1, 5, True, Decision(Verdict.UNREAD)),
        (True, 1, 6, True, Decision(Verdict.UNREAD)),
    ],
)
def test_the_table(redelivered: bool, delivery_count: int, crashes: int, alone: bool, decision: Decision) -> None:
    """Each row is one delivery."""
    assert decision == judge(redelivered=redelivered, delivery_count=delivery_count, crashes=crashes, alone=alone)


@pytest.mark.parametrize("broker_counts", [True, False])
def test_a_message_that_kills_its_process_each_time_is_poison_after_few_kills(broker_counts: bool) -> None:
    """The rule carried through from delivery to delivery: the mark falls with every republish, the header stays."""
    kills, crashes, count, alone, redelivered = 0, 0, 0, False, False
    while True:
        decision = judge(redelivered=redelivered, delivery_count=count if broker_counts else 0, crashes=crashes, alone=alone)
        if decision.verdict is Verdict.POISON:
            break
        if decision.verdict is Verdict.RUN:
            kills, count, redelivered = kills + 1, count + 1, True
        else:
            alone, crashes = decision.verdict is Verdict.ALONE, decision.crashes
            count, redelivered = 0, False

    assert (POISON_AT, ALONE_AFTER) == (kills, 2)


@pytest.mark.parametrize("broker_counts", [True, False])
def test_a_message_that_is_given_back_a_thousand_times_is_never_poison(broker_counts: bool) -> None:
    """It goes to the queue of suspects, where nothing waits in a worker, so that nothing is given back."""
    crashes, count = 0, 0
    for _ in range(1_000):
        count += 1
        decision = judge(redelivered=True, delivery_count=count if broker_counts else 0, crashes=crashes, alone=False)
        if decision.verdict is Verdict.ALONE:
            break
        if decision.verdict is Verdict.AGAIN:
            crashes, count = decision.crashes, 0

    assert Decision(Verdict.ALONE, ALONE_AFTER) == decision
    assert RUN == judge(redelivered=False, delivery_count=0, crashes=decision.crashes, alone=True)
