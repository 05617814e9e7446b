"""`sips-worker settings`: what is in force, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.conftest import NOBODY
from worker.settings import Settings

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def test_every_setting_is_shown_with_its_value_and_source(sips_worker: CommandLine) -> None:
    """Two lines each: name, value and source, then the meaning. The secrets of the environment are masked."""
    (sips_worker.folder / ".env").write_text("THREADS=7\nPROCESSES=3\nSIPS_PATHS__ordersList=/l\n")

    status, out, err = sips_worker.run("settings", AMQP_URL=NOBODY, PROCESSES="2")

    lines = out.splitlines()
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[::2]}
    assert (0, "", [name.upper() for name in Settings.model_fields]) == (status, err, list(shown))
    assert all(line.startswith("     ") and line.strip() for line in lines[1::2])
    assert {
        "AMQP_URL": "amqp://us:***@127.0.0.1:1/%2F  (environment)",
        "SIPS_CLIENT_SECRET": "***  (environment)",
        "SIPS_BASE_URL": "http://127.0.0.1:8085  (default)",
        "SIPS_CLIENT_ID": "-  (default)",
        "SIPS_PATHS": "orderslist=/l  (.env)",
        "PROCESSES": "2  (environment)",
        "THREADS": "7  (.env)",
        "UNKNOWN_TYPE_SECONDS": "[4, 32, 256]  (default)",
    }.items() <= shown.items()


def test_a_broken_file_is_one_line(sips_worker: CommandLine) -> None:
    """No command goes on with half of what was meant."""
    (sips_worker.folder / ".env").write_text("THREADS=7\nAMQP URL=amqp://rabbit\n")

    line = "sips-worker: .env line 2 cannot be read; write NAME=value\n"
    for command in ("settings", "run"):
        assert (2, "", line) == sips_worker.run(command)


def test_several_wrong_settings_are_a_line_each(sips_worker: CommandLine) -> None:
    """None of them shows what was given."""
    status, out, err = sips_worker.run("settings", THREADS="c0rrect-horse", AMQP_URL="amqp://us:c0rrect-horse/x@rabbit")

    assert (2, "") == (status, out)
    assert ["sips-worker: AMQP_URL", "sips-worker: THREADS"] == [line.rpartition(": ")[0] for line in err.splitlines()]
