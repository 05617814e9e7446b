"""A private RabbitMQ node: on loopback, in a temporary folder, gone when its owner is gone."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from worker.local import programs
from worker.local.container import RabbitMQContainer
from worker.local.installed import InstalledRabbitMQ
from worker.local.node import Launch, Node
from worker.local.processes import free_ports, is_free

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RabbitMQError", "RabbitMQNode", "rabbitmq"]

#: Seconds for a node to answer. It takes about five on two cores; a container may have to fetch its image first.
START_SECONDS = 120.0

#: Seconds between two looks whether the node answers.
LOOK_SECONDS = 0.05

#: Starts with new ports, if another process takes one of ours between the choice and the bind.
PORT_ATTEMPTS = 3

#: Seconds for one `rabbitmqctl` command; it takes one or two.
CONTROL_SECONDS = 60.0

#: Lines of the log that an error shows.
LOG_LINES = 25

#: The first bytes of an AMQP 0-9-1 client. The server answers with a frame that holds the name of its cluster.
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


class RabbitMQError(Exception):
    """A private node cannot be had, did not start, or refused a command; the text says what to look at."""


class RabbitMQNode:
    """One private node; several can run side by side.

    As a context manager it is started and, at the end, stopped and its folder deleted. If the process that made it
    dies, however that happens, the node's processes and folder are removed within seconds.

    Args:
        launch: how its processes run; by default what this machine has.

    Raises:
        RabbitMQError: There is neither an installed RabbitMQ nor a Docker engine.
    """

    def __init__(self, launch: Launch | None = None) -> None:
        self._launch = launch or _find_launch()
        self._node: Node | None = None

    @property
    def node(self) -> Node:
        """Name, folder and ports, which stay the same from the first start on."""
        if self._node is None:
            raise RabbitMQError("the private RabbitMQ has not been started; call start() first")
        return self._node

    @property
    def url(self) -> str:
        """The node's address for AMQP clients; it stays the same across restarts."""
        return f"amqp://guest:guest@127.0.0.1:{self.node.amqp_port}/%2F"

    def start(self) -> Self:
        """Start the node and wait until it answers; after `stop` or `kill`, with the same ports and data.

        Raises:
            RabbitMQError: It did not come up; the text ends with the log, and the log stays where it is.
        """
        if self._node is None:
            self._node = self._start_new()
        elif not self._launch.is_running():
            self._start(self._node)
        return self

    def stop(self) -> None:
        """Stop the node in good order (about a second); its data stay. Does nothing if it does not run."""
        self._launch.end()

    def kill(self) -> None:
        """End the node as a crash would; `start` brings it back."""
        self._launch.end(kill=True)

    def restart(self) -> None:
        """Stop the node and start it again with the same ports and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the node and delete its folder."""
        self.stop()
        if self._node:
            shutil.rmtree(self._node.folder, ignore_errors=True)

    def rabbitmqctl(self, *arguments: str) -> str:
        """Run a `rabbitmqctl` command on this node and return what it prints; one takes about a second.

        Useful ones: `set_vm_memory_high_watermark 0.0001` raises the memory alarm, which blocks publishers (0.4 clears
        it); `delete_queue NAME`; `list_queues name messages`; `close_all_connections REASON`.

        Raises:
            RabbitMQError: The command failed; the text holds what it printed.
        """
        command, environment = self._launch.control(self.node, *arguments)
        done = subprocess.run(  # noqa: S603 - rabbitmqctl with the caller's arguments
            command, env=environment, capture_output=True, text=True, timeout=CONTROL_SECONDS, check=False
        )
        if done.returncode:
            raise RabbitMQError(f"rabbitmqctl {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_new(self) -> Node:
        """Start on ports of its own choice; once more if another process took one between the choice and the bind."""
        for attempt in range(1, PORT_ATTEMPTS + 1):
            node = _new_node()
            try:
                self._start(node)
            except RabbitMQError:
                if attempt == PORT_ATTEMPTS or all(map(is_free, node.ports)):
                    raise  # and keep the log
            except BaseException:
                shutil.rmtree(node.folder, ignore_errors=True)
                raise
            else:
                return node
            shutil.rmtree(node.folder, ignore_errors=True)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _start(self, node: Node) -> None:
        self._launch.end()  # what a crash of the server has left
        try:
            self._launch.begin(node)
            self._await_answer(node)
        except BaseException:
            self._launch.end()
            raise

    def _await_answer(self, node: Node) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._launch.is_running():
            if _answers(node):
                return
            if time.monotonic() > deadline:
                raise _start_error(node, f"did not answer within {START_SECONDS:.0f} s")
            time.sleep(LOOK_SECONDS)
        raise _start_error(node, "ended before it answered")


@contextmanager
def rabbitmq(url: str | None) -> Iterator[str]:
    """An AMQP url: `url` where one is given (AMQP_URL of the environment), else that of a private node.

    Raises:
        RabbitMQError: A private node is needed and cannot be had.
    """
    if url:
        yield url
        return
    with RabbitMQNode() as node:
        yield node.url


def _find_launch() -> Launch:
    scripts, epmd = programs.find_rabbitmq(), programs.find_epmd()
    if scripts and epmd:
        return InstalledRabbitMQ(scripts, epmd)
    if programs.has_docker_engine():
        return RabbitMQContainer()
    raise RabbitMQError(
        "there is no RabbitMQ on this machine: run `python -m worker.local.install rabbitmq`, start a Docker engine, "
        "or set AMQP_URL to a RabbitMQ that may be written to"
    )


def _new_node() -> Node:
    return Node(f"sips-{secrets.token_hex(4)}", Path(tempfile.mkdtemp(prefix="sips-rabbitmq-")), *free_ports(3))


def _answers(node: Node) -> bool:
    """Whether this node, and not another one that took its port, greets an AMQP client."""
    try:
        with socket.create_connection(("127.0.0.1", node.amqp_port), timeout=LOOK_SECONDS * 20) as connection:
            connection.sendall(PROTOCOL_HEADER)
            with connection.makefile("rb") as frames:
                size = int.from_bytes(frames.read(7)[3:7])
                return node.name.encode() in frames.read(size)
    except OSError:
        return False


def _start_error(node: Node, what: str) -> RabbitMQError:
    log = node.log.read_text(encoding="utf-8", errors="replace") if node.log.exists() else ""
    tail = "\n".join(log.splitlines()[-LOG_LINES:])
    return RabbitMQError(
        f"the private RabbitMQ {what}; its logs are {node.log} and {node.folder / 'log'}; the first ends:\n{tail}"
    )
