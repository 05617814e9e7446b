"""Run a private node in a container, for a machine that has a Docker engine and nothing to install RabbitMQ with."""

from __future__ import annotations

import os
import shutil
import subprocess

from worker.local.node import CONFIGURATION, PLUGINS, Node
from worker.local.processes import GuardedProcess

__all__ = ["RabbitMQContainer"]

#: The image; the first start fetches it.
IMAGE = "rabbitmq:4.1"


class RabbitMQContainer:
    """The `Launch` of a container. Its data lie in the node's folder, so that a new container goes on with them."""

    def __init__(self) -> None:
        self._docker = shutil.which("docker") or "docker"
        self._client: GuardedProcess | None = None
        self._container = ""
        self._starts = 0

    def begin(self, node: Node) -> None:
        """Start a container in the foreground: Docker's client passes SIGTERM on to it, and `--rm` removes it at its end."""
        (node.folder / "data").mkdir(exist_ok=True)
        (node.folder / "rabbitmq.conf").write_text(CONFIGURATION, encoding="ascii")
        (node.folder / "enabled_plugins").write_text(PLUGINS, encoding="ascii")
        self._starts += 1
        self._container = f"{node.name}-{self._starts}"  # a new name: the last container may still be on its way out
        command = [self._docker, "run", "--rm", "--name", self._container, *self._options(node), IMAGE]
        self._client = GuardedProcess(command, dict(os.environ), node.folder, node.log)

    def is_running(self) -> bool:
        """Whether the container runs."""
        return self._client is not None and self._client.is_running()

    def end(self, *, kill: bool = False) -> None:
        """Stop or kill the container; Docker's client ends with it."""
        if self._client is None:
            return
        if kill:  # killing the client would leave the container alone
            subprocess.run([self._docker, "kill", self._container], capture_output=True, check=False)  # noqa: S603 - ours
        self._client.stop()
        self._client = None

    def control(self, node: Node, *arguments: str) -> tuple[list[str], dict[str, str]]:  # noqa: ARG002 - as `Launch` has it
        """The command line of `rabbitmqctl`, and its environment."""
        return [self._docker, "exec", self._container, "rabbitmqctl", "--quiet", *arguments], dict(os.environ)

    def _options(self, node: Node) -> list[str]:
        """As the user who started us, so that the folder can be deleted; the AMQP port is published on loopback only."""
        mounts = {
            "data": "/var/lib/rabbitmq",
            "rabbitmq.conf": "/etc/rabbitmq/conf.d/90-sips.conf:ro",
            "enabled_plugins": "/etc/rabbitmq/enabled_plugins:ro",
        }
        return [
            f"--user={os.getuid()}:{os.getgid()}",
            f"--publish=127.0.0.1:{node.amqp_port}:5672",
            f"--env=RABBITMQ_NODENAME={node.name}@localhost",
            *(f"--volume={node.folder / name}:{target}" for name, target in mounts.items()),
        ]
