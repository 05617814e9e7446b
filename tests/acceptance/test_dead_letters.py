"""A person runs a dead letter again, and it ends as any command does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from tests.acceptance.conftest import SOURCE
from tests.acceptance.test_commands import DELIVERY
from tests.amqp import count, eventually
from worker.cli import cli
from worker.messaging.events import outcome_id
from worker.messaging.topology import DEAD

if TYPE_CHECKING:
    import pytest

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox, Worker


def test_a_read_whose_attempts_were_used_up_is_run_again(
    amqp_url: str, tap: EventTap, client: CommandClient, sandbox: Sandbox, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As run 2: its outcome has an id of its own, and its attempts start anew."""
    monkeypatch.setenv("AMQP_URL", amqp_url)
    sandbox.set_faults(error_before={"rate": 1, "operations": ["deliveryDetails"]})
    command = client.publish(DELIVERY, {"orderId": "35818786"})
    assert f"{DELIVERY}.failed" == tap.outcome(command)["type"]
    eventually(lambda: count(amqp_url, DEAD) == 1, "the dead letter is there")
    sandbox.set_faults()

    result = CliRunner().invoke(cli, ["dead", "redrive", "--id", command, "--yes"])

    assert (0, "1 run again") == (result.exit_code, result.stdout.splitlines()[-1])
    first, second = tap.wait(lambda _events: len(tap.outcomes(command)) == 2 and tap.outcomes(command), "a second outcome")
    assert [outcome_id(SOURCE, command, DELIVERY, run) for run in (1, 2)] == [first["id"], second["id"]]
    assert f"{DELIVERY}.succeeded" == second["type"]
    assert {"id": command, "type": DELIVERY, "run": 2, "attempts": 1} == second["data"]["command"]
    eventually(lambda: count(amqp_url, DEAD) == 0, "the dead letter is gone")
