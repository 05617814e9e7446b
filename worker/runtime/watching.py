"""What a handler is given to look at orders, to keep looking, and to stop: in the name of one command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, AwareDatetime, Field

from worker.runtime import intervals, readings
from worker.runtime.payload import Id, Identity, Payload, Result, Text
from worker.runtime.watch_events import of_command, of_order
from worker.store.transitions import State
from worker.store.watched import Kind, Subscription, watch_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.messaging.envelope import Command
    from worker.runtime.attempt import Attempt
    from worker.runtime.observing import Observer
    from worker.runtime.readings import Delivery
    from worker.settings import Settings
    from worker.sips import Sips
    from worker.sips.models import OrderRow
    from worker.store.ledger import Ledger
    from worker.store.watched import NewWatch, Watch
    from worker.store.watches import Watches

__all__ = ["OrderId", "TrackRequest", "WatchState", "Watching", "watch_of_order_id"]

#: Shortest interval that a command may ask for, in seconds; SIPS' limits are not known.
SHORTEST = 30

#: Words that may end a watch.
MAX_WORDS = 50


def _in_utc(deadline: datetime) -> datetime:
    try:
        return deadline.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        raise ValueError("must lie in the years 1 to 9999 of UTC") from None


#: An order's id; one order has one watch, however its id is spelled.
OrderId = Annotated[Id, AfterValidator(readings.order_number)]


class TrackRequest(Payload):
    """The order to look at; with `watch` it is looked at again until `deadline` or a status of `terminalStatuses`.

    Without an interval it is looked at often around the expected day of delivery, and seldom on others.
    """

    order_id: OrderId
    watch: bool = False
    interval_seconds: Annotated[float, Field(ge=SHORTEST, le=86_400)] | None = None
    deadline: Annotated[AwareDatetime, AfterValidator(_in_utc)] | None = None
    terminal_statuses: Annotated[list[Text], Field(min_length=1, max_length=MAX_WORDS)] | None = None

    def identity(self) -> Identity:
        """The order."""
        return Identity(order_id=self.order_id)


class WatchState(Result):
    """Until when and how often somebody has an order looked at; `active` is false where what was waited for is there already."""

    active: bool
    until: datetime
    interval_seconds: float | None
    terminal_statuses: list[str]


class Watching:
    """The watches, for one command; all methods may raise `SipsError`, `StoreError` and `PublishError`.

    Args:
        watches: what is known.
        observer: looks and tells.
        ledger: knows the orders that were submitted here.
        settings: of the process.
        attempt: that carries the command.
        command: its source is whose subscription it is.
    """

    def __init__(
        self, watches: Watches, observer: Observer, ledger: Ledger, settings: Settings, attempt: Attempt, command: Command
    ) -> None:
        self._watches = watches
        self._observer = observer
        self._ledger = ledger
        self._settings = settings
        self._attempt = attempt
        self._command = command

    def order(self, request: TrackRequest, sips: Sips) -> tuple[OrderRow | None, WatchState | None]:
        """The order as SIPS lists it now, None where it does not (yet); and its watch, where one was asked for."""
        watch = self._known(request)
        if watch is None:
            return readings.order(sips, request.order_id), None
        observed, row = self._observer.look_at_status(self._attempt, watch, sips)
        return row, self._subscribed(observed.watch if observed else watch, Kind.ORDER, request)

    def deliveries(self, request: TrackRequest, sips: Sips) -> tuple[Sequence[Delivery], WatchState | None]:
        """The deliveries of an order now, and their watch, where one was asked for."""
        watch = self._known(request)
        if watch is None:
            return readings.deliveries(sips, request.order_id), None
        observed, rows = self._observer.look_at_deliveries(self._attempt, watch, sips)
        return rows, self._subscribed(observed.watch, Kind.DELIVERY, request)

    def cancel(self, order_id: str, kind: str | None) -> tuple[int, bool]:
        """End what the command's source has asked for; how many subscriptions that were, and whether others go on."""
        key = watch_key(self._settings.base_url, order_id)
        kinds = list(Kind) if kind is None else [Kind(kind)]
        number = self._watches.cancel(key, self._command.source, kinds)
        watch = self._watches.find(key)
        return number, watch is not None and watch.ended_at is None

    def _known(self, request: TrackRequest) -> Watch | None:
        """The row of the order, made where it is to be watched: a look that nobody waits for leaves none."""
        watch = self._watches.find(watch_key(self._settings.base_url, request.order_id))
        if watch is None and request.watch:
            watch = self._watches.open(self._new(request.order_id))
        return watch

    def _new(self, order_id: str) -> NewWatch:
        submitted = watch_of_order_id(self._ledger, self._settings.base_url, order_id)
        return submitted or of_command(self._command, self._settings.base_url, order_id)

    def _subscribed(self, watch: Watch, kind: Kind, request: TrackRequest) -> WatchState | None:
        if not request.watch:
            return None
        settings = self._settings
        default = settings.order_terminal if kind is Kind.ORDER else settings.delivery_terminal
        until = request.deadline.timestamp() if request.deadline else watch.read_at + settings.watch_days * 86_400
        terminal = tuple(request.terminal_statuses) if request.terminal_statuses else None
        wanted = Subscription(kind, self._command.source, self._command.id, until, request.interval_seconds, terminal)
        today = datetime.now(UTC).astimezone(settings.time_zone).date()
        seconds = (
            intervals.interval(watch, kind, settings, today) if request.interval_seconds is None else request.interval_seconds
        )
        watch = self._watches.subscribe(watch, [wanted], seconds)
        is_over = any((one.kind, one.source) == (kind, wanted.source) for one in intervals.ended(watch, settings))
        self._observer.end_subscriptions(watch)
        return WatchState(
            active=not is_over,
            until=datetime.fromtimestamp(until, UTC),
            interval_seconds=request.interval_seconds,
            terminal_statuses=list(terminal or default),
        )


def watch_of_order_id(ledger: Ledger, base_url: str, order_id: str) -> NewWatch | None:
    """The watch of an order that was submitted here and is confirmed; None where it is not known."""
    key = ledger.owners(base_url, [order_id]).get(order_id)
    order = ledger.find(key) if key else None
    return of_order(order) if order is not None and order.state is State.CONFIRMED else None
