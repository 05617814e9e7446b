"""What happens to one delivery, top to bottom: read, check, handle, publish, settle.

Every step that ends a command publishes first, and the delivery's disposition is set after the confirm. What is not confirmed
leaves the disposition unset, and the delivery goes back to its queue; where that would mend nothing, it waits on the ladder.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError

from worker.blobs import BlobError
from worker.messaging import topology
from worker.messaging.delivery import Disposition
from worker.messaging.publisher import PublishError, RefusedError, UnroutableError
from worker.ops.crash_points import reached
from worker.runtime import history, outcomes, poison, problems, retry
from worker.runtime.attempt import Attempt
from worker.runtime.attempt_lines import AttemptLines
from worker.runtime.deferring import Deferring
from worker.runtime.files import Files
from worker.runtime.hint_reading import is_hint
from worker.runtime.payload import guess_identity
from worker.runtime.ticks import is_tick
from worker.runtime.watching import Watching
from worker.seldom import Seldom
from worker.sips import Deadline, Sips, SipsError, Unreadable
from worker.store.errors import RowAhead, StoreError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from worker.messaging.delivery import Delivery
    from worker.messaging.envelope import Command
    from worker.runtime.endings import Endings
    from worker.runtime.hint_reading import HintReading
    from worker.runtime.orders import Orders
    from worker.runtime.payload import Payload, Result
    from worker.runtime.registry import Handler, Registry
    from worker.runtime.ticks import Ticks
    from worker.settings import Settings
    from worker.sips import SipsClient

__all__ = ["Executors", "Pipeline"]

#: Seconds a worker thread waits before it gives back a command whose outcome RabbitMQ did not take, so that nothing is
#: nacked in circles while the reason is not one that closes the gate.
GIVE_BACK_SECONDS = 1.0

#: Header that counts how often a command was put off: there was no use in carrying it out, for no fault of its own.
PUT_OFF = "sips-put-off"

#: What a person can do where RabbitMQ takes no message of a kind.
REFUSED_ADVICE = (
    "if it names sips.events: a queue that is bound for this event is full and rejects (x-overflow: reject-publish), or may not "
    "be written to: let its consumer catch up, raise its limit or use drop-head; else run `sips-worker doctor`"
)

#: The same where the blob store keeps nothing.
BLOB_ADVICE = "run `sips-worker doctor`; what is too large for an event cannot be told before that is mended"

log = structlog.get_logger("worker")


@dataclass(frozen=True, slots=True)
class Executors:
    """What a pipeline hands on to.

    Attributes:
        orders: carries commands that change something through the ledger.
        ticks: does what is due.
        hints: looks up what webhooks tell of.
        watching: the watches, for the command of an attempt.
    """

    orders: Orders
    ticks: Ticks
    hints: HintReading
    watching: Callable[[Attempt, Command], Watching]


class Pipeline:
    """Executes deliveries; one per process, used by all its threads.

    Args:
        registry: the handlers.
        client: of SIPS.
        endings: of outcomes, retries and dead letters.
        executors: of what is more than a read.
        settings: of the process.
        stopping: set when the process is to end; cuts short what waits.
        on_store_down: told of each failure of the store.

    Attributes:
        lines: takes the log line of each attempt.
    """

    def __init__(
        self,
        registry: Registry,
        client: SipsClient,
        *,
        endings: Endings,
        executors: Executors,
        settings: Settings,
        stopping: threading.Event,
        on_store_down: Callable[[StoreError], None] = lambda _error: None,
    ) -> None:
        self._registry = registry
        self._client = client
        self._endings = endings
        self._orders = executors.orders
        self._ticks = executors.ticks
        self._hints = executors.hints
        self._watching = executors.watching
        self._settings = settings
        self.lines = AttemptLines()
        self._stopping = stopping
        self._deferring = Deferring(endings, self.lines, stopping=stopping, carry=self._carry)
        self._on_store_down = on_store_down
        self._random = random.Random()  # noqa: S311 - jitter, no secret
        self._policy = retry.Policy.of(settings)
        self._may_tell_of_refusal = Seldom()
        self._may_tell_of_blobs = Seldom()

    def execute(self, delivery: Delivery) -> None:
        """Carry a delivery to its end and set its disposition, or defer that to RabbitMQ's confirm; never raises."""
        self._carry(Attempt(delivery, deadline=time.monotonic() + self._settings.handler_seconds), self._run)

    def _carry(self, attempt: Attempt, step: Callable[[Attempt], None]) -> None:
        delivery = attempt.delivery
        try:
            step(attempt)
            if attempt.pending:
                return
            reached("settled")
            delivery.disposition = Disposition.ACK
        except (RefusedError, UnroutableError) as error:
            if self._may_tell_of_refusal():
                log.error("RabbitMQ takes no message of a kind; its commands wait", error=str(error), check=REFUSED_ADVICE)  # noqa: TRY400
            self._put_off(attempt, str(error))
        except PublishError as error:
            self._give_back(attempt, str(error))
        except BlobError as error:
            if self._may_tell_of_blobs():
                log.error("the blob store keeps nothing; commands with large results wait", error=str(error), check=BLOB_ADVICE)  # noqa: TRY400
            self._put_off(attempt, str(error))
        except RowAhead as error:
            self._put_off(attempt, str(error))  # for a worker of that release; the store is well
        except StoreError as error:
            self._on_store_down(error)
            self._give_back(attempt, str(error))
        except Exception:
            log.exception("an attempt broke; its command goes back to the queue", queue=delivery.queue)
            self._give_back(attempt, "a fault of the worker itself")
        self.lines.write(attempt)

    def _put_off(self, attempt: Attempt, error: str) -> None:
        """To be carried out later, longer after each time, at no attempt's cost; at once it would end the same.

        Going round between its queue and SIPS, it would also be taken for one that kills its process.
        """
        delivery = attempt.delivery
        attempt.final = False
        is_poison = history.count(delivery, poison.CRASHES) >= poison.POISON_AT  # of a tick the timer was stopped then
        if is_tick(delivery) and not is_poison:
            attempt.outcome, attempt.error = "put-off", error  # its timer is due again by itself
            delivery.disposition = Disposition.ACK
            return
        times = history.count(delivery, PUT_OFF)
        seconds = retry.wait_seconds(times, self._policy, self._random, longest=self._policy.max_seconds)
        try:
            later = self._endings.come_back if is_poison else self._endings.try_again
            later(attempt, seconds, {PUT_OFF: times + 1} | history.marks(delivery))
        except PublishError as other:
            self._give_back(attempt, f"{error}; {other}")
        else:
            attempt.outcome, attempt.error = "put-off", error
            delivery.disposition = Disposition.ACK

    def _give_back(self, attempt: Attempt, error: str) -> None:
        attempt.outcome, attempt.final, attempt.error = "requeued", False, error
        self._stopping.wait(GIVE_BACK_SECONDS)

    def _run(self, attempt: Attempt) -> None:
        delivery = attempt.delivery
        reached("received")
        decision = poison.judge(
            redelivered=delivery.redelivered,
            delivery_count=history.count(delivery, "x-delivery-count"),
            crashes=history.count(delivery, poison.CRASHES),
            alone=delivery.queue == topology.SUSPECTS,
        )
        is_poison = decision.verdict is poison.Verdict.POISON
        if decision.verdict in {poison.Verdict.AGAIN, poison.Verdict.ALONE}:
            self._endings.suspect(attempt, decision)
        elif decision.verdict is poison.Verdict.UNREAD:
            self._orders.end_unread(attempt)
        elif is_tick(delivery):
            (self._ticks.end_poison if is_poison else self._ticks.execute)(attempt)
        elif is_hint(delivery):
            (self._hints.end_poison if is_poison else self._hints.execute)(attempt)
        else:
            self._execute(attempt, is_poison=is_poison)

    def _execute(self, attempt: Attempt, *, is_poison: bool) -> None:
        delivery = attempt.delivery
        command = self._endings.read(attempt)
        if command is None:
            return
        handler = self._registry.find(command.type)
        if is_poison:
            self._end_poison(attempt, command, handler)
        elif handler is None:
            self._endings.wait_for_a_worker_that_knows(attempt, command)
        elif history.home(delivery) != handler.queue:
            self._endings.return_to_its_queue(attempt, handler)
        elif handler.changes:
            self._orders.execute(attempt, command, handler)
        else:
            self._read(attempt, command, handler)

    def _end_poison(self, attempt: Attempt, command: Command, handler: Handler | None) -> None:
        """It is not carried out any more; what became of an order the ledger knows."""
        problem = problems.crash_loop(poison.POISON_AT)
        if handler is not None and handler.changes:
            self._orders.end_poison(attempt, command, problem)
        else:
            self._endings.give_up(attempt, command, problem)

    def _read(self, attempt: Attempt, command: Command, handler: Handler) -> None:
        """A command that changes nothing at SIPS: it may be carried out as often as it takes."""
        if history.has_expired(command, attempt.delivery, self._orders.clock.now()):
            self._endings.fail(attempt, command, problems.expired(command))
            return
        try:
            payload = handler.payload.model_validate(command.data)
        except ValidationError as error:
            attempt.identity = guess_identity(command.data)
            self._endings.fail(attempt, command, outcomes.invalid_payload(error))
            return
        attempt.payload, attempt.identity = payload, payload.identity()
        self._call(attempt, command, handler, payload)

    def _call(self, attempt: Attempt, command: Command, handler: Handler, payload: Payload) -> None:
        sips = attempt.sips = Sips(self._client, Deadline.after(self._settings.sips_call_seconds))
        try:
            result = handler.run(payload, *(self._port(port, attempt, command) for port in handler.ports))
        except outcomes.RefusedError as refusal:
            self._endings.fail(attempt, command, refusal.problem)
        except SipsError as error:
            self._after_error(attempt, command, error)
        except ValidationError:
            unreadable = Unreadable(command.type, "the answer has values of unexpected types", answer=sips.answer)
            self._after_error(attempt, command, unreadable)
        except (StoreError, BlobError, PublishError):
            raise
        except Exception as error:
            log.exception("a handler broke", type=command.type, id=command.id)
            # Set aside at once: a repeat ends the same.
            attempt.error = f"handler-fault: {type(error).__name__}"
            self._endings.give_up(attempt, command, problems.handler_fault(error))
        else:
            reached("answered")
            self._succeed(attempt, command, result)

    def _port(self, port: type[object], attempt: Attempt, command: Command) -> object:
        """What a handler is given."""
        if port is Files:
            return self._endings.files(attempt)
        if port is Watching:
            return self._watching(attempt, command)
        return attempt.sips if port is Sips else self._orders.withdrawals(command)

    def _succeed(self, attempt: Attempt, command: Command, result: Result) -> None:
        sips = attempt.sips
        answer, abridged = (sips.answer, sips.abridged) if sips else (None, None)
        try:
            data = outcomes.succeeded_data(command, result.model_dump(mode="json"), answer, abridged)
        except (TypeError, ValueError):  # of orjson, of pydantic
            too_deep = "the answer is nested deeper than an event can tell; if it stays so, ask SRS what it means"
            self._after_error(attempt, command, Unreadable(command.type, too_deep, answer=answer))
            return
        way = self._deferring if self._deferring.applies_to(attempt) else self._endings
        way.outcome(attempt, command, "succeeded", data)

    def _after_error(self, attempt: Attempt, command: Command, error: SipsError) -> None:
        attempt.error = f"{error.code}: {error}"
        waits = history.count(attempt.delivery, "sips-waits")
        decision = retry.decide(
            error, changes=False, attempt=command.attempt, waits=waits, policy=self._policy, random=self._random
        )
        headers: dict[str, Any]
        match decision.verdict:
            case retry.Verdict.WAIT | retry.Verdict.RETRY:
                headers = retry.headers(decision, attempt=command.attempt, waits=waits)
                self._endings.try_again(attempt, decision.seconds, headers)
            case retry.Verdict.EXHAUSTED:
                self._endings.give_up(attempt, command, problems.from_sips(error, exhausted=True))
            case _:
                problem = problems.from_sips(error, exhausted=False, payload=attempt.payload)
                self._endings.fail(attempt, command, problem)
