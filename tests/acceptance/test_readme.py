"""What the README says, tried out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker.cli import COMMANDS
from worker.runtime.registry import registry
from worker.sandbox.faults import FAULTS
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.local.stack import Sandbox, Worker

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The only code block in a language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(code)


@pytest.mark.usefixtures("sandbox")
def test_the_example_in_python_works(amqp_url: str, worker: Worker) -> None:
    """As it stands there."""
    assert worker.process.poll() is None

    done = subprocess.run(
        [sys.executable, "-c", block("python")],
        env=os.environ | {"AMQP_URL": amqp_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, True) == (done.returncode, done.stdout.startswith("sips.pricing.fetch.succeeded ")), done.stderr


def test_the_example_in_node_works(amqp_url: str, sandbox: Sandbox, worker: Worker) -> None:
    """As it stands there."""
    assert (None, True) == (worker.process.poll(), bool(sandbox.url))

    done = subprocess.run(
        ["node", "--input-type=module", "-e", block("js")],
        cwd=ROOT / "tests" / "node",
        env=os.environ | {"AMQP_URL": amqp_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, "sips.delivery.get.succeeded\n") == (done.returncode, done.stdout), done.stderr


def test_every_setting_has_its_place() -> None:
    """And no other is named there."""
    table = README.partition("| setting |")[2].partition("Logs are")[0]
    rows = set(re.findall(r"`([A-Z][A-Z0-9_]+?)(?:__<\w+>)?`", table))

    assert {name.upper() for name in Settings.model_fields} == rows


def test_every_command_type_has_a_row() -> None:
    """Each with its payload and its result."""
    rows = set(
        re.findall(r"^\| `(sips\.[a-z._]+)` \|", README.partition("## Commands")[2].partition("In Python")[0], re.MULTILINE)
    )

    assert {handler.type for handler in registry} == rows


def test_every_fault_of_the_sandbox_is_named() -> None:
    """With the parameters that are its own."""
    section = README.partition("## The sandbox")[2].partition("## Working")[0]

    for fault, parameters in FAULTS.items():
        assert f"`{fault}`" in section
        assert all(f"`{parameter}`" in section for parameter in parameters)


def test_every_command_of_the_command_line_is_named() -> None:
    """`demo` under its make target."""
    named = set(re.findall(r"^sips-worker ([a-z]+)", README, re.MULTILINE)) | {"demo"}

    assert set(COMMANDS) == named
