"""Proves that what others log, warn of or fail to catch becomes a line of ours."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import orjson

from tests.ops.programs import SECRET, run

if TYPE_CHECKING:
    import pytest

    from tests.ops.conftest import Output


def test_a_record_of_a_stdlib_logger_becomes_a_line(output: Output) -> None:
    """Message, level, logger and extra fields, in the form of every line."""
    logging.getLogger("pika.connection").warning("Socket %s closed", 5, extra={"host": "rabbit"})

    line = output.line()
    assert line["event"] == "Socket 5 closed"
    assert line["level"] == "warning"
    assert line["logger"] == "pika.connection"
    assert line["host"] == "rabbit"
    assert line["environment"] == "qa"
    assert "exception" not in line


def test_a_record_with_an_exception_has_a_structured_one(output: Output) -> None:
    """`logger.exception` gives type, message and frames."""
    try:
        raise OSError("refused")  # noqa: TRY301 - to be logged
    except OSError:
        logging.getLogger("urllib3").exception("no answer")

    line = output.line()
    assert line["exception"]["type"] == "OSError"
    assert line["exception"]["message"] == "refused"
    assert line["level"] == "error"


def test_a_record_whose_arguments_do_not_fit_is_not_lost(output: Output, capfd: pytest.CaptureFixture[str]) -> None:
    """It is written without them, and nothing goes to standard error."""
    output.only_ours()
    logging.getLogger("pika").warning("%s and %d", "one", "h1dd3n")

    text = output.text()
    assert orjson.loads(text)["event"] == "%s and %d <its arguments do not fit: TypeError>"
    assert "h1dd3n" not in text
    assert capfd.readouterr().err == ""


def test_arguments_under_a_secret_name_are_hidden(output: Output) -> None:
    """A message built from a mapping shows no value of a secret name, registered or not."""
    logging.getLogger("pika").warning("%(user)s with %(password)s", {"user": "guest", "password": "h1dd3n"})

    assert output.line()["event"] == "guest with [redacted]"


def test_libraries_are_as_loud_as_they_should_be(output: Output) -> None:
    """Dramatiq tells of starts and stops but not of each message; others warn."""
    logging.getLogger("dramatiq.WorkerProcess(0)").info("Worker process is ready for action.")
    logging.getLogger("dramatiq.worker").debug("Received message")
    logging.getLogger("pika").info("Created channel")
    logging.getLogger("pika.adapters.utils.connection_workflow").error("AMQP connection workflow failed")
    logging.getLogger("urllib3.connectionpool").info("Starting new connection")
    logging.getLogger("anything").info("noise")

    assert output.line()["event"] == "Worker process is ready for action."


def test_a_warning_becomes_a_line_without_its_source(output: Output) -> None:
    """Text, category and place; the source line, which may hold a literal, is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old " + "way", DeprecationWarning, stacklevel=1)

    text = output.text()
    line = orjson.loads(text)
    assert line["event"] == "old way"
    assert line["category"] == "DeprecationWarning"
    assert line["logger"] == "py.warnings"
    assert "test_foreign.py:" in line["place"]
    assert "stacklevel" not in text


def test_an_uncaught_exception_is_a_line() -> None:
    """The process's last words are structured, on standard output."""
    process = run("crash")

    line = orjson.loads(process.stdout)
    assert line["level"] == "critical"
    assert line["event"] == "an uncaught exception ends the process"
    assert line["exception"]["type"] == "ValueError"
    assert line["exception"]["message"] == "cannot connect with [redacted]"
    assert line["exception"]["cause"]["message"] == "refused: [redacted]"
    assert SECRET.encode() not in process.stdout + process.stderr
    assert process.stderr == b""
    assert process.returncode == 1


def test_an_uncaught_exception_in_a_thread_is_a_line() -> None:
    """It tells which thread ended."""
    process = run("crash_in_thread")

    line = orjson.loads(process.stdout)
    assert line["event"] == "an uncaught exception ends a thread"
    assert line["thread"] == "worker-7"
    assert line["exception"]["message"] == "cannot connect with [redacted]"
    assert process.stderr == b""


def test_a_thread_that_exits_is_no_news() -> None:
    """SystemExit ends a thread in silence, as without us."""
    process = run("exit_in_thread")

    assert process.stdout == b""
    assert process.stderr == b""


def test_an_exception_nobody_can_catch_is_a_line() -> None:
    """One from a destructor is structured and redacted like any other."""
    process = run("crash_in_destructor")

    line = orjson.loads(process.stdout)
    assert line["event"] == "an exception was ignored"
    assert line["exception"]["message"] == "cannot close [redacted]"
    assert process.stderr == b""
