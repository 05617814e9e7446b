"""`sips-worker topology`: declared, looked at and printed, with the rights that the user has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.amqp import channel
from tests.cli.conftest import NOBODY
from worker.cli.contract import FOLDER
from worker.main import make_topology
from worker.messaging.topology import BULK, COMMANDS, DEAD

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine, VirtualHost


def test_what_is_missing_is_named_until_it_is_declared(empty: VirtualHost, sips_worker: CommandLine) -> None:
    """And looking changes nothing."""
    topology = make_topology()
    names = [f"exchange {item.name}" for item in topology.exchanges] + [f"queue {item.name}" for item in topology.queues]

    for _ in range(2):
        done = sips_worker.run("topology", "check", AMQP_URL=empty.url)
        assert (1, [f"missing: {name}" for name in names]) == (done.status, done.out.splitlines())
        assert "declare it with `sips-worker topology declare`\n" == done.err
    assert (0, "the topology is in place\n", "") == sips_worker.run("topology", "declare", AMQP_URL=empty.url)
    assert (0, "every exchange and queue is there\n", "") == sips_worker.run("topology", "check", AMQP_URL=empty.url)

    with channel(empty.url) as opened:
        opened.queue_delete(BULK)
    assert (1, f"missing: queue {BULK}\n") == sips_worker.run("topology", "check", AMQP_URL=empty.url)[:2]


def test_declaring_it_again_changes_nothing(declared: VirtualHost, sips_worker: CommandLine) -> None:
    """Every worker does it at each start."""
    with channel(declared.url) as opened:
        opened.basic_publish("", DEAD, b"kept")

    assert 0 == sips_worker.run("topology", "declare", AMQP_URL=declared.url).status

    with channel(declared.url) as opened:
        assert b"kept" == opened.basic_get(DEAD, auto_ack=True)[2]


def test_other_arguments_under_a_name_are_explained(empty: VirtualHost, sips_worker: CommandLine) -> None:
    """What differs, and the one way there is."""
    with channel(empty.url) as opened:
        opened.queue_declare(DEAD, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 20})

    status, out, err = sips_worker.run("topology", "declare", AMQP_URL=empty.url)

    assert (2, "", 1) == (status, out, len(err.splitlines()))
    assert err.startswith(f"sips-worker: queue {DEAD}: PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit'")
    assert err.endswith("it exists with other arguments: drain and delete it, then declare again\n")


def test_an_exchange_of_another_type_is_explained(empty: VirtualHost, sips_worker: CommandLine) -> None:
    """The same for exchanges."""
    with channel(empty.url) as opened:
        opened.exchange_declare(COMMANDS, exchange_type="direct", durable=True)

    status, _out, err = sips_worker.run("topology", "declare", AMQP_URL=empty.url)

    assert (2, True) == (status, err.startswith(f"sips-worker: exchange {COMMANDS}: PRECONDITION_FAILED"))


def test_a_user_without_rights_is_told_so_and_can_look(empty: VirtualHost, sips_worker: CommandLine) -> None:
    """Somebody else declares it for him."""
    status, _out, err = sips_worker.run("topology", "declare", AMQP_URL=empty.limited_url)
    assert (2, 1) == (status, len(err.splitlines()))
    assert "ACCESS_REFUSED" in err
    assert "give the user the right to configure it, or declare it once with `sips-worker topology declare`" in err
    assert 1 == sips_worker.run("topology", "check", AMQP_URL=empty.limited_url).status

    assert 0 == sips_worker.run("topology", "declare", AMQP_URL=empty.url).status

    assert 0 == sips_worker.run("topology", "check", AMQP_URL=empty.limited_url).status


def test_what_is_printed_is_the_contracts_file(sips_worker: CommandLine) -> None:
    """To the byte, and without RabbitMQ."""
    contract = (FOLDER / "topology.json").read_text(encoding="utf-8")

    assert (0, contract, "") == sips_worker.run("topology", "export", AMQP_URL=NOBODY)


def test_without_rabbitmq_there_is_one_line(sips_worker: CommandLine) -> None:
    """That says what to look at."""
    line = "sips-worker: no connection to RabbitMQ (Connection refused); is it running, and is AMQP_URL right?\n"
    for command in ("declare", "check"):
        assert (2, "", line) == sips_worker.run("topology", command, AMQP_URL=NOBODY)
