"""Run a private node with the RabbitMQ of this machine: plain processes, as root or not, nothing outside one folder."""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from worker.local.node import CONFIGURATION, PLUGINS, Node
from worker.local.processes import GuardedProcess

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["InstalledRabbitMQ"]

#: For every Erlang program that runs: the distribution listens on loopback only, and none starts an `epmd` behind our
#: back, which would stay for ever. (Idle schedulers do not spin: RabbitMQ's own scripts already see to that.)
ERL_FLAGS = "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"

#: Seconds for `epmd` to listen; it takes a few milliseconds.
EPMD_SECONDS = 10.0

#: Seconds between two looks at a port that is about to open.
LOOK_SECONDS = 0.02


class InstalledRabbitMQ:
    """The `Launch` of an installed RabbitMQ.

    Args:
        scripts: The folder of RabbitMQ's own scripts, see `programs.find_rabbitmq`.
        epmd: Erlang's port mapper, see `programs.find_epmd`. Each node gets its own, which ends with it.
    """

    def __init__(self, scripts: Path, epmd: Path) -> None:
        self._scripts, self._epmd = scripts, epmd
        self._processes: list[GuardedProcess] = []

    def begin(self, node: Node) -> None:
        """Start the node's port mapper, then the server."""
        (node.folder / "rabbitmq.conf").write_text(CONFIGURATION, encoding="ascii")
        (node.folder / "enabled_plugins").write_text(PLUGINS, encoding="ascii")
        self._start(node, str(self._epmd), "-port", str(node.epmd_port), "-address", "127.0.0.1")
        self._await_port(node.epmd_port)
        self._start(node, str(self._scripts / "rabbitmq-server"))

    def is_running(self) -> bool:
        """Whether the server and its port mapper are there; each ends at once if it finds its port taken."""
        return bool(self._processes) and all(process.is_running() for process in self._processes)

    def end(self, *, kill: bool = False) -> None:
        """End the server, then its port mapper."""
        with ExitStack() as last_first:
            for process in self._processes:
                last_first.callback(process.kill if kill else process.stop)
        self._processes = []

    def control(self, node: Node, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """The command line of `rabbitmqctl`, and its environment."""
        return [str(self._scripts / "rabbitmqctl"), "--quiet", *arguments], self._environment(node)

    def _start(self, node: Node, *command: str) -> None:
        self._processes.append(GuardedProcess(list(command), self._environment(node), node.folder, node.log))

    def _await_port(self, port: int) -> None:
        deadline = time.monotonic() + EPMD_SECONDS
        while self.is_running() and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(LOOK_SECONDS)

    def _environment(self, node: Node) -> dict[str, str]:
        """Everything that RabbitMQ's scripts and Erlang read, so that no file or variable of the user's takes part."""
        folder = node.folder
        return {
            "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), str(self._epmd.parent)]),
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder),  # the Erlang cookie lies here
            "ERL_FLAGS": ERL_FLAGS,
            "ERL_CRASH_DUMP_SECONDS": "0",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(node.epmd_port),
            "RABBITMQ_ALLOW_INPUT": "1",  # the script then becomes the server, and no shell stands between us and it; ...
            "RABBITMQ_SERVER_START_ARGS": "-noinput",  # ... and this turns the input off all the same
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(node.distribution_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_NODENAME": f"{node.name}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(node.amqp_port),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
