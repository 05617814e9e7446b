"""The ledger on SQLite and on PostgreSQL: who may send, what is written down, and who comes too late."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, update
from sqlalchemy import text as sql

from tests.amqp import eventually
from tests.store.making import LEASE, claimed, new_order
from worker.store.controls import Controls
from worker.store.engine import Store
from worker.store.errors import RowAhead
from worker.store.ledger import PO_SECONDS, PUBLISH, Ledger
from worker.store.orders import ROW_VERSION, StoredEvent
from worker.store.schema import events, now, orders
from worker.store.timers import Timers, start_timers
from worker.store.transitions import Event, State, TransitionError

if TYPE_CHECKING:
    from worker.store.orders import Order


@pytest.fixture
def ledger(store: Store) -> Ledger:
    """The ledger of an empty store."""
    return Ledger(store)


def said(name: str, run: int = 1) -> StoredEvent:
    """An event of an order."""
    return StoredEvent(name, "sips.order.submit.succeeded", run, '{"id": "x"}')


def set_back(store: Store, order: Order, **columns: object) -> None:
    """Change a row as time would."""
    with store.write() as connection:
        connection.execute(update(orders).where(orders.c.key == order.key).values(**columns))


def test_a_claim_writes_the_whole_order_down(ledger: Ledger) -> None:
    """Before its first byte is sent; the lease runs by the database's clock."""
    new = new_order()

    order = ledger.claim(new, owner="me", lease_seconds=LEASE).order

    assert (State.SENDING, 1, 1, "me", False) == (order.state, order.run, order.attempts, order.owner, order.lease_is_over)
    assert all(getattr(order, name) == getattr(new, name) for name in new.__slots__)
    assert order.lease_until == pytest.approx(order.read_at + LEASE, abs=10)
    assert order.sent_at == pytest.approx(order.read_at, abs=10)
    found = ledger.find(new.key)
    assert found is not None
    assert (order.state, order.owner, order.sent_at) == (found.state, found.owner, found.sent_at)


def test_of_many_claims_at_once_one_is_granted(ledger: Ledger) -> None:
    """Two deliveries, two workers, one order (edge case 5)."""
    new, start = new_order(), threading.Barrier(8)

    def claim(number: int) -> bool:
        start.wait()
        return ledger.claim(new, owner=f"worker-{number}", lease_seconds=LEASE).claimed

    with ThreadPoolExecutor(8) as pool:
        granted = list(pool.map(claim, range(8)))

    assert 1 == sum(granted)


def test_a_claim_whose_commit_was_not_confirmed_can_be_made_again(ledger: Ledger) -> None:
    """By its own owner alone."""
    new = new_order()
    ledger.claim(new, owner="me", lease_seconds=LEASE)

    assert ledger.claim(new, owner="me", lease_seconds=LEASE).claimed
    assert not ledger.claim(new, owner="other", lease_seconds=LEASE).claimed


def test_what_was_not_executed_can_be_claimed_again_with_its_own_ids(ledger: Ledger) -> None:
    """Transaction id and date are stored before the call and never change."""
    new = new_order()
    order = ledger.claim(new, owner="me", lease_seconds=LEASE).order
    moved = ledger.move(order, Event.NOT_EXECUTED)
    assert moved is not None
    assert (State.UNSENT, None) == (moved.order.state, moved.order.owner)

    repeated = new_order(key=new.key, command_id=new.command_id, transaction_date="later")
    again = ledger.claim(repeated, owner="you", lease_seconds=LEASE)

    assert (True, 2, new.transaction_date) == (again.claimed, again.order.attempts, again.order.transaction_date)


def test_what_was_not_executed_is_not_claimed_with_another_payload(ledger: Ledger) -> None:
    """The row is shown instead, and its fingerprint tells."""
    new = new_order()
    ledger.move(ledger.claim(new, owner="me", lease_seconds=LEASE).order, Event.NOT_EXECUTED)

    changed = new_order(key=new.key, command_id=new.command_id, fingerprint="1:other")
    other = ledger.claim(changed, owner="you", lease_seconds=LEASE)

    assert (False, "1:abc") == (other.claimed, other.order.fingerprint)


@pytest.mark.parametrize("change", [{"command_id": "another"}, {"command_source": "another"}])
def test_what_was_not_executed_is_left_to_the_command_that_made_it(ledger: Ledger, change: dict[str, str]) -> None:
    """Its outcome is told under that command's id: another command with the same key would end without one."""
    new = new_order()
    ledger.move(ledger.claim(new, owner="me", lease_seconds=LEASE).order, Event.NOT_EXECUTED)

    own = {"key": new.key, "command_id": new.command_id}
    assert not ledger.claim(new_order(**own | change), owner="you", lease_seconds=LEASE).claimed
    assert ledger.claim(new_order(**own), owner="you", lease_seconds=LEASE).claimed


