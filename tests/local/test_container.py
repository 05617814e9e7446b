"""The node in a container, with a stand-in for Docker's client; the engine is not asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from worker.local.rabbitmq import RabbitMQNode

if TYPE_CHECKING:
    from tests.local.conftest import Machine

#: A `docker` that runs no container: `run` greets AMQP clients on the published port under the node's name until it is
#: told to stop or `kill` ends it; `exec` prints its arguments.
DOCKER = """
import os, pathlib, signal, socket, sys
state = pathlib.Path(__file__).parent / "pid"
if sys.argv[1] == "kill":
    os.kill(int(state.read_text()), signal.SIGKILL)
elif sys.argv[1] == "exec":
    print(*sys.argv[3:])
elif sys.argv[1] == "run":
    options = dict(option.split("=", 1) for option in sys.argv if option.startswith("--") and "=" in option)
    state.write_text(str(os.getpid()))
    server = socket.create_server(("127.0.0.1", int(options["--publish"].split(":")[1])))
    while True:
        client, _ = server.accept()
        name = options["--env"].encode()
        client.sendall(bytes([1, 0, 0]) + len(name).to_bytes(4) + name)
        client.close()
"""


@pytest.fixture
def docker(machine: Machine) -> Machine:
    """A machine that has Docker and nothing else."""
    script = machine.bin / "docker.py"
    script.write_text(DOCKER)
    machine.add("docker", f'exec {sys.executable} {script} "$@"')
    return machine


def test_a_node_runs_in_a_container_where_only_docker_is_here(docker: Machine) -> None:
    """A node starts, runs commands, is killed, comes back under a new container's name with its data, and stops."""
    with RabbitMQNode() as node:
        assert node.rabbitmqctl("list_queues") == "rabbitmqctl --quiet list_queues\n"
        node.kill()
        node.start()
        folder = node.node.folder
    runs = [call.split() for call in docker.calls() if call.startswith("docker run")]
    assert [run[4] for run in runs] == [f"{node.node.name}-1", f"{node.node.name}-2"]
    assert all(f"--volume={folder}/data:/var/lib/rabbitmq" in run for run in runs)
    assert f"docker kill {node.node.name}-1" in docker.calls()
    assert not folder.exists()
