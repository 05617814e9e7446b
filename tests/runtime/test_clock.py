"""The database's clock, where this host's is another."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from structlog.testing import capture_logs

from tests.amqp import eventually
from tests.orders import payload
from tests.runtime.standins import Client, Recorder, deliver
from worker.runtime.clock import LONGEST_LOOK, StoreClock
from worker.runtime.housekeeping import Housekeeping
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runtime.standins import Make
    from worker.messaging.publisher import Publisher
    from worker.store.engine import Store

TAKEN = {"message": "Order Submitted", "orderID": "35818786", "queueID": None}


class Elsewhere:
    """A store on a host whose clock is another; `step` is what happens while it is asked."""

    def __init__(self, ahead: float, step: Callable[[], None] = lambda: None) -> None:
        self._ahead = ahead
        self._step = step

    def now(self) -> float:
        """As `Store.now`."""
        self._step()
        return time.time() + self._ahead


def looked(ahead: float, step: Callable[[], None] = lambda: None) -> StoreClock:
    """A clock that was compared with such a store's."""
    clock = StoreClock()
    clock.look(cast("Store", Elsewhere(ahead, step)))
    return clock


def expiring(seconds: float) -> dict[str, Any]:
    """The headers of a binary command that is late in so many seconds of this host's."""
    when = datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()
    return {"ce-specversion": "1.0", "ce-id": "c1", "ce-source": "shop", "ce-expirytime": when}


def test_the_databases_clock_is_a_clock(store: Store) -> None:
    """Of this host here, on each kind of database."""
    before = time.time()

    assert before - 1 <= store.now() <= time.time() + 1
    assert not looked(0.0).is_far_off


@pytest.mark.parametrize("ahead", [-100.0, 100.0])
def test_after_a_look_it_goes_by_the_databases(ahead: float) -> None:
    """However far the two are from each other."""
    clock = looked(ahead)

    assert ahead == pytest.approx(clock.now() - time.time(), abs=1)
    assert clock.is_far_off


def test_a_look_that_took_long_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows when the database looked at its clock; nor where this host's was set back meanwhile."""
    at = 1_000.0

    def pass_by(seconds: float) -> Callable[[], None]:
        def step() -> None:
            nonlocal at
            at += seconds

        return step

    monkeypatch.setattr("worker.runtime.clock.time.time", lambda: at)

    assert [0.0, 0.0] == [looked(100, pass_by(seconds)).behind for seconds in (LONGEST_LOOK, -1.0)]
    assert 100 == pytest.approx(looked(100, pass_by(LONGEST_LOOK / 2)).behind, abs=LONGEST_LOOK)


@pytest.mark.parametrize(("behind", "end"), [(0.0, "failed"), (-100.0, "succeeded")])
def test_a_host_whose_clock_is_ahead_fails_no_read(make: Make, behind: float, end: str) -> None:
    """By the database's clock it is in time."""
    recorder = Recorder()
    pipeline = make(recorder, Client({"deliveryList": []}))
    pipeline._orders.clock.behind = behind
    headers = expiring(-50) | {"ce-type": "sips.delivery.get"}

    pipeline.execute(deliver("sips.delivery.get", {"orderId": "1"}, "sips.queries", headers=headers))

    assert [f"sips.delivery.get.{end}"] == [outcome["type"] for outcome in recorder.outcomes]


@pytest.mark.parametrize(
    ("behind", "seconds", "end"), [(-100.0, 50, "succeeded"), (100.0, 50, "failed"), (-100.0, -50, "failed")]
)
def test_an_order_is_late_by_the_databases_clock_alone(make: Make, behind: float, seconds: float, end: str) -> None:
    """Where the last look is wrong by now, it is judged once more, as it is written down, and not sent."""
    recorder, client = Recorder(), Client(TAKEN)
    pipeline = make(recorder, client)
    pipeline._orders.clock.behind = behind
    headers = expiring(seconds) | {"ce-type": "sips.order.submit"}

    pipeline.execute(deliver("sips.order.submit", payload("PO-1"), "sips.orders", headers=headers))

    assert f"sips.order.submit.{end}" == recorder.outcomes[0]["type"]
    assert (end == "succeeded") == (client.calls == 1)


def test_a_clock_that_is_far_off_is_told_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do; commands are carried out all the same."""
    monkeypatch.setattr("worker.runtime.housekeeping.CLOCK_SECONDS", 0.0)
    looks: list[float] = []

    def theirs() -> float:
        looks.append(time.time() + 42)
        return looks[-1]

    monkeypatch.setattr(store, "now", theirs)
    told: list[bool] = []
    housekeeping = Housekeeping(
        store=store, publisher=cast("Publisher", _Nobody()), on_store=told.append, settings=Settings(_env_file=None)
    )
    with capture_logs() as lines:
        housekeeping.start()
        eventually(lambda: len(looks) > 1 and told, "it has looked twice")
        housekeeping.stop(30)

    (line,) = [line for line in lines if "clock" in line["event"]]
    assert ("warning", True) == (line["log_level"], told[0])
    assert 42 == pytest.approx(line["seconds_behind"], abs=1)
    assert "NTP" in line["check"]


class _Nobody:
    """Takes nothing."""

    is_up = False
