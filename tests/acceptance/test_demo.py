"""`sips-worker demo`, as somebody runs it who sees the project for the first time."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.amqp import count, eventually, publish
from worker.cli.demo.examples import bad_messages, good_messages
from worker.local.stack import FOREIGN
from worker.main import make_topology
from worker.messaging.topology import DEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.local.rabbitmq import RabbitMQNode

#: Seconds for a demo; it takes about a dozen.
LIMIT_SECONDS = 150


def processes(folder: Path) -> list[int]:
    """Every process that was started with this folder in its environment, whatever its session and its parent."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it is gone, or another user's
            if os.fsencode(folder) in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


class Demo:
    """A demo that runs, with a folder for temporary files and its own settings."""

    def __init__(self, folder: Path, **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}
        self.folder = folder
        self.most = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker", "demo"],
            cwd=folder,
            env=inherited | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def lines(self) -> Iterator[str]:
        """What it says, as it says it; how many processes there are at most is noted."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.most = max(self.most, len(processes(self.folder)))
            yield line.rstrip("\n")

    def end(self) -> tuple[int, str]:
        """Its exit status and standard error; its processes and files are gone."""
        _out, err = self.process.communicate(timeout=LIMIT_SECONDS)
        eventually(lambda: not processes(self.folder), "no process is left")
        assert [] == list(self.folder.iterdir())
        return self.process.returncode, err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        with self.process:
            self.process.kill()


def check_numbers(lines: list[str]) -> None:
    """Every message came to its end; the numbers are those of the messages that are published."""
    good, bad = good_messages("run"), bad_messages("run", "demo", 1)
    submitted = [message for message in good if message.type == "sips.order.submit" and message.expected == "succeeded"]
    assert {
        "commands": len(good) + len(bad) + 3,
        "succeeded": sum(message.expected == "succeeded" for message in good) + 2,
        "failed": sum(message.expected == "failed" for message in good) + sum(message.id is not None for message in bad),
        "unknown": 1,
        "orders_at_sips": len(submitted) + 2,
        "duplicates": 0,
        "dead_letters": len(bad),
    } == json.loads(lines[-1])
    table = [line for line in lines if line.endswith(("  yes", "  NO"))]
    assert (len(good) + len(bad) + 3, []) == (len(table), [line for line in table if not line.endswith("  yes")])


def test_on_a_bare_machine_it_runs_to_its_end_and_leaves_nothing(tmp_path: Path) -> None:
    """A RabbitMQ, a sandbox and two workers of its own, whatever is set; the last line is for programs."""
    with Demo(tmp_path, AMQP_URL="", MAX_MESSAGE_BYTES="wrong", SIPS_ENVIRONMENT="wrong") as demo:
        lines = list(demo.lines())

        assert (0, "") == demo.end()
    check_numbers(lines)
    text = "\n".join(lines)
    assert re.search(
        "starting a private RabbitMQ .*sandbox stands in .*2 workers are starting.*it was not sent again.*Delivered -> Invoiced",
        text,
        re.DOTALL,
    )
    assert not re.search("Traceback|NO$", text, re.MULTILINE)
    assert 9 <= demo.most, "the demo, RabbitMQ and its guard, the sandbox, the receiver, two workers of two processes each"


def test_ctrl_c_in_the_middle_stops_everything(tmp_path: Path) -> None:
    """Said at once; another signal while it stops changes nothing."""
    with Demo(tmp_path) as demo:
        next(line for line in demo.lines() if "workers are starting" in line)
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.stderr is not None
        said = [demo.process.stderr.readline() for _ in range(2)]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            demo.process.send_signal(number)

        status, err = demo.end()
    assert (130, ["\n", "stopping everything that was started\n"], "stopped\n") == (status, said, err)
    assert 6 <= demo.most, "the demo, RabbitMQ and its guard, the sandbox, two workers"


def test_in_a_given_rabbitmq_it_leaves_the_topology_and_its_dead_letters(
    node: RabbitMQNode, private_url: str, tmp_path: Path
) -> None:
    """It tells them from those that lay there before, which stay."""
    old = bad_messages("old", "demo-old", 1)[0]
    for properties in ({"app_id": "shop", "message_id": "1", "headers": {"sips-reason": "no-id"}}, {}):
        publish(private_url, "", DEAD, b"old", **properties)
    publish(private_url, "", DEAD, old.body, message_id=old.id, app_id="demo-old", headers={"sips-reason": old.reason})
    before = names(node)

    with Demo(tmp_path, AMQP_URL=private_url) as demo:
        lines = list(demo.lines())

        assert (0, "") == demo.end()
    check_numbers(lines)
    assert "private RabbitMQ" not in "\n".join(lines)
    assert before == names(node)
    assert 3 + json.loads(lines[-1])["dead_letters"] == count(private_url, DEAD)
    assert [] == [queue.name for queue in make_topology().queues if queue.name != DEAD and count(private_url, queue.name)]


def names(node: RabbitMQNode) -> set[tuple[str, str]]:
    """Every exchange and queue of the private node."""
    definitions = json.loads(node.rabbitmqctl("export_definitions", "-"))
    return {(kind, item["name"]) for kind in ("exchanges", "queues") for item in definitions[kind]}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://us:c0rrect-horse@127.0.0.1:1", "no connection to RabbitMQ (Connection refused); is it running, and "),
        ("amqp://us:c0rrect/horse@rabbit", "AMQP_URL: must look like amqp://user:password@host:5672/vhost"),
    ],
)
def test_a_rabbitmq_that_is_not_there_is_one_line(tmp_path: Path, url: str, said: str) -> None:
    """The same for an address that is none."""
    with Demo(tmp_path, AMQP_URL=url) as demo:
        assert [] == list(demo.lines())
        status, err = demo.end()

    assert (2, 1, True) == (status, len(err.splitlines()), err.startswith(f"sips-worker: {said}"))
