"""Collect every event from a durable queue, so that none is missed while the broker restarts."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import orjson
import pika
import pika.exceptions

from tests.amqp import channel
from worker.messaging.connection import parameters
from worker.messaging.topology import EVENTS

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

__all__ = ["Tap"]

#: The queue; it survives the broker's restarts.
QUEUE = "chaos.events"

#: Seconds between two tries to connect, and in which the end is noticed.
RETRY_SECONDS = 0.3


class Tap:
    """Binds its queue at once and collects in a thread until it is closed; then the queue is deleted."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._events: list[dict[str, Any]] = []
        self._seen: set[bytes] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        #: Monotonic seconds of the latest event.
        self.latest = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)

    def __enter__(self) -> Self:
        with channel(self._url) as opened:
            opened.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
            opened.queue_purge(QUEUE)
            opened.queue_bind(QUEUE, EVENTS, routing_key="#")
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopped.set()
        self._thread.join()
        with channel(self._url) as opened:
            opened.queue_delete(QUEUE)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event so far, in the order in which they came."""
        with self._lock:
            return list(self._events)

    def _run(self) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(pika.exceptions.AMQPError, OSError):  # RabbitMQ is on its way back
                self._collect()
            self._stopped.wait(RETRY_SECONDS)

    def _collect(self) -> None:
        connection = pika.BlockingConnection(parameters(self._url, name="chaos tap", heartbeat=60))
        try:
            opened: BlockingChannel = connection.channel()
            opened.basic_qos(prefetch_count=100)
            for method, _properties, body in opened.consume(QUEUE, inactivity_timeout=RETRY_SECONDS):
                if method is not None and body is not None:
                    self._add(body, redelivered=method.redelivered)
                    opened.basic_ack(method.delivery_tag)
                if self._stopped.is_set():
                    return
        finally:
            if connection.is_open:
                connection.close()

    def _add(self, body: bytes, *, redelivered: bool) -> None:
        """Add an event, unless it was added before and its ack was lost."""
        with self._lock:
            if redelivered and body in self._seen:
                return
            self._seen.add(body)
            self._events.append(orjson.loads(body))
            self.latest = time.monotonic()
