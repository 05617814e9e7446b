"""Proves that no secret reaches file descriptor 1, whichever way it is logged, and that every process writes there."""

from __future__ import annotations

# ruff: noqa: G004 - secrets inside the text of a message are what is tested
import base64
import contextlib
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import orjson
import pytest
import structlog
from pydantic import BaseModel, SecretStr

import worker.ops
from tests.ops.conftest import NASTY, TOKEN
from tests.ops.programs import ROOT, SECRET, command, run
from worker.ops import configure_logs, register_secret
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ops.conftest import Output

log = structlog.get_logger("worker.test")
foreign = logging.getLogger("urllib3.connectionpool")

#: Pieces of `NASTY` and `TOKEN` that no encoding but base64 changes, and pieces of their base64 for each alignment.
TRACES = [
    *("Kx92mmZ", "End7wVu", "tok3n.A1b2", "E5f6"),
    *(
        base64.b64encode(bytes(shift) + secret.encode()).decode().replace("/", "+").split("+")[0][4:12]
        for secret in (NASTY, TOKEN)
        for shift in range(3)
    ),
]


@dataclass
class Account:
    """A dataclass that shows its secret."""

    name: str
    key: str


class Grant(BaseModel):
    """A model that shows its secret."""

    scope: str
    key: str


class Talkative:
    """An object whose repr shows a secret."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        """Tell everything."""
        return f"Talkative<{self.secret}>"


def fail_with(secret: str) -> None:
    """Raise with a secret in the text, the cause, the context, the notes and the locals."""
    local = secret
    try:
        try:
            raise OSError(5, local)  # noqa: TRY301
        except OSError:
            raise KeyError(secret)  # noqa: B904 - the context is what is tested
    except KeyError as error:
        failure = RuntimeError(f"cannot log in with {secret}", Talkative(secret))
        failure.add_note(secret)
        raise failure from error


def circle(secret: str) -> None:
    """A value that holds itself."""
    ring: list[object] = [secret]
    ring.append(ring)
    log.info("sending", value=ring)


def logged_exception(secret: str) -> None:
    """One of ours."""
    try:
        fail_with(secret)
    except RuntimeError:
        log.exception("failed")


def foreign_exception(secret: str) -> None:
    """One of a library, with its stack."""
    try:
        fail_with(secret)
    except RuntimeError:
        foreign.exception("failed", stack_info=True)


def group(secret: str) -> None:
    """Several at once."""
    log.error("failed", exc_info=ExceptionGroup(secret, [ValueError(secret), OSError(secret)]))


def uncaught(secret: str) -> None:
    """The end of the main thread."""
    try:
        fail_with(secret)
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)


def uncaught_in_thread(secret: str) -> None:
    """The end of another thread."""
    thread = threading.Thread(target=fail_with, args=(secret,))
    thread.start()
    thread.join()


def warned(secret: str) -> None:
    """A warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"{secret} is old", UserWarning, stacklevel=1)


def bound(secret: str) -> None:
    """A field of the logger, not of the call."""
    log.bind(state=secret).info("bound")


