"""Carry an order through the ledger: at most one is placed, whatever crashes and however often its command is delivered.

Two transactions stand on the way to an answer. `claim` writes the whole order down before its first byte is sent; `move`
writes down what came of it, and what is said of it. Between the two nobody else sends it; after a crash between the two
nobody sends it again: it is looked up (`worker.runtime.reconcile`).
"""

from __future__ import annotations

import functools
import random
import time
import uuid
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from pydantic import ValidationError

from worker.messaging import ladder
from worker.ops.crash_points import reached
from worker.runtime import history, order_events, outcomes, problems, retry
from worker.runtime.fingerprint import RULE, fingerprint
from worker.runtime.looks import LOOK_TIMER, QUEUED_TIMER, leave_to_a_person, not_sent_again, tracking
from worker.runtime.payload import guess_identity
from worker.runtime.submission import (
    InDoubtError,
    OrderResult,
    Submission,
    order_key,
    po_claim,
    suffixed,
    transaction_date,
    transaction_id,
)
from worker.runtime.withdrawals import Withdrawals
from worker.sips import Deadline, Executed, Sips, SipsError, Unreadable
from worker.store.errors import StoreDown
from worker.store.orders import NewOrder
from worker.store.transitions import Event, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.messaging.envelope import Command
    from worker.runtime.attempt import Attempt
    from worker.runtime.clock import StoreClock
    from worker.runtime.endings import Endings
    from worker.runtime.lookup import Lookup
    from worker.runtime.outcomes import Problem
    from worker.runtime.payload import Payload
    from worker.runtime.registry import Handler
    from worker.settings import Settings
    from worker.sips import SipsClient
    from worker.store.ledger import Ledger, Moved, Say
    from worker.store.orders import Order, StoredEvent

__all__ = ["SENDER_LOST", "Orders"]

#: What is known of an order whose sender died.
SENDER_LOST = "sender-lost: the worker that was sending it ended before it wrote down what became of it"

#: Share of its lease that a sender uses: it stops sending before anybody may think it dead.
LEASE_SHARE = 0.9

#: Seconds between two tries to write an answer down while the store is away.
RECORD_RETRY_SECONDS = 0.5

log = structlog.get_logger("worker")


