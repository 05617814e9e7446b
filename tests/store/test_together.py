"""Group commit: who shares a transaction, and whose fault is whose."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from tests.amqp import eventually
from tests.store.making import claimed, new_order
from worker.store import together
from worker.store.errors import CommitInDoubt, StoreDown
from worker.store.ledger import Ledger
from worker.store.recording import Step, writing_down
from worker.store.statements import Work
from worker.store.together import Together

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.store.engine import Store


#: The time of reading differs.
NOT_READ_YET = {"read_at": None}


class Database:
    """Carries out works that are known by a name; the first transaction stays under way until it is let go."""

    def __init__(self) -> None:
        self.transactions: list[list[str]] = []
        self.faults: dict[str, BaseException] = {}
        self.go = threading.Event()
        self.begun = threading.Event()
        self.together = Together("it", self.transaction, one_for_all=False)

    def transaction(self, works: Sequence[Work[Any]]) -> list[str]:
        """As of a store."""
        names = [str(work.given["name"]) for work in works]
        self.transactions.append(names)
        if len(self.transactions) == 1:
            self.begun.set()
            assert self.go.wait(30)
        for name in names:
            if name in self.faults:
                raise self.faults[name]
        return [f"{name} is done" for name in names]

    def run(self, name: str) -> str:
        """Have a work carried out."""
        return str(self.together.run(Work({"name": name}, lambda _dialect: [], lambda _row: "")))

    def waiting(self) -> int:
        """How many wait for the next transaction."""
        return len(self.together._waiting)


@pytest.fixture
def database() -> Database:
    """Nothing is under way."""
    return Database()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """As many as are wanted."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


def under_way(database: Database, threads: ThreadPoolExecutor, *names: str) -> list[Future[str]]:
    """The first is under way, the others wait behind it."""
    results = [threads.submit(database.run, names[0])]
    assert database.begun.wait(30)
    for number, name in enumerate(names[1:], 1):
        results.append(threads.submit(database.run, name))
        eventually(lambda number=number: number == database.waiting(), "it waits")  # type: ignore[misc]
    return results


def test_who_comes_alone_waits_for_nobody(database: Database) -> None:
    """It is carried out at once, in its own thread."""
    database.go.set()
    assert ("a is done", "b is done") == (database.run("a"), database.run("b"))
    assert [["a"], ["b"]] == database.transactions


def test_who_comes_meanwhile_shares_the_next_transaction(database: Database, threads: ThreadPoolExecutor) -> None:
    """In the order in which they came, and each is told what became of its own."""
    results = under_way(database, threads, "a", "b", "c", "d")
    database.go.set()
    assert ["a is done", "b is done", "c is done", "d is done"] == [result.result(30) for result in results]
    assert [["a"], ["b", "c", "d"]] == database.transactions


def test_a_fault_is_told_to_its_own_thread_alone(database: Database, threads: ThreadPoolExecutor) -> None:
    """Nothing of the shared transaction stays, so each is carried out once more, by itself."""
    results = under_way(database, threads, "a", "b", "wrong", "d")
    database.faults["wrong"] = ValueError("wrong")
    database.go.set()
    assert ["a is done", "b is done", "d is done"] == [results[position].result(30) for position in (0, 1, 3)]
    with pytest.raises(ValueError, match="wrong"):
        results[2].result(30)
    assert [["a"], ["b", "wrong", "d"]] == database.transactions[:2]
    assert [["b"], ["d"], ["wrong"]] == sorted(database.transactions[2:])


def test_a_refusal_of_one_is_no_refusal_of_others(database: Database, threads: ThreadPoolExecutor) -> None:
    """Somebody may have locked its row."""
    results = under_way(database, threads, "a", "b", "locked")
    database.faults["locked"] = StoreDown("lock timeout")
    database.go.set()
    assert ["a is done", "b is done"] == [result.result(30) for result in results[:2]]
    with pytest.raises(StoreDown, match="lock timeout"):
        results[2].result(30)


