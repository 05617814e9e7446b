"""Health of real workers, asked from outside while they are stopped, killed, blocked and left alone by RabbitMQ and SIPS."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import SOURCE, settings_of
from tests.acceptance.test_commands import DELIVERY
from tests.acceptance.test_process import children, in_flight, is_alive
from tests.amqp import channel, eventually, publish
from worker.local.processes import free_ports, is_free
from worker.local.stack import Worker
from worker.messaging.topology import COMMANDS, QUERIES, RETRY
from worker.ops.health_reports import MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.client import CommandClient
    from worker.local.rabbitmq import RabbitMQNode
    from worker.local.stack import Sandbox

LIVE, READY = "/livez", "/readyz"

OK = 200, {"status": "ok"}

#: The command that only `blocking.py` knows; imported here, this process would know it too.
BLOCK = "sips.test.block"

#: For tests that wait until something is too long. Nothing else of theirs must be live meanwhile.
IMPATIENT = {"HEALTH_SECONDS": "2"}


class Probe:
    """Asks one worker."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.settings = {"HEALTH_PORT": str(self.port)}

    def ask(self, path: str) -> tuple[int, Any]:
        """Status and content; (0, None) where nobody answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except OSError:
            return 0, None
        finally:
            connection.close()

    def until(self, path: str, status: int) -> Any:
        """The content of the first answer with this status."""
        return eventually(lambda: self._content(path, status), f"{path} answers {status}")

    def _content(self, path: str, status: int) -> Any:
        seen, content = self.ask(path)
        return content if seen == status else None

    def command(self, *options: str) -> tuple[int, str]:
        """Exit status and output of `sips-worker health`."""
        done = subprocess.run(
            [sys.executable, "-m", "worker", "health", *options],
            env=os.environ | self.settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def probe() -> Probe:
    """On a free port."""
    return Probe()


def test_a_worker_is_live_and_ready_until_it_is_stopped(amqp_url: str, make_worker: Callable[..., Worker], probe: Probe) -> None:
    """`sips-worker health` says the same, for a container's health check."""
    worker = make_worker(amqp_url, "--processes", "2", **probe.settings)
    probe.until(READY, 200)

    assert OK == probe.ask(LIVE)
    assert (0, "live\n") == probe.command()
    assert (0, "ready\n") == probe.command("--ready")
    assert 0 == worker.stop()
    status, output = probe.command()
    assert (2, 1) == (status, output.count("\n"))
    assert f"no worker answers on 127.0.0.1 port {probe.port}" in output


def test_rabbitmq_away_is_no_reason_to_restart(
    node: RabbitMQNode, private_url: str, make_worker: Callable[..., Worker], probe: Probe
) -> None:
    """It is not ready meanwhile, and by itself again afterwards."""
    worker = make_worker(private_url, **probe.settings)
    probe.until(READY, 200)

    node.stop()
    try:
        reasons = probe.until(READY, 503)["reasons"]
        assert [True] == [reason.endswith(": no connection to RabbitMQ") for reason in reasons]
        assert OK == probe.ask(LIVE)
        assert (1, True) == (probe.command("--ready")[0], probe.command("--ready")[1].startswith("not ready: process "))
    finally:
        node.start()

    probe.until(READY, 200)
    assert OK == probe.ask(LIVE)
    assert 0 == worker.stop()


def test_sips_down_is_no_reason_to_restart(
    amqp_url: str, sandbox: Sandbox, client: CommandClient, make_worker: Callable[..., Worker], probe: Probe
) -> None:
    """However many commands find it so."""
    worker = make_worker(amqp_url, **probe.settings)
    probe.until(READY, 200)
    sandbox.set_faults(down={"seconds": 60})

    command = client.publish(DELIVERY, {"orderId": "35818786"})

    eventually(lambda: [line for line in worker.lines() if line.get("id") == command], "an attempt has failed")
    assert OK == probe.ask(LIVE)
    sandbox.set_faults()
    assert 0 == worker.stop()


def test_a_worker_whose_threads_are_all_blocked_is_not_live(
    amqp_url: str, sandbox: Sandbox, sqlite_url: str, tmp_path: Path, probe: Probe
) -> None:
    """As no command would ever be taken again; one thread that is left is enough to live on."""
    times = {"SIPS_CALL_SECONDS": "0.5", "HANDLER_SECONDS": "1", "GRACE_SECONDS": "1.5", "LEASE_SECONDS": "9", "THREADS": "2"}
    settings = (
        settings_of(amqp_url, sandbox, sqlite_url)
        | times
        | IMPATIENT
        | probe.settings
        | {"PYTHONPATH": str(Path(__file__).parents[2])}
    )
    with BlockingWorker("blocking", tmp_path, settings) as worker:
        try:
            probe.until(READY, 200)
            for number in range(2):
                publish(amqp_url, RETRY, QUERIES, b"{}", message_id=f"block-{number}", app_id=SOURCE, type=BLOCK)

            problems = probe.until(LIVE, 503)["problems"]

            assert any(": all 2 threads: blocked for " in problem for problem in problems), problems
            status, output = probe.command()
            assert (1, True) == (status, output.startswith("not live: process ")), output
        finally:
            worker.stop()
            with channel(amqp_url) as opened:
                opened.queue_unbind(QUERIES, COMMANDS, BLOCK)
                opened.queue_purge(QUERIES)


