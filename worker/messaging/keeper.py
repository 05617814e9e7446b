"""Keep the topology in place: declare it once per connection, when something turned out to be missing, and now and then."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import pika
import structlog
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from worker.messaging.connection import describe, parameters
from worker.messaging.topology import TopologyError
from worker.seldom import Seldom

if TYPE_CHECKING:
    from worker.messaging.topology import Topology

__all__ = ["LOOK_SECONDS", "TopologyKeeper"]

#: Seconds that a look at the topology (or the wait for another thread's) may take without being stuck: RabbitMQ may be
#: there and not answer, at each of its addresses, and pika gives an open connection up after 2 x (heartbeat + 5 s).
LOOK_SECONDS = 180.0

log = structlog.get_logger(__name__)


class TopologyKeeper:
    """Declares the topology over a short-lived connection, one thread at a time; the others wait and share the result."""

    def __init__(self, url: str, topology: Topology, *, heartbeat: int) -> None:
        self._url = url
        self._topology = topology
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        self._wanted = 1
        self._done = 0
        # What refused the right to configure, and in which era: another broker or user begins another one.
        self._era = 0
        self._refusal: tuple[int, TopologyError | None] = -1, None
        self._may_tell = Seldom()
        self._failures = 0
        self._failure: Exception = TopologyError("not looked at yet")
        self._aside: threading.Thread | None = None

    def invalidate(self) -> None:
        """Something is missing, or it is another broker or user by now: the next `ensure` looks again."""
        self._era += 1
        self._wanted += 1

    def repair(self) -> None:
        """Look again now; the caller can only try again later if that does not help."""
        self._wanted += 1
        with contextlib.suppress(TopologyError, pika.exceptions.AMQPError, OSError):
            self.ensure()

    def repair_aside(self) -> None:
        """As `repair`, in a thread that nobody waits for, the end of the process neither: RabbitMQ may not answer for minutes."""
        if self._aside is None or not self._aside.is_alive():  # two that are asked at once take turns as well
            self._aside = threading.Thread(target=self.repair, name="topology", daemon=True)
            self._aside.start()

    def ensure(self) -> None:
        """Return when the topology is in place; what is in its way is logged, once a minute.

        Raises:
            TopologyError: it cannot be brought about; the text says what to do.
            pika.exceptions.AMQPError: RabbitMQ is away.
        """
        wanted, failures = self._wanted, self._failures
        with self._lock:
            if self._done >= wanted:
                return
            if self._failures > failures:  # while this thread waited; one that took its turn as well would wait as long
                raise self._failure.with_traceback(None)
            target = self._wanted
            try:
                self._look()
            except Exception as error:
                self._failures, self._failure = self._failures + 1, error
                self._tell(error)
                raise
            self._done = target
            self._may_tell.forget()

    def _tell(self, error: Exception) -> None:
        """Every queue's thread asks each second, and one line is enough for all of them.

        That RabbitMQ is away is told by the connections themselves.
        """
        if isinstance(error, pika.exceptions.AMQPConnectionError):
            return
        text = str(error) if isinstance(error, TopologyError) else describe(error)
        if self._may_tell(text):
            log.error("the topology is not in place; trying again", error=text)

    def _look(self) -> None:
        try:
            connection = pika.BlockingConnection(parameters(self._url, name="sips-worker topology", heartbeat=self._heartbeat))
        except AMQPConnectorException as error:
            # A peer that says nothing: the one way to fail for which pika has errors that are not of its own tree.
            raise pika.exceptions.AMQPConnectionError(type(error).__name__) from None
        try:
            self._declare_or_check(connection)
        finally:
            if connection.is_open:
                connection.close()

    def _declare_or_check(self, connection: pika.BlockingConnection) -> None:
        era = self._era
        refused_in, refusal = self._refusal
        if refused_in != era:
            try:
                self._topology.declare(connection.channel())
            except TopologyError as error:
                if not error.access_refused:
                    raise
                refusal = error
                self._refusal = era, error
            else:
                return
        # A worker may run without the right to configure; then somebody else must have declared all of it.
        if missing := self._topology.check(connection):
            raise TopologyError(f"{refusal}; missing: {', '.join(missing)}")
