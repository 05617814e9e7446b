"""What the sandbox remembers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.amqp import eventually
from tests.sandbox.calling import order
from worker.sandbox.state import State


def test_order_ids_are_numbers_and_count_up() -> None:
    """As the documented one; each is given once, whichever threads ask."""
    state = State()
    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(lambda _: state.add_order(order(), queued=False, dropped=False, listed_after=0), range(200)))
    assert list(map(str, range(40_000_000, 40_000_200))) == sorted(made.order_id for made in placed)
    assert 200 == len(state.orders())


def test_an_order_is_listed_at_once() -> None:
    """It has no place in the queue."""
    state = State()
    placed = state.add_order(order(), queued=False, dropped=False, listed_after=3_600)
    assert (True, None, placed) == (
        placed.is_listed(state.now()),
        placed.queue_id,
        state.find_order(placed.order_id, state.now()),
    )


def test_a_queued_order_is_listed_later() -> None:
    """It is kept all the while."""
    state = State()
    late = state.add_order(order(), queued=True, dropped=False, listed_after=3_600)
    soon = state.add_order(order(), queued=True, dropped=False, listed_after=0.05)
    assert [late, soon] == state.orders()
    assert (False, None, True) == (late.is_listed(state.now()), state.find_order(late.order_id, state.now()), bool(late.queue_id))
    assert soon is eventually(lambda: state.find_order(soon.order_id, state.now()), "the queue's entry became an order")


def test_a_dropped_order_is_never_listed() -> None:
    """Whatever else is said of it."""
    state = State()
    for queued in (False, True):
        dropped = state.add_order(order(), queued=queued, dropped=True, listed_after=0)
        assert (False, None, True) == (
            dropped.is_listed(state.now()),
            state.find_order(dropped.order_id, state.now()),
            bool(dropped.queue_id),
        )
    assert 2 == len(state.orders())


def test_a_token_is_valid_for_its_time() -> None:
    """And nothing else is a token."""
    state = State()
    short, long = state.issue_token(0), state.issue_token(3_600)
    assert (False, True, False, False) == tuple(map(state.accepts, (short, long, "", "sandbox.other")))
    assert short != long


def test_requests_are_counted_under_their_status() -> None:
    """As pending until they are answered, or are known not to be."""
    state = State()
    for status in ("200", "200", "429", "none"):
        state.count("productsV2Price")
        state.settle("productsV2Price", status)
    state.count("ordersV2Submit")
    state.issue_token(1)
    assert {
        "requests": {"productsV2Price": {"200": 2, "429": 1, "none": 1}, "ordersV2Submit": {"pending": 1}},
        "mostAtOnce": 1,
        "tokensIssued": 1,
    } == state.stats()
