"""Start the sandbox and workers as processes of their own, for the demo and the tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING, Any, Self

from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

__all__ = ["Sandbox", "Service", "ServiceError", "Worker"]

#: Seconds for a process to come up, and to end after SIGTERM (the workers' grace is 25 s).
START_SECONDS = 30.0
STOP_SECONDS = 40.0

#: Settings that must not leak from the caller's environment into a private installation, by how their names begin.
FOREIGN = tuple(name.upper() for name in Settings.model_fields)

#: Lines of the log that an error shows: the file itself may be gone by the time somebody looks.
LOG_LINES = 10

#: What ends a program from outside while it can still clean up.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ServiceError(Exception):
    """A process did not come up or did not end; the text says where its log is."""


class Service:
    """One `sips-worker` process; its output goes to a file.

    Attributes:
        module: what Python runs; a test may have another in front.
    """

    module = "worker"

    def __init__(self, name: str, arguments: list[str], folder: Path, settings: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._arguments = arguments
        self._folder = folder
        inherited = {key: value for key, value in os.environ.items() if not key.upper().startswith(FOREIGN)}
        self._environment = inherited | {"PYTHONUNBUFFERED": "1"} | dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> Self:
        """Start the process in the folder, where no `.env` of the caller's is found."""
        with self.log.open("ab") as log, _signals_held_back():
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", self.module, *self._arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C goes to the caller, which stops its services in order
            )
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process.

        Raises:
            ServiceError: it was never started.
        """
        if self._process is None:
            raise ServiceError(f"{self.name} has not been started")
        return self._process

    def open_log(self) -> IO[str]:
        """The output since the last start, so far."""
        log = self.log.open(encoding="utf-8")
        log.seek(self._log_start)
        return log

    def lines(self) -> list[dict[str, Any]]:
        """The complete JSON lines of the output so far."""
        with self.open_log() as log:
            return [json.loads(line) for line in log if line.startswith("{") and line.endswith("}\n")]

    def signal(self, number: int) -> None:
        """Send a signal to the process, not to its children."""
        self.process.send_signal(number)

    def tell_to_end(self) -> None:
        """Send SIGTERM, and leave the waiting to `stop`: so that the ends of several do not add up."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """End the process with SIGTERM; its exit status.

        Raises:
            ServiceError: it did not end in time; it was killed.
        """
        self.tell_to_end()
        return 0 if self._process is None else self.wait(STOP_SECONDS)

    def wait(self, seconds: float) -> int:
        """The exit status, within `seconds`.

        Raises:
            ServiceError: it did not end in time; it was killed.
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise self._error(f"did not end within {seconds:g} s and was killed") from None

    def _error(self, what: str) -> ServiceError:
        with self.open_log() as log:
            tail = "".join(log.readlines()[-LOG_LINES:])
        return ServiceError(f"{self.name} {what}; the end of its log {self.log}:\n{tail}")

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_exception: object) -> None:
        self.stop()


class Worker(Service):
    """`sips-worker run`."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, str], *options: str) -> None:
        super().__init__(name, ["run", *options], folder, settings)


class Sandbox(Service):
    """`sips-worker sandbox` on free ports, with options of its own."""

    def __init__(self, folder: Path, name: str = "sandbox", options: Sequence[str] = ()) -> None:
        super().__init__(name, ["sandbox", "--port", "0", "--control-port", "0", *options], folder, {})
        self.url = ""
        self.control_url = ""

    def start(self) -> Self:
        """Start it and wait until it said where it listens."""
        super().start()
        deadline = time.monotonic() + START_SECONDS
        while not (ready := [line for line in self.lines() if line.get("event") == "sandbox ready"]):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise self._error("did not come up")
            time.sleep(0.02)
        self.url, self.control_url = ready[-1]["url"], ready[-1]["control_url"]
        return self

    def set_faults(self, **faults: Any) -> None:
        """Replace the faults in force; none given = none."""
        self._control("PUT", "/_sandbox/faults", faults)

    def orders(self) -> list[dict[str, Any]]:
        """Every order that was ever accepted."""
        orders: list[dict[str, Any]] = self._control("GET", "/_sandbox/orders")["orders"]
        return orders

    def lives(self) -> list[dict[str, Any]]:
        """Every order's true changes up to now, and the webhooks that tell of them."""
        lives: list[dict[str, Any]] = self._control("GET", "/_sandbox/lives")["lives"]
        return lives

    def stats(self) -> dict[str, Any]:
        """Requests per operation and status, and tokens issued."""
        stats: dict[str, Any] = self._control("GET", "/_sandbox/stats")
        return stats

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control_url + path, data=data, method=method)  # noqa: S310 - our own http
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ServiceError(f"the sandbox refused {method} {path}: {error.read().decode()}") from None


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let the handlers of signals that arrive meanwhile run at the end.

    One that raises while a process is being started would leave that process to nobody.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread only
        return
    arrived: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    for held in ours:
        signal.signal(held, lambda *arguments: arrived.append(arguments))
    try:
        yield
    finally:
        for held, handler in ours.items():
            signal.signal(held, handler)
        for number, frame in arrived:
            ours[signal.Signals(number)](number, frame)
