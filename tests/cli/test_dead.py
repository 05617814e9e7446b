"""`sips-worker dead` against the real RabbitMQ."""

from __future__ import annotations

import base64
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from pika.spec import BasicProperties

from tests.amqp import channel, count, eventually, publish, take_all
from worker.cli import cli
from worker.cli.dead_letter_text import ADVICE
from worker.main import make_topology
from worker.messaging.publisher import Message, Publisher
from worker.messaging.topology import DEAD, QUERIES, RETRY, TopologyError
from worker.sips import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

READ = "sips.delivery.get"
HOUR = 3600


@pytest.fixture
def run(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `sips-worker dead …`; standard output and error are told apart."""
    monkeypatch.setenv("AMQP_URL", amqp_url)
    return lambda *arguments: CliRunner().invoke(cli, ["dead", *arguments])


def die(url: str, message_id: str | None, reason: str, *, age: int = 0, **properties: Any) -> None:
    """Put a dead letter there, as the worker sets one aside."""
    headers = {"sips-reason": reason, "sips-detail": f"why {message_id} died", "sips-queue": QUERIES, "sips-attempt": 8}
    headers |= {"sips-dead-at": int(time.time()) - age} | properties.pop("headers", {})
    whole = {"message_id": message_id, "app_id": "shop", "type": READ} | properties
    publish(url, "", DEAD, b'{"orderId": "35818786", "name": "Ada Lovelace"}', headers=headers, **whole)


def there_are(url: str, number: int) -> None:
    """Wait until RabbitMQ counts so many dead letters; its figures come a little late."""
    eventually(lambda: count(url, DEAD) == number, f"{number} dead letters are there")


def are_left(url: str, *ids: str) -> None:
    """These and no others are in the queue; it is empty then."""
    there_are(url, len(ids))
    assert set(ids) == {properties.message_id for properties, _body in take_all(url, DEAD)}


def test_list_shows_a_line_for_each_and_counts_the_reasons(run: Callable[..., Result], amqp_url: str) -> None:
    """For people; the payload stands nowhere, and nothing is taken out."""
    for message_id, reason in (("m1", "sips-error"), ("m2", "handler-fault"), ("m3", "sips-error")):
        die(amqp_url, message_id, reason)

    result = run("list")

    lines = result.stdout.splitlines()
    assert (0, 5) == (result.exit_code, len(lines))
    for line, words in zip(lines, (["m1", READ, "sips-error", "shop", "1/8"], ["m2"], ["m3"]), strict=False):
        assert set(words) <= set(line.split())
    assert ["2 sips-error", "1 handler-fault"] == [" ".join(line.split()) for line in lines[3:]]
    assert "Lovelace" not in result.output
    there_are(amqp_url, 3)


def test_list_for_machines_is_one_object_per_line_and_nothing_else(run: Callable[..., Result], amqp_url: str) -> None:
    """The counts go to standard error."""
    die(amqp_url, "m1", "sips-error")

    result = run("list", "--json")

    (line,) = result.stdout.splitlines()
    letter = json.loads(line)
    assert ("m1", "m1", "shop", READ, "sips-error", "why m1 died", QUERIES, 8, 1, 47, False) == tuple(
        letter[name]
        for name in ("key", "id", "source", "type", "reason", "detail", "queue", "attempts", "run", "size", "redelivered")
    )
    assert "1  sips-error" in result.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"m1", "m2", "m3", "m4"}),
        (("--type", READ), {"m1", "m2", "m4"}),
        (("--reason", "not-json", "--reason", "sips-error"), {"m1", "m2", "m4"}),
        (("--source", "crm"), {"m3"}),
        (("--id", "m1", "--id", "m3"), {"m1", "m3"}),
        (("--older", "90m"), {"m2", "m4"}),
        (("--newer", "90m"), {"m1", "m3"}),
        (("--older", "90m", "--newer", "2d"), {"m2"}),
        (("--reason", "sips-error", "--older", "1h"), {"m2"}),
        (("--limit", "2"), {"m1", "m2"}),
    ],
)
def test_every_command_chooses_alike(
    run: Callable[..., Result], amqp_url: str, options: tuple[str, ...], expected: set[str]
) -> None:
    """List, redrive and drop take the same filters and mean the same."""
    die(amqp_url, "m1", "sips-error")
    die(amqp_url, "m2", "sips-error", age=2 * HOUR)
    die(amqp_url, "m3", "handler-fault", type="sips.pricing.fetch", app_id="crm")
    die(amqp_url, "m4", "not-json", age=72 * HOUR)

    listed = {json.loads(line)["id"] for line in run("list", "--json", *options).stdout.splitlines()}
    dropped = run("drop", "--yes", *options)

    assert (expected, 0) == (listed, dropped.exit_code)
    are_left(amqp_url, *({"m1", "m2", "m3", "m4"} - expected))


@pytest.mark.parametrize("age", ["3 days", "1w", "-5m", "", "h", "9999999d"])
def test_an_age_that_is_none_is_refused(run: Callable[..., Result], age: str) -> None:
    """With an example, and before anything is touched."""
    result = run("drop", "--older", age, "--yes")

    assert 2 == result.exit_code
    assert "90s, 15m, 2h or 3d" in result.stderr


def test_show_tells_everything_but_the_payload_and_what_to_do_next(run: Callable[..., Result], amqp_url: str) -> None:
    """The payload holds names and addresses: only where it is asked for."""
    die(amqp_url, "m1", "unknown-type", headers={"trace": "abc"})

    shown, with_payload = run("show", "m1"), run("show", "m1", "--payload")

    for part in ("why m1 died", "app_id: shop", "trace: abc", "start workers that know the type", QUERIES):
        assert part in shown.stdout
    assert ("Lovelace" in shown.output, "Lovelace" in with_payload.stdout) == (False, True)
    there_are(amqp_url, 1)


def test_show_of_what_is_not_there_says_so(run: Callable[..., Result], amqp_url: str) -> None:
    """With exit status 1."""
    die(amqp_url, "m1", "unknown-type")

    result = run("show", "m2")

    assert (1, "no dead letter has the id m2\n") == (result.exit_code, result.stderr)


def test_a_letter_without_an_id_is_shown_by_its_fingerprint(run: Callable[..., Result], amqp_url: str) -> None:
    """What the list shows for it is what `show` takes."""
    die(amqp_url, None, "no-id")
    key = json.loads(run("list", "--json").stdout)["key"]

    assert "why None died" in run("show", key).stdout


def test_what_a_letter_holds_does_not_reach_the_terminal_as_it_is(run: Callable[..., Result], amqp_url: str) -> None:
    """A message may come from anywhere: no escape sequence of its own is printed."""
    die(amqp_url, None, "\x1b[2Jgone", headers={"sips-detail": "a\nb", "\x1b]0;title\x07": "\x9b"})
    key = json.loads(run("list", "--json").stdout)["key"]

    for result in (run("list"), run("show", key, "--payload"), run("redrive"), run("drop")):
        assert not [character for character in result.output if not character.isprintable() and character != "\n"]
        assert r"\x1b[2Jgone" in result.output


@pytest.mark.parametrize(("command", "what"), [("redrive", "run again"), ("drop", "deleted")])
def test_without_yes_nothing_is_done(run: Callable[..., Result], amqp_url: str, tmp_path: Path, command: str, what: str) -> None:
    """Only said."""
    die(amqp_url, "m1", "sips-error")
    file = tmp_path / "kept"

    result = run(command, *(("--save", str(file)) if command == "drop" else ()))

    assert f"1 would be {what}; nothing was done: add --yes to do it\n" in result.stdout
    there_are(amqp_url, 1)
    assert (0, False) == (count(amqp_url, QUERIES), file.exists())


def test_a_redrive_moves_what_matches_to_its_queue_as_a_new_run(run: Callable[..., Result], amqp_url: str) -> None:
    """Whole, without the reasons, confirmed before it is taken out."""
    die(amqp_url, "m1", "sips-error", headers={"sips-run": 2, "ce-tenant": "7"})
    die(amqp_url, "m2", "handler-fault")

    result = run("redrive", "--reason", "sips-error", "--yes")

    assert (0, "1 run again") == (result.exit_code, result.stdout.splitlines()[-1])
    assert f"-> {QUERIES}, run 3" in result.stdout
    ((properties, body),) = take_all(amqp_url, QUERIES)
    assert ("m1", b'{"orderId": "35818786", "name": "Ada Lovelace"}') == (properties.message_id, body)
    headers = {name: value for name, value in (properties.headers or {}).items() if name != "x-delivery-count"}
    assert {"sips-run": 3, "ce-tenant": "7"} == headers
    are_left(amqp_url, "m2")


def test_what_cannot_be_run_again_stays_and_stops_nothing(run: Callable[..., Result], amqp_url: str) -> None:
    """With the reason, and exit status 1: no queue is known for it, or RabbitMQ has none."""
    die(amqp_url, "m1", "unknown-type", type="sips.no.such_type", headers={"sips-queue": "elsewhere"})
    die(amqp_url, "m2", "sips-error", type="sips.order.withdraw")
    die(amqp_url, "m3", "sips-error")
    with channel(amqp_url) as opened:
        opened.queue_unbind("sips.control", RETRY, "sips.control")

    result = run("redrive", "--yes")

    with channel(amqp_url) as opened:
        make_topology().declare(opened)
    assert (1, "1 run again, 2 stay") == (result.exit_code, result.stdout.splitlines()[-1])
    assert "stays: neither its type (sips.no.such_type) nor its queue is known here" in result.stdout
    assert f"stays: no queue is bound for {RETRY} sips.control" in result.stdout
    are_left(amqp_url, "m1", "m2")
    assert ["m3"] == [properties.message_id for properties, _body in take_all(amqp_url, QUERIES)]


def test_a_dropped_letter_is_kept_whole_in_a_file_of_its_owner_alone(
    run: Callable[..., Result], amqp_url: str, tmp_path: Path
) -> None:
    """Body, properties and headers, from which it can be published again."""
    die(amqp_url, "m1", "sips-error", content_type="application/json", headers={"raw": b"\xff", "nested": {"when": 1}})
    file = tmp_path / "kept"

    result = run("drop", "--save", str(file), "--yes")

    assert (0, "1 deleted") == (result.exit_code, result.stdout.splitlines()[-1])
    are_left(amqp_url)
    (line,) = file.read_text(encoding="utf-8").splitlines()
    kept = json.loads(line)
    assert ("m1", READ, "application/json") == tuple(kept["properties"][name] for name in ("message_id", "type", "content_type"))
    assert ({"when": 1}, "sips-error") == (kept["headers"]["nested"], kept["headers"]["sips-reason"])
    assert b'{"orderId": "35818786", "name": "Ada Lovelace"}' == base64.b64decode(kept["bodyBase64"])
    assert 0o600 == file.stat().st_mode & 0o777


def test_a_file_that_is_there_is_never_written_over(run: Callable[..., Result], amqp_url: str, tmp_path: Path) -> None:
    """And nothing is dropped that could not be kept."""
    die(amqp_url, "m1", "sips-error")
    file = tmp_path / "kept"
    file.write_text("earlier", encoding="utf-8")

    result = run("drop", "--save", str(file), "--yes")

    assert 1 == result.exit_code
    assert f"{file} cannot be made: File exists; name a new file" in result.stderr
    assert "earlier" == file.read_text(encoding="utf-8")
    are_left(amqp_url, "m1")


@pytest.mark.parametrize("size", [10, 100_000])
def test_nothing_is_dropped_that_the_disk_does_not_take(amqp_url: str, tmp_path: Path, size: int) -> None:
    """However late it says so: one clear line."""
    publish(amqp_url, "", DEAD, b"x" * size, message_id="m1")
    done = subprocess.run(
        [sys.executable, "-m", "worker", "dead", "drop", "--save", "kept", "--yes"],
        cwd=tmp_path,
        env=os.environ | {"AMQP_URL": amqp_url},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)),
    )

    assert (1, "Error: kept cannot be written: File too large; nothing more was deleted\n") == (done.returncode, done.stderr)
    are_left(amqp_url, "m1")


def test_a_queue_that_is_not_there_is_one_clear_line(run: Callable[..., Result], amqp_url: str) -> None:
    """With what to do."""
    with channel(amqp_url) as opened:
        opened.queue_delete(DEAD)

    result = run("list")

    with channel(amqp_url) as opened:
        make_topology().declare(opened)
    assert isinstance(result.exception, TopologyError)
    assert "NOT_FOUND" in str(result.exception)
    assert "declare it with `sips-worker topology declare`" in str(result.exception)


@pytest.mark.parametrize("arguments", [["list"], ["show", "m1"], ["redrive", "--yes"], ["drop", "--yes"]])
def test_a_broker_that_is_away_is_one_clear_line_and_exit_status_2(arguments: list[str], tmp_path: Path) -> None:
    """Not a traceback."""
    with socket.socket() as reserved:  # bound and not listening: nobody else can
        reserved.bind(("127.0.0.1", 0))
        environment = os.environ | {"AMQP_URL": f"amqp://127.0.0.1:{reserved.getsockname()[1]}"}
        done = subprocess.run(
            [sys.executable, "-m", "worker", "dead", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    (line,) = done.stderr.splitlines()
    assert (2, "") == (done.returncode, done.stdout)
    assert line.startswith("sips-worker: no connection to RabbitMQ (Connection refused); ")


def test_every_error_of_sips_that_ends_in_a_dead_letter_has_its_advice() -> None:
    """A code that is renamed would fall back to the general words."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SipsError)]
    codes = {kind.code for kind in kinds if getattr(kind, "code", None) and kind.retryable}

    assert len(codes) > 5
    assert codes <= ADVICE.keys()


#: Prints the most memory that the process ever had, in KiB.
PEAK = """
import sys
from worker.cli import cli
cli(["dead", "list"], standalone_mode=False)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1], file=sys.stderr)
"""


def test_memory_does_not_grow_with_the_queue(amqp_url: str, tmp_path: Path) -> None:
    """6 000 letters of 4 KiB are read in as much memory as none."""

    def peak() -> int:
        environment = os.environ | {"AMQP_URL": amqp_url}
        done = subprocess.run(
            [sys.executable, "-c", PEAK], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return int(done.stderr)

    empty = peak()
    fill(amqp_url, 6_000)
    full = peak()

    assert full - empty < 8 * 1024
    there_are(amqp_url, 6_000)


def fill(url: str, number: int) -> None:
    """Publish many dead letters, quickly."""
    up = threading.Event()
    publisher = Publisher(url, name="tests", heartbeat=60, on_state=lambda is_up: up.set() if is_up else None)
    publisher.start()
    assert up.wait(30)

    def one(turn: int) -> None:
        properties = BasicProperties(delivery_mode=2, message_id=f"m{turn}", headers={"sips-reason": "sips-error"})
        publisher.publish(Message("", DEAD, b"x" * 4096, properties), timeout=60)

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(one, range(number)))
    publisher.stop(5)
