"""What the sandbox remembers: tokens it issued, orders it accepted, requests it saw. All in memory."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.sandbox.life import Lives

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.sandbox.life import Life

__all__ = ["EXAMPLE_ORDER_ID", "Order", "State"]

#: The order of the documented examples; it can always be read.
EXAMPLE_ORDER_ID = "35818786"

#: Order ids count up from here, numeric as in the documented answer.
FIRST_ORDER_ID = 40_000_000

#: Lifetime of a token in seconds (guide page authentication-1994857m0).
TOKEN_SECONDS = 86_400


@dataclass(slots=True)
class Order:
    """One accepted order: an order at once, or a queue entry that becomes one when its life says so (never, if dropped).

    `answered` says that its sender was still there when its answer was sent; `client_port` is where the sender was.
    """

    order_id: str
    transaction_id: str
    body: dict[str, Any]
    accepted_at: datetime
    life: Life
    queue_id: str | None = None
    dropped: bool = False
    answered: bool = False
    client_port: int | None = None

    def is_listed(self, now: float) -> bool:
        """Whether it can be found and read."""
        return now >= self.life.listed_at

    @property
    def po_number(self) -> str:
        """The partner's number of the purchase order."""
        return po_number(self.body)

    @property
    def key(self) -> str:
        """What its chances hang on: its sender's names for it, as the order in which orders come is another each time."""
        return key(self.body)


def po_number(body: dict[str, Any]) -> str:
    """The partner's number of the purchase order that a submit is about."""
    return str(body["poDetails"]["poNumber"])


def key(body: dict[str, Any]) -> str:
    """What the chances of the order of a submit hang on."""
    return f"{body.get('transactionID', '')}/{po_number(body)}"


def steady_clock() -> Callable[[], float]:
    """A clock of seconds since 1970 that never goes back, whatever is done to the machine's."""
    start = time.time() - time.monotonic()
    return lambda: start + time.monotonic()


class State:
    """Thread-safe: every method is one step under a lock.

    Args:
        lives: what makes the lives of orders; by default they stand still.
        clock: seconds since 1970.
    """

    def __init__(self, lives: Lives | None = None, clock: Callable[[], float] | None = None) -> None:
        self._lives = lives or Lives()
        self.now = clock or steady_clock()
        self._lock = threading.Lock()
        self._tokens: dict[str, float] = {}
        self._orders: dict[str, Order] = {}
        self._numbers = itertools.count(FIRST_ORDER_ID)
        self._requests: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.tokens_issued = 0
        self._at_work = self._most_at_once = 0

    def issue_token(self, seconds: float) -> str:
        """A new token; older ones stay valid for their own time."""
        token = f"sandbox.{secrets.token_urlsafe(24)}"
        with self._lock:
            self._tokens[token] = time.monotonic() + seconds
            self.tokens_issued += 1
        return token

    def accepts(self, token: str) -> bool:
        """Whether a bearer token is one of ours and not expired."""
        return time.monotonic() < self._tokens.get(token, 0.0)

    def add_order(self, body: dict[str, Any], *, queued: bool, dropped: bool, listed_after: float) -> Order:
        """Accept an order, also one whose transactionID was seen before: nothing says that SIPS would refuse it."""
        with self._lock:
            now = self.now()
            order = Order(
                order_id=str(next(self._numbers)),
                transaction_id=str(body.get("transactionID", "")),
                body=body,
                accepted_at=datetime.fromtimestamp(now, UTC),
                life=self._lives.begin(key(body), now, queued=queued, dropped=dropped, listed_after=listed_after),
                queue_id=str(uuid.uuid4()) if queued or dropped else None,
                dropped=dropped,
            )
            self._orders[order.order_id] = order
        return order

    def orders(self) -> list[Order]:
        """Every order that was ever accepted."""
        with self._lock:
            return list(self._orders.values())

    def listed(self, now: float, order_id: object = None) -> list[Order]:
        """Every order that can be found and read now; with an id, that one alone, which costs as much however many there are."""
        if order_id:
            order = self.find_order(str(order_id), now)
            return [] if order is None else [order]
        return [order for order in self.orders() if order.is_listed(now)]

    def find_order(self, order_id: str, now: float) -> Order | None:
        """A listed order by its id."""
        order = self._orders.get(order_id)
        return order if order is not None and order.is_listed(now) else None

    def count(self, operation: str) -> None:
        """Count a request that came, as `pending`."""
        with self._lock:
            self._requests[operation]["pending"] += 1
            self._at_work += 1
            self._most_at_once = max(self._most_at_once, self._at_work)

    def settle(self, operation: str, status: str) -> None:
        """Count a pending request under the status it was answered with, `none` if it got no answer."""
        with self._lock:
            self._requests[operation].subtract(["pending"])
            self._at_work -= 1
            self._requests[operation][status] += 1

    def stats(self) -> dict[str, Any]:
        """Requests per operation and status, the most that were under way at once, and tokens issued."""
        with self._lock:
            requests = {
                operation: {status: number for status, number in counter.items() if number}
                for operation, counter in self._requests.items()
            }
            return {"requests": requests, "mostAtOnce": self._most_at_once, "tokensIssued": self.tokens_issued}
