"""Between dramatiq's consumer threads and its worker threads: who gets what, and how all of them end."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass

import dramatiq
import dramatiq.brokers.stub
import pytest

from tests.amqp import PATIENCE, eventually
from worker.messaging.work_queue import WorkQueue, WorkQueueMiddleware


@dataclass(frozen=True)
class Item:
    """As dramatiq's: a priority and something."""

    priority: int
    name: str = ""


class Thread(threading.Thread):
    """Asks once, as a worker thread does."""

    def __init__(self, work: WorkQueue) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.got: Item | None = None

    def run(self) -> None:
        """Until it has something, or is told to look again."""
        try:
            self.got = self.work.get(timeout=0.001)
        except queue.Empty:
            self.got = None

    def start_and_idle(self, others: int) -> None:
        """Start, and be idle beside so many others."""
        self.start()
        eventually(lambda: len(self.work._idle) == others + 1, "it is idle")


def test_the_lowest_priority_goes_first_and_what_came_first_among_equals() -> None:
    """As the queues of a worker are preferred."""
    work, items = WorkQueue(), [Item(2, "a"), Item(0, "b"), Item(2, "c"), Item(1, "d"), Item(0, "e")]
    for item in items:
        work.put(item)

    assert ["b", "e", "d", "a", "c"] == [work.get(timeout=0).name for _ in items]


def test_the_thread_that_became_idle_last_is_handed_the_next_item() -> None:
    """Its memory is warm; those that are never needed sleep on."""
    work = WorkQueue()
    first, last = Thread(work), Thread(work)
    first.start_and_idle(0)
    last.start_and_idle(1)

    work.put(Item(0, "next"))
    last.join(PATIENCE)

    assert Item(0, "next") == last.got
    assert first.is_alive()
    work.close()
    first.join(PATIENCE)


def test_a_closed_queue_wakes_all_and_keeps_what_waits() -> None:
    """What waits is given back by dramatiq."""
    work = WorkQueue()
    threads = [Thread(work) for _ in range(3)]
    for number, thread in enumerate(threads):
        thread.start_and_idle(number)

    work.close()
    for thread in threads:
        thread.join(PATIENCE)
    work.put(Item(0, "late"))

    assert [None] * 3 == [thread.got for thread in threads]
    assert Item(0, "late") == work.get_nowait()
    with pytest.raises(queue.Empty):
        work.get_nowait()
    with pytest.raises(queue.Empty):
        work.get(timeout=60)  # and does not wait for more


def test_each_item_is_handed_to_one_thread() -> None:
    """Whether it waits for the thread or the thread for it."""
    work, taken = WorkQueue(), queue.SimpleQueue[int]()
    number, threads = 2000, 8

    def take() -> None:
        while (item := work.get(timeout=60)).name != "end":
            taken.put(item.priority)

    takers = [threading.Thread(target=take, daemon=True) for _ in range(threads)]
    for taker in takers:
        taker.start()
    for priority in range(number):
        work.put(Item(priority))
    for _ in takers:
        work.put(Item(number, "end"))
    for taker in takers:
        taker.join(PATIENCE)

    assert list(range(number)) == sorted(taken.get_nowait() for _ in range(taken.qsize()))


def test_dramatiqs_threads_end_although_none_of_them_looks_up_by_itself() -> None:
    """They would wait for an hour for a message; the queue is closed before they are told to end."""
    broker = dramatiq.brokers.stub.StubBroker(middleware=[WorkQueueMiddleware()])
    worker = dramatiq.Worker(broker, worker_threads=3, worker_timeout=3_600_000)
    worker.start()
    eventually(lambda: len(worker.work_queue._idle) == 3, "all threads are idle")  # type: ignore[attr-defined]

    worker.stop(timeout=int(PATIENCE * 1000))

    assert [False] * 3 == [thread.is_alive() for thread in worker.workers]