#: Every way to log a value that one can think of.
WAYS: dict[str, Callable[[str], object]] = {
    "message": lambda secret: log.info(f"sending {secret} now"),
    "%-arguments": lambda secret: log.info("sending %s now", secret),
    "mapping argument": lambda secret: log.info("sending %(a)s now", {"a": secret}),
    "field": lambda secret: log.info("sending", value=secret),
    "field's name": lambda secret: log.info("sending", **{f"x{secret}": 1}),
    "bound field": bound,
    "nested": lambda secret: log.info("sending", value={"a": [{"b": (1, {secret: [secret]})}]}),
    "set": lambda secret: log.info("sending", value={secret}),
    "bytes": lambda secret: log.info("sending", value=secret.encode(), more=bytearray(secret, "utf-8")),
    "repr of bytes": lambda secret: log.info(f"{secret.encode()!r}"),
    "invalid bytes around": lambda secret: log.info("sending", value=b"\xff" + secret.encode() + b"\xfe"),
    "object": lambda secret: log.info("sending", value=Talkative(secret)),
    "object as event": lambda secret: log.info(Talkative(secret)),
    "dataclass": lambda secret: log.info("sending", value=Account("a", secret)),
    "model": lambda secret: log.info("sending", value=Grant(scope="a", key=secret)),
    "model as text": lambda secret: log.info(f"{Grant(scope='a', key=secret)}"),
    "unwrapped SecretStr": lambda secret: log.info("sending", value=SecretStr(secret).get_secret_value()),
    "beside what JSON cannot hold": lambda secret: log.info("sending", value={1: secret, "big": 2**80}, lone="\ud800" + secret),
    "lone surrogate in one string": lambda secret: log.info("sending", value=["\udcff" + secret]),
    "circle": circle,
    "json": lambda secret: log.info(json.dumps({"a": secret})),
    "json in json in json": lambda secret: log.info(json.dumps(json.dumps({"a": json.dumps({"a": secret})}))),
    "json with raw unicode": lambda secret: log.info(json.dumps({"a": secret}, ensure_ascii=False)),
    "repr": lambda secret: log.info(f"{({'a': secret}, [secret])!r}"),
    "ascii": lambda secret: log.info(ascii([secret])),
    "percent-encoded": lambda secret: log.info("GET", url=f"http://host/?a={quote(secret)}&b={quote_plus(secret)}"),
    "percent-encoded twice": lambda secret: log.info("GET", url=quote(quote(secret, safe=""), safe="")),
    "base64": lambda secret: log.info(base64.b64encode(secret.encode()).decode()),
    "basic authentication": lambda secret: log.info(base64.b64encode(f"a:{secret}".encode()).decode()),
    "base64 of more": lambda secret: log.info(base64.urlsafe_b64encode(f"client:{secret}:x".encode()).decode()),
    "header": lambda secret: log.info("sending", headers={"Authorization": f"Bearer {secret}"}),
    "header text": lambda secret: log.info(f"Authorization: Bearer {secret}\r\nHost: x"),
    "url": lambda secret: log.info(f"amqp://user:{quote(secret, safe='')}@host:5672/%2F"),
    "careless url": lambda secret: log.info(f"amqp://user:{secret}@host:5672/%2F"),
    "exception": logged_exception,
    "exception as field": lambda secret: log.info("failed", error=ValueError(secret)),
    "exception group": group,
    "stdlib message": lambda secret: foreign.warning(f"sending {secret}"),
    "stdlib %-arguments": lambda secret: foreign.warning("sending %s %r", secret, {"a": secret}),
    "stdlib mapping": lambda secret: foreign.warning("sending %(a)s", {"a": secret}),
    "stdlib arguments that do not fit": lambda secret: foreign.warning("sending %d", secret),
    "stdlib extra": lambda secret: foreign.warning("sending", extra={"a": {"b": secret}}),
    "stdlib object": lambda secret: foreign.warning(Talkative(secret)),
    "stdlib exception": foreign_exception,
    "stdlib logger's name": lambda secret: logging.getLogger(f"urllib3.{secret}").warning("sending"),
    "warning": warned,
    "uncaught": uncaught,
    "uncaught in a thread": uncaught_in_thread,
}


@pytest.mark.parametrize("secret", [NASTY, TOKEN], ids=["secret with every special character", "token"])
@pytest.mark.parametrize("way", WAYS)
def test_a_registered_secret_is_seen_nowhere(output: Output, way: str, secret: str) -> None:
    """However it is logged, something is written and no piece of the secret is in it."""
    output.only_ours()
    WAYS[way](secret)

    text = output.text()
    assert text
    for line in text.splitlines():
        assert orjson.loads(line)["environment"] == "qa"
    assert [] == [trace for trace in TRACES if trace in text]


def test_the_traces_that_are_looked_for_would_be_there() -> None:
    """Without redaction each way shows what the test above looks for."""
    plain = json.dumps([NASTY, TOKEN])
    encoded = [base64.b64encode(bytes(shift) + secret.encode()).decode() for secret in (NASTY, TOKEN) for shift in range(3)]

    assert all(trace in plain for trace in TRACES[:4])
    assert all(len(trace) >= 4 and any(trace in text for text in encoded) for trace in TRACES[4:])


def test_settings_can_be_logged(output: Output) -> None:
    """Their repr and their fields show no secret, the rest is readable."""
    settings = Settings(
        _env_file=None,
        amqp_url=SecretStr("amqp://user:pl41n-pw@host/x"),
        sips_client_secret=SecretStr("pl41n-secret"),
        threads=7,
    )
    log.info("settings", settings=settings)
    log.info(f"{settings!r}")
    log.info("settings", **{name: getattr(settings, name) for name in type(settings).model_fields})

    text = output.text()
    assert text.count("\n") == 3
    assert text.count("threads=7") == 2
    assert "pl41n" not in text


def test_a_token_is_hidden_from_its_registration_on(output: Output) -> None:
    """A bearer token just received is registered and then logged in vain."""
    log.info("before", value="fresh-T0ken-1")
    register_secret("fresh-T0ken-1")
    log.info("after", value="fresh-T0ken-1")

    assert [line["value"] for line in output.lines()] == ["fresh-T0ken-1", "[redacted]"]


