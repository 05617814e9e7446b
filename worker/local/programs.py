"""Where the programs of a private server are on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

__all__ = ["find_epmd", "find_node", "find_postgresql", "find_rabbitmq", "has_docker_engine"]

#: Folders of RabbitMQ's own scripts, before PATH: the wrappers that packages put on PATH switch to another user.
RABBITMQ_FOLDERS = (
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin",
    "/opt/rabbitmq/sbin",
)

#: Folders of PostgreSQL's own programs: most packages put its server on no PATH, so that several versions fit side by side.
POSTGRESQL_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
)

#: Seconds for a Docker engine to say its version; one that hangs counts as none.
DOCKER_SECONDS = 10.0


def find_rabbitmq() -> Path | None:
    """The folder that holds `rabbitmq-server` and `rabbitmqctl`, or None where RabbitMQ is not installed."""
    folders = [*_matching(RABBITMQ_FOLDERS), *_path()]
    return next((folder for folder in folders if _can_run(folder / "rabbitmq-server", folder / "rabbitmqctl")), None)


def find_epmd() -> Path | None:
    """Erlang's port mapper, or None where Erlang is not installed; some packages leave it off PATH, beside `erl`."""
    if on_path := shutil.which("epmd"):
        return Path(on_path)
    erl = shutil.which("erl")
    beside = Path(erl).resolve().with_name("epmd") if erl else None
    return beside if beside and _can_run(beside) else None


def find_postgresql() -> Path | None:
    """The folder that holds `postgres` and `initdb`, PATH first, then the newest; or None where there is no server."""
    folders = [*_path(), *_matching(POSTGRESQL_FOLDERS)]
    return next((folder for folder in folders if _can_run(folder / "postgres", folder / "initdb")), None)


def find_node() -> Path | None:
    """The program `node`, or None where it or `npm` is missing."""
    node = shutil.which("node")
    return Path(node) if node and shutil.which("npm") else None


def has_docker_engine() -> bool:
    """Whether a Docker engine answers; its client alone is not enough."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    question = [docker, "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(question, capture_output=True, timeout=DOCKER_SECONDS, check=False).returncode == 0  # noqa: S603 - fixed
    except (OSError, subprocess.TimeoutExpired):
        return False


def _path() -> list[Path]:
    return [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]


def _matching(patterns: tuple[str, ...]) -> list[Path]:
    """The folders that match; of each pattern's, the one with the highest version first."""
    return [folder for pattern in patterns for folder in sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)]


def _version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def _can_run(*programs: Path) -> bool:
    return all(os.access(program, os.X_OK) and program.is_file() for program in programs)  # access() raises for no path
