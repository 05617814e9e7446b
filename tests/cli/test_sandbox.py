"""`sips-worker sandbox`: where it listens, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.acceptance.conftest import example
from tests.amqp import eventually
from tests.sandbox.calling import Caller, Control, order
from tests.sandbox.receiving import Receiving
from worker.cli import cli
from worker.sandbox.life import STEPS

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_when_told(sips_worker: CommandLine, number: signal.Signals) -> None:
    """On both ports, free ones where none are given."""
    process = sips_worker.start("sandbox", "--port", "0")
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())

    assert "sandbox ready" == ready["event"]
    assert ready["url"] != ready["control_url"]
    for url in (ready["url"], ready["control_url"]):
        with urllib.request.urlopen(f"{url}/_sandbox/orders") as answer:
            assert {"orders": []} == json.load(answer)
    process.send_signal(number)

    assert (0, "", "") == sips_worker.end(process)


def test_clients_that_are_named_are_the_only_ones(sips_worker: CommandLine) -> None:
    """So that a wrong secret, and the change from one pair to the next, can be rehearsed."""
    process = sips_worker.start("sandbox", "--port", "0", "--client", "us=staple=1", "--client", "us-2=staple-2")
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]

    ours = {"SIPS_BASE_URL": url, "SIPS_CLIENT_ID": "us", "SIPS_CLIENT_SECRET": "staple=1", "DATABASE_URL": "sqlite:///no.db"}
    done = sips_worker.run("doctor", **ours, AMQP_URL="amqp://127.0.0.1:1", SIPS_NEXT_CLIENT_SECRET="staple-3")
    process.send_signal(signal.SIGTERM)

    assert "  ok  token: SIPS gave one to client us (current pair)" in done.out
    assert f"  !!  token: SIPS' token endpoint: {url} refused client us (next pair)" in done.out
    assert (0, "", "") == sips_worker.end(process)


@pytest.mark.parametrize(
    ("clients", "said"),
    [(["us"], "write ID=SECRET"), (["=x"], "write ID=SECRET"), (["us=a", "us=b"], "client us is named twice")],
)
def test_a_client_is_an_id_and_a_secret(clients: list[str], said: str) -> None:
    """Said before anything listens."""
    result = CliRunner().invoke(cli, ["sandbox", *(f"--client={client}" for client in clients)])

    assert (2, True) == (result.exit_code, f"Invalid value for '--client': {said}" in result.stderr)


@pytest.mark.parametrize("live", [("--live", "1000000"), ("--live-steps", "0:0.01")])
def test_orders_live_and_are_told_of(sips_worker: CommandLine, live: tuple[str, str]) -> None:
    """Where it is told to, under the headers that are given."""
    with Receiving() as receiving:
        options = [*live, "--webhook", receiving.url, "--webhook-header", "X-Key=made=up", "--seed", "7"]
        process = sips_worker.start("sandbox", "--port", "0", *options)
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        with Caller(ready["url"]) as sips:
            sips.token = sips.call("POST", "/Authentication/token", example("authenticationToken.request")).body["access_token"]
            sips.call("POST", "/orders/v2/Submit", order())
        eventually(lambda: len(receiving.calls) == len(STEPS), "every change was told of")
        lives = Control(ready["control_url"]).call("GET", "lives").body
        process.send_signal(signal.SIGTERM)

        assert (0, "", "") == sips_worker.end(process)
    assert (7, 1) == (lives["seed"], len(lives["lives"]))
    assert {"made=up"} == {call.headers["x-key"] for call in receiving.calls}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--live", "0"], "Invalid value for '--live': "),
        (["--live", "1000001"], "Invalid value for '--live': "),
        (["--live-steps", "1"], "write LEAST:MOST, in seconds"),
        (["--live-steps", "1:2:3"], "write LEAST:MOST, in seconds"),
        (["--live-steps", "1:x"], "write LEAST:MOST, in seconds"),
        (["--live-steps", "2:1"], "seconds from 0 to 86400, the least first"),
        (["--live-steps", "-1:1"], "seconds from 0 to 86400, the least first"),
        (["--live-steps", "1:86401"], "seconds from 0 to 86400, the least first"),
        (["--live-steps", "nan:1"], "seconds from 0 to 86400, the least first"),
        (["--live", "1", "--live-steps", "1:2"], "two ways to have orders live; choose one"),
        (["--webhook", "http://h/"], "--webhook needs --live or --live-steps: "),
        (["--live", "1", "--webhook-header", "a=b"], "--webhook-header needs --webhook"),
        (["--live", "1", "--webhook", "ftp://h/"], "--webhook: the address of a receiver is http://"),
        (["--live", "1", "--webhook", "http://h/", "--webhook-header", "a"], "write NAME=VALUE"),
        (["--webhook-header", "a=b", "--webhook-header", "a=c"], "header a is named twice"),
    ],
)
def test_options_that_do_not_fit_are_told(options: list[str], said: str) -> None:
    """Before anything listens."""
    result = CliRunner().invoke(cli, ["sandbox", *options])

    assert (2, True) == (result.exit_code, said in result.stderr)


def test_the_control_port_is_the_next_one(sips_worker: CommandLine) -> None:
    """Where another port is given."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = sips_worker.run("sandbox", "--port", str(port - 1))

    assert (2, "") == (status, out)
    assert f", ports {port - 1} and {port} (" in err


def test_a_taken_port_is_one_line(sips_worker: CommandLine) -> None:
    """That names it, and what else to try."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = sips_worker.run("sandbox", "--port", str(port))

    assert (2, "", 1) == (status, out, len(err.splitlines()))
    assert err.startswith(f"sips-worker: the sandbox cannot listen on 127.0.0.1, ports {port} and {port + 1} ([Errno 98] ")
    assert err.endswith("; choose others with --port and --control-port\n")


def test_an_unknown_host_is_one_line(sips_worker: CommandLine) -> None:
    """The same way."""
    status, _out, err = sips_worker.run("sandbox", "--host", "nowhere.invalid", "--port", "0")

    assert (2, 1) == (status, len(err.splitlines()))
    assert err.startswith("sips-worker: the sandbox cannot listen on nowhere.invalid, ports 0 and 0 (")


@pytest.mark.parametrize("option", ["--port", "--control-port"])
def test_a_port_is_a_port(option: str) -> None:
    """Said before anything listens."""
    for value in ("65536", "-1", "http"):
        result = CliRunner().invoke(cli, ["sandbox", option, value])

        assert (2, True) == (result.exit_code, f"Invalid value for '{option}'" in result.stderr)
