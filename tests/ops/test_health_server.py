"""The HTTP side of health, asked by a real client."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from worker.local.processes import free_ports
from worker.ops import health_server
from worker.ops.health import Beats
from worker.ops.health_server import HealthServer, check_address
from worker.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def settings() -> Settings:
    """A free port."""
    return Settings(health_port=free_ports(1)[0])


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[HealthServer]:
    """Over the reports in a folder of the test's."""
    with HealthServer(settings, tmp_path) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(settings: Settings, path: str) -> tuple[int, Any]:
    """Status and content."""
    connection = http.client.HTTPConnection(settings.health_host, settings.health_port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        is_json = answer.headers["Content-Type"] == "application/json"
        return answer.status, json.loads(body) if is_json else body
    finally:
        connection.close()


def write(folder: Path, *unready: str) -> None:
    """The report of a process that is well."""
    report = Beats().report(7, threads=2, stopping_since=None, unready=unready)
    (folder / "7.json").write_text(json.dumps(asdict(report)))


def test_a_worker_that_is_well_is_live_and_ready(server: HealthServer, settings: Settings, tmp_path: Path) -> None:
    """200, also with a query behind the path."""
    write(tmp_path)

    assert (200, {"status": "ok"}) == ask(settings, "/livez")
    assert (200, {"status": "ok"}) == ask(settings, "/readyz?verbose")


def test_what_is_wrong_is_told(server: HealthServer, settings: Settings, tmp_path: Path) -> None:
    """503 with the reasons."""
    missing = ["0 of 1 processes report"]
    assert (503, {"status": "failing", "problems": missing}) == ask(settings, "/livez")
    write(tmp_path, "starting")

    assert (200, {"status": "ok"}) == ask(settings, "/livez")
    assert (503, {"status": "not ready", "reasons": ["process 7: starting"]}) == ask(settings, "/readyz")


def test_other_paths_are_not_there(server: HealthServer, settings: Settings) -> None:
    """And nothing but the two is given away: no version, no address."""
    status, body = ask(settings, "/")

    assert (404, True) == (status, b"/livez and /readyz" in body)


def test_a_client_that_says_nothing_keeps_nobody_waiting(
    server: HealthServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port scanner must not restart the worker."""
    monkeypatch.setattr(health_server._Handler, "timeout", None)
    write(tmp_path)
    with socket.create_connection((settings.health_host, settings.health_port)):
        assert 200 == ask(settings, "/livez")[0]


def test_a_taken_port_is_a_wrong_setting() -> None:
    """The text says which, why, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"^HEALTH_PORT: cannot listen on 127.0.0.1 port {port} .*HEALTH_PORT=0"):
            check_address(Settings(health_port=port))


def test_an_address_of_another_machine_is_a_wrong_setting() -> None:
    """192.0.2.0/24 belongs to nobody (RFC 5737)."""
    with pytest.raises(SettingsError, match=r"^HEALTH_PORT: cannot listen on 192\.0\.2\.1 port "):
        check_address(Settings(health_port=free_ports(1)[0], health_host="192.0.2.1"))


def test_a_checked_port_is_free_again(settings: Settings, tmp_path: Path) -> None:
    """The process that answers opens it a moment later."""
    check_address(settings)

    HealthServer(settings, tmp_path).server_close()


def test_an_empty_port_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose hands on a variable that nobody has set."""
    monkeypatch.setenv("HEALTH_PORT", "")

    assert 0 == load().health_port


def test_the_clock_of_reports_is_the_servers(server: HealthServer, settings: Settings, tmp_path: Path) -> None:
    """A report of long ago is not believed."""
    write(tmp_path)
    report = json.loads((tmp_path / "7.json").read_text())
    report["at"] = time.monotonic() - settings.health_seconds - 1
    (tmp_path / "7.json").write_text(json.dumps(report))

    assert (503, 503) == (ask(settings, "/livez")[0], ask(settings, "/readyz")[0])
