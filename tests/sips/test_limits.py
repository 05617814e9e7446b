"""Limits of our own on calls, counted at the server."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.amqp import eventually
from tests.sips import making
from tests.sips.servers import TOKEN_PATH, Peer, Server, answer, token_answer
from worker.sips import Deadline, Executed, Limits, SipsClient, SipsError, limits
from worker.sips.errors import CallLimit
from worker.sips.limits import slow_start_ceiling

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 8


class Counter:
    """A server that holds every call until it is let go, and counts those it holds."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._let_go = 0
        self.held = 0
        self.most = 0
        self.seen = 0

    def script(self, peer: Peer) -> None:
        """Of one connection."""
        while (request := peer.receive()) is not None:
            if request.target == TOKEN_PATH:
                peer.send(token_answer())
                continue
            with self._changed:
                self.seen += 1
                self.held += 1
                self.most = max(self.most, self.held)
                self._changed.wait_for(lambda: self._let_go > 0, 30)
                self._let_go -= 1
                self.held -= 1
            peer.send(answer([]))

    def let_go(self, calls: int = 1) -> None:
        """Answer so many of them, also of those that are still to come."""
        with self._changed:
            self._let_go += calls
            self._changed.notify_all()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The clock of the limits, standing still; call it to set it."""
    start = now = time.monotonic()

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

        @staticmethod
        def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds

    def put(seconds: float) -> None:
        nonlocal now
        now = start + seconds

    monkeypatch.setattr(limits, "time", Clock)
    return put


def test_no_more_calls_are_at_sips_than_are_allowed() -> None:
    """However many threads call; all of them get their turn."""
    counter = Counter()
    with Server(counter.script) as server, ThreadPoolExecutor(THREADS) as pool:
        client = SipsClient(making.settings(server.url), limits=Limits(concurrency=3, threads=THREADS))
        calls = [pool.submit(client.call, "ordersList", json={}, deadline=making.ample()) for _ in range(20)]

        eventually(lambda: counter.held == 3, "three calls are at the server")
        counter.let_go(20)

        assert [200] * 20 == [call.result(30).status for call in calls]
        assert (3, 20) == (counter.most, counter.seen)
        client.close()


def test_a_call_without_a_turn_in_time_is_not_made() -> None:
    """It says so, and is safe to repeat; half of its time is left for the call, so that a turn that comes is of use."""
    counter = Counter()
    with Server(counter.script) as server, ThreadPoolExecutor(1) as pool:
        client = SipsClient(making.settings(server.url), limits=Limits(concurrency=1, threads=THREADS))
        first = pool.submit(client.call, "ordersList", json={}, deadline=making.ample())
        eventually(lambda: counter.held == 1, "the first call is at the server")

        deadline = Deadline.after(0.2)
        with pytest.raises(CallLimit) as caught:
            client.call("ordersV2Submit", json={}, deadline=deadline)

        assert (Executed.NO, True, "ordersV2Submit") == (caught.value.executed, caught.value.retryable, caught.value.operation)
        counter.let_go(2)
        assert 200 == first.result(30).status
        assert 1 == counter.seen
        client.close()


def test_a_call_that_fails_gives_its_place_back() -> None:
    """Or the limit would shrink with every failure."""
    held = Limits(concurrency=1)

    for _ in range(3):
        with pytest.raises(SipsError), held.turn("ordersList", Deadline.after(30)):
            raise CallLimit("ordersList", "what happened")

    with held.turn("ordersList", Deadline.after(30)):
        assert not held.free


@given(
    per_second=st.floats(0.1, 1000),
    pauses=st.lists(st.floats(0, 5), min_size=1, max_size=30),
)
def test_calls_are_spaced_by_the_rate(per_second: float, pauses: list[float]) -> None:
    """Never more than one more than the rate in any stretch of time, whenever they come; none waits longer than it must."""
    now = 1_000.0
    with pytest.MonkeyPatch.context() as patch:
        slept: list[float] = []
        patch.setattr(limits, "time", type("Clock", (), {"monotonic": lambda: now, "sleep": slept.append}))
        held = Limits(per_second=per_second)
        starts = []
        for pause in pauses:
            now += pause
            with held.turn("ordersList", Deadline.after(100_000)):
                starts.append(now + slept[-1])

    interval = 1 / per_second
    for before, after in itertools.pairwise(starts):
        assert after - before >= interval * 0.999_999
    assert 0 == slept[0]


def test_a_rate_that_leaves_no_turn_in_time_is_said_at_once(clock: Callable[[float], None]) -> None:
    """And takes no turn from those that come later."""
    held = Limits(per_second=0.001)
    with held.turn("ordersList", making.ample()):
        pass

    with pytest.raises(CallLimit), held.turn("ordersList", making.ample()):
        raise AssertionError("the call was made")  # pragma: no cover

    clock(1000.0)
    with held.turn("ordersList", Deadline.after(2200)):
        pass


@pytest.mark.parametrize(("seconds", "calls"), [(0, 1), (0.99, 1), (1, 2), (2.5, 4), (5, 32), (1e9, 2**30)])
def test_the_slow_start_doubles_with_each_second(seconds: float, calls: int) -> None:
    """From one."""
    assert calls == slow_start_ceiling(seconds)


def test_after_an_outage_calls_begin_one_at_a_time(clock: Callable[[float], None]) -> None:
    """And are free again when as many as there are threads may run; nothing is held back before or after."""
    counter = Counter()
    with Server(counter.script) as server, ThreadPoolExecutor(THREADS) as pool:
        held = Limits(threads=THREADS)
        client = SipsClient(making.settings(server.url), limits=held)
        assert held.free

        held.start_slowly()
        calls = [pool.submit(client.call, "ordersList", json={}, deadline=making.ample()) for _ in range(THREADS)]
        eventually(lambda: counter.held == 1, "one call is at the server")
        counter.let_go()
        eventually(lambda: counter.seen == 2, "the next one follows it")
        assert 1 == counter.most
        clock(1.0)
        eventually(lambda: counter.held == 2, "two calls are at the server", 60)
        clock(3.0)
        counter.let_go(THREADS)

        assert [200] * THREADS == [call.result(30).status for call in calls]
        client.close()
        assert held.free


def test_the_slow_start_ends_in_the_limit_that_is_set(clock: Callable[[float], None]) -> None:
    """SIPS_MAX_CONCURRENCY stays in force."""
    held = Limits(concurrency=1, threads=2)
    held.start_slowly()
    clock(10.0)

    with held.turn("ordersList", making.ample()):
        assert not held.free
        with pytest.raises(CallLimit), held.turn("ordersList", Deadline.after(0.05)):
            raise AssertionError("the call was made")  # pragma: no cover
