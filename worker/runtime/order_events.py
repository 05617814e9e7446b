"""What is said of an order: its outcome and the facts, built from its ledger row, so that anybody can say it at any time."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import orjson

from worker.messaging import events
from worker.runtime import outcomes
from worker.store.orders import StoredEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pika.spec import BasicProperties

    from worker.messaging.envelope import Command
    from worker.messaging.publisher import Message
    from worker.runtime.outcomes import Problem
    from worker.runtime.payload import PayloadWarning
    from worker.settings import Settings
    from worker.sips import Answer
    from worker.store.orders import Order

__all__ = ["CONFIRMED", "OVERDUE", "REJECTED", "UNRESOLVED", "OrderVoice", "envelope", "for_another", "message", "reply"]

CONFIRMED = "sips.order.confirmed"
REJECTED = "sips.order.rejected"
UNRESOLVED = "sips.order.unresolved"
OVERDUE = "sips.order.overdue"

NEXT_STEP = (
    "look the PO number up at SIPS, then tell with `sips-worker orders resolve` whether it is there (confirmed), "
    "is not wanted any more (abandoned) or shall be sent again (resubmit)"
)


def envelope(
    command: Command, properties: BasicProperties, *, source_system: str = "", warnings: Sequence[PayloadWarning] = ()
) -> str:
    """What the outcome of a command needs beside its order, as JSON for the ledger.

    Args:
        command: that brought the order.
        properties: of its message.
        source_system: the partner's name, as it is sent.
        warnings: of the payload, so that everything that is said of the order tells the same ones.
    """
    return orjson.dumps(
        {
            "correlationId": command.correlation_id,
            "traceparent": command.traceparent,
            "tracestate": command.tracestate,
            "replyTo": properties.reply_to if isinstance(properties.reply_to, str) else None,
            "replyCorrelationId": properties.correlation_id if isinstance(properties.correlation_id, str) else None,
            "sourceSystem": source_system,
            "warnings": list(warnings),
        }
    ).decode()


class OrderVoice:
    """Says things of orders in the name of one environment. Every id repeats: the same thing is said once.

    Args:
        environment: sandbox, qa or production.
        max_bytes: largest event.
    """

    def __init__(self, environment: str, *, max_bytes: int) -> None:
        self._environment = environment
        self._max_bytes = max_bytes

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The voice of an installation."""
        return cls(settings.sips_environment, max_bytes=settings.max_event_bytes)

    def succeeded(self, order: Order, answer: Answer | None) -> StoredEvent:
        """The outcome of an order that SIPS has, or has in its queue; an answer too large for an event is left out of it."""
        status, raw = (answer.status, answer.raw) if answer is not None else (None, b"")
        data = {"command": _about(order), "result": result(order)}
        said = self._outcome(order, "succeeded", data | {"sips": {"status": status, "body": orjson.Fragment(raw or b"null")}})
        if len(said.body.encode()) <= self._max_bytes:
            return said
        omitted = f"the answer has {len(raw)} bytes; the limit MAX_EVENT_BYTES of the event is {self._max_bytes}"
        return self._outcome(order, "succeeded", data | {"sips": {"status": status, "body": None, "bodyOmitted": omitted}})

    def failed(self, order: Order, problem: Problem) -> StoredEvent:
        """The outcome of an order that SIPS does not have; its key stays its own: another command is told the same."""
        data = outcomes.problem_data(replace(problem, key_reusable=False), _about(order))
        return self._outcome(order, "failed", data | {"warnings": _known(order).get("warnings", [])})

    def unknown(self, order: Order, why: str) -> StoredEvent:
        """The outcome of an order that SIPS may have, and nobody can tell."""
        data = {"command": _about(order), **_doubt(order, why)}
        return self._outcome(order, "unknown", data)

    def confirmed(self, order: Order) -> StoredEvent:
        """The order is real: answered, found, or a person said so."""
        return self._fact(order, CONFIRMED, result(order))

    def rejected(self, order: Order, why: str) -> StoredEvent:
        """SIPS had taken the order into its queue, and refused it there."""
        return self._fact(order, REJECTED, result(order) | {"reason": why})

    def unresolved(self, order: Order, why: str) -> StoredEvent:
        """The order was queued, and never seen again."""
        return self._fact(order, UNRESOLVED, _doubt(order, why))

    def overdue(self, order: Order) -> StoredEvent:
        """The order is in SIPS' queue for longer than it should be."""
        return self._fact(order, OVERDUE, result(order) | {"sentAt": _time(order.sent_at)})

    def _outcome(self, order: Order, kind: str, data: dict[str, Any]) -> StoredEvent:
        event_id = events.outcome_id(order.command_source, order.command_id, order.command_type, order.run)
        return self._event(order, f"{order.command_type}.{kind}", event_id, data)

    def _fact(self, order: Order, fact: str, data: dict[str, Any]) -> StoredEvent:
        event_id = events.outcome_id(order.command_source, order.command_id, fact, order.run)
        return self._event(order, fact, event_id, data)

    def _event(self, order: Order, event_type: str, event_id: str, data: dict[str, Any]) -> StoredEvent:
        known = _known(order)
        context = events.EventContext(
            environment=self._environment,
            correlation_id=known.get("correlationId") or order.command_id,
            causation_id=order.command_id,
            command_source=order.command_source,
            customer_code=order.customer_code or None,
            order_key=order.order_id or order.po_number or None,
            traceparent=known.get("traceparent"),
            tracestate=known.get("tracestate"),
        )
        body = events.body(event_type, event_id, data, context)
        return StoredEvent(event_id, event_type, order.run, body.decode())


