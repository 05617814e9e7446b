"""A worker whose paths `sips-worker calibrate` found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from tests.cli.calibrate.test_calibrate import GIVEN, MOVED
from tests.handlers.commands import CASES
from worker.cli import cli
from worker.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Worker


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The stand-in for SIPS, with every operation whose path is a guess somewhere else."""
    with Sandbox(paths=MOVED) as started:
        yield started


@pytest.mark.undescribed  # everything has moved
def test_with_the_printed_settings_every_command_works(
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    amqp_url: str,
    client: CommandClient,
    tap: EventTap,
    make_worker: Callable[..., Worker],
    tmp_path: Path,
) -> None:
    """Through RabbitMQ, for each of the twelve operations."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIPS_BASE_URL", sandbox.url)
    with capture_logs():
        printed = CliRunner().invoke(cli, ["calibrate", *GIVEN]).stdout
    found = dict(line.split("=", 1) for line in printed.splitlines() if line.startswith("SIPS_PATHS__"))
    make_worker(amqp_url, **found)

    cases = [case for case in CASES if case.operation in MOVED]
    published = [(case, client.publish(case.type, case.payload)) for case in cases]

    assert set(MOVED) == {case.operation for case in cases}
    for case, command in published:
        assert f"{case.type}.succeeded" == tap.outcome(command)["type"]
