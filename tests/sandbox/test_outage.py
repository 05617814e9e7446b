"""SIPS goes down and comes back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.amqp import eventually
from tests.sandbox.test_listener import echo, is_refused
from worker.sandbox.faults import Faults
from worker.sandbox.listener import Listener
from worker.sandbox.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def listener() -> Iterator[Listener]:
    """The port of SIPS."""
    made = Listener("127.0.0.1", 0, echo)
    made.open()
    yield made
    made.close()


@pytest.fixture
def faults() -> Faults:
    """No faults."""
    return Faults([], seed=1)


@pytest.fixture
def outage(listener: Listener, faults: Faults) -> Iterator[Outage]:
    """What goes down by the faults."""
    made = Outage(listener, faults)
    yield made
    made.stop()


def test_the_port_follows_the_fault(listener: Listener, faults: Faults, outage: Outage) -> None:
    """Down while it is in force, back when it is replaced by others."""
    for given, refused in (({"down": 1}, True), ({"down": {}, "waf": 1}, True), ({"waf": 1}, False), ({"down": 0}, False)):
        faults.replace(given)
        outage.follow()
        assert refused == is_refused(listener)


@pytest.mark.parametrize("seconds", [0, 0.2])
def test_the_port_comes_back_when_its_time_is_up(listener: Listener, faults: Faults, outage: Outage, seconds: float) -> None:
    """Then the fault is over, the others are not."""
    faults.replace({"down": {"seconds": seconds}, "waf": 1})
    outage.follow()
    eventually(lambda: not is_refused(listener), "SIPS is back")
    assert {"waf": 1} == faults.given


def test_a_return_that_was_overtaken_does_nothing(listener: Listener, faults: Faults, outage: Outage) -> None:
    """A timer that has run off cannot be cancelled; by then another outage may be in force."""
    faults.replace({"down": {"seconds": 3_600}})
    outage.follow()
    overtaken = outage._return
    assert overtaken
    faults.replace({"down": 1})
    outage.follow()
    late = threading.Thread(target=overtaken.function)
    late.start()
    late.join(30)
    overtaken.join(30)
    assert not overtaken.is_alive()
    assert is_refused(listener)
    assert {"down": 1} == faults.given


@pytest.mark.parametrize("given", [{"down": {"seconds": 3_600}}, {}])
def test_nothing_comes_back_after_the_stop(listener: Listener, faults: Faults, given: dict[str, object]) -> None:
    """Neither by itself nor because faults are replaced; no timer is left."""
    before = set(threading.enumerate())
    outage = Outage(listener, faults)
    faults.replace({"down": {"seconds": 3_600}})
    outage.follow()
    outage.stop()
    eventually(lambda: set(threading.enumerate()) <= before, "the timer has ended")
    faults.replace(given)
    outage.follow()
    assert is_refused(listener)
    assert set(threading.enumerate()) <= before
