"""`sips-worker run`: what options say, what is refused before anything starts, and with which rights it works."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tests.amqp import EventTap, channel, eventually
from tests.cli.conftest import CLIENT_SECRET, NOBODY
from tests.cli.orders.conftest import set_faults
from worker.cli import cli
from worker.client import CommandClient
from worker.local.stack import Worker
from worker.main import make_topology
from worker.messaging.topology import DEAD, ORDERS, QUERIES, SUSPECTS, UNDELIVERED, delay_exchange

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine, VirtualHost
    from worker.local.rabbitmq import RabbitMQNode
    from worker.sandbox import Sandbox


@pytest.fixture
def folder(migrated_file: Path, tmp_path: Path) -> Path:
    """Where a worker finds a migrated store under its default name."""
    shutil.copy(migrated_file, tmp_path / "sips-worker.db")
    return tmp_path


def test_options_win_over_the_environment(node: RabbitMQNode, private_url: str, folder: Path) -> None:
    """Three processes of five threads each, on the one queue asked for and on what is set aside."""
    settings = {"AMQP_URL": private_url, "PROCESSES": "1", "THREADS": "32", "LOG_FORMAT": "json"}

    with Worker("worker", folder, settings, "--queues", " orders ,", "--processes", "3", "--threads", "5") as worker:
        eventually(lambda: consuming(worker) >= 9, "each process consumes all three")
        rows = node.rabbitmqctl("list_consumers", "queue_name", "prefetch_count", "--no-table-headers").split()

    prefetch = "7"  # a quarter more than threads
    assert sorted([ORDERS, prefetch, UNDELIVERED, prefetch, SUSPECTS, "1"] * 3) == sorted(rows)


def consuming(worker: Worker, *queues: str) -> int:
    """Consumers that have started, of these queues or of any."""
    return sum(line["event"] == "consuming" and (not queues or line["queue"] in queues) for line in worker.lines())


@pytest.mark.parametrize("names", ["shop", "orders,shop", "sips.shop", "sips.undelivered", "sips.sips.orders"])
def test_an_unknown_queue_is_named_beside_those_there_are(names: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exit status 2; nothing has started."""
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(cli, ["run", "--queues", names])

    unknown = names.removeprefix("orders,")
    assert 2 == result.exit_code
    assert result.stderr.endswith(
        f"Invalid value for --queues: no such queue: {unknown}; there are control, orders, queries, watches, webhooks, bulk\n"
    )


@pytest.mark.parametrize(
    ("options", "settings", "line"),
    [
        (["--threads", "0"], {"THREADS": "8"}, "THREADS: Input should be greater than or equal to 1"),
        (["--processes", "65"], {}, "PROCESSES: Input should be less than or equal to 64"),
        (
            [],
            {"SIPS_PATHS__orderList": "/list"},
            "SIPS_PATHS__orderlist: SIPS has no such operation; the operations are activeBranchProducts, ",
        ),
        (
            [],
            {"REQUESTS_CA_BUNDLE": "/nowhere.pem", "SIPS_BASE_URL": "https://sips.invalid"},
            "the CA bundle /nowhere.pem cannot",
        ),
        ([], {"SIPS_CLIENT_SECRET": "", "SIPS_CLIENT_SECRET_FILE": "/dev/null"}, "SIPS_CLIENT_SECRET_FILE=/dev/null is empty"),
        ([], {"SIPS_CLIENT_SECRET_FILE": "/dev/null"}, "set SIPS_CLIENT_SECRET or SIPS_CLIENT_SECRET_FILE, not both"),
    ],
)
def test_what_would_stop_every_process_is_one_line_before_any_starts(
    sips_worker: CommandLine, options: list[str], settings: dict[str, Any], line: str
) -> None:
    """No log line, no process that ends at once and is started again for ever."""
    status, out, err = sips_worker.run("run", *options, AMQP_URL=NOBODY, **settings)

    assert (2, "", 1) == (status, out, len(err.splitlines()))
    assert err.startswith(f"sips-worker: {line}")


