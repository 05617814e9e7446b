"""The table of states: whatever happens in whatever order, nothing is sent twice and no sent order is called failed."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worker.store.transitions import FAILED, PERSONS, SETTLED, TRANSITIONS, Event, State, TransitionError, after

#: SIPS may know of an order in these states.
SENT = frozenset(State) - FAILED - {State.UNSENT}


def test_only_a_person_or_a_sender_that_wrote_nothing_makes_a_sent_order_sendable() -> None:
    """The whole promise in one line: `unsent` is the only state that is claimed."""
    back = {
        event for event, steps in TRANSITIONS.items() for before, to in steps.items() if before in SENT and to is State.UNSENT
    }

    assert {State.UNSENT} == set(TRANSITIONS[Event.CLAIM])
    assert {Event.NOT_EXECUTED, Event.RESUBMIT} == back
    assert {State.SENDING} == set(TRANSITIONS[Event.NOT_EXECUTED])


def test_an_order_in_doubt_fails_only_by_sips_own_answer_or_a_person() -> None:
    """Not by time, not by a count of attempts, not by a withdrawal."""
    to_failed = {
        event for event, steps in TRANSITIONS.items() for before, to in steps.items() if before is State.IN_DOUBT and to in FAILED
    }

    assert {Event.REJECT} == to_failed


def test_every_event_leads_to_one_state_whatever_it_leaves() -> None:
    """So an UPDATE can name its target without reading."""
    assert all(len(set(steps.values())) == 1 for steps in TRANSITIONS.values())


def test_a_settled_order_moves_only_by_a_person() -> None:
    """And only one that gave up, since it was never executed."""
    moved = {(event, before) for event, steps in TRANSITIONS.items() for before in steps if before in SETTLED}

    assert {(Event.REDRIVE, State.GAVE_UP)} == moved
    assert Event.REDRIVE in PERSONS


def test_every_state_can_be_reached() -> None:
    """No state is there for nothing."""
    reached = {State.UNSENT}
    while further := {to for steps in TRANSITIONS.values() for before, to in steps.items() if before in reached} - reached:
        reached |= further

    assert set(State) == reached


@pytest.mark.parametrize("event", Event)
def test_an_order_that_was_sent_in_an_earlier_run_is_denied_only_by_a_person(event: Event) -> None:
    """By no machine: SIPS may have that run's order."""
    states = TRANSITIONS[event]
    leads_to_failed = set(states.values()) <= FAILED

    for state in states:
        if leads_to_failed and event not in PERSONS:
            with pytest.raises(TransitionError, match=f"{event} cannot happen to an order that was sent before"):
                after(state, event, resubmitted=True)
        else:
            assert states[state] is after(state, event, resubmitted=True)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_what_the_table_does_not_name_cannot_happen(event: Event, state: State) -> None:
    """An event in the wrong state is an error that names both."""
    if state in TRANSITIONS[event]:
        assert TRANSITIONS[event][state] is after(state, event)
    else:
        with pytest.raises(TransitionError, match=f"{event} cannot happen to an order that is {state}"):
            after(state, event)


class Orders(RuleBasedStateMachine):
    """One order, workers that may die at any point, a SIPS that executes what it likes, and people.

    The machine knows what SIPS really did; the table only knows what it was told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = State.UNSENT
        #: What SIPS has of this order; more than one only if a person asked for it.
        self.at_sips = 0
        self.allowed = 1
        #: A person had it sent again.
        self.resubmitted = False
        #: A send is under way (or was, when its worker died): whether SIPS executed it, once that is decided.
        self.sending = False
        self.executed = False
        self.said: list[State] = []

    def happen(self, event: Event) -> None:
        """Move by the table."""
        self.state = after(self.state, event, resubmitted=self.resubmitted)

    @precondition(lambda self: self.state is State.UNSENT)
    @rule(executes=st.booleans())
    def claim_and_send(self, executes: bool) -> None:
        """A worker takes the order and sends it; SIPS executes it or not."""
        self.happen(Event.CLAIM)
        self.sending, self.executed = True, executes
        self.at_sips += executes

    @precondition(lambda self: self.sending and self.state in {State.SENDING, State.IN_DOUBT})
    @rule(queued=st.booleans())
    def answer(self, queued: bool) -> None:
        """The answer arrives, perhaps after the lease was over: SIPS tells the truth of what it did."""
        self.sending = False
        if self.executed:
            self.happen(Event.QUEUE if queued else Event.CONFIRM)
        elif not self.resubmitted:
            self.happen(Event.REJECT)
        elif self.state is State.SENDING:
            self.happen(Event.DOUBT)  # it may be the earlier order that is in the way

    @precondition(lambda self: self.state is State.SENDING and self.sending and not self.executed)
    @rule(attempts_left=st.booleans())
    def not_a_byte_was_written(self, attempts_left: bool) -> None:
        """The sender knows that SIPS cannot have executed it."""
        self.sending = False
        ends = Event.UNRESOLVE if self.resubmitted else Event.GIVE_UP
        self.happen(Event.NOT_EXECUTED if attempts_left else ends)

    @precondition(lambda self: self.state is State.SENDING)
    @rule()
    def lose_the_answer_or_the_sender(self) -> None:
        """Time-out, reset, or the lease of a dead worker is over; a slow answer may still come."""
        self.happen(Event.DOUBT)

    @precondition(lambda self: self.state in {State.IN_DOUBT, State.QUEUED, State.UNRESOLVED})
    @rule(listed=st.booleans())
    def look(self, listed: bool) -> None:
        """SIPS lists late, but never what it does not have."""
        if self.at_sips and listed:
            self.happen(Event.CONFIRM)
        elif self.state is not State.UNRESOLVED:
            self.happen(Event.UNRESOLVE)

    @precondition(lambda self: self.state is State.UNSENT)
    @rule(event=st.sampled_from([Event.WITHDRAW, Event.GIVE_UP]))
    def end_unsent(self, event: Event) -> None:
        """Called off, or out of attempts."""
        self.happen(Event.UNRESOLVE if self.resubmitted else event)

    @precondition(lambda self: self.state is State.UNRESOLVED)
    @rule(again=st.booleans())
    def a_person_decides(self, again: bool) -> None:
        """A person looked at SIPS and takes responsibility for what happens next."""
        self.sending = False
        if again:
            self.allowed += 1
        self.happen(Event.RESUBMIT if again else Event.ABANDON)
        self.resubmitted |= again

    @precondition(lambda self: self.state is State.GAVE_UP and self.at_sips == 0)
    @rule()
    def a_person_redrives(self) -> None:
        """What was never executed may be tried again."""
        self.happen(Event.REDRIVE)

    @rule()
    def time_passes(self) -> None:
        """Nothing happens to an order that ended."""

    @invariant()
    def sips_has_it_at_most_once(self) -> None:
        """Unless a person asked for more."""
        assert self.at_sips <= self.allowed

    @invariant()
    def no_machine_calls_an_executed_order_failed(self) -> None:
        """Whatever a person had sent again before."""
        if self.state in FAILED - {State.ABANDONED}:
            assert 0 == self.at_sips


Orders.TestCase.settings = settings(max_examples=300, stateful_step_count=30)
TestOrders = Orders.TestCase
