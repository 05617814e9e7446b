"""Run a private node with RabbitMQ 4 where the system has an older one: Debian's next release in a folder of its own.

Needs Linux, root and `debootstrap`. The tree is made once, in the user's cache folder (45 s, 370 MiB); nodes write nothing into
it, so that several may share it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from worker.local.installed import InstalledRabbitMQ
from worker.local.processes import GuardedProcess
from worker.local.rabbitmq import RabbitMQError

if TYPE_CHECKING:
    from worker.local.node import Node

__all__ = ["RabbitMQ4"]

#: The release of Debian that has RabbitMQ 4.
RELEASE = "trixie"

#: Where the tree lies below the user's cache folder.
TREE = Path("sips-worker") / f"rabbitmq-{RELEASE}"

#: Programs inside the tree.
SCRIPTS, EPMD = Path("/usr/lib/rabbitmq/bin"), Path("/usr/bin/epmd")

#: Seconds to make the tree.
MAKE_SECONDS = 900.0

#: Enters the tree with the node's folder at its own path. The mounts are seen by what runs in here alone, and end with it.
ENTER = """
set -e
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
mkdir -p "$1$2"
mount --bind "$2" "$1$2"
tree=$1
shift 2
exec chroot "$tree" "$@"
"""


class RabbitMQ4(InstalledRabbitMQ):
    """The `Launch` of a RabbitMQ 4 in a tree of its own.

    Raises:
        RabbitMQError: It cannot be had on this machine.
    """

    def __init__(self) -> None:
        super().__init__(SCRIPTS, EPMD)
        self._tree = _find_or_make_tree()

    def control(self, node: Node, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """The command line of `rabbitmqctl`, and its environment."""
        command, environment = super().control(node, *arguments)
        return self._inside(node, command), environment

    def _start(self, node: Node, *command: str) -> None:
        process = GuardedProcess(self._inside(node, list(command)), self._environment(node), node.folder, node.log)
        self._processes.append(process)

    def _inside(self, node: Node, command: list[str]) -> list[str]:
        return ["unshare", "--mount", "sh", "-c", ENTER, "enter", str(self._tree), str(node.folder), *command]


def _find_or_make_tree() -> Path:
    if os.geteuid() != 0 or not all(map(shutil.which, ("debootstrap", "unshare", "chroot"))):
        raise RabbitMQError("RabbitMQ 4 needs root and debootstrap here (Debian, Ubuntu: apt-get install debootstrap)")
    tree = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / TREE
    if not tree.exists():
        tree.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f"{tree.name}-", dir=tree.parent))
        try:
            _make(made)
            made.rename(tree)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    return tree


def _make(tree: Path) -> None:
    tree.chmod(0o755)
    command = ["debootstrap", "--variant=minbase", "--include=rabbitmq-server", RELEASE, str(tree), *_mirror()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MAKE_SECONDS, check=False)
    if done.returncode:
        raise RabbitMQError(f"debootstrap could not make a RabbitMQ 4:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _mirror() -> list[str]:
    """The first mirror that this system's own packages come from, where it is one of Debian's; else debootstrap's choice."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(SITE)", "Origin: Debian"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.split()
    except OSError:
        return []
    return found[1:2]
