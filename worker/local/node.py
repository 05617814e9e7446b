"""What a private RabbitMQ node is, however it is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CONFIGURATION", "PLUGINS", "Launch", "Node"]

#: Settings of a node that serves one test run: a small disk must not raise the disk alarm.
CONFIGURATION = "disk_free_limit.absolute = 1MB\n"

#: No plugin: each one lengthens the start.
PLUGINS = "[].\n"


@dataclass(frozen=True)
class Node:
    """What makes one node this one and no other: its name (the part before `@`), its folder and its loopback ports."""

    name: str
    folder: Path
    amqp_port: int
    distribution_port: int
    epmd_port: int

    @property
    def ports(self) -> tuple[int, int, int]:
        """All ports that the node listens on."""
        return self.amqp_port, self.distribution_port, self.epmd_port

    @property
    def log(self) -> Path:
        """The file that takes what the node's processes print."""
        return self.folder / "server.log"


class Launch(Protocol):
    """One way to run a node's processes."""

    def begin(self, node: Node) -> None:
        """Start the processes of `node`; returns before the node can be used."""

    def is_running(self) -> bool:
        """Whether every process that was started is still there."""

    def end(self, *, kill: bool = False) -> None:
        """End what was started, if anything, and wait until it is gone; `kill` as a crash would."""

    def control(self, node: Node, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """The command line that runs `rabbitmqctl` on `node`, and its whole environment."""
