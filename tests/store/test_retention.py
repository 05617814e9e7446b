"""What the ledger forgets, on SQLite and on PostgreSQL: only what has ended, and only what was told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, insert, select, update

from tests.store.making import LEASE, claimed, new_order
from worker.store.hints import Hint, Hints
from worker.store.ledger import Ledger
from worker.store.orders import NewOrder, StoredEvent
from worker.store.retention import Retention
from worker.store.schema import events, hints, now, orders, timers, tokens, watches
from worker.store.timers import Timers
from worker.store.transitions import SETTLED, Event, State
from worker.store.watched import Kind, NewWatch, Subscription, customer_ref
from worker.store.watches import ORDERS, Watches

if TYPE_CHECKING:
    from worker.store.engine import Store
    from worker.store.orders import Order

DAY = 86_400.0


@pytest.fixture
def ledger(store: Store) -> Ledger:
    """The ledger of an empty store."""
    return Ledger(store)


@pytest.fixture
def retention(store: Store) -> Retention:
    """Of the same store."""
    return Retention(store)


def ended(ledger: Ledger, store: Store, days: float, *, published: bool = True) -> Order:
    """An order that was confirmed so many days ago."""
    order = claimed(ledger, payload='{"name": "Pat"}')
    said = StoredEvent(f"e-{order.command_id}", "sips.order.submit.succeeded", 1, "{}")
    assert ledger.move(order, Event.CONFIRM, say=lambda _row: [said], timers_from_now={"other": 5.0})
    if published:
        ledger.mark_published([said.id])
    age(store, order, days)
    return order


def age(store: Store, order: Order, days: float, **changes: Any) -> None:
    """Let an order's last change and its end lie so many days back."""
    earlier = {name: orders.c[name] - days * DAY for name in ("created_at", "updated_at", "ended_at")}
    with store.write() as connection:
        connection.execute(update(orders).where(orders.c.key == order.key).values(earlier | changes))


def found(ledger: Ledger, order: Order) -> Order:
    """The order as it is now."""
    now = ledger.find(order.key)
    assert now is not None
    return now


def test_the_payload_of_an_order_that_ended_a_while_ago_is_emptied(ledger: Ledger, store: Store, retention: Retention) -> None:
    """All else stays as it was, its events too."""
    old, young = ended(ledger, store, 31), ended(ledger, store, 29)
    before = found(ledger, old)

    assert 1 == retention.empty_payloads(ended_for=30 * DAY, limit=10)

    after = found(ledger, old)
    assert (None, before.fingerprint, before.updated_at, 1) == (
        after.payload,
        after.fingerprint,
        after.updated_at,
        len(ledger.events(old.key)),
    )
    assert '{"name": "Pat"}' == found(ledger, young).payload
    assert 0 == retention.empty_payloads(ended_for=30 * DAY, limit=10)


def test_an_order_that_ended_long_ago_goes_with_all_that_belongs_to_it(
    ledger: Ledger, store: Store, retention: Retention
) -> None:
    """And nothing of another one does."""
    old, young = ended(ledger, store, 401), ended(ledger, store, 399)

    assert 1 == retention.delete_orders(ended_for=400 * DAY, limit=10)

    assert (None, {}, []) == (ledger.find(old.key), Timers(store).of(old.key), ledger.events(old.key))
    assert (1, 1, ["other"]) == (count(store, orders), count(store, events), list(Timers(store).of(young.key)))


def count(store: Store, table: Any) -> int:
    """The rows of a table."""
    with store.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


@pytest.mark.parametrize("state", sorted(set(State) - SETTLED))
def test_what_has_not_ended_is_never_touched(ledger: Ledger, store: Store, retention: Retention, state: State) -> None:
    """However old it is, and even if somebody gave it an end."""
    order = ended(ledger, store, 1_000)
    age(store, order, 0, state=state)

    assert (0, 0) == (retention.empty_payloads(ended_for=DAY, limit=10), retention.delete_orders(ended_for=DAY, limit=10))

    assert '{"name": "Pat"}' == found(ledger, order).payload


@pytest.mark.parametrize("state", sorted(SETTLED))
def test_every_end_counts(ledger: Ledger, store: Store, retention: Retention, state: State) -> None:
    """Whatever it was."""
    age(store, ended(ledger, store, 2), 0, state=state)

    assert (1, 1) == (retention.empty_payloads(ended_for=DAY, limit=10), retention.delete_orders(ended_for=DAY, limit=10))


def test_what_was_not_told_yet_is_kept(ledger: Ledger, store: Store, retention: Retention) -> None:
    """Its outcome may be needed to be published again."""
    order = ended(ledger, store, 1_000, published=False)

    assert (0, 0) == (retention.empty_payloads(ended_for=DAY, limit=10), retention.delete_orders(ended_for=DAY, limit=10))

    ledger.mark_published([event.id for event in ledger.events(order.key)])
    assert (1, 1) == (retention.empty_payloads(ended_for=DAY, limit=10), retention.delete_orders(ended_for=DAY, limit=10))


def test_it_goes_in_batches(ledger: Ledger, store: Store, retention: Retention) -> None:
    """No transaction is long."""
    for _ in range(3):
        ended(ledger, store, 2)

    assert [2, 1, 0] == [retention.empty_payloads(ended_for=DAY, limit=2) for _ in range(3)]
    assert [2, 1, 0] == [retention.delete_orders(ended_for=DAY, limit=2) for _ in range(3)]
    assert 0 == count(store, timers)


