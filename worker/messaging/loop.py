"""The one thread that serves a process's AMQP connections, whatever the handlers do.

With one for all of them, what RabbitMQ delivers and confirms and what is published and acked is dealt with in one go.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Protocol

import structlog
from pika.adapters.select_connection import IOLoop

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Beat", "Loop", "Served", "unwatched"]

#: Seconds between two beats of the thread.
BEAT_SECONDS = 1.0

#: Seconds to a new start where the thread could not go on.
RESTART_SECONDS = 0.2

log = structlog.get_logger(__name__)


class Beat(Protocol):
    """Called by a loop each time it goes round; its next round may take `allow` seconds longer than usual."""

    def __call__(self, name: str, allow: float = 0.0) -> None: ...  # noqa: D102 - as the class says


def unwatched(name: str, allow: float = 0.0) -> None:
    """The beat of a loop that nobody watches."""


class Served(Protocol):
    """A connection as its loop sees it. All is called in the loop's thread."""

    def connect(self) -> None:
        """Begin to connect, on a loop that has just started."""

    def run_calls(self) -> None:
        """Do what other threads have asked for."""

    def ended(self, error: Exception) -> None:
        """The loop broke down or was stopped, and the connection is gone with it."""


class Loop:
    """Serves connections from `start` to `stop`.

    Args:
        name: of the thread, and of its beats.
        beat: called every second or so, whether RabbitMQ is there or not.
    """

    def __init__(self, name: str, *, beat: Beat = unwatched) -> None:
        self.name = name
        self._beat = beat
        self._served: list[Served] = []
        self._each_beat: list[Callable[[], None]] = []
        self._ioloop: IOLoop | None = None
        self._wake_sent = False
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def add(self, served: Served) -> None:
        """Serve a connection as well; before the loop starts."""
        self._served.append(served)

    def each_beat(self, call: Callable[[], None]) -> None:
        """Have `call` called every second or so, whether RabbitMQ is there or not; before the loop starts."""
        self._each_beat.append(call)

    def start(self) -> None:
        """Start the thread, in which all connections begin to connect."""
        self._beat(self.name)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread within `timeout` seconds; its connections should be closed by then."""
        self._stopping.set()
        with self._lock:
            if self._ioloop is not None:
                self._ioloop.add_callback_threadsafe(self._ioloop.stop)
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def wake(self) -> None:
        """Have all connections run their calls soon; from any thread."""
        if self._wake_sent:  # read without the lock, which its owner holds while the kernel wakes the loop
            return
        with self._lock:
            if not self._wake_sent and self._ioloop is not None:
                self._wake_sent = True
                self._ioloop.add_callback_threadsafe(self._woken)

    # Everything below is called in the loop's thread.

    @property
    def ioloop(self) -> IOLoop:
        """For a connection that is to be served by this loop."""
        assert self._ioloop is not None  # noqa: S101 - there is one wherever the loop calls
        return self._ioloop

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` after `seconds`; forgotten where the loop breaks down."""
        self.ioloop.call_later(seconds, call)

    def _woken(self) -> None:
        # The flag falls before the calls are read, so that one that is added meanwhile wakes the loop again.
        self._wake_sent = False
        for served in self._served:
            served.run_calls()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._serve()
            except Exception:
                # A bug of ours or of pika's, or no descriptor is left; nobody else would start this thread again.
                log.exception("the connections to RabbitMQ broke; they are made again", loop=self.name)
            self._beat(self.name)
            self._stopping.wait(RESTART_SECONDS)

    def _serve(self) -> None:
        ioloop = IOLoop()
        with self._lock:
            self._ioloop, self._wake_sent = ioloop, False
        try:
            self._beat_again(ioloop)
            for served in self._served:
                served.connect()
            if not self._stopping.is_set():
                ioloop.start()
            self._give_up_connections(ioloop, ConnectionAbortedError("the loop was stopped"))
        except Exception as error:
            self._give_up_connections(ioloop, error)
            raise
        finally:
            with self._lock:
                self._ioloop = None
            with contextlib.suppress(Exception):
                ioloop.close()

    def _give_up_connections(self, ioloop: IOLoop, error: Exception) -> None:
        """Those that are still there, or being made: when a loop ends, nobody else closes their sockets."""
        for served in self._served:
            served.ended(error)
        with contextlib.suppress(Exception):
            ioloop.process_timeouts()  # pika closes the sockets in callbacks

    def _beat_again(self, ioloop: IOLoop) -> None:
        self._beat(self.name)
        for call in self._each_beat:
            call()
        ioloop.call_later(BEAT_SECONDS, lambda: self._beat_again(ioloop))