def test_a_missing_secret_of_the_next_pair_is_a_warning(sips_worker: CommandLine) -> None:
    """A worker that runs goes on without it as well; here it is the store that stops it."""
    qa = {"SIPS_ENVIRONMENT": "qa", "SIPS_CLIENT_ID": "us", "SIPS_SOURCE_SYSTEM": "US", "SIPS_TIME_ZONE": "America/Chicago"}
    status, _, err = sips_worker.run("run", AMQP_URL=NOBODY, SIPS_NEXT_CLIENT_SECRET_FILE="/nowhere", **qa)

    warning, last = err.splitlines()
    assert (
        "sips-worker: SIPS_NEXT_CLIENT_SECRET_FILE=/nowhere cannot be read (FileNotFoundError); check the path and its "
        in warning
    )
    assert (2, True) == (status, warning.endswith("; the current pair is used alone"))
    assert last.startswith("sips-worker: DATABASE_URL is an SQLite file")


def settings_for(url: str, sandbox: Sandbox) -> dict[str, str]:
    """The settings of a worker on a virtual host."""
    return {
        "AMQP_URL": url,
        "SIPS_BASE_URL": sandbox.url,
        "SIPS_CLIENT_ID": "us",
        "SIPS_CLIENT_SECRET": CLIENT_SECRET,
        "RETRY_BASE_SECONDS": "0.5",
        "LOG_FORMAT": "json",
    }


def what_is_lacking(worker: Worker) -> list[str]:
    """What the worker says of the topology."""
    return errors(worker, "the topology is not in place; trying again")


def errors(worker: Worker, event: str) -> list[str]:
    """The errors on the lines of an event."""
    return [line["error"] for line in worker.lines() if line["event"] == event]


def test_a_queue_with_other_arguments_is_one_line_until_it_is_gone(declared: VirtualHost, sandbox: Sandbox, folder: Path) -> None:
    """Whatever the number of queues that wait for it; which argument, both values, and what to do."""
    with channel(declared.url) as opened:
        opened.queue_delete(DEAD)
        opened.queue_declare(DEAD, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 20})
    with Worker("worker", folder, settings_for(declared.url, sandbox)) as worker:
        eventually(lambda: what_is_lacking(worker), "it says what is wrong")
        with channel(declared.url) as opened:
            opened.queue_delete(DEAD)
        eventually(lambda: consuming(worker), "it goes on by itself")

        (said,) = what_is_lacking(worker)
    assert said.startswith(f"queue {DEAD}: PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue '{DEAD}' ")
    assert said.endswith("; it exists with other arguments: drain and delete it, then declare again")


def test_a_deleted_ladder_step_that_may_not_be_put_back_is_stepped_over(
    declared: VirtualHost, sandbox: Sandbox, folder: Path
) -> None:
    """The retry takes the next one, and a line says what is missing and what to do."""
    step = delay_exchange(1)
    with (
        Worker("worker", folder, settings_for(declared.limited_url, sandbox)) as worker,
        EventTap(declared.url) as tap,
        CommandClient(declared.url, source="tests") as client,
    ):
        eventually(lambda: consuming(worker, QUERIES), "it takes reads")
        with channel(declared.url) as opened:
            opened.exchange_delete(step)
        set_faults(sandbox, error_before={"rate": 1, "count": 1, "operations": ["deliveryDetails"]})
        command = client.publish("sips.delivery.get", {"orderId": "35818786"})

        outcome = tap.outcome(command)
        (said,) = what_is_lacking(worker)
    assert ("sips.delivery.get.succeeded", 2) == (outcome["type"], outcome["data"]["command"]["attempts"])
    advice = "give the user the right to configure it, or declare it once with `sips-worker topology declare`"
    assert said.endswith(f"; {advice}; missing: exchange {step}")


def test_without_the_right_to_configure_a_worker_waits_for_the_topology(
    empty: VirtualHost, sandbox: Sandbox, folder: Path
) -> None:
    """Says so, and works as soon as somebody else has declared it."""
    with Worker("worker", folder, settings_for(empty.limited_url, sandbox)) as worker:
        (said,) = eventually(lambda: what_is_lacking(worker), "it says what it lacks")
        assert "ACCESS_REFUSED" in said
        assert f"queue {ORDERS}" in said

        with channel(empty.url) as opened:
            make_topology().declare(opened)

        with EventTap(empty.url) as tap, CommandClient(empty.url, source="tests") as client:
            command = client.publish("sips.delivery.get", {"orderId": "35818786"})
            assert "sips.delivery.get.succeeded" == tap.outcome(command)["type"]
        refused = eventually(lambda: errors(worker, "orders are not taken"), "it says what it needs for orders")[0]
        assert r"give the user the right to configure it (^sips\.store$)" in refused
        assert 0 == worker.stop()
