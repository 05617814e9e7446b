"""`sips-worker events`: events as they come, readable or as JSON, until told to stop."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import click
import pytest

from tests.amqp import publish
from tests.cli.conftest import NOBODY
from worker.cli.publish import readable
from worker.messaging.topology import EVENTS

if TYPE_CHECKING:
    import subprocess

    from tests.cli.conftest import CommandLine

FAILED = {
    "type": "sips.order.submit.failed",
    "time": "2026-01-02T03:04:05.678Z",
    "causationid": "one",
    "subject": "customer/C1/order/PO-1",
    "data": {"type": "invalid-payload", "detail": "2 problem(s)", "errors": [{"pointer": "/a"}, {"pointer": "/b/0"}]},
}


def listening(sips_worker: CommandLine, *options: str, url: str) -> subprocess.Popen[str]:
    """The command, once it hears every event."""
    process = sips_worker.start("events", *options, AMQP_URL=url)
    assert process.stderr is not None
    assert "; Ctrl-C ends\n" == process.stderr.readline()[-14:]
    return process


def happen(url: str, *events: dict[str, Any]) -> None:
    """Publish events as a worker does."""
    for event in events:
        publish(url, EVENTS, event["type"], json.dumps(event).encode())


def test_an_event_is_a_readable_line(amqp_url: str, sips_worker: CommandLine) -> None:
    """When, what, of which command, and why."""
    process = listening(sips_worker, "--count", "1", url=amqp_url)

    happen(amqp_url, FAILED)

    line = (
        "03:04:05.678  sips.order.submit.failed            one  customer/C1/order/PO-1  invalid-payload: 2 problem(s)  /a  /b/0\n"
    )
    assert (0, line, "") == sips_worker.end(process)


def test_an_event_as_json_is_as_it_came(amqp_url: str, sips_worker: CommandLine) -> None:
    """One to a line, and the command ends after as many as were asked for."""
    process = listening(sips_worker, "--json", "--count", "2", url=amqp_url)

    happen(amqp_url, FAILED, FAILED | {"causationid": "two"}, FAILED | {"causationid": "three"})

    done = sips_worker.end(process)
    assert (0, [FAILED, FAILED | {"causationid": "two"}]) == (done.status, [json.loads(line) for line in done.out.splitlines()])


def test_only_what_was_bound_is_shown(amqp_url: str, sips_worker: CommandLine) -> None:
    """Several bindings add up."""
    process = listening(sips_worker, "--bind", "sips.order.#", "--bind", "*.delivery.*.succeeded", "--count", "2", url=amqp_url)

    kinds = ("sips.delivery.get.failed", "sips.delivery.get.succeeded", "sips.pricing.fetch.failed", "sips.order.confirmed")
    happen(amqp_url, *({"type": kind} for kind in kinds))

    done = sips_worker.end(process)
    assert (0, [kinds[1], kinds[3]]) == (done.status, [line.strip() for line in done.out.splitlines()])


def test_what_is_no_event_stops_nothing(amqp_url: str, sips_worker: CommandLine) -> None:
    """Whoever may write to the exchange can put anything there."""
    process = listening(sips_worker, "--count", "2", url=amqp_url)

    for body in (b"{", b"\xff", b"[]", b"null", b"{}", b'{"type": 1}', b'{"type": "odd", "time": null, "data": [1]}'):
        publish(amqp_url, EVENTS, "odd", body)
    happen(amqp_url, FAILED)

    done = sips_worker.end(process)
    odd, failed = done.out.splitlines()
    assert (0, "odd", True) == (done.status, odd.strip(), "/b/0" in failed)


def test_ctrl_c_ends_it_quietly(amqp_url: str, sips_worker: CommandLine) -> None:
    """That is what it says; it is no error."""
    process = listening(sips_worker, url=amqp_url)

    process.send_signal(signal.SIGINT)

    assert (0, "", "") == sips_worker.end(process)


def test_without_rabbitmq_there_is_one_line(sips_worker: CommandLine) -> None:
    """That says what to look at."""
    line = "sips-worker: no connection to RabbitMQ (Connection refused); is it running, and is AMQP_URL right?\n"

    assert (2, "", line) == sips_worker.run("events", AMQP_URL=NOBODY)


@pytest.mark.parametrize(
    ("event", "colour", "rest"),
    [
        ({"type": "sips.order.submit.succeeded"}, "green", ""),
        ({"type": "sips.order.submit.failed", "data": {"type": "expired", "detail": "too late"}}, "red", "  expired: too late"),
        ({"type": "sips.order.submit.unknown", "data": {"lastError": "lost-answer"}}, "yellow", "  lost-answer"),
        ({"type": "sips.order.confirmed", "subject": "customer/C1"}, "cyan", "  customer/C1"),
    ],
)
def test_the_end_of_a_command_has_its_colour(event: dict[str, Any], colour: str, rest: str) -> None:
    """For the eye; the text alone says it as well."""
    assert click.style(f"{event['type']:<34}", fg=colour) + rest == readable(event)
