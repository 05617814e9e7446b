"""`sips-worker doctor`: each thing that can be wrong, what it says and what it advises."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import pika
import pytest

from tests.amqp import channel
from tests.cli.conftest import CLIENT_SECRET, NOBODY, PASSWORD
from worker.main import make_topology
from worker.messaging.topology import DEAD, ORDERS
from worker.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine, Done, VirtualHost

pytestmark = pytest.mark.usefixtures("sqlite_url")

#: The store that the fixture puts into the folder that the command is run in.
DATABASE_URL = "sqlite:///store.db"

TITLE = "  ..  sandbox at "
SETTINGS = "  ok  settings: complete; `sips-worker settings` shows them"
RABBITMQ = "  ok  RabbitMQ: RabbitMQ 3 answers"
TOPOLOGY = "  ok  topology: every exchange, queue and binding is there"
TOKEN = "  ok  token: SIPS gave one to client us (current pair), valid for 86400 s"
PROBE = "  ok  probe: HTTP 200 from /branches/v2/branchLocations"
STORE = [
    "  ok  blobs: none; a command whose answer is too large for an event ends .failed and says what to set",
    "  ok  store: it answers, and its tables are those of this release (ID)",
    "  ok  orders: none waits for a person",
    "  ok  timers: none is late",
]


def look(sips_worker: CommandLine, sandbox: Sandbox, url: str, **settings: str) -> Done:
    """What the doctor says, with the client that the sandbox knows."""
    ours = {"AMQP_URL": url, "SIPS_BASE_URL": sandbox.url, "SIPS_CLIENT_ID": "us", "DATABASE_URL": DATABASE_URL}
    return sips_worker.run("doctor", **ours | settings)


def lines(done: Done) -> list[str]:
    """What was said after the first line, with stand-ins for RabbitMQ's version and the store's id."""
    title, *rest = done.out.splitlines()
    assert (TITLE, "") == (title[: len(TITLE)], done.err)
    versioned = [re.sub(r"RabbitMQ [\d.]+ answers", "RabbitMQ 3 answers", line) for line in rest]
    return [re.sub(r"(store: .*) \([0-9a-f-]+\)$", r"\1 (ID)", line) for line in versioned]


def test_a_sound_installation_is_ok_line_by_line(declared: VirtualHost, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """And exit status 0."""
    done = look(sips_worker, sandbox, declared.url)

    assert (0, [SETTINGS, RABBITMQ, TOPOLOGY, TOKEN, PROBE, *STORE]) == (done.status, lines(done))


def test_without_rabbitmq_the_rest_is_still_looked_at(sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """But not what needs it."""
    done = look(sips_worker, sandbox, NOBODY)

    assert 1 == done.status
    assert [
        SETTINGS,
        "  !!  RabbitMQ: no connection to RabbitMQ (Connection refused); is it running, and is AMQP_URL right?",
        "  ??  topology: not looked at, because of the above",
        TOKEN,
        PROBE,
        *STORE,
    ] == lines(done)


def test_a_refused_login_is_told_from_a_missing_server(declared: VirtualHost, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """The password is not shown."""
    done = look(sips_worker, sandbox, declared.url.replace("guest:guest", f"guest:{PASSWORD}"))

    assert (1, "  !!  RabbitMQ: RabbitMQ refused the login; check user and password in AMQP_URL") == (done.status, lines(done)[1])


def test_a_topology_that_is_not_there_is_said_in_one_line(empty: VirtualHost, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """Of many names the first five; the doctor declares nothing."""
    names = len(make_topology().exchanges) + len(make_topology().queues)

    done = look(sips_worker, sandbox, empty.url)

    assert 1 == done.status
    assert (
        "  !!  topology: missing: exchange sips.undelivered, exchange sips.unrouted, exchange sips.commands, "
        f"exchange sips.events, exchange sips.retry and {names - 5} more; "
        "start a worker, which declares them, or run `sips-worker topology declare`"
    ) == lines(done)[2]
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(empty.url))) as connection:
        assert names == len(make_topology().check(connection))


def test_one_missing_queue_is_named(declared: VirtualHost, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """Nothing more is said than that."""
    with channel(declared.url) as opened:
        opened.queue_delete(ORDERS)

    done = look(sips_worker, sandbox, declared.url)

    advice = "start a worker, which declares them, or run `sips-worker topology declare`"
    assert (1, f"  !!  topology: missing: queue {ORDERS}; {advice}") == (done.status, lines(done)[2])


def test_other_arguments_are_said_with_what_to_do(declared: VirtualHost, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """Which queue, which argument, both values, and the way out."""
    with channel(declared.url) as opened:
        opened.queue_delete(DEAD)
        opened.queue_declare(DEAD, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 20})

    done = look(sips_worker, sandbox, declared.url)

    assert 1 == done.status
    assert re.fullmatch(
        rf"  !!  topology: queue {DEAD}: PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue '{DEAD}' .*"
        r"received .*'2147483647'.* but current is .*'20'.*"
        "; it exists with other arguments: drain and delete it, then declare again",
        lines(done)[2],
    )


def test_without_the_right_to_configure_the_names_are_enough(
    declared: VirtualHost, sandbox: Sandbox, sips_worker: CommandLine
) -> None:
    """A worker runs on them; that the arguments were not compared is said."""
    done = look(sips_worker, sandbox, declared.limited_url)

    said = "  ok  topology: every exchange and queue is there (no right to configure, so arguments were not compared)"
    assert (0, said) == (done.status, lines(done)[2])


def test_refused_credentials_are_told_from_a_missing_endpoint(
    declared: VirtualHost, sandbox: Sandbox, sips_worker: CommandLine
) -> None:
    """Each with what to check."""
    done = look(sips_worker, sandbox, declared.url, SIPS_CLIENT_ID="them")
    assert 1 == done.status
    assert re.fullmatch(
        rf"  !!  token: SIPS' token endpoint: {sandbox.url} refused client them \(current pair\): HTTP 401 .* to the form, "
        r"HTTP 401 .* to JSON; check client id and client secret, and .* \(SIPS_ENVIRONMENT=sandbox\)",
        lines(done)[3],
    )

    done = look(sips_worker, sandbox, declared.url, SIPS_BASE_URL="http://127.0.0.1:1")
    assert 1 == done.status
    assert (
        "  !!  token: SIPS' token endpoint: http://127.0.0.1:1 gave no token (the call ended with connect-failed); "
        "check SIPS_BASE_URL=http://127.0.0.1:1 and the network, and start `sips-worker sandbox`"
    ) == lines(done)[3]
    assert "  ??  probe: not looked at, because of the above" == lines(done)[4]


@pytest.mark.parametrize("good", ["us", "us-2"])
def test_each_pair_is_judged_by_itself(declared: VirtualHost, sips_worker: CommandLine, good: str) -> None:
    """Work goes on with the one that is good, so SIPS is probed with it."""
    with Sandbox(credentials={good: CLIENT_SECRET}) as half:
        second = {"SIPS_NEXT_CLIENT_ID": "us-2", "SIPS_NEXT_CLIENT_SECRET": CLIENT_SECRET}
        done = look(sips_worker, half, declared.url, **second)

    told = {client: line for client in ("us", "us-2") for line in lines(done) if f"client {client} (" in line}
    bad = ({"us", "us-2"} - {good}).pop()
    assert (1, PROBE) == (done.status, lines(done)[5])
    assert told[good].startswith(f"  ok  token: SIPS gave one to client {good} (")
    assert re.match(rf"  !!  token: SIPS' token endpoint: \S+ refused client {bad} \(", told[bad])


def test_a_missing_secret_of_the_next_pair_is_found(declared: VirtualHost, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """The current pair serves meanwhile."""
    done = look(sips_worker, sandbox, declared.url, SIPS_NEXT_CLIENT_SECRET_FILE="/nowhere")

    missing = "SIPS_NEXT_CLIENT_SECRET_FILE=/nowhere cannot be read (FileNotFoundError); check the path and its permissions"
    assert (1, [SETTINGS, RABBITMQ, TOPOLOGY, TOKEN, f"  !!  token: {missing}", PROBE, *STORE]) == (done.status, lines(done))


def test_outside_the_sandbox_no_stand_in_is_advised(declared: VirtualHost, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """There only the address and the network are to be looked at."""
    qa = {
        "SIPS_ENVIRONMENT": "qa",
        "SIPS_BASE_URL": "https://127.0.0.1:1",
        "SIPS_SOURCE_SYSTEM": "US",
        "SIPS_TIME_ZONE": "America/Chicago",
    }

    done = sips_worker.run("doctor", **{"AMQP_URL": declared.url, "SIPS_CLIENT_ID": "us"} | qa)

    assert (1, "  ..  qa at https://127.0.0.1:1") == (done.status, done.out.splitlines()[0])
    assert done.out.splitlines()[4].endswith("; check SIPS_BASE_URL=https://127.0.0.1:1 and the network")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"SIPS_CLIENT_SECRET": "", "SIPS_CLIENT_SECRET_FILE": "/nowhere"},
            "SIPS_CLIENT_SECRET_FILE=/nowhere cannot be read (FileNotFoundError); check the path and its permissions",
        ),
        (
            {"SIPS_PATHS__deliveryDetails": "/deliveries"},
            "SIPS_PATHS__deliveryDetails: the path must hold {orderId}, as /orders/{orderId}/deliveries does",
        ),
    ],
)
def test_a_setting_that_would_stop_a_worker_is_found(
    declared: VirtualHost, sandbox: Sandbox, sips_worker: CommandLine, settings: dict[str, str], said: str
) -> None:
    """Nothing is asked of SIPS with it."""
    done = look(sips_worker, sandbox, declared.url, **settings)

    assert 1 == done.status
    unseen = [f"  ??  {name}: not looked at, because of the above" for name in ("token", "probe")]
    assert [f"  !!  settings: {said}", RABBITMQ, TOPOLOGY, *unseen, *STORE] == lines(done)
