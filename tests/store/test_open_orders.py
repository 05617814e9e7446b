"""Which orders are open, as far as anybody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from tests.orders import Rows, aged
from worker.runtime.watch_events import of_order
from worker.store.ledger import Ledger
from worker.store.open_orders import OpenOrder, OpenOrders
from worker.store.schema import orders as table
from worker.store.schema import watches as watches_table
from worker.store.watched import NewWatch, Part, watch_key
from worker.store.watches import Watches

if TYPE_CHECKING:
    from worker.store.engine import Store

URL = "https://sips.example"
DAY = 86_400.0


@pytest.fixture
def rows(store: Store) -> Rows:
    """Makes orders."""
    return Rows(Ledger(store), URL)


@pytest.fixture
def watches(store: Store) -> Watches:
    """Of the same store."""
    return Watches(store)


@pytest.fixture
def open_orders(store: Store) -> OpenOrders:
    """Of the same store."""
    return OpenOrders(store, URL, ["Invoiced", " cancelled"])


def key(order_id: str) -> str:
    """Of a watch."""
    return watch_key(URL, order_id)


def seen(watches: Watches, new: NewWatch, status: str) -> None:
    """A watch of this status, for which nobody waits."""
    watches.observe(watches.open(new), Part.STATUS, lambda _known: status, lambda _known: [])


def test_a_confirmed_order_is_open_until_its_watch_tells_the_end(rows: Rows, watches: Watches, open_orders: OpenOrders) -> None:
    """Without a watch, without a status, and with one that is no end; letter case and blanks make no difference."""
    bare = rows.confirmed("c-1", "1")
    for number, status in enumerate(("Confirmed", "INVOICED", "Cancelled ", "Odd"), 2):
        seen(watches, of_order(rows.confirmed(f"c-{number}", str(number))), status)
    watches.open(of_order(rows.confirmed("c-6", "6")))
    rows.queued("c-7")
    rows.in_doubt("c-8")

    expected = [(key("1"), bare.key), (key("2"), None), (key("5"), None), (key("6"), None)]
    assert expected == open_orders.page("DEMO001", 0.0, limit=9)
    assert ["DEMO001"] == open_orders.customers(0.0)


def test_an_order_that_was_never_watched_is_left_out_where_that_is_not_wanted(
    rows: Rows, watches: Watches, open_orders: OpenOrders
) -> None:
    """Whoever turned the watches off does not want to hear of it."""
    rows.confirmed("c-1", "1", customer_code="ACME")
    seen(watches, NewWatch(URL, "2", "DEMO001"), "Open")

    assert ["ACME", "DEMO001"] == open_orders.customers(0.0)
    assert ["DEMO001"] == open_orders.customers(0.0, submitted=False)
    assert [] == open_orders.page("ACME", 0.0, limit=9, submitted=False)


def test_what_began_earlier_is_left_out(rows: Rows, store: Store, watches: Watches, open_orders: OpenOrders) -> None:
    """An order begins with its submit, however late it is watched."""
    old, late = rows.confirmed("c-1", "1"), rows.confirmed("c-2", "2")
    for order in (old, late):
        aged(store, order, 10 * DAY)
    late = rows.again(late)
    watches.open(of_order(late))
    watches.open(NewWatch(URL, "3", "DEMO001"))

    assert [key("3")] == [order.key for order in open_orders.page("DEMO001", store.now() - 9 * DAY, limit=9)]
    assert [key("1"), key("2"), key("3")] == [order.key for order in open_orders.page("DEMO001", store.now() - 11 * DAY, limit=9)]
    assert (found := watches.find(key("2")))
    assert late.created_at == found.created_at


def test_pages_go_on_where_the_last_one_ended(rows: Rows, watches: Watches, open_orders: OpenOrders) -> None:
    """Watched or not, in one sequence, each customer by itself."""
    for number in range(1, 6):
        order = rows.confirmed(f"c-{number}", str(number))
        if number % 2:
            watches.open(of_order(order))
    rows.confirmed("c-9", "9", customer_code="ACME")

    pages: list[list[OpenOrder]] = [open_orders.page("DEMO001", 0.0, limit=2)]
    while pages[-1]:
        pages.append(open_orders.page("DEMO001", 0.0, after=pages[-1][-1].key, limit=2))

    assert [["1", "2"], ["3", "4"], ["5"], []] == [[order.key.split('"')[3] for order in page] for page in pages]


def test_orders_of_another_sips_and_rows_of_a_newer_release_are_left_alone(
    rows: Rows, store: Store, watches: Watches, open_orders: OpenOrders
) -> None:
    """What wrote them knows what they mean."""
    Rows(rows.ledger, "https://other.example").confirmed("c-1", "1")
    watches.open(NewWatch("https://other.example", "2", "DEMO001"))
    ahead = rows.confirmed("c-3", "3")
    with store.write() as connection:
        connection.execute(update(table).where(table.c.key == ahead.key).values(row_version=99))

    assert [] == open_orders.customers(0.0)


def test_an_order_id_that_its_key_spells_otherwise_is_watched_once(rows: Rows, watches: Watches, open_orders: OpenOrders) -> None:
    """It is taken for one that was never watched; opening it again changes nothing."""
    order = rows.confirmed("c-1", 'a"\\b')
    watches.open(of_order(order))
    seen(watches, of_order(order), "Open")

    watched, again = sorted(open_orders.page("DEMO001", 0.0, limit=9), key=lambda one: one.submitted or "")
    assert (watch_key(URL, 'a"\\b'), order.key) == (watched.key, again.submitted)
    assert "Open" == watches.open(of_order(order)).status


def test_a_watch_without_a_customer_has_one_of_its_own(watches: Watches, open_orders: OpenOrders, store: Store) -> None:
    """Until SIPS tells whose order it is."""
    watches.open(NewWatch(URL, "1"))

    assert [""] == open_orders.customers(0.0)
    with store.write() as connection:
        connection.execute(update(watches_table).values(customer_code="ACME"))
    assert ["ACME"] == open_orders.customers(0.0)
