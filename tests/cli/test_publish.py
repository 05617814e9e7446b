"""`sips-worker publish`: a command of a person's, and the outcome for which it waits."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.amqp import channel, purge, take_all
from tests.cli.conftest import CLIENT_SECRET, NOBODY
from worker.cli import cli
from worker.local.stack import Worker
from worker.messaging.topology import ORDERS, QUERIES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pika

    from tests.cli.conftest import CommandLine, VirtualHost
    from worker.sandbox import Sandbox

DELIVERY = "sips.delivery.get"
PAYLOAD = '{"orderId": "35818786"}'


@pytest.fixture(scope="module")
def worker(shared_url: str, sandbox: Sandbox, migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that answers."""
    folder = tmp_path_factory.mktemp("worker")
    shutil.copy(migrated_file, folder / "sips-worker.db")
    settings = {"AMQP_URL": shared_url, "SIPS_BASE_URL": sandbox.url, "THREADS": "2", "LOG_FORMAT": "json"}
    credentials = {"SIPS_CLIENT_ID": "us", "SIPS_CLIENT_SECRET": CLIENT_SECRET}
    purge(shared_url)
    with Worker("worker", folder, settings | credentials) as started:
        yield started


def published(url: str, queue: str) -> tuple[pika.BasicProperties, bytes]:
    """The one message in a queue."""
    (message,) = take_all(url, queue)
    return message


def test_a_structured_command_is_a_cloudevent(declared: VirtualHost, sips_worker: CommandLine) -> None:
    """The default form; the id that was made up is said."""
    (sips_worker.folder / "payload.json").write_text(PAYLOAD)

    status, out, err = sips_worker.run("publish", DELIVERY, "payload.json", AMQP_URL=declared.url)

    properties, body = published(declared.url, QUERIES)
    event = json.loads(body)
    assert (0, "", f"published {DELIVERY} {event['id']}\n") == (status, out, err)
    assert "application/cloudevents+json" == properties.content_type
    assert ("sips-worker-cli", DELIVERY, json.loads(PAYLOAD)) == (event["source"], event["type"], event["data"])


def test_a_binary_command_has_its_attributes_in_headers(declared: VirtualHost, sips_worker: CommandLine) -> None:
    """With an id and a source of the caller's."""
    arguments = ("publish", DELIVERY, "-", "--form", "binary", "--id", "one", "--source", "shop")

    assert (0, "", f"published {DELIVERY} one\n") == sips_worker.run(*arguments, given=PAYLOAD, AMQP_URL=declared.url)

    properties, body = published(declared.url, QUERIES)
    expected = {"ce-specversion": "1.0", "ce-id": "one", "ce-source": "shop", "ce-type": DELIVERY}
    assert expected == {name: value for name, value in properties.headers.items() if name.startswith("ce-")}
    assert json.loads(PAYLOAD) == json.loads(body)


def test_a_plain_command_has_its_attributes_in_properties(declared: VirtualHost, sips_worker: CommandLine) -> None:
    """Of another type, it goes to another queue."""
    arguments = ("publish", "sips.order.submit", "-", "--form", "plain", "--id", "two")

    assert 0 == sips_worker.run(*arguments, given="[]", AMQP_URL=declared.url).status

    properties, body = published(declared.url, ORDERS)
    assert ("two", "sips-worker-cli", "sips.order.submit") == (properties.message_id, properties.app_id, properties.type)
    assert b"[]" == body


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("form", ["structured", "binary", "plain"])
def test_a_success_is_printed_and_is_exit_status_0(shared_url: str, sips_worker: CommandLine, form: str) -> None:
    """The outcome alone stands on standard output, as JSON, for the next program to read."""
    done = sips_worker.run("publish", DELIVERY, "-", "--wait", "--form", form, given=PAYLOAD, AMQP_URL=shared_url)

    outcome = json.loads(done.out)
    assert (0, f"{DELIVERY}.succeeded") == (done.status, outcome["type"]), done.err
    assert f"published {DELIVERY} {outcome['causationid']}\n" == done.err


@pytest.mark.usefixtures("worker")
def test_a_failure_is_printed_and_is_exit_status_1(shared_url: str, sips_worker: CommandLine) -> None:
    """With what is wrong and where."""
    done = sips_worker.run("publish", DELIVERY, "-", "--wait", given='{"orderId": ""}', AMQP_URL=shared_url)

    data = json.loads(done.out)["data"]
    assert (1, "invalid-payload", "/orderId") == (done.status, data["type"], data["errors"][0]["pointer"])


