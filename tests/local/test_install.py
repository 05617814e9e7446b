"""What is done about a missing program, and what a person is told."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from worker.local import install
from worker.local.install import MissingProgramError, ensure, main

if TYPE_CHECKING:
    from tests.local.conftest import Machine


def test_what_is_there_is_left_alone(machine: Machine) -> None:
    """Nothing is run if every program is there."""
    for program in ("rabbitmq-server", "rabbitmqctl", "node", "npm", "apt-get"):
        machine.add(program)
    assert main(["rabbitmq", "node"]) == 0
    assert machine.calls() == []


def test_a_given_broker_needs_no_program(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With AMQP_URL set, RabbitMQ is not installed."""
    machine.add("apt-get")
    monkeypatch.setenv("AMQP_URL", "amqp://elsewhere/%2F")
    ensure("rabbitmq")
    assert machine.calls() == []


def test_only_a_given_postgresql_needs_no_program(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With DATABASE_URL set to an SQLite file, PostgreSQL is still missing."""
    machine.add("apk", machine.installing("postgres", "initdb"))
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/sips")
    ensure("postgresql")
    assert machine.calls() == []
    monkeypatch.setenv("DATABASE_URL", "sqlite:///sips.db")
    ensure("postgresql")
    assert machine.calls() == ["apk add postgresql"]


def test_root_installs_what_is_missing(machine: Machine) -> None:
    """Without a terminal nobody is asked; only what is missing is installed."""
    machine.add("apt-get", machine.installing("rabbitmq-server", "rabbitmqctl"))
    machine.add("node")
    machine.add("npm")
    assert main(["rabbitmq", "node"]) == 0
    assert len(machine.calls()) == 1


def test_others_use_sudo_if_it_asks_for_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, sudo must work without a password."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine.add("sudo", 'shift; [ "$1" = true ] || exec "$@"')
    machine.add("dnf", machine.installing("node", "npm"))
    ensure("node")
    assert machine.calls()[-1] == "dnf install --assumeyes nodejs npm"


def test_without_rights_one_message_names_every_way_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user who may not install reads why, the command to run, and the two ways without it."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine.add("sudo", "exit 1")
    machine.add("dnf")
    assert main(["rabbitmq"]) == 1
    assert capsys.readouterr().err == (
        "RabbitMQ is missing and was not installed: dnf needs root, and sudo cannot be used here. Do one of these:\n"
        "  - install it: sudo dnf install --assumeyes rabbitmq-server\n"
        "  - set AMQP_URL to a RabbitMQ that may be written to, such as amqp://user:password@host:5672/vhost\n"
        "  - start one with `docker compose -f docker/compose.yaml up --detach --wait rabbitmq`, "
        "and set AMQP_URL to amqp://sips:sips@127.0.0.1:5672/%2F\n"
    )
    assert machine.calls() == ["sudo -n true"]


def test_a_manager_that_needs_no_root_is_used_instead(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without sudo installs with Homebrew although apt-get is preferred."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine.add("apt-get")
    machine.add("brew", machine.installing("rabbitmq-server", "rabbitmqctl"))
    ensure("rabbitmq")
    assert machine.calls() == ["brew install rabbitmq"]


def test_a_docker_engine_serves_where_nothing_can_be_installed(machine: Machine) -> None:
    """Without a package manager the image is fetched, so that a node can run in a container."""
    machine.add("docker")
    ensure("rabbitmq")
    assert machine.calls()[-1].startswith("docker pull rabbitmq:")


def test_an_installation_that_brings_nothing_is_an_error(machine: Machine) -> None:
    """A package manager that reports success is not believed."""
    machine.add("apk")
    with pytest.raises(MissingProgramError, match="apk could not; its reasons are above"):
        ensure("node")


def test_a_machine_without_a_package_manager_says_so(machine: Machine) -> None:
    """Where no command can be proposed, the other ways are."""
    with pytest.raises(MissingProgramError, match=r"no package manager that we know\. Do one of these:\n  - get it from"):
        ensure("node")
    assert machine.calls() == []


@pytest.mark.parametrize(("answer", "status", "installed"), [(b"n\n", 1, False), (b"\n", 0, True)])
def test_a_person_at_a_terminal_is_asked_first(machine: Machine, answer: bytes, status: int, installed: bool) -> None:
    """On a terminal nothing is installed without a yes, which is the default."""
    machine.add("brew", machine.installing("node", "npm"))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", install.__name__, "node"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as asked:
        assert asked.stderr
        os.write(ours, answer)
        said = asked.stderr.read()
    os.close(ours)
    os.close(theirs)
    assert asked.returncode == status
    assert b"Install it with brew? No service will be started." in said
    assert (machine.bin / "node").exists() is installed
