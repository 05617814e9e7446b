"""A private node against the real RabbitMQ of this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pika
import pika.exceptions
import pytest

from tests.local.waiting import is_alive, listens, wait_until
from worker.local import processes, programs
from worker.local import rabbitmq as rabbitmq_module
from worker.local.rabbitmq import RabbitMQError, RabbitMQNode, rabbitmq

if TYPE_CHECKING:
    from collections.abc import Iterator

#: An owner that starts a node, says what makes it up, and then waits to be killed.
OWNER = """
import json, sys
from worker.local.rabbitmq import RabbitMQNode
node = RabbitMQNode().start().node
print(json.dumps({"folder": str(node.folder), "ports": node.ports}), flush=True)
sys.stdin.read()
"""


def server_pid(folder: Path) -> int:
    """The process id that the node itself wrote."""
    return int((folder / "pid").read_text())


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitMQNode]:
    """A node whose first choice of a port was taken by another process meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            choices = [(*processes.free_ports(2), taken.getsockname()[1]), processes.free_ports(3)]
            patch.setattr(rabbitmq_module, "free_ports", lambda _count: choices.pop(0))
            started = RabbitMQNode().start()
        yield started
    started.close()


@pytest.fixture
def connection(node: RabbitMQNode) -> Iterator[pika.BlockingConnection]:
    """An AMQP connection to the node."""
    opened = pika.BlockingConnection(pika.URLParameters(node.start().url))
    yield opened
    if opened.is_open:
        opened.close()


def test_a_taken_port_makes_a_node_choose_anew(node: RabbitMQNode) -> None:
    """The node came up although its first port mapper found its port taken."""
    assert all(listens(port) for port in node.node.ports)


def test_the_memory_alarm_can_be_raised_and_cleared(node: RabbitMQNode, connection: pika.BlockingConnection) -> None:
    """A low watermark blocks a connection that publishes; the usual one lets it go on."""
    told: list[str] = []
    connection.add_on_connection_blocked_callback(lambda *_: told.append("blocked"))
    connection.add_on_connection_unblocked_callback(lambda *_: told.append("unblocked"))

    node.rabbitmqctl("set_vm_memory_high_watermark", "0.0001")
    connection.channel().basic_publish("", "nowhere", b"")
    while told != ["blocked"]:
        connection.process_data_events(60)
    node.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
    while told != ["blocked", "unblocked"]:
        connection.process_data_events(60)


def test_a_refused_command_says_why(node: RabbitMQNode) -> None:
    """An error of rabbitmqctl holds the command and what it printed."""
    with pytest.raises(RabbitMQError, match=r"rabbitmqctl delete_queue missing failed:\n(?s:.*)not found"):
        node.rabbitmqctl("delete_queue", "missing")


def test_a_restart_keeps_the_address_and_durable_messages(node: RabbitMQNode, connection: pika.BlockingConnection) -> None:
    """A restarted node answers at the same url and still has the persistent message of a durable queue."""
    url, pid = node.url, server_pid(node.node.folder)
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("kept", durable=True)
    channel.basic_publish("", "kept", b"body", pika.BasicProperties(delivery_mode=2))

    node.restart()

    with pytest.raises(pika.exceptions.AMQPError):
        connection.process_data_events(5)
    assert url == node.url
    assert pid != server_pid(node.node.folder)
    with pika.BlockingConnection(pika.URLParameters(url)) as again:
        assert again.channel().basic_get("kept", auto_ack=True)[2] == b"body"


def test_a_killed_node_leaves_no_process(node: RabbitMQNode) -> None:
    """After a kill neither the server nor its port mapper runs; its data stay, and to stop it does nothing."""
    pid = server_pid(node.node.folder)
    node.kill()
    node.stop()
    assert not is_alive(pid)
    assert not any(listens(port) for port in node.node.ports)
    assert (node.node.folder / "data").is_dir()


def test_a_node_ends_when_its_owner_is_killed() -> None:
    """After SIGKILL of the process that started it, the server, its port mapper and its folder go."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        said = json.loads(owner.stdout.readline())
        folder, ports = Path(said["folder"]), said["ports"]
        pid = server_pid(folder)
        assert all(listens(port) for port in ports)

        owner.kill()

        wait_until(lambda: not is_alive(pid) and not folder.exists(), "the server and its folder to go")
        wait_until(lambda: not any(listens(port) for port in ports), "the port mapper to go")


def test_a_node_that_does_not_come_up_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error ends with what the server printed, the log it names is kept, and no process is left."""
    for name in ("rabbitmq-server", "rabbitmqctl"):
        script = tmp_path / name
        script.write_text("#!/bin/sh\necho cannot read the stars\nexit 1\n")
        script.chmod(0o755)
    monkeypatch.setattr(programs, "RABBITMQ_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ports = processes.free_ports(3)
    monkeypatch.setattr(rabbitmq_module, "free_ports", lambda _count: ports)

    with pytest.raises(RabbitMQError, match=r"ended before it answered(?s:.*)\ncannot read the stars$") as error:
        RabbitMQNode().start()

    (log,) = tmp_path.glob("sips-rabbitmq-*/server.log")
    assert str(log) in str(error.value)
    assert not any(listens(port) for port in ports)


def test_a_machine_without_rabbitmq_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without RabbitMQ and without Docker there is one message that names the ways out."""
    monkeypatch.setattr(programs, "RABBITMQ_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RabbitMQError, match=r"python -m worker\.local\.install rabbitmq.*AMQP_URL"):
        RabbitMQNode()


def test_a_url_that_is_given_is_used_as_it_is() -> None:
    """No private node is started where an address is given."""
    with rabbitmq("amqp://given/%2F") as url:
        assert url == "amqp://given/%2F"
