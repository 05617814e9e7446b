"""What can become of an order in the ledger: one table of states and events, no I/O.

```
unsent ── claim ─────────→ sending          unsent ── withdraw ──→ withdrawn
sending ── not_executed ─→ unsent           unsent, sending ── give_up ──→ gave_up
                                            the same, sent in an earlier run ── unresolve ──→ unresolved
sending ── confirm ──────→ confirmed        in_doubt ── confirm, queue, reject ──→ as from sending
sending ── queue ────────→ queued           in_doubt ── unresolve ──→ unresolved
sending ── reject ───────→ rejected         queued ── confirm, reject, unresolve ──→ confirmed, rejected, unresolved
sending ── doubt ────────→ in_doubt         unresolved ── confirm ──→ confirmed
by a person:  unresolved ── abandon ──→ abandoned;  unresolved ── resubmit ──→ unsent;  gave_up ── redrive ──→ unsent
```

`unsent` means that SIPS has executed nothing of the order, or that a person said so. Only `unsent` is ever claimed:
whatever was sent and may have been executed is looked up, and never sent again without a person. And whatever a person had
sent again is never denied by a machine: SIPS may have it from an earlier run.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["DENIALS", "FAILED", "PERSONS", "SETTLED", "TRANSITIONS", "Event", "State", "TransitionError", "after"]


class State(StrEnum):
    """Where an order stands."""

    #: Nothing of it was executed, or a person said so; it may be sent.
    UNSENT = "unsent"
    #: Somebody holds the lease and is sending it, or died while sending it.
    SENDING = "sending"
    #: SIPS has it.
    CONFIRMED = "confirmed"
    #: SIPS took it into its queue; it may never become an order.
    QUEUED = "queued"
    #: SIPS refused it.
    REJECTED = "rejected"
    #: Every attempt failed before SIPS could execute it.
    GAVE_UP = "gave_up"
    #: It was sent, and nobody knows what became of it; it is looked up.
    IN_DOUBT = "in_doubt"
    #: It was looked up without a result; a person must decide.
    UNRESOLVED = "unresolved"
    #: A person says that SIPS does not have it and shall not.
    ABANDONED = "abandoned"
    #: Called off before it was sent.
    WITHDRAWN = "withdrawn"


class Event(StrEnum):
    """What happens to an order."""

    #: A worker takes it to send it.
    CLAIM = "claim"
    #: The attempt ended, and SIPS cannot have executed it.
    NOT_EXECUTED = "not_executed"
    #: No attempts are left, and SIPS never executed one.
    GIVE_UP = "give_up"
    #: SIPS answered that it has the order, or the order was found there.
    CONFIRM = "confirm"
    #: SIPS answered that it took the order into its queue.
    QUEUE = "queue"
    #: SIPS answered the first send with a refusal, or dropped it from its queue.
    REJECT = "reject"
    #: The answer was lost, or the sender died and its lease is over.
    DOUBT = "doubt"
    #: Enough looks found nothing, or something ambiguous; or a run ended unsent, and an earlier one may have been executed.
    UNRESOLVE = "unresolve"
    #: It is called off.
    WITHDRAW = "withdraw"
    #: A person: SIPS does not have it and shall not.
    ABANDON = "abandon"
    #: A person: SIPS does not have it and shall; the next run.
    RESUBMIT = "resubmit"
    #: A person: try again what was never executed; the next run.
    REDRIVE = "redrive"


#: Every allowed step. An answer that arrives after its lease was over still counts: hence the steps out of `in_doubt`.
TRANSITIONS: dict[Event, dict[State, State]] = {
    Event.CLAIM: {State.UNSENT: State.SENDING},
    Event.NOT_EXECUTED: {State.SENDING: State.UNSENT},
    Event.GIVE_UP: {State.SENDING: State.GAVE_UP, State.UNSENT: State.GAVE_UP},
    Event.CONFIRM: {
        State.SENDING: State.CONFIRMED,
        State.IN_DOUBT: State.CONFIRMED,
        State.QUEUED: State.CONFIRMED,
        State.UNRESOLVED: State.CONFIRMED,
    },
    Event.QUEUE: {State.SENDING: State.QUEUED, State.IN_DOUBT: State.QUEUED},
    Event.REJECT: {State.SENDING: State.REJECTED, State.IN_DOUBT: State.REJECTED, State.QUEUED: State.REJECTED},
    Event.DOUBT: {State.SENDING: State.IN_DOUBT},
    Event.UNRESOLVE: {
        State.IN_DOUBT: State.UNRESOLVED,
        State.QUEUED: State.UNRESOLVED,
        State.UNSENT: State.UNRESOLVED,
        State.SENDING: State.UNRESOLVED,
    },
    Event.WITHDRAW: {State.UNSENT: State.WITHDRAWN},
    Event.ABANDON: {State.UNRESOLVED: State.ABANDONED},
    Event.RESUBMIT: {State.UNRESOLVED: State.UNSENT},
    Event.REDRIVE: {State.GAVE_UP: State.UNSENT},
}

#: Only a person causes these; each begins or ends what no machine may decide.
PERSONS = frozenset({Event.ABANDON, Event.RESUBMIT, Event.REDRIVE})

#: A machine says that SIPS does not have the order: never of one that a person had sent again.
DENIALS = frozenset({Event.GIVE_UP, Event.REJECT, Event.WITHDRAW})

#: SIPS does not have the order: its PO number is free again.
FAILED = frozenset({State.REJECTED, State.GAVE_UP, State.WITHDRAWN, State.ABANDONED})

#: Nothing more happens by itself.
SETTLED = FAILED | {State.CONFIRMED}


class TransitionError(Exception):
    """An event that cannot happen in this state: a fault of the worker, or of somebody who changed the ledger by hand."""


def after(state: State, event: Event, *, resubmitted: bool = False) -> State:
    """The state after `event`.

    Args:
        state: before it.
        event: what happens.
        resubmitted: whether an earlier run of the order may have been executed.

    Raises:
        TransitionError: it cannot happen in `state`, or denies an earlier run.
    """
    if resubmitted and event in DENIALS:
        raise TransitionError(f"{event} cannot happen to an order that was sent before, in an earlier run")
    try:
        return TRANSITIONS[event][state]
    except KeyError:
        raise TransitionError(f"{event} cannot happen to an order that is {state}") from None
