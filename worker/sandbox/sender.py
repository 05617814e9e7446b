"""Sends webhooks when they are due: one thread, one call at a time, each tried again where it is not answered with 2xx."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import socket
import threading
import time
from collections import defaultdict
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from worker.sandbox.life import moment
from worker.sandbox.webhooks import Webhook, webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.sandbox.faults import Faults
    from worker.sandbox.life import Change
    from worker.sandbox.state import Order
    from worker.sandbox.webhooks import Receiver

__all__ = ["PAUSES", "Outbox", "Sender"]

#: Seconds before each further try: together half a minute, in which a receiver can start anew.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)

#: Seconds that a receiver has for its answer.
ANSWER_SECONDS = 10.0

#: Seconds after which the clock is looked at again, as one that is set tells nobody.
LOOK_SECONDS = 0.05

#: Seconds after which a kept connection is not used again: its other end may be closing it.
IDLE_SECONDS = 1.0


class Outbox:
    """What is to be sent, by the moment when it is due. Not thread-safe."""

    def __init__(self, receiver: Receiver, faults: Faults) -> None:
        self._receiver = receiver
        self._faults = faults
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Webhook | tuple[Order, Change]]] = []
        self._held: list[Webhook] = []
        self.sent: defaultdict[str, list[Webhook]] = defaultdict(list)

    def follow(self, order: Order) -> None:
        """Tell of every change of an order when it happens."""
        for change in order.life.changes:
            if change.event_type:
                self._push(change.at, (order, change))

    def put_back(self, webhook: Webhook, due: float) -> None:
        """Try a call again."""
        webhook.due, webhook.burst = due, None
        self._push(due, webhook)

    def take(self, now: float) -> list[Webhook]:
        """The calls that are due, in their order; faults are met when the change happens, not before."""
        ready: list[Webhook] = []
        while self._due and self._due[0][0] <= now:
            item = heapq.heappop(self._due)[2]
            if isinstance(item, tuple):
                self._happen(*item)
            elif item.burst:
                self._held.append(item)
            else:
                ready.append(item)
            ready += self._released(now)
        return ready + self._released(now)

    def due_at(self) -> float | None:
        """When there is something to take, None = nothing waits."""
        moments = [self._due[0][0]] if self._due else []
        moments += [webhook.due + webhook.burst[1] for webhook in self._held if webhook.burst]
        return min(moments, default=None)

    def _happen(self, order: Order, change: Change) -> None:
        for webhook in webhooks(order, change, self._receiver, self._faults):
            self.sent[order.order_id].append(webhook)
            if webhook.state == "waiting":
                self._push(webhook.due, webhook)

    def _released(self, now: float) -> list[Webhook]:
        """The calls that were held back, if they are enough by now or have waited long enough."""
        if not any(
            webhook.burst and (len(self._held) >= webhook.burst[0] or webhook.due + webhook.burst[1] <= now)
            for webhook in self._held
        ):
            return []
        released, self._held = self._held, []
        return released

    def _push(self, due: float, item: Webhook | tuple[Order, Change]) -> None:
        heapq.heappush(self._due, (due, next(self._numbers), item))


class Sender:
    """Sends what is due in a thread of its own, from the first order on; thread-safe.

    Args:
        receiver: where to.
        faults: what may go wrong.
        clock: seconds since 1970.
        pauses: seconds before each further try.
    """

    def __init__(self, receiver: Receiver, faults: Faults, clock: Callable[[], float], pauses: Sequence[float] = PAUSES) -> None:
        self._outbox = Outbox(receiver, faults)
        self._clock = clock
        self._pauses = pauses
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._connection: HTTPConnection | None = None
        self._to = ("", "")
        self._used_at = 0.0

    def follow(self, order: Order) -> None:
        """Tell of every change of an order when it happens."""
        with self._changed:
            self._outbox.follow(order)
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._changed.notify()

    def sent(self, order_id: str) -> list[Webhook]:
        """The calls that tell of an order's changes up to now."""
        with self._changed:
            return list(self._outbox.sent.get(order_id, ()))

    def stop(self) -> None:
        """Send nothing more, and wait for the thread; a call that is under way is cut."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
            connection, thread = self._connection, self._thread
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        if thread is not None:
            thread.join(ANSWER_SECONDS)

    def _run(self) -> None:
        while (ready := self._wait()) is not None:
            for webhook in ready:
                if self._stopped:
                    break
                self._try(webhook)
        self._disconnect()

    def _wait(self) -> list[Webhook] | None:
        """The next calls, None = there will be none."""
        with self._changed:
            while not self._stopped:
                if ready := self._outbox.take(self._clock()):
                    return ready
                due = self._outbox.due_at()
                self._changed.wait(None if due is None else min(max(due - self._clock(), 0.0), LOOK_SECONDS))
        return None

    def _try(self, webhook: Webhook) -> None:
        at, came = moment(self._clock()), self._post(webhook)
        with self._changed:
            webhook.tries.append({"at": at, "error" if isinstance(came, str) else "status": came})
            if isinstance(came, int) and HTTPStatus.OK <= came < HTTPStatus.MULTIPLE_CHOICES:
                webhook.state = "sent"
            elif len(webhook.tries) > len(self._pauses):
                webhook.state = "given up"
            else:
                self._outbox.put_back(webhook, self._clock() + self._pauses[len(webhook.tries) - 1])

    def _post(self, webhook: Webhook) -> int | str:
        """Make one call: the status that it got, or as text why it got none."""
        parts = urlsplit(webhook.receiver.url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        try:
            connection = self._connect(parts.scheme, parts.netloc)
            connection.request("POST", target, webhook.body, {"Content-Type": "application/json", **webhook.receiver.headers})
            with connection.getresponse() as answer:
                answer.read()
                self._used_at = time.monotonic()
                return answer.status
        except (OSError, HTTPException) as error:
            self._disconnect()
            return f"{type(error).__name__}: {error}"

    def _connect(self, scheme: str, netloc: str) -> HTTPConnection:
        if self._connection and (self._to != (scheme, netloc) or time.monotonic() - self._used_at > IDLE_SECONDS):
            self._disconnect()
        if self._connection is None:
            kind = HTTPSConnection if scheme == "https" else HTTPConnection
            self._connection, self._to = kind(netloc, timeout=ANSWER_SECONDS), (scheme, netloc)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
