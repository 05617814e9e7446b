"""The image's content, and the services of compose.yaml as processes of it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from tests.amqp import EventTap, eventually
from tests.databases import postgres_schema
from tests.docker.compose import seconds, services
from tests.docker.dockerfile import ROOT
from tests.docker.image import Container
from worker.cli.contract import FOLDER
from worker.client import CommandClient
from worker.local.processes import free_ports

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docker.image import Image

PRICES = "sips.pricing.fetch"

#: Seconds that an engine waits by default before it kills.
STOP_SECONDS = 10


def test_the_wheel_has_the_contract_and_no_tests(image: Image) -> None:
    """Packages, schemas, types; nothing else at its top."""
    (wheel,) = image.wheels
    names = set(zipfile.ZipFile(wheel).namelist())
    contract = {f"worker/contract/{path.name}" for path in FOLDER.glob("*.json")}

    assert contract | {"worker/py.typed"} <= names
    assert {"worker", "handlers"} == {name.partition("/")[0] for name in names if ".dist-info/" not in name}


def test_a_wheel_of_the_whole_repository_is_the_same(image: Image, tmp_path: Path) -> None:
    """What the build's context leaves out is no part of the package either."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")

    assert set(zipfile.ZipFile(image.wheels[0]).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_the_image_holds_what_is_locked_and_the_worker(image: Image) -> None:
    """No tool of the build or of a developer."""
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))
    folders = (image.root / "opt" / "sips-worker").glob("lib/python*/site-packages/*.dist-info")
    installed = {path.name.partition("-")[0].replace("_", "-").lower() for path in folders}

    assert "sips-worker" in installed
    assert installed <= locked | {"sips-worker"}


def test_what_compose_describes_answers_a_price_command(image: Image, amqp_url: str, postgres_url: str, tmp_path: Path) -> None:
    """Migration, sandbox and worker with compose's own command lines and settings, and what their addresses are here."""
    compose = services({})
    sips, control = map(str, free_ports(2))
    arguments = {"0.0.0.0": "127.0.0.1", "8085": sips, "8086": control}
    command = [arguments.get(argument, argument) for argument in compose["sandbox"]["command"]]
    settings = compose["worker"]["environment"]
    addresses = {"AMQP_URL": amqp_url, "SIPS_BASE_URL": settings["SIPS_BASE_URL"].replace("sandbox:8085", f"127.0.0.1:{sips}")}
    addresses["HEALTH_PORT"] = str(free_ports(1)[0])
    example = json.loads((ROOT / "tests/data/sips/productsV2Price.request.json").read_text(encoding="utf-8"))
    for name in ("migrate", "sandbox", "worker"):
        (tmp_path / name).mkdir()

    with contextlib.ExitStack() as stack:
        database = {"DATABASE_URL": stack.enter_context(postgres_schema(postgres_url))}
        with Container(image, tmp_path / "migrate", compose["migrate"]["command"], database) as migration:
            assert 0 == migration.wait(60)
        sandbox = stack.enter_context(Container(image, tmp_path / "sandbox", command, compose["sandbox"]["environment"]))
        started = Container(image, tmp_path / "worker", compose["worker"].get("command"), settings | addresses | database)
        worker = stack.enter_context(started)
        tap = stack.enter_context(EventTap(amqp_url))
        client = stack.enter_context(CommandClient(amqp_url, source="tests"))
        eventually(lambda: [line for line in sandbox.events() if line["event"] == "sandbox ready"], "the sandbox listens")
        eventually(lambda: [line for line in worker.events() if line["event"] == "consuming"], "the worker consumes")
        outcome = tap.outcome(client.publish(PRICES, example))

        assert (f"{PRICES}.succeeded", "DEMO001") == (outcome["type"], outcome["data"]["result"]["customerCode"])
        assert 0 == worker.stop(seconds(compose["worker"]["stop_grace_period"]))
        assert 0 == sandbox.stop(STOP_SECONDS)
