"""Group commit: jobs that wait for the one connection that writes share a transaction, and so its commit.

A commit syncs the disk and writes whole pages of each index, which costs more than what stands in them. While it is made others
come, and the next one is made for all of them. Nobody waits for company: who comes alone is carried out alone, in its own thread.
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

    __slots__ = ("_turn", "error", "is_done", "result", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.is_done = False
        self.result: T | None = None
        self.error: Exception | None = None
        self._turn = threading.Lock()  # the cheapest one-shot event there is: created locked, released when it is its turn
        self._turn.acquire()

    def wake(self) -> None:
        """It is done, or its thread is to lead."""
        self._turn.release()

    def wait(self, timeout: float = -1.0) -> bool:
        """Whether it was woken within so many seconds."""
        return self._turn.acquire(timeout=timeout)

    def end(self) -> T:
        """What it came to."""
        if self.error is not None:
            raise self.error
        return cast("T", self.result)


class Together:
    """Carries jobs out; used by all threads of a process.

    Args:
        name: what messages call the database.
        transaction: carries jobs out one after the other in one transaction, and gives what they return; where it raises,
            nothing was committed, but for a `CommitInDoubt`.
    """

    def __init__(self, name: str, transaction: Callable[[Sequence[Work[Any]]], list[Any]]) -> None:
        self._name = name
        self._transaction = transaction
        self._lock = threading.Lock()
        self._waiting: list[Job[Any]] = []
        self._is_led = False

    def run(self, work: Work[T]) -> T:
        """What `work` returns, once it is committed. It may be called more than once, and in another thread.

        Raises:
            StoreError: as for `Store.write`.
        """
        mine = Job(work)
        with self._lock:
            self._waiting.append(mine)
            leads, self._is_led = not self._is_led, True
        if not leads:
            self._wait(mine)
        if not mine.is_done:
            self._lead()
        return mine.end()

    def _wait(self, mine: Job[Any]) -> None:
        """Until it is done, or has to lead."""
        if mine.wait(PATIENCE_SECONDS):
            return
        with self._lock:
            if mine.wait(0):
                return
            if mine in self._waiting:
                self._waiting.remove(mine)
                raise StoreDown(f"{self._name} is overloaded or hangs (others wrote for {PATIENCE_SECONDS:g} s)")
        mine.wait()  # it is being carried out, and nobody could say whether it will be committed

    def _lead(self) -> None:
        """Carry out all that wait by now, and have the first of those that came meanwhile lead the next."""
        with self._lock:
            jobs, self._waiting = self._waiting, []
        try:
            self._carry_out(jobs)
        finally:
            with self._lock:
                self._is_led = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].wake()
            for job in jobs:
                if not job.is_done:
                    _fail(job, CommitInDoubt(f"{self._name}: a transaction was interrupted, which may or may not have been made"))
                job.wake()

    def _carry_out(self, jobs: Sequence[Job[Any]]) -> None:
        try:
            results = self._transaction([job.work for job in jobs])
        except Exception as error:  # noqa: BLE001 - each thread is told what became of its job
            if len(jobs) > 1 and not isinstance(error, StoreDown):
                # The fault of one of them; nothing of it stays, and nobody else shall notice.
                for job in jobs:
                    self._carry_out([job])
                return
            for job in jobs:
                _fail(job, error if len(jobs) == 1 else _own(error))
        else:
            for job, result in zip(jobs, results, strict=True):
                job.result, job.is_done = result, True


def _fail(job: Job[Any], error: Exception) -> None:
    job.error, job.is_done = error, True


def _own(error: Exception) -> Exception:
    """The same for one more thread: each adds its own traceback."""
    copy = type(error)(*error.args)
    copy.__cause__ = error
    return copy
