"""Group commit: jobs that wait for the one connection that writes share a transaction, and so its commit.

A commit syncs the disk and writes whole pages of each index, which costs more than what stands in them. While it is made others
come, and the next one is made for all of them. Nobody waits for company: who comes alone is carried out alone, in its own thread.
Where a shared transaction fails, each goes alone, so that nobody ends by the fault of another.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from worker.store.errors import CommitInDoubt, StoreDown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.store.statements import Work

__all__ = ["Job", "Together"]

T = TypeVar("T")

#: Seconds that a job waits for those before it; then the database hangs.
PATIENCE_SECONDS = 5.0


class Job(Generic[T]):
    """Something to be done in a transaction, whose end its thread waits for."""

    __slots__ = ("_turn", "error", "is_done", "leads", "result", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.is_done = self.leads = False
        self.result: T | None = None
        self.error: Exception | None = None
        self._turn = threading.Lock()  # the cheapest one-shot event there is: created locked, released when it is its turn
        self._turn.acquire()

    def end(self, result: T | None = None, error: Exception | None = None) -> None:
        """It is done."""
        self.result, self.error, self.is_done = result, error, True

    def wake(self) -> None:
        """Its thread has what it waits for: the end, or the turn to lead, or to go alone."""
        self._turn.release()

    def wait(self, timeout: float = -1.0) -> bool:
        """Whether it was woken within so many seconds."""
        return self._turn.acquire(timeout=timeout)


class Together:
    """Carries works out; used by all threads of a process.

    Args:
        name: what messages call the database.
        transaction: carries works out in one transaction, and gives what they come to; where it raises, nothing was committed,
            but for a `CommitInDoubt`.
        one_for_all: whether a database that refuses one transaction refuses all of them now. Otherwise it may have been for the
            sake of one order, whose row somebody has locked.
    """

    def __init__(self, name: str, transaction: Callable[[Sequence[Work[Any]]], list[Any]], *, one_for_all: bool) -> None:
        self._name = name
        self._transaction = transaction
        self._told_to_all = StoreDown if one_for_all else CommitInDoubt
        self._lock = threading.Lock()
        self._waiting: list[Job[Any]] = []
        self._is_led = False

    def run(self, work: Work[T]) -> T:
        """What `work` comes to, once it is committed.

        Raises:
            StoreError: as for `Store.write`.
        """
        mine = Job(work)
        with self._lock:
            self._waiting.append(mine)
            leads, self._is_led = not self._is_led, True
        if leads or self._has_to_lead(mine):
            self._lead()
        if not mine.is_done:  # the fault of one of those that it shared a transaction with, and nothing stayed of any
            (alone,) = self._transaction([work])
            return cast("T", alone)
        if mine.error is not None:
            raise mine.error
        return cast("T", mine.result)

    def _has_to_lead(self, mine: Job[Any]) -> bool:
        """Wait until it was carried out; true if that falls to its own thread, as it is the first of those that wait."""
        woken = mine.wait(PATIENCE_SECONDS)
        if not woken:
            with self._lock:
                woken = mine.wait(0)
                if not woken and mine in self._waiting:
                    self._waiting.remove(mine)
                    raise StoreDown(f"{self._name} is overloaded or hangs (others wrote for {PATIENCE_SECONDS:g} s)")
        if not woken:
            mine.wait()  # it is being carried out, and nobody could say whether it will be committed
        return mine.leads

    def _lead(self) -> None:
        """Carry out all that wait by now, and leave those that came meanwhile to the first of them."""
        with self._lock:
            jobs, self._waiting = self._waiting, []
        try:
            self._carry_out(jobs)
        except BaseException:
            for job in jobs:
                job.end(error=CommitInDoubt(f"{self._name}: a transaction was interrupted, which may or may not have been made"))
            raise
        finally:
            with self._lock:
                self._is_led = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].leads = True
                    self._waiting[0].wake()
            for job in jobs:
                job.wake()

    def _carry_out(self, jobs: Sequence[Job[Any]]) -> None:
        try:
            results = self._transaction([job.work for job in jobs])
        except Exception as error:  # noqa: BLE001 - each thread is told what became of its own
            if len(jobs) == 1 or isinstance(error, self._told_to_all):
                for job in jobs:
                    job.end(error=_own(error) if len(jobs) > 1 else error)
        else:
            for job, result in zip(jobs, results, strict=True):
                job.end(result)


def _own(error: Exception) -> Exception:
    """The same for one more thread: each adds its own traceback."""
    copy = type(error)(*error.args)
    copy.__cause__ = error
    return copy
