"""The ways in which an attempt ends: an outcome, a retry, another queue, a dead letter; each is confirmed when it returns."""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING, Any

import orjson

from worker import __version__
from worker.messaging import events, ladder, topology
from worker.messaging.envelope import EnvelopeError, parse
from worker.messaging.publisher import RefusedError, UnroutableError
from worker.ops.crash_points import reached
from worker.runtime import history, outcomes, poison, problems
from worker.runtime.files import INLINE_BYTES, JSON, Files
from worker.sips import Executed

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.blobs import BlobStore
    from worker.messaging.envelope import Command
    from worker.messaging.publisher import Message, Publisher, PublishError
    from worker.runtime.attempt import Attempt
    from worker.runtime.outcomes import Problem
    from worker.runtime.registry import Handler
    from worker.settings import Settings

__all__ = ["Endings"]

#: A command whose type no worker knows fails under this type where not even that could be read.
UNNAMED_TYPE = "sips.command"

#: Seconds in which a delivery is acked that was moved to another queue.
ACK_SECONDS = 1.0

#: Rungs of the ladder that are tried where one does not take a message.
RUNGS_TRIED = 3


class Endings:
    """Publishes what an attempt comes to; every method may raise `PublishError`, and then nothing has ended.

    Args:
        publisher: of the process.
        settings: of the process.
        blobs: where what is too large for an event is kept, if there is such a place.
    """

    def __init__(self, publisher: Publisher, settings: Settings, blobs: BlobStore | None = None) -> None:
        self._publisher = publisher
        self._settings = settings
        self._blobs = blobs
        self._random = random.Random()  # noqa: S311 - jitter, no secret

    def publish(self, attempt: Attempt, *messages: Message) -> None:
        """Wait for the confirms: as long as the attempt may take where SIPS did something that is to be told."""
        self._publisher.publish(*messages, timeout=self._seconds(attempt))
        reached("published")

    def hand_over(self, attempt: Attempt, message: Message, then: Callable[[PublishError | None], None]) -> None:
        """Do not wait: `then` hears of the confirm, in the thread of the connections."""
        self._publisher.hand_over(message, then, timeout=self._seconds(attempt))

    def _seconds(self, attempt: Attempt) -> float:
        """How long RabbitMQ may take to confirm."""
        left = max(attempt.deadline - time.monotonic(), 0.1)
        changed = attempt.sips is not None and attempt.sips.executed is not Executed.NO
        return left if changed else min(left, self._settings.publish_seconds)

    def reply(self, message: Message | None) -> None:
        """Send a copy of an outcome to whom the command named, best effort."""
        if message is not None:
            self._publisher.send(message)

    def outcome(self, attempt: Attempt, command: Command, kind: str, data: dict[str, Any]) -> None:
        """The command's outcome: `succeeded`, `failed` or `unknown`.

        Raises:
            BlobError: its data are kept in the blob store, and that keeps nothing now.
        """
        message = self.built(attempt, command, kind, data)
        if message is not None:
            self.publish_outcome(attempt, command, message, kind)

    def built(self, attempt: Attempt, command: Command, kind: str, data: dict[str, Any]) -> Message | None:
        """The event of an outcome.

        Data that RabbitMQ would refuse are kept in the blob store, and the event refers to them. Without one the command has
        `failed` when this returns None.

        Raises:
            BlobError: the blob store keeps nothing now.
        """
        event_id = events.outcome_id(command.source, command.id, command.type, command.run)
        event_type, context = f"{command.type}.{kind}", self.context(attempt, command)
        message = events.event(event_type, event_id, data, context)
        size, limit = len(message.body), self._settings.max_event_bytes
        if size > limit and kind == "succeeded":
            if self._blobs is None:
                self.fail(attempt, command, problems.result_too_large(size, limit))
                return None
            dataref = self.files(attempt).keep(orjson.dumps(data), JSON).dataref
            message = events.event(event_type, event_id, data, context, dataref=dataref)
        return message

    def files(self, attempt: Attempt) -> Files:
        """Where an attempt keeps files; one that stands in an event leaves room for what else is in it."""
        inline_bytes = min(INLINE_BYTES, self._settings.max_event_bytes // 2)
        return Files(self._blobs, inline_bytes=inline_bytes, deadline=attempt.deadline)

    def publish_outcome(self, attempt: Attempt, command: Command, message: Message, kind: str) -> None:
        """An outcome that is built already, and its copy for whom the command named."""
        self.publish(attempt, message)
        self._has_ended(attempt, command, message, kind)

    def confirmed(self, attempt: Attempt, command: Command, message: Message, kind: str) -> None:
        """RabbitMQ confirmed an outcome that was handed over."""
        reached("published")
        self._has_ended(attempt, command, message, kind)

    def _has_ended(self, attempt: Attempt, command: Command, message: Message, kind: str) -> None:
        attempt.outcome, attempt.final = kind, True
        self.reply(events.reply(message, attempt.delivery.properties, command.id))

    def fail(self, attempt: Attempt, command: Command, problem: Problem) -> None:
        """`.failed`."""
        attempt.error = attempt.error or f"{problem.code}: {problem.detail}"
        self.outcome(attempt, command, "failed", outcomes.problem_data(problem, outcomes.about(command)))

    def give_up(self, attempt: Attempt, command: Command, problem: Problem) -> None:
        """`.failed`, and a dead letter that a person can run again."""
        self.fail(attempt, command, problem)
        self.set_aside(attempt, problem.code, problem.detail)

    def try_again(self, attempt: Attempt, seconds: float, headers: dict[str, Any]) -> None:
        """The same message after about so many seconds, with these of our headers."""
        delivery = attempt.delivery
        if history.count(delivery, poison.CRASHES):
            # It came to an end of its own, so it is innocent; that it was delivered before is still true.
            headers = headers | {poison.CRASHES: 0, history.REDELIVERED: True}
        self._delay(attempt, history.home(delivery), seconds, headers)

    def come_back(self, attempt: Attempt, seconds: float, headers: dict[str, Any]) -> None:
        """The same message after about so many seconds to the queue it is in now, as guilty as it is."""
        self._delay(attempt, attempt.delivery.queue, seconds, headers)

    def _delay(self, attempt: Attempt, queue: str, seconds: float, headers: dict[str, Any]) -> None:
        """Over the ladder to a queue. A rung that somebody deleted and that cannot be put back is stepped over."""
        delivery = attempt.delivery
        *rungs, last = ladder.from_step(ladder.step(seconds, self._random))[:RUNGS_TRIED]

        def publish(rung: int) -> None:
            message = ladder.delayed(
                delivery.body, delivery.properties, delivery.routing_key, queue=queue, seconds=rung, headers=headers
            )
            self.publish(attempt, message)
            attempt.outcome = "retry"

        for rung in rungs:
            with contextlib.suppress(RefusedError, UnroutableError):
                publish(rung)
                return
        publish(last)

    def wait_for_a_worker_that_knows(self, attempt: Attempt, command: Command) -> None:
        """An unknown type may be known to a newer worker that is being rolled out: wait some times, then fail."""
        waits, delays = history.count(attempt.delivery, "sips-unknown"), self._settings.unknown_type_seconds
        attempt.error = f"unknown-type: no handler for {command.type}"
        if waits >= len(delays):
            self.give_up(attempt, command, problems.unknown_type(command))
            return
        headers = {"sips-unknown": waits + 1} | history.marks(attempt.delivery)
        self._delay(attempt, topology.UNDELIVERED, delays[waits], headers)

    def return_to_its_queue(self, attempt: Attempt, handler: Handler) -> None:
        """The broker set it aside (expired there, over the delivery limit, no binding), or it was routed by another key."""
        delivery = attempt.delivery
        message = ladder.returned(
            delivery.body, delivery.properties, delivery.routing_key, queue=handler.queue, headers=history.marks(delivery)
        )
        self.publish(attempt, message)
        attempt.outcome = "rerouted"

    def suspect(self, attempt: Attempt, decision: poison.Decision) -> None:
        """Back to its queue, or to the queue of suspects, unread: reading it may be what kills.

        It comes there when it is acked here. Killing before that it would be delivered here again, and be there twice.
        """
        delivery = attempt.delivery
        queue = topology.SUSPECTS if decision.verdict is poison.Verdict.ALONE else delivery.queue
        headers = {poison.CRASHES: decision.crashes, history.HOME: history.home(delivery)} | history.marks(delivery)
        if delivery.queue == topology.SUSPECTS:  # RabbitMQ gives this process the next one only after the ack
            message = ladder.returned(delivery.body, delivery.properties, delivery.routing_key, queue=queue, headers=headers)
            self.publish(attempt, message)
        else:
            self._delay(attempt, queue, ACK_SECONDS, headers)
        attempt.outcome = "suspect"
        attempt.error = f"{decision.crashes} deliveries of it came to no end; it goes to {queue}"

    def read(self, attempt: Attempt) -> Command | None:
        """What a delivery says; None where it cannot be read, and was set aside."""
        delivery, limit = attempt.delivery, self._settings.max_message_bytes
        try:
            attempt.command = parse(delivery.body, delivery.properties, delivery.routing_key, max_bytes=limit)
        except EnvelopeError as error:
            self.set_aside_unreadable(attempt, error)
        return attempt.command

    def set_aside_unreadable(self, attempt: Attempt, error: EnvelopeError) -> None:
        """A dead letter, and `.failed` where somebody can be told."""
        attempt.error = f"{error.reason}: {error.detail}"
        if error.id and error.source:
            self.publish(attempt, self._unreadable_outcome(error.id, error.source, error))
        self.set_aside(attempt, error.reason, error.detail)

    def _unreadable_outcome(self, command_id: str, source: str, error: EnvelopeError) -> Message:
        command_type = error.type or UNNAMED_TYPE
        context = events.EventContext(
            environment=self._settings.sips_environment,
            correlation_id=error.correlation_id or command_id,
            causation_id=command_id,
            command_source=source,
        )
        about = {"id": command_id, "type": command_type, "run": 1, "attempts": 1}
        event_id = events.outcome_id(source, command_id, command_type, 1)
        data = outcomes.problem_data(problems.unreadable(error), about)
        return events.event(f"{command_type}.failed", event_id, data, context)

    def set_aside(self, attempt: Attempt, reason: str, detail: str) -> None:
        """A dead letter, with the reason."""
        delivery = attempt.delivery
        headers = {"sips-reason": reason, "sips-detail": detail, history.HOME: history.home(delivery)}
        headers["sips-version"] = __version__
        message = ladder.dead_letter(delivery.body, delivery.properties, delivery.routing_key, headers=headers)
        self.publish(attempt, message)
        attempt.outcome, attempt.final = attempt.outcome if attempt.final else "dead-letter", True

    def context(self, attempt: Attempt, command: Command) -> events.EventContext:
        """Where an event of this attempt says that it comes from."""
        identity = attempt.identity
        return events.EventContext(
            environment=self._settings.sips_environment,
            correlation_id=command.correlation_id,
            causation_id=command.id,
            command_source=command.source,
            customer_code=identity.customer_code,
            order_key=attempt.order_id or identity.order_id or identity.po_number,
            traceparent=command.traceparent,
            tracestate=command.tracestate,
        )
