"""Processes for the demo and the tests: started, told to end, and never left to nobody."""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.local.waiting import is_alive, wait_until
from worker.local.stack import Sandbox, Service, ServiceError, Worker, _signals_held_back
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Ctrl-C raises, also where a shell started pytest in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_start_in_a_folder_is_not_taken_for_the_first(tmp_path: Path) -> None:
    """The log of the first still stands there, as with `demo --keep`."""
    with Sandbox(tmp_path) as first:
        assert [] == first.orders()
    with Sandbox(tmp_path) as second:
        assert [] == second.orders()
        assert 1 == len(second.lines())

    assert 2 == len(second.log.read_text(encoding="utf-8").splitlines())


def test_a_start_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while it comes up."""
    sandbox = Sandbox(tmp_path)
    threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt), sandbox:
        signal.pause()

    assert not is_alive(sandbox.process.pid)


def test_signals_wait_while_a_process_is_started() -> None:
    """The first that raises counts; the handlers are in place again."""
    passed = []

    def interrupted_twice() -> None:
        with _signals_held_back():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            passed.append("to the end")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()

    assert ["to the end"] == passed
    assert signal.default_int_handler is signal.getsignal(signal.SIGINT)


def test_in_a_thread_a_process_is_started_as_well(tmp_path: Path) -> None:
    """There signals have no handlers to hold back."""
    with Sandbox(tmp_path) as sandbox:
        other = Sandbox(tmp_path, "other")
        thread = threading.Thread(target=other.start)
        thread.start()
        thread.join()
        assert sandbox.url != other.url
        assert 0 == other.stop()


def test_one_is_told_to_end_before_it_is_waited_for(tmp_path: Path) -> None:
    """So that the ends of several do not add up."""
    with Sandbox(tmp_path) as sandbox:
        sandbox.tell_to_end()
        wait_until(lambda: sandbox.process.poll() == 0, "it ends before somebody waits")

        assert 0 == sandbox.stop()


def test_a_stop_without_a_start_does_nothing(tmp_path: Path) -> None:
    """It may have been interrupted before."""
    service = Service("service", [], tmp_path, {})
    service.tell_to_end()

    assert 0 == service.stop()
    with pytest.raises(ServiceError, match="service has not been started"):
        _ = service.process


def test_one_that_does_not_end_is_killed_and_its_log_is_shown(tmp_path: Path) -> None:
    """The file may be gone when somebody wants to look."""
    with Sandbox(tmp_path) as sandbox:
        with pytest.raises(ServiceError) as caught:
            sandbox.wait(0.01)

        assert not is_alive(sandbox.process.pid)
    expected = rf"sandbox did not end within 0.01 s and was killed; the end of its log {sandbox.log}:\n\{{.*sandbox ready.*\}}\n"
    assert re.fullmatch(expected, str(caught.value))


def test_no_setting_of_the_callers_reaches_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private installation must not meet a real one."""
    names = {name.upper() for name in Settings.model_fields} | {"SIPS_PATHS__ordersList", "sips_client_id", "DATABASE_URL"}
    for name in names:
        monkeypatch.setenv(name, "real")
    monkeypatch.setenv("KEPT", "real")

    environment = Worker("worker", tmp_path, {"AMQP_URL": "private"})._environment

    assert {"AMQP_URL": "private", "KEPT": "real"} == {name: environment[name] for name in {*names, "KEPT"} & set(environment)}