def test_a_po_number_belongs_to_one_open_order(ledger: Ledger, store: Store) -> None:
    """Until its order failed, or was confirmed long ago (edge case 23)."""
    first = claimed(ledger, po_claim="po")

    taken = ledger.claim(new_order(po_claim="po"), owner="you", lease_seconds=LEASE)
    assert (False, True, first.key) == (taken.claimed, taken.po_taken, taken.order.key)

    confirmed = ledger.move(first, Event.CONFIRM, order_id="1")
    assert confirmed is not None
    assert ledger.claim(new_order(po_claim="po"), owner="you", lease_seconds=LEASE).po_taken
    set_back(store, first, ended_at=now() - PO_SECONDS - 60)
    assert ledger.claim(new_order(po_claim="po"), owner="you", lease_seconds=LEASE).claimed


@pytest.mark.parametrize("event", [Event.REJECT, Event.GIVE_UP])
def test_an_order_that_failed_frees_its_po_number(ledger: Ledger, event: Event) -> None:
    """SIPS does not have it."""
    ledger.move(claimed(ledger, po_claim="po"), event)

    assert ledger.claim(new_order(po_claim="po"), owner="you", lease_seconds=LEASE).claimed


def test_a_step_is_stored_with_what_is_said_and_what_happens_next(ledger: Ledger, store: Store) -> None:
    """In one transaction: an outcome without its timer could be lost."""
    order = claimed(ledger)

    moved = ledger.move(
        order, Event.QUEUE, say=lambda row: [said(f"event-of-{row.command_id}")], timers_from_now={"queued": 30}, queue_id="q1"
    )

    assert moved is not None
    assert (State.QUEUED, "q1", None, None) == (
        moved.order.state,
        moved.order.queue_id,
        moved.order.owner,
        moved.order.ended_at,
    )
    assert (
        [f"event-of-{order.command_id}"] == [event.id for event in ledger.events(order.key)] == [event.id for event in moved.said]
    )
    assert {"queued", PUBLISH} == Timers(store).of(order.key).keys()


def test_a_step_ends_timers_in_the_same_transaction(ledger: Ledger, store: Store) -> None:
    """But for those that it starts anew; who comes late ends none."""
    order = claimed(ledger)
    in_doubt = ledger.move(order, Event.DOUBT, timers_from_now={"look": 30, "other": 30, "third": 30})
    assert in_doubt is not None

    assert ledger.move(order, Event.CONFIRM, timers_to_stop=["look"]) is None
    assert {"look", "other", "third"} == Timers(store).of(order.key).keys()

    ledger.move(in_doubt.order, Event.CONFIRM, timers_to_stop=["look", "other", "none"], timers_from_now={"other": 90})
    assert {"other", "third"} == Timers(store).of(order.key).keys()
    assert 60 < Timers(store).of(order.key)["other"]


def test_a_step_gives_the_order_as_it_stands_then(ledger: Ledger) -> None:
    """With the database's times, and with what others have noted since it was read."""
    order = claimed(ledger)
    in_doubt = ledger.move(order, Event.DOUBT, last_error="lost")
    assert in_doubt is not None
    assert ledger.note(in_doubt.order, looks=3)

    moved = ledger.move(in_doubt.order, Event.CONFIRM, order_id="1")

    found = ledger.find(order.key)
    assert moved is not None
    assert found is not None
    assert (3, "1", "lost") == (moved.order.looks, moved.order.order_id, moved.order.last_error)
    assert moved.order == replace(found, read_at=moved.order.read_at)


def test_whoever_comes_late_changes_nothing(ledger: Ledger) -> None:
    """The row stands elsewhere by now, and nothing is said of it."""
    order = claimed(ledger)
    ledger.move(order, Event.DOUBT)

    assert ledger.move(order, Event.CONFIRM, say=lambda _row: [said("late")], order_id="1") is None
    now_ = ledger.find(order.key)
    assert now_ is not None
    assert (State.IN_DOUBT, None, []) == (now_.state, now_.order_id, ledger.events(order.key))


def test_an_impossible_step_is_refused_before_anything_is_written(ledger: Ledger) -> None:
    """By the table, not by the database."""
    order = claimed(ledger)

    with pytest.raises(TransitionError):
        ledger.move(order, Event.RESUBMIT)


def test_only_a_lease_that_is_over_gives_a_sender_up(ledger: Ledger, store: Store) -> None:
    """By the database's clock, as workers' clocks differ (edge case 26)."""
    order = claimed(ledger)

    assert ledger.move(order, Event.DOUBT, only_after_lease=True) is None
    set_back(store, order, lease_until=now() - 1)
    moved = ledger.move(order, Event.DOUBT, only_after_lease=True, timers_from_now={"look": 1})

    assert moved is not None
    assert State.IN_DOUBT is moved.order.state


