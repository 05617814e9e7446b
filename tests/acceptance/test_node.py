"""The wire contract in Node.js, with amqplib."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.acceptance.conftest import example
from tests.acceptance.test_commands import DELIVERY, PRICES, SUBMIT, order

if TYPE_CHECKING:
    from worker.local.stack import Sandbox, Worker

NODE = Path(__file__).parent.parent / "node"


def run(url: str, commands: list[dict[str, Any]]) -> dict[str, Any]:
    """What the Node.js service saw: outcomes and replies by command id."""
    done = subprocess.run(
        ["node", "contract.mjs", url],
        cwd=NODE,
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_every_form_and_every_outcome_is_reached_from_node(amqp_url: str, sandbox: Sandbox, worker: Worker) -> None:
    """`.succeeded` and `.failed` in each form, with direct replies; `.unknown` for an order that nobody finds."""
    assert worker.process.poll() is None
    commands = []
    for form in ("structured", "binary", "plain"):
        commands += [
            {"form": form, "type": PRICES, "id": f"{form}-1", "data": example("productsV2Price.request"), "reply": True},
            {"form": form, "type": SUBMIT, "id": f"{form}-2", "data": order(), "reply": False},
            {"form": form, "type": DELIVERY, "id": f"{form}-3", "data": {}, "reply": True},
        ]

    seen = run(amqp_url, commands)
    sandbox.set_faults(error_before={"operations": ["ordersV2Submit"]})
    lost = run(amqp_url, [{"form": "structured", "type": SUBMIT, "id": "lost", "data": order(), "reply": True}])

    expected = {"1": f"{PRICES}.succeeded", "2": f"{SUBMIT}.succeeded", "3": f"{DELIVERY}.failed"}
    assert {command["id"]: expected[command["id"][-1]] for command in commands} == {
        command: outcome["type"] for command, outcome in seen["outcomes"].items()
    }
    assert {command["id"]: seen["outcomes"][command["id"]]["id"] for command in commands if command["reply"]} == {
        command: reply["id"] for command, reply in seen["replies"].items()
    }
    assert (f"{SUBMIT}.unknown", f"{SUBMIT}.unknown") == (lost["outcomes"]["lost"]["type"], lost["replies"]["lost"]["type"])