@pytest.mark.parametrize(("error", "one_for_all"), [(StoreDown("away"), True), (CommitInDoubt("away, or not"), False)])
def test_a_database_that_is_away_is_told_to_all(
    database: Database, threads: ThreadPoolExecutor, error: StoreDown, *, one_for_all: bool
) -> None:
    """And is not asked again for each of them: it would be away, and what is in doubt may have been committed."""
    database.together = Together("it", database.transaction, one_for_all=one_for_all)
    _, *results = under_way(database, threads, "a", "b", "c")
    database.faults["b"] = error
    database.go.set()
    caught = [result.exception(30) for result in results]
    assert [(type(error), str(error))] * 2 == [(type(each), str(each)) for each in caught]
    assert [["a"], ["b", "c"]] == database.transactions


def test_who_waits_too_long_is_told_and_not_carried_out(
    database: Database, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hangs is the database, and the next one finds it well."""
    first, late = under_way_with_patience(database, threads, monkeypatch, 0.05)
    with pytest.raises(StoreDown, match="it is overloaded or hangs"):
        late.result(30)
    database.go.set()
    assert ("a is done", "c is done") == (first.result(30), database.run("c"))
    assert [["a"], ["c"]] == database.transactions


def under_way_with_patience(
    database: Database, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> tuple[Future[str], Future[str]]:
    """One is under way, and another waits for it for so long."""
    monkeypatch.setattr(together, "PATIENCE_SECONDS", seconds)
    first = threads.submit(database.run, "a")
    assert database.begun.wait(30)
    return first, threads.submit(database.run, "b")


def test_a_thread_that_is_interrupted_leaves_nobody_waiting(database: Database, threads: ThreadPoolExecutor) -> None:
    """Those whose work it carried out are in doubt, and the next one leads."""
    _, *results = under_way(database, threads, "a", "b", "c")
    database.faults["b"] = KeyboardInterrupt()
    database.go.set()
    caught = [type(result.exception(30)) for result in results]
    assert [KeyboardInterrupt, CommitInDoubt] == caught
    assert "d is done" == database.run("d")


def test_works_of_one_transaction_stand_together(store: Store) -> None:
    """On either kind of database; what is there already is told as for one alone."""
    ledger, orders = Ledger(store), [new_order() for _ in range(3)]
    works = [writing_down(order, owner="me", lease_seconds=60.0) for order in (*orders, orders[0])]
    *written, again = store._carry_out(works)
    found = [ledger.find(order.key) for order in orders]
    assert [asdict(order) | NOT_READ_YET for order in written] == [asdict(order) | NOT_READ_YET for order in found if order]
    assert again is None


def test_works_of_one_transaction_fall_together(store: Store) -> None:
    """A fault of one takes back all, and the next ones are not disturbed."""
    ledger, good, bad = Ledger(store), new_order(), new_order(fingerprint=None)
    works = [writing_down(order, owner="me", lease_seconds=60.0) for order in (good, bad, new_order())]
    with pytest.raises(Exception, match="fingerprint"):
        store._carry_out(works)
    assert ledger.find(good.key) is None
    assert ledger.claim(good, owner="me", lease_seconds=60.0).claimed


def test_a_value_that_the_driver_refuses_takes_back_all(store: Store) -> None:
    """PostgreSQL's refuses it before the statement is sent, when those of the others have been."""
    ledger, good, bad = Ledger(store), new_order(), new_order(fingerprint="\ud800")
    works = [writing_down(order, owner="me", lease_seconds=60.0) for order in (good, bad, new_order())]
    with pytest.raises(UnicodeEncodeError):
        store._carry_out(works)
    assert ledger.find(good.key) is None
    assert ledger.claim(good, owner="me", lease_seconds=60.0).claimed


def test_a_connection_is_well_after_a_transaction_that_failed(store: Store) -> None:
    """Also where a statement behind the fault was to be prepared on the server right then, and the server passed over it."""
    ledger = Ledger(store)
    held = claimed(ledger)
    for _ in range(4):
        claimed(ledger)  # the sixth use of a statement prepares it
    step = Step(held, held, {"po_number": None}, (), {}, (), only_after_lease=False)
    with pytest.raises(Exception, match="po_number"):
        store._carry_out([step.taking(), writing_down(new_order(), owner="me", lease_seconds=60.0)])
    assert claimed(ledger)
