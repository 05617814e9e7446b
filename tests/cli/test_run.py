"""`sips-worker run`: what options say, what is refused before anything starts, and with which rights it works."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tests.amqp import EventTap, channel, eventually
from tests.cli.conftest import CLIENT_SECRET, NOBODY
from worker.cli import cli
from worker.client import CommandClient
from worker.local.stack import Worker
from worker.main import make_topology
from worker.messaging.topology import ORDERS, SUSPECTS, UNDELIVERED

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


def consuming(worker: Worker) -> int:
    """Consumers that have started."""
    return sum(line["event"] == "consuming" for line in worker.lines())


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


def test_without_the_right_to_configure_a_worker_waits_for_the_topology(
    empty: VirtualHost, sandbox: Sandbox, folder: Path
) -> None:
    """Says so, and works as soon as somebody else has declared it."""
    settings = {
        "AMQP_URL": empty.limited_url,
        "SIPS_BASE_URL": sandbox.url,
        "SIPS_CLIENT_ID": "us",
        "SIPS_CLIENT_SECRET": CLIENT_SECRET,
        "LOG_FORMAT": "json",
    }
    with Worker("worker", folder, settings) as worker:
        lacks = "the topology is not in place; trying again"
        said = eventually(lambda: [line for line in worker.lines() if line["event"] == lacks], "it says what it lacks")[0]
        assert "error" == said["level"]
        assert "ACCESS_REFUSED" in said["error"]
        assert f"queue {ORDERS}" in said["error"]

        with channel(empty.url) as opened:
            make_topology().declare(opened)

        with EventTap(empty.url) as tap, CommandClient(empty.url, source="tests") as client:
            command = client.publish("sips.delivery.get", {"orderId": "35818786"})
            assert "sips.delivery.get.succeeded" == tap.outcome(command)["type"]
        assert 0 == worker.stop()
