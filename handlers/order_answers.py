"""What a submit's answer says: SIPS also says 200 for orders that are only queued, and may for ones that failed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from worker.runtime.submission import InDoubtError

if TYPE_CHECKING:
    from worker.sips import Answer

__all__ = ["Taken", "judge"]

#: Words that turn "queued" into its contrary; then nobody can tell what became of the order.
DENIALS = frozenset({"not", "never", "cannot", "can't", "couldn't", "wasn't", "failed", "unable", "error"})


class Taken(NamedTuple):
    """SIPS has the order (`confirmed`, with its id), or has it in its queue (`queued`, with the id of its place there)."""

    status: Literal["confirmed", "queued"]
    order_id: str | None
    queue_id: str | None


def judge(answer: Answer, transaction_id: str) -> Taken:
    """Judge a 200 by its content; version 1 answers as version 2 does, as far as is known.

    Raises:
        InDoubtError: the content proves neither an order nor a queue entry.
    """
    body: dict[str, Any] = answer.body if isinstance(answer.body, dict) else {}
    whose = f"the answer of {answer.operation}"
    if body.get("errors"):
        raise InDoubtError(f"{whose} tells of errors")
    echoed = body.get("transactionID")
    if echoed is not None and str(echoed).lower() != transaction_id.lower():
        raise InDoubtError(f"{whose} speaks of another transactionID")
    order_id, queue_id = _id(body.get("orderID")), _id(body.get("queueID"))
    if queue_id is None and body.get("queueID"):
        raise InDoubtError(f"{whose} holds a queue id that is none")
    if queue_id is not None or _says_queued(body.get("message")):
        return Taken("queued", None, queue_id)
    if not (order_id and order_id.isascii() and order_id.isdigit() and order_id.strip("0")):
        raise InDoubtError(f"{whose} holds neither an order id nor a queue id")
    return Taken("confirmed", order_id, None)


def _id(value: Any) -> str | None:
    """An id as text; SIPS shows ids as text on one page and as a number on another."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None if value else None


def _says_queued(message: Any) -> bool:
    """Whether a message says that the order was queued, as "Order Queued" does, and not that it was not."""
    words = set(re.findall(r"[a-z']+", message.lower())) if isinstance(message, str) else set()
    return "queued" in words and not words & DENIALS
