"""Call orders off that were not sent yet; whoever brings such an order later finds that it is not wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.runtime import problems
from worker.runtime.looks import LOOK_TIMER, UNRESOLVED_SECONDS, leave_to_a_person, not_sent_again
from worker.runtime.outcomes import RefusedError
from worker.runtime.submission import order_key
from worker.store.ledger import PUBLISH
from worker.store.orders import NewOrder
from worker.store.transitions import Event, State

if TYPE_CHECKING:
    from worker.messaging.envelope import Command
    from worker.runtime.order_events import OrderVoice
    from worker.settings import Settings
    from worker.store.ledger import Ledger
    from worker.store.orders import Order

__all__ = ["Withdrawals", "call_off"]


def call_off(ledger: Ledger, order: Order, voice: OrderVoice, **changes: Any) -> Order:
    """Withdraw an order that was not sent yet; a worker publishes its outcome at once.

    One that a person had sent again and that waits for it is not sent any more, but SIPS may have it from an earlier run: it is
    left to a person.

    Args:
        ledger: of the order.
        order: as it was read.
        voice: says the outcome.
        changes: further columns of the row.

    Returns:
        The row as it stands then: `withdrawn` whoever withdrew it, or whatever else it is where that is too late.

    Raises:
        StoreError: the ledger cannot be asked.
    """
    while order.state is State.UNSENT:
        if order.resubmitted:
            timers = {PUBLISH: 0.0, LOOK_TIMER: UNRESOLVED_SECONDS}
            why = not_sent_again(order, "it was called off")
            moved = leave_to_a_person(ledger, order, voice, why, timers_from_now=timers, sent_at=None, **changes)
        else:
            moved = ledger.move(
                order,
                Event.WITHDRAW,
                say=lambda row: [voice.failed(row, problems.withdrawn())],
                timers_from_now={PUBLISH: 0.0},
                **changes,
            )
        found = moved.order if moved is not None else ledger.find(order.key)
        assert found is not None  # noqa: S101 - rows are not deleted while they are young
        order = found
    return order


class Withdrawals:
    """What a handler is given to withdraw orders of one source."""

    def __init__(self, ledger: Ledger, voice: OrderVoice, settings: Settings, command: Command) -> None:
        self._ledger = ledger
        self._voice = voice
        self._settings = settings
        self._command = command

    def withdraw(self, idempotency_key: str, source: str | None) -> None:
        """Withdraw the order of a key; returns when it is certain that it will not be sent.

        Args:
            idempotency_key: of the submit command, which is its id where it named none.
            source: of the submit command; by default that of the command which withdraws it.

        Raises:
            RefusedError: it was sent already, or ended otherwise.
            StoreError: the ledger cannot be asked.
        """
        key = order_key(self._settings.base_url, source or self._command.source, idempotency_key)
        order = self._ledger.find(key) or self._ledger.withdraw(self._unseen(key, source))
        order = call_off(self._ledger, order, self._voice)
        if order.state is not State.WITHDRAWN:
            raise RefusedError(problems.too_late(order.state))

    def _unseen(self, key: str, source: str | None) -> NewOrder:
        """The row of an order of which nothing is known but its key."""
        return NewOrder(
            key=key,
            fingerprint="",
            base_url=self._settings.base_url,
            command_id="",
            command_source=source or self._command.source,
            command_type="sips.order.submit",
            envelope="{}",
            customer_code="",
            branch_code="",
            po_number="",
            po_claim="",
            transaction_id="",
            transaction_date="",
            payload="",
        )