def test_a_withdrawal_of_an_unseen_order_goes_too(ledger: Ledger, store: Store, retention: Retention) -> None:
    """It never had a payload, and nothing was said of it."""
    order = ledger.withdraw(new_order(payload="", fingerprint=""))
    age(store, order, 2)

    assert (0, 1) == (retention.empty_payloads(ended_for=DAY, limit=10), retention.delete_orders(ended_for=DAY, limit=10))


def test_an_order_that_runs_again_has_its_payload_back(ledger: Ledger, store: Store, retention: Retention) -> None:
    """One that gave up can be redriven after its payload was emptied; from then on it may be needed again."""
    order = claimed(ledger, payload='{"name": "Pat"}')
    assert ledger.move(order, Event.GIVE_UP)
    age(store, order, 31)
    assert 1 == retention.empty_payloads(ended_for=30 * DAY, limit=10)
    assert ledger.redrive(found(ledger, order), order.po_claim or "").claimed
    parts = {name: getattr(order, name) for name in NewOrder.__slots__}

    taken = ledger.claim(NewOrder(**parts), owner="me", lease_seconds=LEASE)

    assert (True, '{"name": "Pat"}') == (taken.claimed, taken.order.payload)


def tokens_kept(store: Store) -> list[str]:
    """Keys of the credentials that something is known of."""
    with store.read() as connection:
        return list(connection.execute(select(tokens.c.key).order_by(tokens.c.key)).scalars())


def used(store: Store, key: str, days: float, **recent: float) -> None:
    """Credentials whose token ended and whose last refresh failed so many days ago; some times from now differ (seconds)."""
    times = dict.fromkeys(
        ("used_since", "obtained_at", "refresh_at", "expires_at", "failed_at", "lease_until", "retry_at"), -days * DAY
    )
    with store.write() as connection:
        values = {name: now() + seconds for name, seconds in (times | recent).items()}
        connection.execute(insert(tokens).values(key=key, version=3, failures=1, owner="host/1/a", **values))


@pytest.mark.parametrize("kept_for", ["used_since", "expires_at", "failed_at", "lease_until", "retry_at"])
def test_credentials_that_nobody_used_for_long_are_forgotten(store: Store, retention: Retention, kept_for: str) -> None:
    """But for those whose token lives or ended lately, that failed lately or back off, or that somebody asks with."""
    used(store, "old", 211)
    used(store, "in use", 211, **{kept_for: 10.0})
    used(store, "young", 209)

    assert [1, 0] == [retention.delete_tokens(unused_for=210 * DAY) for _ in range(2)]

    assert ["in use", "young"] == tokens_kept(store)


def test_credentials_that_never_worked_are_forgotten_too(store: Store, retention: Retention) -> None:
    """And those that were never even tried: a process died before."""
    with store.write() as connection:
        for key, failed_at in (("refused", now() - 211 * DAY), ("untried", None)):
            values = {"used_since": now() - 211 * DAY, "failed_at": failed_at}
            connection.execute(insert(tokens).values(key=key, version=0, failures=0, **values))

    assert 2 == retention.delete_tokens(unused_for=210 * DAY)


def test_watches_that_ended_long_ago_go_with_their_facts(store: Store, retention: Retention) -> None:
    """Those that somebody waits for stay, and those of which something is not known to be published."""
    kept = Watches(store)
    long_ended, unpublished, watched = (kept.open(NewWatch("https://sips.example", order_id)) for order_id in "123")
    kept.subscribe(watched, [Subscription(Kind.DELIVERY, "shop", "c1", 4e9)], 0.0)
    with store.write() as connection:
        for watch in (long_ended, unpublished):
            published = now() if watch is long_ended else None
            values = {"id": watch.order_id, "key": watch.key, "type": "t", "run": 1, "body": "{}", "created_at": now()}
            connection.execute(insert(events).values(values | {"published_at": published}))
        connection.execute(update(watches).where(watches.c.ended_at.is_not(None)).values(ended_at=now() - 401 * DAY))

    assert 1 == retention.delete_watches(ended_for=400 * DAY, limit=10)

    assert [None, unpublished.key, watched.key] == [
        (found := kept.find(watch.key)) and found.key for watch in (long_ended, unpublished, watched)
    ]
    with store.read() as connection:
        assert [unpublished.key] == list(connection.execute(select(events.c.key)).scalars())


def test_a_customer_whose_code_is_an_old_orders_number_is_watched_on(store: Store, retention: Retention) -> None:
    """What the timers of both are about reads alike."""
    kept = Watches(store)
    old, watched = kept.open(NewWatch("https://sips.example", "4711")), kept.open(NewWatch("https://sips.example", "5", "4711"))
    kept.subscribe(watched, [Subscription(Kind.ORDER, "shop", "c1", 4e9)], 0.0)
    with store.write() as connection:
        connection.execute(update(watches).where(watches.c.key == old.key).values(ended_at=now() - 401 * DAY))

    assert 1 == retention.delete_watches(ended_for=400 * DAY, limit=10)

    assert [ORDERS] == [*Timers(store).of(customer_ref("https://sips.example", "4711"))]


def test_hints_that_were_looked_up_go_when_nobody_tells_them_again(store: Store, retention: Retention) -> None:
    """Those that wait for their order stay; their own timer gives them up."""
    kept = Hints(store)
    old, young, waiting = (Hint(name, "OU", "1", "", "", "") for name in ("old", "young", "waiting"))
    kept.handled(old)
    kept.handled(young)
    kept.keep(waiting, 1.0)
    with store.write() as connection:
        connection.execute(update(hints).where(hints.c.id != "young").values(received_at=now() - 31 * DAY))

    assert 1 == retention.delete_hints(received_for=30 * DAY, limit=10)

    assert [False, True, True] == [kept.find(hint.id) is not None for hint in (old, young, waiting)]