class BlockingWorker(Worker):
    """A worker that knows the command which blocks."""

    module = "tests.acceptance.blocking"


def test_a_process_that_hangs_is_told_from_the_others(amqp_url: str, make_worker: Callable[..., Worker], probe: Probe) -> None:
    """One of two; when it goes on, all is well again."""
    worker = make_worker(amqp_url, "--processes", "2", **IMPATIENT, **probe.settings)
    probe.until(READY, 200)
    hung = children(worker.process.pid)[0]

    os.kill(hung, signal.SIGSTOP)
    try:
        silent = f"process {hung}: no report for "
        eventually(lambda: [True for text in problems(probe, LIVE) if text.startswith(silent)], "it is not live")
        assert [True for text in problems(probe, READY) if text.startswith(silent)]
    finally:
        os.kill(hung, signal.SIGCONT)

    probe.until(LIVE, 200)
    probe.until(READY, 200)
    assert 0 == worker.stop()


def folder_of(pid: int) -> Path:
    """Where a process reports."""
    places = (MEMORY, tempfile.gettempdir())
    (report,) = [file for place in places for file in Path(place).glob(f"sips-worker-*/{pid}.json")]
    return report.parent


def problems(probe: Probe, path: str) -> list[str]:
    """What is wrong."""
    content = probe.ask(path)[1] or {}
    found: list[str] = content.get("problems") or content.get("reasons") or []
    return found


def test_a_killed_process_still_ends_the_worker(amqp_url: str, make_worker: Callable[..., Worker], probe: Probe) -> None:
    """With an exit status that restarts a container; nothing of it is left, neither a process nor the folder."""
    worker = make_worker(amqp_url, "--processes", "2", **probe.settings)
    probe.until(READY, 200)
    processes = children(worker.process.pid)
    folder = folder_of(processes[0])

    os.kill(processes[0], signal.SIGKILL)

    assert 0 != worker.wait(30)
    assert (0, None) == probe.ask(LIVE)
    assert [] == [pid for pid in processes if is_alive(pid)]
    assert not folder.exists()


def test_nothing_is_left_of_a_killed_manager(amqp_url: str, make_worker: Callable[..., Worker], probe: Probe) -> None:
    """The process that answers ends with it, the port is free for the next worker, and the reports are gone."""
    worker = make_worker(amqp_url, **probe.settings)
    probe.until(READY, 200)
    processes = children(worker.process.pid)
    assert 2 == len(processes)
    folder = folder_of(processes[0])

    worker.signal(signal.SIGKILL)

    eventually(lambda: not any(is_alive(pid) for pid in processes), "all of it has ended")
    assert (True, False) == (is_free(probe.port), folder.exists())


def test_a_worker_that_drains_is_live_and_not_ready(
    amqp_url: str, sandbox: Sandbox, client: CommandClient, make_worker: Callable[..., Worker], probe: Probe
) -> None:
    """Until its last command has ended, also where a service manager signals all of its processes at once."""
    sandbox.set_faults(slow={"rate": 1, "seconds": 3, "operations": ["deliveryDetails"]})
    before = in_flight(sandbox, "deliveryDetails")
    worker = make_worker(
        amqp_url, **probe.settings, SIPS_CALL_SECONDS="10", HANDLER_SECONDS="12", GRACE_SECONDS="15", LEASE_SECONDS="20"
    )
    probe.until(READY, 200)
    client.publish(DELIVERY, {"orderId": "35818786"})
    eventually(lambda: in_flight(sandbox, "deliveryDetails") > before, "a command is under way")

    os.killpg(worker.process.pid, signal.SIGTERM)

    assert {"status": "not ready", "reasons": ["stopping"]} == probe.until(READY, 503)
    assert OK == probe.ask(LIVE)
    assert 0 == worker.wait(20)
    assert [True] == [line["outcome"] == "succeeded" for line in worker.lines() if line["event"] == "attempt"]


def test_a_taken_port_is_one_clear_line_before_anything_starts(amqp_url: str, make_worker: Callable[..., Worker]) -> None:
    """Two workers on one machine need two ports."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker = make_worker(amqp_url, HEALTH_PORT=str(port))

        assert 2 == worker.wait(20)
    (line,) = worker.log.read_text(encoding="utf-8").splitlines()
    assert f"HEALTH_PORT: cannot listen on 127.0.0.1 port {port}" in line


def test_without_a_port_there_is_no_process_that_answers(amqp_url: str, make_worker: Callable[..., Worker]) -> None:
    """The default outside the image: any number of workers on one machine."""
    worker = make_worker(amqp_url)
    eventually(lambda: [line for line in worker.lines() if line["event"] == "consuming"], "it consumes")

    assert 1 == len(children(worker.process.pid))
    assert 0 == worker.stop()
