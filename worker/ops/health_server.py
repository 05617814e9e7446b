"""`/livez` and `/readyz` for all processes of one worker, answered by a process that no command can block.

GET /livez: 200 while the worker gets on, 503 with `problems` when it must be restarted.
GET /readyz: 200 while it takes commands from all its queues, 503 with `reasons` while it does not.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING

import orjson
import structlog

from worker.ops import health, health_reports
from worker.ops.health import Limits
from worker.settings import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from worker.settings import Settings

__all__ = ["LIVE", "READY", "check_address", "serve"]

LIVE = "/livez"
READY = "/readyz"

#: Seconds between two looks whether the process manager is still there.
LOOK_SECONDS = 0.5

#: Seconds that a client may take for its request.
REQUEST_SECONDS = 5.0

log = structlog.get_logger(__name__)


def check_address(settings: Settings) -> None:
    """See that HEALTH_PORT can be listened on, before anything starts.

    Raises:
        SettingsError: it is taken, or the address is not one of this machine.
    """
    try:
        HealthServer(settings, None).server_close()
    except OSError as error:
        raise SettingsError(
            f"HEALTH_PORT: cannot listen on {settings.health_host} port {settings.health_port} "
            f"({error.strerror or error}); choose another HEALTH_PORT or HEALTH_HOST, or HEALTH_PORT=0 for none"
        ) from None


def serve(settings: Settings, reports: Path) -> int:
    """Answer until the process manager ends; the exit status.

    The manager sends SIGTERM when the worker is to stop, and again when its processes have ended: until then it is asked.
    (A service manager that signals the whole group sends one more in between.)
    """
    try:
        server = HealthServer(settings, reports)
    except OSError as error:
        log.error("nobody can ask for the health of this worker", port=settings.health_port, error=str(error))  # noqa: TRY400
        return 1

    def stop(number: int, _frame: object) -> None:
        if number != signal.SIGTERM or (server.draining and not server.is_working()):
            sys.exit(0)
        server.draining = True

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        server.serve_forever(LOOK_SECONDS)
    finally:
        server.server_close()
        if server.is_orphan():
            shutil.rmtree(reports, ignore_errors=True)  # a killed manager could not do it; another waits for the last report
    return 0


class HealthServer(ThreadingHTTPServer):
    """A thread per request, so that a client that says nothing keeps nobody waiting.

    Args:
        settings: of the worker.
        reports: the folder of its processes' reports.
    """

    daemon_threads = True

    def __init__(self, settings: Settings, reports: Path | None) -> None:
        self.draining = False
        self._reports = reports
        self._processes = settings.processes
        self._limits = Limits.of(settings)
        self._manager = os.getppid()
        self.address_family = socket.AF_INET6 if ":" in settings.health_host else socket.AF_INET
        super().__init__((settings.health_host, settings.health_port), _Handler)

    def server_bind(self) -> None:
        """Bind, but do not ask a name server for the name of the address as HTTPServer does."""
        TCPServer.server_bind(self)

    def service_actions(self) -> None:
        """End with the process manager, whatever ended it."""
        if self.is_orphan():
            sys.exit(0)

    def is_orphan(self) -> bool:
        """Whether the process manager has ended."""
        return os.getppid() != self._manager

    def is_working(self) -> bool:
        """Whether a process that reported has not ended yet."""
        return any(_is_alive(report.pid) for report in self._read())

    def live(self) -> list[str]:
        """Why the worker must be restarted."""
        return health.live(self._read(), time.monotonic(), self._limits, processes=self._processes, draining=self.draining)

    def ready(self) -> list[str]:
        """Why the worker does not take commands from all its queues."""
        return health.ready(self._read(), time.monotonic(), self._limits, processes=self._processes, draining=self.draining)

    def _read(self) -> list[health.Report]:
        return health_reports.read(self._reports) if self._reports else []


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class _Handler(BaseHTTPRequestHandler):
    server: HealthServer
    server_version = "sips-worker"
    sys_version = ""
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        """Answer one request."""
        match self.path.partition("?")[0]:
            case "/livez":
                problems = self.server.live()
                self._answer({"status": "failing", "problems": problems} if problems else {"status": "ok"}, good=not problems)
            case "/readyz":
                reasons = self.server.ready()
                self._answer({"status": "not ready", "reasons": reasons} if reasons else {"status": "ok"}, good=not reasons)
            case _:
                self.send_error(HTTPStatus.NOT_FOUND, f"there are {LIVE} and {READY}")

    def _answer(self, content: dict[str, object], *, good: bool) -> None:
        body = orjson.dumps(content) + b"\n"
        self.send_response(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: a probe every few seconds is no news."""