def _known(order: Order) -> Mapping[str, Any]:
    """What `envelope` wrote down; less of it by an earlier release, and nothing of an order that was never seen."""
    return _read(order.envelope)


@functools.lru_cache(maxsize=64)
def _read(envelope: str) -> Mapping[str, Any]:
    """Kept for a moment, as each event of an order asks more than once."""
    known: dict[str, Any] = orjson.loads(envelope)
    return known


def result(order: Order) -> dict[str, Any]:
    """The `result` of an order, in the shape of `OrderResult`."""
    known = _known(order)
    return {
        "status": "queued" if order.order_id is None else "confirmed",
        "orderId": order.order_id,
        "queueId": order.queue_id,
        "transactionId": order.transaction_id,
        "transactionDate": order.transaction_date,
        "sourceSystem": known.get("sourceSystem", ""),
        "customerCode": order.customer_code,
        "poNumber": order.po_number,
        "warnings": known.get("warnings", []),
    }


def _doubt(order: Order, why: str) -> dict[str, Any]:
    return {
        "key": orjson.loads(order.key)[2],
        "transactionId": order.transaction_id,
        "poNumber": order.po_number,
        "customerCode": order.customer_code,
        "branchCode": order.branch_code,
        "sentAt": _time(order.sent_at),
        "looks": order.looks,
        "lastError": why,
        "nextStep": NEXT_STEP,
        "warnings": _known(order).get("warnings", []),
    }


def _about(order: Order) -> dict[str, Any]:
    return {"id": order.command_id, "type": order.command_type, "run": order.run, "attempts": order.attempts}


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message(said: StoredEvent) -> Message:
    """A stored event, ready to be published as it was said."""
    return events.published_again(said.body.encode())


def reply(said: StoredEvent, order: Order) -> Message | None:
    """A copy of an outcome for the address that the command named, or None."""
    known = _known(order)
    if not known.get("replyTo"):
        return None
    return events.reply_to(message(said), known["replyTo"], known.get("replyCorrelationId") or order.command_id)


def for_another(said: StoredEvent, command: Command, environment: str) -> Message:
    """The outcome of an order for another command with the same key: the same answer, under that command's own id."""
    event = orjson.loads(said.body)
    data = event["data"] | {"command": event["data"]["command"] | {"id": command.id, "type": command.type, "run": command.run}}
    context = events.EventContext(
        environment=environment,
        correlation_id=command.correlation_id,
        causation_id=command.id,
        command_source=command.source,
        customer_code=event.get("customercode"),
        order_key=(event.get("subject") or "").rpartition("/order/")[2] or None,
        traceparent=command.traceparent,
        tracestate=command.tracestate,
    )
    event_id = events.outcome_id(command.source, command.id, command.type, command.run)
    return events.event(said.type, event_id, data, context)