class Orders:
    """Executes commands that change something; one per process, used by all its threads.

    Args:
        ledger: of this installation.
        client: of SIPS.
        lookup: of orders at SIPS.
        endings: of attempts.
        published: told the ids of stored events that RabbitMQ has.
        clock: of the store; reads go by it as well.
        settings: of the process.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        client: SipsClient,
        lookup: Lookup,
        endings: Endings,
        published: Callable[[Sequence[str]], None],
        clock: StoreClock,
        settings: Settings,
    ) -> None:
        self.clock = clock
        self._ledger = ledger
        self._client = client
        self._lookup = lookup
        self._endings = endings
        self._published = published
        self._settings = settings
        self._voice = order_events.OrderVoice.of(settings)
        self._policy = retry.Policy.of(settings)
        self._random = random.Random()  # noqa: S311 - jitter, no secret

    def execute(self, attempt: Attempt, command: Command, handler: Handler) -> None:
        """Carry the attempt to its end; raises `PublishError` or `StoreError` where it did not get there."""
        if not command.has_source:
            self._endings.set_aside_unreadable(attempt, problems.source_missing(command))
            return
        key = order_key(self._settings.base_url, command.source, command.idempotency_key)
        payload = self._checked(attempt, command, handler)
        if isinstance(payload, outcomes.Problem):
            self._refuse(attempt, command, key, payload)
            return
        new = self._new_order(attempt, command, key, payload)
        if history.has_expired(command, attempt.delivery, self.clock.now()):
            self._refuse(attempt, command, key, problems.expired(command), new)
            return
        if history.may_have_been_sent(attempt.delivery) and self._ledger.find(key) is None and not self._is_absent(attempt, new):
            return
        sips = attempt.sips = Sips(self._client, Deadline.after(self._settings.sips_call_seconds))
        try:
            sips.authorize()  # with the token in hand, nothing but the send stands between the claim and its answer
        except SipsError as error:
            self._wait_unclaimed(attempt, command, error)
            return
        self._claim(attempt, command, handler, payload, new)

    def withdrawals(self, command: Command) -> Withdrawals:
        """What a handler may call off in the name of a command's source."""
        return Withdrawals(self._ledger, self._voice, self._settings, command)

    def end_poison(self, attempt: Attempt, command: Command, problem: Problem) -> None:
        """A command that killed its process each time: `.failed` only if no send was ever recorded.

        A dead letter keeps it once it has an end. Where its order still waits for one, in doubt or with another worker, the
        order goes on, and so must the command.
        """
        attempt.identity = guess_identity(command.data)
        key = order_key(self._settings.base_url, command.source, command.idempotency_key)
        self._refuse(attempt, command, key, problem)
        order = self._ledger.find(key)
        gave_up = order is not None and order.state is State.GAVE_UP  # then its dead letter is there
        if attempt.final and not gave_up:
            self._endings.set_aside(attempt, problem.code, problem.detail)

    def end_unread(self, attempt: Attempt) -> None:
        """A message that kills whoever reads it is set aside unread, and its order, where it is known, does not wait for it.

        Other commands with the order's key would wait as well.
        """
        problem = problems.crash_on_read()
        key = history.order(attempt.delivery)
        order = self._ledger.find(key) if key else None
        if order is not None and order.state is State.UNSENT:
            ended = self._give_up(attempt, order, problem)
            if not (ended and order.resubmitted):
                return  # its dead letter is there, or it stands elsewhere by now and comes again
        elif order is not None and order.state is State.SENDING:
            left = (order.lease_until or order.read_at) - order.read_at
            self._ledger.start(order.key, {LOOK_TIMER: max(left, 0.0)})
        self._endings.set_aside(attempt, problem.code, problem.detail)

    # Before the claim.

    def _checked(self, attempt: Attempt, command: Command, handler: Handler) -> Payload | Problem:
        try:
            payload = handler.payload.model_validate(command.data)
        except ValidationError as error:
            attempt.identity = guess_identity(command.data)
            return outcomes.invalid_payload(error)
        attempt.payload, attempt.identity = payload, payload.identity()
        return payload

    def _refuse(self, attempt: Attempt, command: Command, key: str, problem: Problem, new: NewOrder | None = None) -> None:
        """Expired or invalid: `.failed`, but only if no send was ever recorded; what was sent goes on to its own end.

        As `new` it is written down, so that a copy of the command that has not expired says the same and places nothing.
        """
        order = self._ledger.find(key)
        if order is None and new is not None:
            order = self._ledger.refuse(new, lambda row: [self._voice.failed(row, problem)])
            self._continue(attempt, command, order)
        elif order is None:
            self._endings.fail(attempt, command, problem)
        elif order.state is State.UNSENT and _is_its_command(order, command):
            self._give_up(attempt, order, problem)
        else:
            self._continue(attempt, command, order)

    def _new_order(self, attempt: Attempt, command: Command, key: str, payload: Payload) -> NewOrder:
        settings, identity = self._settings, payload.identity()
        customer, po_number = identity.customer_code or "", identity.po_number or ""
        return NewOrder(
            key=key,
            fingerprint=fingerprint(command.data),
            base_url=settings.base_url,
            command_id=command.id,
            command_source=command.source,
            command_type=command.type,
            envelope=order_events.envelope(
                command,
                attempt.delivery.properties,
                source_system=settings.source_system,
                warnings=payload.warnings(),
            ),
            customer_code=customer,
            branch_code=identity.branch_code or "",
            po_number=po_number,
            po_claim=po_claim(settings.base_url, customer, po_number),
            transaction_id=transaction_id(settings.base_url, command.source, command.idempotency_key, command.run),
            transaction_date=transaction_date(settings.time_zone),
            payload=orjson.dumps(command.data).decode(),
            run=command.run,
        )

    def _is_absent(self, attempt: Attempt, new: NewOrder) -> bool:
        """Whether SIPS lacks an order that was delivered before and that the ledger does not know; else it is dealt with.

        The ledger knows every order that was sent. One that it does not know was never begun, or the ledger has lost it.
        """
        sips = attempt.sips = Sips(self._client, Deadline.after(self._settings.sips_call_seconds))
        try:
            absent = self._lookup.is_absent(sips, new)
        except SipsError as error:
            attempt.error = f"{error.code}: {error}"
            self._wait(attempt, error.retry_after or 0.0)
            return False
        if absent is None:
            attempt.error = "no-control-look: run `sips-worker doctor --order-list PO` with a PO number that SIPS lists"
            self._wait(attempt, 0.0)
            return False
        if absent:
            return True
        claim = self._ledger.claim(new, owner=_new_owner(), lease_seconds=self._settings.lease_seconds)
        if claim.claimed:
            attempt.error = "found-before-send: SIPS lists an order that may be this one"
            self._doubt(attempt, claim.order, attempt.error, look_after=0.0)
        else:
            self._wait(attempt, 0.0)
        return False

    def _wait_unclaimed(self, attempt: Attempt, command: Command, error: SipsError) -> None:
        attempt.error = f"{error.code}: {error}"
        decision = retry.decide(
            error,
            changes=True,
            attempt=command.attempt,
            waits=history.count(attempt.delivery, "sips-waits"),
            policy=self._policy,
            random=self._random,
        )
        self._wait(attempt, decision.seconds)

    def _wait(self, attempt: Attempt, seconds: float) -> None:
        """The same message later; no attempt is used up."""
        waits = history.count(attempt.delivery, "sips-waits")
        seconds = max(seconds, retry.wait_seconds(waits, self._policy, self._random))
        self._endings.try_again(attempt, seconds, {"sips-waits": waits + 1})

    # The claim and the send.

    def _claim(self, attempt: Attempt, command: Command, handler: Handler, payload: Payload, new: NewOrder) -> None:
        started = time.monotonic()
        owner, lease = _new_owner(), self._settings.lease_seconds
        claim = self._ledger.claim(new, owner=owner, lease_seconds=lease)
        if claim.po_taken and self._settings.po_suffix:
            po_number = suffixed(new.po_number, new.key)
            new = new.with_po_number(po_number, po_claim(new.base_url, new.customer_code, po_number))
            claim = self._ledger.claim(new, owner=owner, lease_seconds=lease)
        if claim.po_taken:
            problem = problems.duplicate_po()
            order = self._ledger.refuse(new, lambda row: [self._voice.failed(row, problem)])
            self._continue(attempt, command, order)
        elif claim.claimed and history.has_expired(command, attempt.delivery, claim.order.read_at):
            # While it waited for its token; another delivery of it may have found no row meanwhile, and have said so.
            self._give_up(attempt, claim.order, problems.expired(command))
        elif claim.claimed:
            self._send(attempt, command, handler, payload, claim.order, Deadline(started + lease * LEASE_SHARE))
        else:
            self._continue(attempt, command, claim.order)

    def _send(
        self, attempt: Attempt, command: Command, handler: Handler, payload: Payload, order: Order, lease: Deadline
    ) -> None:
        attempt.run = order.run
        submission = Submission(order.transaction_id, order.transaction_date, order.po_number)
        attempt.submission = submission
        sips = attempt.sips
        assert sips is not None  # noqa: S101 - made before the claim, with its token
        sips.deadline = Deadline(min(sips.deadline.at, lease.at))
        reached("claimed")
        try:
            result = handler.run(payload, sips, submission)
        except SipsError as error:
            self._after_error(attempt, command, order, error)
        except InDoubtError as error:
            self._doubt(attempt, order, str(error))
        except ValidationError:
            unreadable = Unreadable(command.type, "the answer has values of unexpected types", answer=sips.answer)
            self._after_error(attempt, command, order, unreadable)
        except Exception as error:
            log.exception("a handler broke", type=command.type, id=command.id)
            self._after_fault(attempt, order, error)
        else:
            reached("answered")
            assert isinstance(result, OrderResult)  # noqa: S101 - the registry has seen to it
            self._succeed(attempt, order, result)

    def _succeed(self, attempt: Attempt, order: Order, result: OrderResult) -> None:
        answer = attempt.sips.answer if attempt.sips else None
        attempt.order_id = result.order_id
        changes: dict[str, Any] = {"order_id": result.order_id, "queue_id": result.queue_id}
        if result.status == "confirmed":
            self._record(
                attempt,
                order,
                Event.CONFIRM,
                lambda row: [self._voice.succeeded(row, answer), self._voice.confirmed(row)],
                timers_from_now=tracking(self._settings),
                **changes,
            )
        else:
            changes["timers_from_now"] = {QUEUED_TIMER: self._settings.look_seconds[0]}
            self._record(attempt, order, Event.QUEUE, lambda row: [self._voice.succeeded(row, answer)], **changes)

    def _after_error(self, attempt: Attempt, command: Command, order: Order, error: SipsError) -> None:
        attempt.error = f"{error.code}: {error}"
        waits = history.count(attempt.delivery, "sips-waits")
        decision = retry.decide(
            error, changes=True, attempt=order.attempts, waits=waits, policy=self._policy, random=self._random
        )
        if order.resubmitted and error.executed is not Executed.NO:
            # After an earlier send even a refusal proves nothing: it may be the earlier order that is in the way.
            self._doubt(attempt, order, attempt.error)
            return
        match decision.verdict:
            case retry.Verdict.DOUBT:
                self._doubt(attempt, order, attempt.error)
            case retry.Verdict.WAIT | retry.Verdict.RETRY:
                attempts = _counted(order, decision)
                step = functools.partial(
                    self._ledger.move, order, Event.NOT_EXECUTED, last_error=attempt.error, attempts=attempts
                )
                self._until_recorded(attempt, step)
                headers = retry.headers(decision, attempt=command.attempt, waits=waits) | {ladder.ORDER: order.key}
                self._endings.try_again(attempt, decision.seconds, headers)
            case retry.Verdict.EXHAUSTED:
                self._give_up(attempt, order, problems.from_sips(error, exhausted=True))
            case retry.Verdict.FAIL if error.executed is Executed.NO:
                self._give_up(attempt, order, problems.from_sips(error, exhausted=False))
            case _:
                problem = problems.from_sips(error, exhausted=False, payload=attempt.payload)
                self._record(
                    attempt, order, Event.REJECT, lambda row: [self._voice.failed(row, problem)], last_error=attempt.error
                )

    def _after_fault(self, attempt: Attempt, order: Order, error: Exception) -> None:
        """A handler with a bug: in doubt if SIPS was asked; else set aside at once, as a repeat ends the same."""
        attempt.error = f"handler-fault: {type(error).__name__}"
        if attempt.sips is not None and attempt.sips.executed is not Executed.NO:
            self._doubt(attempt, order, attempt.error)
        else:
            self._give_up(attempt, order, problems.handler_fault(error))

    # What is written down.

    def _record(self, attempt: Attempt, order: Order, event: Event, say: Say, **changes: Any) -> None:
        """Write an answer down, whatever became of the lease meanwhile, and say what it means."""
        moved = self._until_recorded(attempt, lambda: self._ledger.move(order, event, say=say, **changes))
        if moved is None:
            # The lease was over, or the store took the step and its own answer was lost. An answer counts all the same.
            now = self._ledger.find(order.key)
            if now is not None and now.run == order.run and now.state is State.IN_DOUBT:
                moved = self._ledger.move(now, event, say=say, timers_to_stop=[LOOK_TIMER], **changes)
        if moved is not None:
            self._say(attempt, moved.order, moved.said)
        elif now := self._ledger.find(order.key):
            self._say_again(attempt, now)

    def _until_recorded(self, attempt: Attempt, step: Callable[[], Moved | None]) -> Moved | None:
        """Try a step again while the store is away and the attempt has time.

        What SIPS answered is not lost lightly, nor that it was not asked: the order would be in doubt, and in the end a person's.
        """
        while True:
            try:
                return step()
            except StoreDown:
                if time.monotonic() + RECORD_RETRY_SECONDS > attempt.deadline:
                    raise
                time.sleep(RECORD_RETRY_SECONDS)

    def _doubt(self, attempt: Attempt, order: Order, why: str, *, look_after: float | None = None) -> None:
        """Nobody can tell: from here on the order is looked up, and its command is done."""
        attempt.error = why
        timers = {LOOK_TIMER: self._settings.look_seconds[0] if look_after is None else look_after}
        moved = self._until_recorded(
            attempt, lambda: self._ledger.move(order, Event.DOUBT, last_error=why, timers_from_now=timers)
        )
        now = moved.order if moved is not None else self._ledger.find(order.key)
        if now is None or now.state in {State.IN_DOUBT, State.SENDING}:
            attempt.outcome = "in-doubt"
        else:
            self._say_again(attempt, now)

    def _give_up(self, attempt: Attempt, order: Order, problem: Problem) -> bool:
        """No run of it is left. SIPS never executed one: `.failed`, and a dead letter that a person can run again.

        Where an earlier run was sent, SIPS may have the order from that one: it goes back to a person, who can resubmit it.
        False where the order stands elsewhere by now; then its command waits.
        """
        attempt.error = attempt.error or f"{problem.code}: {problem.detail}"
        if order.resubmitted:
            why = not_sent_again(order, attempt.error)
            moved = leave_to_a_person(self._ledger, order, self._voice, why, last_error=attempt.error, sent_at=None)
        else:
            step = functools.partial(
                self._ledger.move,
                order,
                Event.GIVE_UP,
                say=lambda row: [self._voice.failed(row, problem)],
                last_error=attempt.error,
            )
            moved = self._until_recorded(attempt, step)
        if moved is None:
            self._wait(attempt, 0.0)
            return False
        self._say(attempt, moved.order, moved.said)
        if not order.resubmitted:
            self._endings.set_aside(attempt, problem.code, problem.detail)
        return True

    # What is said.

    def _say(self, attempt: Attempt, order: Order, said: Sequence[StoredEvent]) -> None:
        reached("recorded")
        if said:
            self._endings.publish(attempt, *map(order_events.message, said))
        for event in said:
            if event.type.startswith(f"{order.command_type}."):
                attempt.outcome, attempt.final = event.type.rsplit(".", 1)[1], True
                self._endings.reply(order_events.reply(event, order))
        self._published([event.id for event in said])

    def _say_again(self, attempt: Attempt, order: Order) -> None:
        """What is stored of the order's run: the same ids, so that consumers drop what they had."""
        said = [event for event in self._ledger.events(order.key) if event.run == order.run]
        self._say(attempt, order, said)
        if not attempt.final:
            self._wait(attempt, 0.0)  # nothing was said yet: somebody else is about to

    # A command whose order is known.

    def _continue(self, attempt: Attempt, command: Command, order: Order) -> None:
        attempt.run, attempt.order_id = order.run, order.order_id
        if order.state is State.WITHDRAWN and not order.fingerprint:
            self._endings.fail(attempt, command, problems.withdrawn())
            return
        if order.fingerprint.startswith(f"{RULE}:") and order.fingerprint != fingerprint(command.data):
            self._conflict(attempt, command, order)
            return
        if order.state is State.SENDING and order.lease_is_over:
            # Its sender died, or lost its connection to the store: the order may have been placed.
            first = {LOOK_TIMER: self._settings.look_seconds[0]}
            moved = self._ledger.move(order, Event.DOUBT, only_after_lease=True, last_error=SENDER_LOST, timers_from_now=first)
            order = moved.order if moved is not None else order
        if order.state is State.IN_DOUBT and _is_its_command(order, command):
            attempt.outcome = "in-doubt"  # its timer carries it on; this delivery has nothing to add
        elif order.state in {State.SENDING, State.IN_DOUBT, State.UNSENT}:
            self._wait(attempt, 0.0)
        elif _is_its_command(order, command):
            self._say_again(attempt, order)
            if order.state is State.GAVE_UP:
                self._endings.set_aside(attempt, "gave-up", order.last_error or "no attempts were left")
        else:
            self._answer_another(attempt, command, order)

    def _answer_another(self, attempt: Attempt, command: Command, order: Order) -> None:
        """Another command with the same key: the same answer, under its own id, and no call."""
        for event in self._ledger.events(order.key):
            if event.run == order.run and event.type.startswith(f"{order.command_type}."):
                message = order_events.for_another(event, command, self._settings.sips_environment)
                self._endings.publish_outcome(attempt, command, message, event.type.rsplit(".", 1)[1])
        if not attempt.final:
            self._wait(attempt, 0.0)

    def _conflict(self, attempt: Attempt, command: Command, order: Order) -> None:
        """The same key with another payload: no call. Under the same id it cannot be answered without a contradiction."""
        problem = problems.conflict()
        if _is_its_command(order, command):
            attempt.error = f"{problem.code}: {problem.detail}"
            self._endings.set_aside(attempt, problem.code, problem.detail)
        else:
            self._endings.fail(attempt, command, problem)


def _is_its_command(order: Order, command: Command) -> bool:
    """Whether the row was made by this very command, not by another one with the same key."""
    return (order.command_id, order.command_source) == (command.id, command.source)


def _new_owner() -> str:
    return uuid.uuid4().hex


def _counted(order: Order, decision: retry.Decision) -> int:
    """The attempts that count; one that cost nothing is taken back."""
    return order.attempts - 1 if decision.verdict is retry.Verdict.WAIT else order.attempts
