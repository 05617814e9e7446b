"""Watches on SQLite and on PostgreSQL: the newest observation stands, and its facts are told once and in their sequence."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from worker.store.facts import PUBLISH_SOON, TELL
from worker.store.orders import StoredEvent
from worker.store.schema import events, now, timers
from worker.store.timers import Timers
from worker.store.watched import Kind, NewWatch, Part, Subscription, customer_ref
from worker.store.watches import DELIVERIES, ORDERS, Watches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.store.engine import Store
    from worker.store.watched import Observed, Watch

URL = "https://sips.example"
NEVER = 4e9


@pytest.fixture
def watches(store: Store) -> Watches:
    """The watches of an empty store."""
    return Watches(store)


def opened(watches: Watches, order_id: str = "40000001", customer: str = "C1") -> Watch:
    """The row of an order."""
    return watches.open(NewWatch(URL, order_id, customer, f"PO-{order_id}"))


def read(watches: Watches, watch: Watch) -> Watch:
    """The row as it is now."""
    found = watches.find(watch.key)
    assert found
    return found


def fact(before: Watch, status: str) -> Sequence[StoredEvent]:
    """One that tells of a status."""
    sequence = before.sequence + 1
    return [StoredEvent(f"{before.order_id}/{sequence}", "changed", sequence, f"{before.status} -> {status}")]


def observe(watches: Watches, watch: Watch, status: str) -> Observed:
    """What was read after `watch` was."""
    return watches.observe(watch, Part.STATUS, lambda _known: status, lambda before: fact(before, status))


def subscription(kind: Kind = Kind.ORDER, source: str = "shop") -> Subscription:
    """Of a source, for ever."""
    return Subscription(kind, source, "c1", NEVER)


def test_the_newest_observation_stands_whichever_is_written_last(watches: Watches) -> None:
    """One that was begun earlier comes too late, and tells nothing."""
    earlier = opened(watches)
    later = read(watches, earlier)
    while later.read_at <= earlier.read_at:  # by the database's clock
        later = read(watches, earlier)

    assert [1] == [event.run for event in observe(watches, later, "Confirmed").waiting]
    dropped = observe(watches, earlier, "Open")

    assert ((), False, "Confirmed") == (tuple(dropped.waiting), dropped.changed, dropped.watch.status)
    assert ("Confirmed", later.read_at, 1) == (
        (found := read(watches, later)).status,
        found.status_seen_at,
        found.sequence,
    )


def test_the_same_state_moves_only_its_time(watches: Watches) -> None:
    """There is nothing to tell."""
    watch = opened(watches)
    observe(watches, watch, "Open")
    again = read(watches, watch)

    observed = observe(watches, again, "Open")

    found = read(watches, watch)
    assert (False, again.read_at, 1) == (observed.changed, found.status_seen_at, found.sequence)


def test_what_was_written_down_meanwhile_is_no_change(watches: Watches) -> None:
    """Whoever waited for the row finds there what it has seen itself."""
    watch = opened(watches)
    observe(watches, watch, "Open")
    again = read(watches, watch)
    states = iter(["as it was when the call was made", "Open"])

    observed = watches.observe(again, Part.STATUS, lambda _known: next(states), lambda before: fact(before, "Open"))

    found = read(watches, watch)
    assert (False, (), again.read_at, 1) == (observed.changed, observed.waiting, found.status_seen_at, found.sequence)


def test_many_observers_of_one_change_tell_it_once(watches: Watches) -> None:
    """Each has seen it; one fact is stored, with one number."""
    watch = opened(watches)
    start = threading.Barrier(6)

    def look(_number: int) -> int:
        seen = read(watches, watch)
        start.wait()
        return sum(event.body == "None -> Open" for event in observe(watches, seen, "Open").waiting)

    with ThreadPoolExecutor(6) as pool:
        told = sum(pool.map(look, range(6)))

    assert (1, 1) == (told, read(watches, watch).sequence)


def test_what_others_are_about_to_publish_is_left_to_them_with_what_follows(watches: Watches, store: Store) -> None:
    """Else a later fact could be heard first; they go on with it."""
    watch = opened(watches)
    first = observe(watches, watch, "Open").waiting

    second = observe(watches, read(watches, watch), "Confirmed").waiting

    assert ([1], []) == ([event.run for event in first], [event.run for event in second])
    assert [2] == [event.run for event in watches.told(watch.key, [first[0].id])]
    assert {TELL} == Timers(store).of(watch.key).keys()
    assert [] == list(watches.told(watch.key, ["40000001/2"]))
    assert {} == Timers(store).of(watch.key)


def test_what_somebody_died_over_is_told_by_the_next(watches: Watches, store: Store) -> None:
    """In its sequence; without a next one its timer brings it."""
    watch = opened(watches)
    observe(watches, watch, "Open")
    with store.write() as connection:
        connection.execute(update(events).values(created_at=now() - PUBLISH_SOON - 1))
    assert PUBLISH_SOON >= Timers(store).of(watch.key)[TELL]

    waiting = observe(watches, read(watches, watch), "Confirmed").waiting

    assert [1, 2] == [event.run for event in waiting]
    assert [1, 2] == [event.run for event in watches.waiting(watch.key)]


def test_what_somebody_died_over_does_not_wait_for_the_last_of_many_changes(watches: Watches, store: Store) -> None:
    """Each within the time that the one before is left to whoever stored it."""
    watch = opened(watches)
    observe(watches, watch, "Open")
    with store.write() as connection:
        connection.execute(update(timers).values(due=timers.c.due - 9))

    observe(watches, read(watches, watch), "Confirmed")

    assert Timers(store).of(watch.key)[TELL] <= PUBLISH_SOON - 9


def test_a_watch_lasts_as_long_as_somebody_waits(watches: Watches, store: Store) -> None:
    """Each source ends its own part; what nobody waits for is not looked at."""
    watch = opened(watches)
    assert watch.ended_at is not None
    watches.subscribe(watch, [subscription(source="a"), subscription(Kind.DELIVERY, "b")], 60.0)
    watch = watches.subscribe(watch, [subscription(source="b")], 60.0)
    assert (None, 3) == (watch.ended_at, len(watch.subscriptions))

    assert 1 == watches.cancel(watch.key, "a", Kind)
    assert read(watches, watch).due is not None
    assert 1 == watches.end(watch.key, [subscription(Kind.ORDER, "b")])
    watch = read(watches, watch)
    assert (None, None, [DELIVERIES]) == (watch.due, watch.ended_at, [*Timers(store).of(watch.key)])
    assert 1 == watches.cancel(watch.key, "b", [Kind.DELIVERY])

    assert read(watches, watch).ended_at is not None
    assert [] == watches.search()


def test_a_source_that_asks_again_moves_what_it_asked_for(watches: Watches) -> None:
    """But what is asked for on its behalf does not."""
    watch = watches.subscribe(opened(watches), [subscription()], 60.0)

    kept = Subscription(Kind.ORDER, "shop", "c2", 1.0)
    watch = watches.subscribe(watch, [kept], 60.0, keep=True)
    assert [subscription()] == list(watch.subscriptions)
    moved = Subscription(Kind.ORDER, "shop", "c2", NEVER, 30.0, ("Gone",))
    watch = watches.subscribe(watch, [moved], 60.0)

    assert [moved] == list(watch.subscriptions)


def test_what_was_asked_for_anew_does_not_end_with_what_it_was(watches: Watches) -> None:
    """A look that found it at its deadline comes back from SIPS when it has got another one."""
    watch = watches.subscribe(opened(watches), [subscription()], 60.0)
    moved = Subscription(Kind.ORDER, "shop", "c2", NEVER)
    watches.subscribe(watch, [moved], 60.0)

    assert 0 == watches.end(watch.key, [subscription()])

    assert [moved] == list(read(watches, watch).subscriptions)


def test_nobody_puts_off_the_look_of_somebody_else(watches: Watches) -> None:
    """However seldom he wants to look himself."""
    watch = watches.subscribe(opened(watches), [subscription(source="a")], 60.0)

    watches.subscribe(watch, [Subscription(Kind.ORDER, "b", "c2", NEVER, 86_400.0)], 86_400.0)

    assert 50 < (watches.next_due(URL, "C1") or 0) <= 60


def test_the_orders_of_a_customer_are_due_together(watches: Watches, store: Store) -> None:
    """One timer for all of them, due with the first; others' are not among them."""
    watched = [
        watches.subscribe(opened(watches, f"4000000{number}"), [subscription()], seconds)
        for number, seconds in enumerate((600.0, -5.0, 20.0))
    ]
    watches.subscribe(opened(watches, "50000000", "C2"), [subscription()], -5.0)

    due = watches.of_customer(URL, "C1", within=60.0, limit=10)

    assert ["40000001", "40000002"] == [watch.order_id for watch in due]
    assert Timers(store).of(customer_ref(URL, "C1"))[ORDERS] < 0
    watches.looked(due, {watch.key: 900.0 for watch in due})
    assert 590 < (watches.next_due(URL, "C1") or 0) <= 600
    assert [watched[0].key] == [watch.key for watch in watches.of_customer(URL, "C1", within=700.0, limit=10)]


def test_an_order_whose_customer_is_learned_is_looked_at_with_that_customers(watches: Watches, store: Store) -> None:
    """Not when somebody asks for it the next time, but when it was due."""
    watches.subscribe(watches.open(NewWatch(URL, "40000001")), [Subscription(Kind.ORDER, "a", "c1", 4e9)], 60.0)

    watches.open(NewWatch(URL, "40000001", "C1"))

    assert 50 < Timers(store).of(customer_ref(URL, "C1"))[ORDERS] <= 60


def test_orders_that_are_as_they_were_are_marked_as_seen(watches: Watches) -> None:
    """Unless somebody saw something else meanwhile."""
    seen = {}
    for order_id in ("1", "2"):
        watch = watches.subscribe(opened(watches, order_id), [subscription()], -1.0)
        observe(watches, read(watches, watch), "Open")
        seen[order_id] = watch
    due = watches.of_customer(URL, "C1", within=0.0, limit=10)
    observe(watches, read(watches, seen["2"]), "Confirmed")
    before = read(watches, seen["2"])

    watches.looked(due, {})

    assert due[0].read_at == read(watches, seen["1"]).status_seen_at
    assert (before.status, before.status_seen_at) == ((after := read(watches, seen["2"])).status, after.status_seen_at)
