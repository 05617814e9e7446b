"""Where programs are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.local import programs

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.local.conftest import Machine


def test_the_scripts_of_rabbitmq_win_over_the_wrappers_on_path(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of RabbitMQ's own is taken before PATH, where packages put wrappers that switch the user."""
    own = tmp_path / "rabbitmq_server-3.10.8" / "sbin"
    own.mkdir(parents=True)
    monkeypatch.setattr(programs, "RABBITMQ_FOLDERS", (str(tmp_path / "rabbitmq_server-*" / "sbin"),))
    for program in ("rabbitmq-server", "rabbitmqctl"):
        machine.add(program)
    assert programs.find_rabbitmq() == machine.bin
    for program in ("rabbitmq-server", "rabbitmqctl"):
        (own / program).symlink_to(machine.bin / program)
    assert programs.find_rabbitmq() == own


def test_half_a_rabbitmq_is_none(machine: Machine) -> None:
    """A server without its control program does not count."""
    machine.add("rabbitmq-server")
    assert programs.find_rabbitmq() is None


def test_the_port_mapper_is_found_beside_erlang(machine: Machine, tmp_path: Path) -> None:
    """Where only `erl` is on PATH, `epmd` is looked for in the folder that it really lies in."""
    assert programs.find_epmd() is None
    erlang = tmp_path / "erlang"
    erlang.mkdir()
    for program in ("erl", "epmd"):
        machine.add(program)
        (machine.bin / program).rename(erlang / program)
    (machine.bin / "erl").symlink_to(erlang / "erl")
    assert programs.find_epmd() == erlang / "epmd"


def test_the_newest_postgresql_is_taken(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions count as numbers, a folder without the server does not count, and PATH comes first."""
    monkeypatch.setattr(programs, "POSTGRESQL_FOLDERS", (str(tmp_path / "postgresql" / "*" / "bin"),))
    for version, names in (("9.6", ("postgres", "initdb")), ("15", ("postgres", "initdb")), ("17", ("initdb",))):
        folder = tmp_path / "postgresql" / version / "bin"
        folder.mkdir(parents=True)
        for name in names:
            machine.add(name)
            (machine.bin / name).rename(folder / name)
    assert programs.find_postgresql() == tmp_path / "postgresql" / "15" / "bin"
    for name in ("postgres", "initdb"):
        machine.add(name)
    assert programs.find_postgresql() == machine.bin


def test_a_folder_that_cannot_be_looked_into_is_passed_over(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH may hold another user's private folder; here it is one that no system can have."""
    for name in ("postgres", "initdb"):
        machine.add(name)
    monkeypatch.setenv("PATH", f"/{'x' * 5000}:{machine.bin}")
    assert programs.find_postgresql() == machine.bin


def test_node_without_npm_is_none(machine: Machine) -> None:
    """Both programs are needed."""
    machine.add("node")
    assert programs.find_node() is None
    machine.add("npm")
    assert programs.find_node() == machine.bin / "node"


def test_a_docker_client_without_an_engine_is_none(machine: Machine) -> None:
    """The client is asked for its engine's version."""
    assert not programs.has_docker_engine()
    machine.add("docker", "exit 1")
    assert not programs.has_docker_engine()
    machine.add("docker")
    assert programs.has_docker_engine()
