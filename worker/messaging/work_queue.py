"""What stands between dramatiq's consumer threads and its worker threads: deliveries that wait for a thread, or threads for one.

dramatiq's own is a `queue.PriorityQueue`: it compares items in Python to sort them, wakes the thread that has been idle for the
longest, whose memory is cold, and each idle thread looks once a second whether it is to end. Here a delivery is handed to the
thread that became idle last, and the others sleep until there is something for them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import dramatiq

if TYPE_CHECKING:
    from dramatiq.worker import Worker

__all__ = ["WorkQueue", "WorkQueueMiddleware"]

#: Seconds between two looks of a thread at a closed queue, until dramatiq has told it to end.
CLOSED_SECONDS = 0.01


class Item(Protocol):
    """What dramatiq puts; the lowest priority goes first."""

    @property
    def priority(self) -> int: ...


class _Idle:
    """A thread that waits, and what it is handed: an item, or nothing where it is to look again."""

    __slots__ = ("_handed", "item")

    def __init__(self) -> None:
        self.item: Any = None
        self._handed = threading.Lock()  # the cheapest one-shot event there is: created locked, released when handed over
        self._handed.acquire()

    def hand(self, item: Any) -> None:
        self.item = item
        self._handed.release()

    def wait(self) -> Any:
        self._handed.acquire()
        return self.item


class WorkQueue:
    """What dramatiq's worker uses of a `queue.PriorityQueue`; first come, first served among those of one priority."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, deque[Any]] = {}
        self._idle: list[_Idle] = []
        self._is_closed = False

    def put(self, item: Item) -> None:
        """Hand the item to an idle thread, or have it wait for one."""
        with self._lock:
            if not self._idle:
                if item.priority not in self._waiting:
                    self._waiting = dict(sorted([*self._waiting.items(), (item.priority, deque())]))
                self._waiting[item.priority].append(item)
                return
            thread = self._idle.pop()
        thread.hand(item)

    def get(self, timeout: float) -> Any:  # noqa: ARG002 - a thread that is to end is woken by `close`
        """The next item; waits for it until the queue is closed.

        Raises:
            queue.Empty: it is closed; a thread that was not told to end yet asks again.
        """
        mine = None
        with self._lock:
            if (item := self._next()) is not None:
                return item
            if not self._is_closed:
                mine = _Idle()
                self._idle.append(mine)
        if mine is None:
            time.sleep(CLOSED_SECONDS)
        elif (item := mine.wait()) is not None:
            return item
        raise queue.Empty

    def get_nowait(self) -> Any:
        """The next item.

        Raises:
            queue.Empty: there is none.
        """
        with self._lock:
            if (item := self._next()) is None:
                raise queue.Empty
            return item

    def task_done(self) -> None:
        """Nobody waits for all to be done: a process ends when its threads have."""

    def close(self) -> None:
        """Wake all idle threads; dramatiq is about to tell them to end."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for thread in idle:
            thread.hand(None)

    def _next(self) -> Any:
        for waiting in self._waiting.values():
            if waiting:
                return waiting.popleft()
        return None


class WorkQueueMiddleware(dramatiq.Middleware):
    """Gives a worker its queue before its threads are made, and closes it before they are told to end."""

    def before_worker_boot(self, _broker: dramatiq.Broker, worker: Worker) -> None:
        """Nothing was put into the other one yet."""
        worker.work_queue = WorkQueue()  # type: ignore[assignment]

    def before_worker_shutdown(self, _broker: dramatiq.Broker, worker: Worker) -> None:
        """However the stop was asked for."""
        queue_of_worker: Any = worker.work_queue
        queue_of_worker.close()
