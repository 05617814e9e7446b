"""The system's package managers: what each calls a program, and how each installs without starting a service."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MANAGERS", "PackageManager", "find_managers", "install"]


@dataclass(frozen=True)
class PackageManager:
    """One package manager.

    Attributes:
        program: Its command, looked up on PATH.
        install: The arguments before the packages' names.
        refresh: The arguments that fetch its lists anew; empty where `install` does so itself.
        packages: Per program that we may need, the packages that hold it.
        needs_root: False where it works in the user's own folder.
    """

    program: str
    install: tuple[str, ...]
    refresh: tuple[str, ...]
    packages: dict[str, tuple[str, ...]]
    needs_root: bool = True


#: In order of preference. Only Debian's packages start a service when they are installed.
MANAGERS = (
    PackageManager(
        "apt-get",
        ("install", "--yes", "--no-install-recommends", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"),
        ("update", "-o", "Acquire::Retries=3"),
        {"rabbitmq": ("rabbitmq-server",), "node": ("nodejs", "npm"), "postgresql": ("postgresql",)},
    ),
    PackageManager(
        "dnf",
        ("install", "--assumeyes"),
        (),
        {"rabbitmq": ("rabbitmq-server",), "node": ("nodejs", "npm"), "postgresql": ("postgresql-server",)},
    ),
    PackageManager(
        "zypper",
        ("--non-interactive", "install"),
        ("--non-interactive", "refresh"),
        {"rabbitmq": ("rabbitmq-server",), "node": ("nodejs", "npm"), "postgresql": ("postgresql-server",)},
    ),
    PackageManager(
        "apk",
        ("add",),
        ("update",),
        {"rabbitmq": ("rabbitmq-server",), "node": ("nodejs", "npm"), "postgresql": ("postgresql",)},
    ),
    PackageManager(
        "pacman",
        ("--sync", "--noconfirm", "--needed"),
        ("--sync", "--refresh"),
        {"rabbitmq": ("rabbitmq",), "node": ("nodejs", "npm"), "postgresql": ("postgresql",)},
    ),
    PackageManager(
        "brew",
        ("install",),
        (),
        {"rabbitmq": ("rabbitmq",), "node": ("node",), "postgresql": ("postgresql@17",)},
        needs_root=False,
    ),
)

#: What Debian's package scripts call to start a service, and to make the cluster of databases that PostgreSQL's would
#: serve. Besides the starters only /usr/sbin/policy-rc.d could keep a service from starting, and that file may be
#: somebody's already.
DEBIAN_STARTERS = ("deb-systemd-invoke", "invoke-rc.d", "pg_createcluster")

#: Where Debian's package scripts look for programs, behind our stand-ins.
DEBIAN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Nobody is asked, and no running service is restarted, while Debian's packages are configured.
DEBIAN_ENVIRONMENT = ("DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1")

#: Services that Debian's packages enable for the next boot, those of them with a script in /etc/init.d as well, and where
#: their unit files lie.
DEBIAN_SERVICES = ("rabbitmq-server.service", "epmd.socket", "epmd.service", "postgresql.service")
DEBIAN_SCRIPTS = ("rabbitmq-server", "postgresql")
DEBIAN_UNIT_FOLDERS = ("/lib/systemd/system", "/usr/lib/systemd/system")


def find_managers() -> list[PackageManager]:
    """The package managers of this machine, the preferred one first."""
    return [manager for manager in MANAGERS if shutil.which(manager.program)]


def install(manager: PackageManager, program: str, become_root: list[str]) -> bool:
    """Install `program` without starting a service; True if the package manager says that it worked.

    Args:
        manager: One of `find_managers`.
        program: A key of its `packages`.
        become_root: What to put before a command that needs root: nothing, or `sudo` with its options.
    """
    command = [*become_root, shutil.which(manager.program) or manager.program]
    if manager.program != "apt-get":
        return _attempt(manager, program, command)
    before = _units()
    with _no_service_starts() as path:
        # apt hands DPkg::Path to the package scripts; older versions, which do not know it, hand on their own PATH.
        command = [*become_root, "env", *DEBIAN_ENVIRONMENT, f"PATH={path}", command[-1], "-o", f"DPkg::Path={path}"]
        done = _attempt(manager, program, command)
    _disable(_units() - before, become_root)
    return done


def _attempt(manager: PackageManager, program: str, command: list[str]) -> bool:
    """Install; if that fails, fetch the lists (they may be old, or missing as in a fresh container) and try once more."""
    wanted = [*command, *manager.install, *manager.packages[program]]
    if _run(wanted):
        return True
    if manager.refresh:
        _run([*command, *manager.refresh])
    return _run(wanted)


@contextmanager
def _no_service_starts() -> Iterator[str]:
    """A PATH whose first folder holds stand-ins that do nothing; the system itself is left as it is."""
    with tempfile.TemporaryDirectory(prefix="sips-install-") as folder:
        for name in DEBIAN_STARTERS:
            stand_in = Path(folder, name)
            stand_in.write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
            stand_in.chmod(0o755)
        yield f"{folder}:{DEBIAN_PATH}"


def _units() -> set[str]:
    return {unit for unit in DEBIAN_SERVICES if any(Path(folder, unit).exists() for folder in DEBIAN_UNIT_FOLDERS)}


def _disable(units: set[str], become_root: list[str]) -> None:
    """Keep what this installation brought from starting at the next boot; what was there before keeps its setting."""
    if units and shutil.which("systemctl"):
        _run([*become_root, "systemctl", "--quiet", "disable", *sorted(units)])
    for script in DEBIAN_SCRIPTS:
        if f"{script}.service" in units and shutil.which("update-rc.d"):
            _run([*become_root, "update-rc.d", script, "disable"])


def _run(command: list[str]) -> bool:
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0  # noqa: S603 - from the tables above