@pytest.mark.parametrize(
    ("command_type", "hint"),
    [("sips.order.lst", "; is sips.order.list meant?"), ("teleport", "; the README has those that there are")],
)
def test_a_type_that_this_release_does_not_have_is_said(
    declared: VirtualHost, sips_worker: CommandLine, command_type: str, hint: str
) -> None:
    """It is published all the same: a worker of a newer release may be there."""
    done = sips_worker.run("publish", command_type, "-", given="{}", AMQP_URL=declared.url)

    assert (0, f"no command of this release is {command_type}{hint}") == (done.status, done.err.splitlines()[0])


def test_no_outcome_in_time_is_exit_status_3(declared: VirtualHost, sips_worker: CommandLine) -> None:
    """Nobody works here; the command is published all the same."""
    arguments = ("publish", DELIVERY, "-", "--wait", "--seconds", "0.2", "--id", "three")

    status, out, err = sips_worker.run(*arguments, given=PAYLOAD, AMQP_URL=declared.url)

    assert (3, "") == (status, out)
    assert [
        f"published {DELIVERY} three",
        "no outcome within 0.2 s: is a worker running? It still may come.",
    ] == err.splitlines()
    assert published(declared.url, QUERIES)


def test_ctrl_c_ends_the_waiting(declared: VirtualHost, sips_worker: CommandLine) -> None:
    """With a status of its own: nothing is known of the outcome."""
    (sips_worker.folder / "payload.json").write_text(PAYLOAD)
    process = sips_worker.start("publish", DELIVERY, "payload.json", "--wait", "--id", "four", AMQP_URL=declared.url)
    assert process.stderr is not None
    assert f"published {DELIVERY} four\n" == process.stderr.readline()

    process.send_signal(signal.SIGINT)

    assert (130, "", "not waited for; the outcome still may come\n") == sips_worker.end(process)


@pytest.mark.parametrize("given", [b"{", b"", b"NaN", b"\xff"])
def test_what_is_no_json_is_not_published(given: bytes, tmp_path: Path) -> None:
    """A slip of a person's is not for the dead letters: it is said before RabbitMQ is asked."""
    file = tmp_path / "payload.json"
    file.write_bytes(given)

    result = CliRunner().invoke(cli, ["publish", DELIVERY, str(file)], env={"AMQP_URL": NOBODY})

    assert (2, True) == (result.exit_code, f"Error: Invalid value for FILE.json: {file} is not JSON: " in result.stderr)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The same way."""
    file = tmp_path / "none.json"

    result = CliRunner().invoke(cli, ["publish", DELIVERY, str(file)], env={"AMQP_URL": NOBODY})

    assert (2, True) == (result.exit_code, result.stderr.endswith(f"'{file}': No such file or directory\n"))


def test_without_the_topology_there_is_one_line(empty: VirtualHost, sips_worker: CommandLine) -> None:
    """That says how it comes about; the same where only the queues are gone."""
    advice = "declare the topology with `sips-worker topology declare`\n"

    status, _out, err = sips_worker.run("publish", DELIVERY, "-", given=PAYLOAD, AMQP_URL=empty.url)
    assert (2, 1, True) == (status, len(err.splitlines()), err.startswith("sips-worker: RabbitMQ refused: NOT_FOUND"))
    assert err.endswith(advice)

    with channel(empty.url) as opened:
        opened.exchange_declare("sips.commands", exchange_type="topic", durable=True)
    assert (2, "", f"sips-worker: no queue takes commands; {advice}") == sips_worker.run(
        "publish", DELIVERY, "-", given=PAYLOAD, AMQP_URL=empty.url
    )


def test_a_right_that_is_missing_is_no_matter_of_the_topology(declared: VirtualHost, sips_worker: CommandLine) -> None:
    """Waiting needs a queue of one's own, and the right to make it."""
    arguments = ("publish", DELIVERY, "-", "--wait")

    status, _out, err = sips_worker.run(*arguments, given=PAYLOAD, AMQP_URL=declared.limited_url)

    assert (2, 1, True) == (status, len(err.splitlines()), err.startswith("sips-worker: RabbitMQ refused: ACCESS_REFUSED"))
    assert err.endswith("; the user in AMQP_URL lacks that right, which RabbitMQ's administrator can give\n")


def test_without_rabbitmq_there_is_one_line(sips_worker: CommandLine) -> None:
    """That says what to look at."""
    line = "sips-worker: no connection to RabbitMQ (Connection refused); is it running, and is AMQP_URL right?\n"

    assert (2, "", line) == sips_worker.run("publish", DELIVERY, "-", given=PAYLOAD, AMQP_URL=NOBODY)
