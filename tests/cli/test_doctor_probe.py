"""`sips-worker doctor`, where it looks at SIPS."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tests.sips.servers import Server, answer, serve
from worker.cli import cli


@pytest.mark.parametrize(
    ("bytes_of_answer", "line"),
    [
        (answer([]), "ok  probe: HTTP 200 from /branches/v2/branchLocations"),
        (answer({"message": "Not Found"}, 404), "ok  probe: HTTP 404 from /branches/v2/branchLocations"),
        (answer({"message": "Forbidden"}, 403), "set SIPS_PROBE_PATH to a path that these credentials may read"),
    ],
)
def test_it_finds_out_before_an_outage_whether_the_probe_can_end_one(
    monkeypatch: pytest.MonkeyPatch, bytes_of_answer: bytes, line: str
) -> None:
    """A path that these credentials may not read would keep the gates closed after the first outage."""
    with Server(serve(bytes_of_answer)) as server:
        monkeypatch.setenv("SIPS_BASE_URL", server.url)
        monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:1")

        shown = CliRunner().invoke(cli, ["doctor"]).output

    assert line in shown
