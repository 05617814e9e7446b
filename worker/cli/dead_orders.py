"""Ask the ledger whether the dead letter of an order may run again, and as which run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cli.dead_letter_text import printable
from worker.messaging.dead_letters import routing_key
from worker.messaging.envelope import EnvelopeError, parse
from worker.runtime.redrive import RedriveError, allow_redrive
from worker.runtime.registry import registry
from worker.runtime.submission import order_key
from worker.store.engine import Store
from worker.store.ledger import Ledger
from worker.store.transitions import State

if TYPE_CHECKING:
    from worker.messaging.dead_letters import Held
    from worker.settings import Settings

__all__ = ["DeadOrders"]


class DeadOrders:
    """The ledger's word on dead letters; opens the store with the first order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ledger = Ledger(Store(settings.database_url.get_secret_value()))

    def next_run(self, held: Held, queue: str | None, *, allow: bool) -> int:
        """The run as which a letter is published again to `queue`; with `allow`, the ledger lets its order run.

        Raises:
            RedriveError: its order must not run again, or nobody knows its queue.
            StoreError: the ledger cannot be asked.
        """
        if queue is None:
            name = printable(held.letter.type or "unknown")
            raise RedriveError(f"neither its type ({name}) nor its queue is known here")
        handler = registry.find(held.letter.type or "")
        key = self._key(held) if handler is not None and handler.changes else None
        order = self._ledger.find(key) if key else None
        if key is None or order is None:
            return held.letter.run + 1
        if allow:
            return allow_redrive(self._ledger, key)
        if order.state not in {State.GAVE_UP, State.UNSENT}:
            raise RedriveError(f"its order is {order.state}: `sips-worker explain {order.command_id}`")
        return order.run + (order.state is State.GAVE_UP)

    def _key(self, held: Held) -> str | None:
        try:
            command = parse(
                held.body, held.properties, routing_key(held.properties) or "", max_bytes=self._settings.max_message_bytes
            )
        except EnvelopeError:
            return None
        return order_key(self._settings.base_url, command.source, command.idempotency_key)