def test_events_stay_and_are_marked_once_rabbitmq_has_them(ledger: Ledger, store: Store) -> None:
    """The timer that publishes them ends with the last mark."""
    order = claimed(ledger)
    ledger.move(order, Event.CONFIRM, say=lambda _row: [said("one"), said("two")], order_id="1")

    ledger.mark_published(["one"])
    assert {PUBLISH} == Timers(store).of(order.key).keys()
    ledger.mark_published(["two"])

    assert ({}, [True, True]) == (Timers(store).of(order.key), [event.published for event in ledger.events(order.key)])


def test_a_mark_leaves_the_timer_to_what_is_said_at_the_same_moment(postgresql_url: str) -> None:
    """PostgreSQL lets both run beside each other: what nothing publishes would be lost."""
    with closing(Store(postgresql_url)) as store, ThreadPoolExecutor() as pool:
        ledger = Ledger(store)
        order = claimed(ledger)
        ledger.move(order, Event.CONFIRM, say=lambda _row: [said("one")], order_id="1")
        with store.write() as connection:
            later = {"id": "two", "key": order.key, "type": "sips.order.overdue", "run": 1, "body": "{}", "created_at": now()}
            connection.execute(insert(events).values(later))
            start_timers(connection, order.key, {PUBLISH: 60.0})
            marked = pool.submit(ledger.mark_published, ["one"])
            eventually(lambda: _waits_for_a_lock(store), "the mark waits")
        marked.result(timeout=30)

        assert {PUBLISH} == Timers(store).of(order.key).keys()


def _waits_for_a_lock(store: Store) -> bool:
    """Whether a transaction waits for another one."""
    with store.read() as connection:
        return bool(connection.execute(sql("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())


def test_what_was_said_is_never_changed(ledger: Ledger) -> None:
    """A repetition under the same id says the same."""
    order = claimed(ledger)
    ledger.say(order.key, [said("one")])

    ledger.say(order.key, [StoredEvent("one", "other", 1, "{}")])

    assert ["sips.order.submit.succeeded"] == [event.type for event in ledger.events(order.key)]


def test_an_order_can_be_withdrawn_before_it_was_seen(ledger: Ledger) -> None:
    """Whoever brings it later finds the row, and may not send it."""
    new = new_order(fingerprint="", payload="")

    assert State.WITHDRAWN is ledger.withdraw(new).state
    later = ledger.claim(new_order(key=new.key), owner="me", lease_seconds=LEASE)
    assert (False, State.WITHDRAWN) == (later.claimed, later.order.state)


def test_a_withdrawal_leaves_an_order_that_is_there_as_it_is(ledger: Ledger) -> None:
    """It came too late."""
    order = claimed(ledger)

    assert State.SENDING is ledger.withdraw(new_order(key=order.key)).state


def test_a_row_of_a_newer_release_is_left_alone(ledger: Ledger, store: Store) -> None:
    """Its rules are not known here; the line names the row and what to do."""
    order = claimed(ledger)
    set_back(store, order, row_version=ROW_VERSION + 1)

    with pytest.raises(RowAhead, match="written by a newer release"):
        ledger.find(order.key)
    with pytest.raises(RowAhead):
        ledger.claim(new_order(key=order.key), owner="me", lease_seconds=LEASE)


def test_a_row_in_a_state_that_nobody_knows_is_left_alone(ledger: Ledger, store: Store) -> None:
    """Whatever its version says."""
    order = claimed(ledger)
    set_back(store, order, state="teleported")

    with pytest.raises(RowAhead, match="written by a newer release"):
        ledger.find(order.key)


def test_an_order_is_found_by_every_name_it_has(ledger: Ledger) -> None:
    """Key, command, PO number, SIPS' ids, transaction; and by its state."""
    order = claimed(ledger)
    ledger.move(order, Event.CONFIRM, order_id=f"id-{order.command_id}")
    claimed(ledger)

    for text in (order.key, order.command_id, order.po_number, f"id-{order.command_id}", order.transaction_id):
        assert [order.key] == [found.key for found in ledger.search(text=text)]
    assert [order.key] == [found.key for found in ledger.search(states=[State.CONFIRMED])]
    assert 2 == len(ledger.search())
    assert {f"id-{order.command_id}": order.key} == ledger.owners("http://sips", [f"id-{order.command_id}", "other"])


def test_a_control_look_is_remembered_for_its_sips(store: Store, ledger: Ledger) -> None:
    """And an order that SIPS confirmed a while ago can make one."""
    controls = Controls(store)
    order = claimed(ledger)
    ledger.move(order, Event.CONFIRM, order_id="7")

    assert (None, False) == (controls.known_order("http://sips", older_than=60), controls.has("http://sips"))
    known = controls.known_order("http://sips", older_than=-60)
    assert known is not None
    assert (order.po_number, "7", "DEMO001") == (known.po_number, known.order_id, known.customer_code)
    controls.add("http://sips", order.po_number)
    assert (True, False) == (controls.has("http://sips"), controls.has("http://other"))
