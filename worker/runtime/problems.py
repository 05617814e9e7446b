"""The problems that a `.failed` tells: their codes are part of the wire contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.messaging.dead_letters import CRASH_ON_READ
from worker.messaging.envelope import EnvelopeError
from worker.runtime.objections import objections
from worker.runtime.outcomes import MAX_ERRORS, Problem
from worker.sips.errors import Rejected

if TYPE_CHECKING:
    from worker.messaging.envelope import Command
    from worker.runtime.payload import Payload
    from worker.sips import SipsError

__all__ = [
    "BLOB_SETTINGS",
    "blob_store_missing",
    "conflict",
    "crash_loop",
    "crash_on_read",
    "duplicate_po",
    "expired",
    "from_sips",
    "handler_fault",
    "result_too_large",
    "source_missing",
    "too_late",
    "unknown_type",
    "unreadable",
    "withdrawn",
]


#: What a person can set where there is no blob store.
BLOB_SETTINGS = "set BLOB_FOLDER and BLOB_BASE_URL, or BLOB_S3_BUCKET, so that it is kept there and referenced"


def blob_store_missing(limit: int) -> Problem:
    """SIPS answered with a file that is too large for an event, and there is nowhere else to put it."""
    detail = f"the file has more than the {limit} bytes that stand in an event itself; {BLOB_SETTINGS}"
    return Problem("blob-store-missing", "There is no place for a file of this size", detail, key_reusable=True)


def crash_loop(times: int) -> Problem:
    """Its process died each time it was carried out."""
    detail = f"{times} deliveries of it came to no end, the latest alone: it seems to kill the process that carries it out"
    return Problem("crash-loop", "The command kills the worker", detail, retryable=False, key_reusable=True)


def crash_on_read() -> Problem:
    """Its process died each time, even while it was only read."""
    return Problem(CRASH_ON_READ, "The command kills the worker", "it killed its process each time it was only read")


def expired(command: Command) -> Problem:
    """Its time was up before SIPS was asked."""
    when = command.expires_at.isoformat() if command.expires_at else "its AMQP expiration"
    detail = f"its time was up: {when}; send it anew if it is still wanted"
    return Problem("expired", "The command came too late", detail, retryable=True, key_reusable=True)


def duplicate_po() -> Problem:
    """Another order of the customer has the PO number."""
    detail = "another open order of this customer has this PO number; use another one, or set PO_SUFFIX"
    return Problem("duplicate-po", "The PO number is taken", detail)


def conflict() -> Problem:
    """The idempotency key stands for something else already."""
    detail = "the key was used for another payload before; a corrected order needs a new key"
    return Problem("idempotency-conflict", "The key stands for another payload", detail)


def withdrawn() -> Problem:
    """Called off before it was sent."""
    return Problem("withdrawn", "The order was withdrawn", "it was called off before it was sent to SIPS")


def too_late(state: str) -> Problem:
    """It was sent already, or ended."""
    detail = f"the order is {state}; only what was not sent yet can be withdrawn; if SIPS has it, call the branch"
    return Problem("too-late", "The order cannot be withdrawn any more", detail)


def unknown_type(command: Command) -> Problem:
    """No worker knows the type, and none came that does."""
    detail = f"no handler for {command.type}; check its spelling, or run a worker whose release has it"
    return Problem("unknown-type", "No worker knows this type of command", detail, key_reusable=True)


def unreadable(error: EnvelopeError) -> Problem:
    """The message is no command."""
    return Problem(error.reason, "The message cannot be read as a command", error.detail, key_reusable=True)


def source_missing(command: Command) -> EnvelopeError:
    """A command that changes something must say whose key its id is."""
    error = EnvelopeError("no-source", f"{command.type} changes something and needs app_id (its source)")
    error.id, error.type, error.correlation_id = command.id, command.type, command.correlation_id
    return error


def handler_fault(error: Exception) -> Problem:
    """A bug of ours."""
    detail = f"the handler broke with {type(error).__name__}; see the worker's log"
    return Problem("handler-fault", "The worker has a fault", detail, retryable=True, key_reusable=True)


def result_too_large(size: int, limit: int) -> Problem:
    """SIPS answered, and the answer does not fit one message."""
    detail = (
        f"the outcome would have {size} bytes; the limit MAX_EVENT_BYTES is {limit}: ask for less at once, or {BLOB_SETTINGS}"
    )
    return Problem("result-too-large", "The result does not fit one message", detail, key_reusable=True)


def from_sips(error: SipsError, *, exhausted: bool, payload: Payload | None = None) -> Problem:
    """SIPS refused the command, or failed at every attempt; with what it objected to in the payload, as far as it says."""
    errors: tuple[dict[str, str], ...] = ()
    if isinstance(error, Rejected) and error.answer is not None and payload is not None:
        errors = objections(error.answer.body, payload, MAX_ERRORS)
    return Problem(
        code=error.code,
        title="Every attempt failed" if exhausted else "SIPS refused the command",
        detail=str(error),
        errors=errors,
        retryable=exhausted,
        key_reusable=exhausted,
        sips_status=error.status,
        sips_code=error.code,
    )