def test_a_line_without_a_secret_is_complete(output: Output) -> None:
    """Fields keep their values, types and order; the logger is named."""
    log.warning("attempt", order_id=4711, final=True, error=None, sips_ms=1.5)

    line = output.line()
    assert list(line) == [
        *("timestamp", "level", "event", "order_id", "final", "error", "sips_ms", "environment", "version", "logger"),
    ]
    assert (line["order_id"], line["final"], line["error"], line["sips_ms"]) == (4711, True, None, 1.5)
    assert (line["level"], line["logger"], line["version"]) == ("warning", "worker.test", "1.2.3")


def test_debug_is_not_logged(output: Output) -> None:
    """Only INFO and above are written."""
    log.debug("noise")
    log.info("news")

    assert output.line()["event"] == "news"


def test_configuring_again_changes_loggers_in_use(output: Output) -> None:
    """A child's second call leads to one line per event, with the new settings."""
    log.info("first")
    configure_logs("json", "production", "2.0.0", [])
    log.info("second")
    foreign.warning("third")

    assert [(line["event"], line["environment"]) for line in output.lines()] == [
        ("first", "qa"),
        ("second", "production"),
        ("third", "production"),
    ]


def test_configuring_again_undoes_what_dramatiq_does_to_pika(output: Output) -> None:
    """Pika's warnings are seen in the children."""
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    configure_logs("json", "qa", "1.2.3", [])
    logging.getLogger("pika").warning("Socket closed")

    assert output.line()["logger"] == "pika"


def test_lines_do_not_go_through_sys_stdout(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose `sys.stdout` is something else logs to the inherited one."""
    with open(os.devnull, "w", encoding="utf-8") as elsewhere:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", elsewhere)
        monkeypatch.setattr(sys, "stderr", elsewhere)
        log.info("seen")

    assert output.line()["event"] == "seen"


def test_the_workers_of_dramatiq_log_to_the_inherited_output() -> None:
    """Under dramatiq's real command line master and children write whole lines to one pipe and nothing to stderr."""
    process = subprocess.Popen(command("dramatiq_master"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    lines: list[dict[str, Any]] = []
    while sum(line["event"] == "Worker process is ready for action." for line in lines) < 2:
        lines.append(orjson.loads(process.stdout.readline()))
    while not any("is booting up" in line["event"] for line in lines):
        lines.append(orjson.loads(process.stdout.readline()))
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=60)
    lines.extend(map(orjson.loads, rest.splitlines()))

    booted = [line for line in lines if line["event"] == "booted"]
    pika = [line["event"] for line in lines if line.get("logger") == "pika.connection"]
    assert [line["stdout"] for line in booted] == ["StreamablePipe"] * 2
    assert pika == ["Socket failed to connect with [redacted]"] * 2
    assert not any(line["event"] == "Received message" for line in lines)
    assert sum(line["event"] == "Worker has been shut down." for line in lines) == 2
    assert errors == b""


def test_on_a_terminal_lines_are_coloured_and_redacted() -> None:
    """`auto` on a terminal is readable, in colours, and shows no secret."""
    text = terminal("console", "auto")

    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "a look failed" in plain
    assert "order=4711" in plain
    assert "OSError: refused: [redacted]\r\n    tests/ops/programs.py:" in plain
    assert "caused by KeyError: 'no route'" in plain
    assert "Socket closed: [redacted]" in plain
    assert SECRET not in plain
    assert "tok-123" not in plain


def test_on_a_pipe_the_format_is_json_unless_told_otherwise() -> None:
    """`auto` is JSON where no terminal is; `console` is readable there, without colours."""
    as_json = run("console", "auto").stdout
    as_text = run("console", "console").stdout.decode()

    assert [orjson.loads(line)["level"] for line in as_json.splitlines()] == ["error", "warning"]
    assert "a look failed" in as_text.splitlines()[0]
    assert "\x1b" not in as_text
    assert SECRET not in as_text


def test_what_is_exported_is_what_is_meant() -> None:
    """The package's front door is two functions."""
    assert sorted(worker.ops.__all__) == ["configure_logs", "register_secret"]


def terminal(*program: str) -> str:
    """What a program shows on a terminal."""
    controlling, controlled = pty.openpty()
    process = subprocess.Popen(command(*program), cwd=ROOT, stdout=controlled)
    os.close(controlled)
    shown = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal that nobody holds open with EIO
        while part := os.read(controlling, 4096):
            shown += part
    os.close(controlling)
    assert process.wait(60) == 0
    return shown.decode()
