"""Make sure that a program which the demo or the tests need is here: `python -m worker.local.install rabbitmq`."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from worker.local import container, packages, programs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["NEEDS", "MissingProgramError", "Need", "ensure", "main"]


class MissingProgramError(Exception):
    """A program is missing and was not installed; the text says why and what can be done."""


class Need(NamedTuple):
    """A program that may be asked for.

    Attributes:
        title: What people call it.
        find: Where it is, or None.
        variable: The variable of the environment that names something to use instead of it, if there is one, ...
        scheme: ... and how its value then begins.
        otherwise: What a person can do, beside installing it.
    """

    title: str
    find: Callable[[], Path | None]
    variable: str
    scheme: str
    otherwise: tuple[str, ...]


#: What `ensure` can be asked for.
NEEDS = {
    "rabbitmq": Need(
        "RabbitMQ",
        programs.find_rabbitmq,
        "AMQP_URL",
        "amqp",
        (
            "set AMQP_URL to a RabbitMQ that may be written to, such as amqp://user:password@host:5672/vhost",
            (
                "start one with `docker compose -f docker/compose.yaml up --detach --wait rabbitmq`, "
                "and set AMQP_URL to amqp://sips:sips@127.0.0.1:5672/%2F"
            ),
        ),
    ),
    "node": Need("Node.js with npm", programs.find_node, "", "", ("get it from https://nodejs.org/",)),
    "postgresql": Need(
        "PostgreSQL",
        programs.find_postgresql,
        "DATABASE_URL",
        "postgres",
        ("set DATABASE_URL to a PostgreSQL that may be written to, such as postgresql://user:password@host:5432/database",),
    ),
}


def ensure(name: str) -> None:
    """Install `name`, a key of `NEEDS`, if it is missing; on a terminal, a person is asked first.

    Raises:
        MissingProgramError: It is missing and stays so.
    """
    need = NEEDS[name]
    given = os.environ.get(need.variable)
    if (given and given.startswith(need.scheme)) or need.find():
        return
    managers = packages.find_managers()
    usable = [(manager, prefix) for manager in managers if (prefix := _become_root(manager)) is not None]
    if usable:
        _install(name, *usable[0])
    elif name == "rabbitmq" and programs.has_docker_engine():
        _fetch_image()
    elif managers:
        raise MissingProgramError(_advice(name, f"{managers[0].program} needs root, and sudo cannot be used here"))
    else:
        raise MissingProgramError(_advice(name, "this machine has no package manager that we know"))


def main(arguments: list[str] | None = None) -> int:
    """Ensure every program named; 0 if all are there, 1 with the reason on standard error if not."""
    parser = argparse.ArgumentParser(prog="python -m worker.local.install", description=__doc__)
    parser.add_argument("name", nargs="+", choices=sorted(NEEDS))
    for name in parser.parse_args(arguments).name:
        try:
            ensure(name)
        except MissingProgramError as error:
            click.echo(str(error), err=True)
            return 1
    return 0


def _install(name: str, manager: packages.PackageManager, become_root: list[str]) -> None:
    need = NEEDS[name]
    question = f"{need.title} is missing. Install it with {manager.program}? No service will be started."
    if _on_a_terminal() and not click.confirm(question, default=True, err=True):
        raise MissingProgramError(_advice(name, "the answer was no"))
    click.echo(f"Installing {need.title} with {manager.program}; no service will be started.", err=True)
    if not packages.install(manager, name, become_root) or not need.find():
        raise MissingProgramError(_advice(name, f"{manager.program} could not; its reasons are above"))


def _fetch_image() -> None:
    """Fetch the image now, where its progress can be seen, and not within the time that a node has to start."""
    click.echo("RabbitMQ is not installed here; private nodes will run in Docker.", err=True)
    if subprocess.run(["docker", "pull", container.IMAGE], check=False).returncode:  # noqa: S603, S607 - the user's docker
        raise MissingProgramError(_advice("rabbitmq", f"docker could not fetch {container.IMAGE}; its reasons are above"))


def _become_root(manager: packages.PackageManager) -> list[str] | None:
    """What makes the manager run as root: nothing, `sudo`, or None where that is not to be had."""
    if os.geteuid() == 0 or not manager.needs_root:
        return []
    if not shutil.which("sudo"):
        return None
    if _on_a_terminal():
        return ["sudo"]
    silent = ["sudo", "-n"]
    return silent if subprocess.run([*silent, "true"], capture_output=True, check=False).returncode == 0 else None  # noqa: S603


def _on_a_terminal() -> bool:
    """Whether a person can be asked; elsewhere, as in a pipeline, running this was the answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _advice(name: str, reason: str) -> str:
    ways = list(NEEDS[name].otherwise)
    for manager in packages.find_managers()[:1]:
        command = shlex.join([manager.program, *manager.install, *manager.packages[name]])
        ways.insert(0, f"install it: {'sudo ' if manager.needs_root else ''}{command}")
    title = f"{NEEDS[name].title} is missing and was not installed: {reason}. Do one of these:"
    return "\n".join([title, *(f"  - {way}" for way in ways)])


if __name__ == "__main__":
    sys.exit(main())
