"""RabbitMQ from the outside: put commands into a queue, take the events."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import orjson
import pika

from tests.amqp import channel
from tests.benchmarks.job import EVENTS
from worker.messaging.connection import parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pika.adapters.blocking_connection import BlockingChannel

    from tests.benchmarks.contenders import Message

__all__ = ["RESULTS", "Publisher", "Results", "ResultsError", "declare", "outcomes"]

#: Quorum queue that every event of every worker goes to.
RESULTS = "bench.results"

QUORUM = {"x-queue-type": "quorum"}

#: Commands that are put into a queue at a stroke.
BATCH = 5_000

#: Seconds in which an event that nobody expects would still come.
CALM_SECONDS = 0.3

#: Seconds without a further event after which a worker has lost some.
PATIENCE_SECONDS = 30.0


class ResultsError(Exception):
    """Events are missing, came twice, or tell of no success."""


def declare(url: str) -> None:
    """The queue of results, and what leads to it."""
    with channel(url) as opened:
        opened.exchange_declare(EVENTS, passive=True)
        opened.queue_declare(RESULTS, durable=True, arguments=QUORUM)
        opened.queue_bind(RESULTS, EVENTS, routing_key="#")


class Publisher:
    """Publishes commands over a connection of its own."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(parameters(url, name="bench commands", heartbeat=0))
        self._single = self._connection.channel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._connection.close()

    def publish(self, message: Message) -> None:
        """One command, now."""
        _publish(self._single, message)

    def fill(self, messages: Iterable[Message]) -> None:
        """Commands that enter the queue together: a worker that waits for them is not slowed down by their coming."""
        opened = self._connection.channel()
        opened.tx_select()
        number = 0
        for number, message in enumerate(messages, 1):
            _publish(opened, message)
            if number % BATCH == 0:
                opened.tx_commit()
        if number % BATCH:
            opened.tx_commit()
        opened.close()

    def declare(self, queue: str, arguments: Mapping[str, str]) -> None:
        """A durable queue, as its worker will declare it."""
        self._single.queue_declare(queue, durable=True, arguments=dict(arguments))

    def empty(self, queue: str) -> None:
        """Throw away what waits in a queue."""
        self._single.queue_purge(queue)


def _publish(opened: BlockingChannel, message: Message) -> None:
    opened.basic_publish(message.exchange, message.routing_key, message.body, message.properties)


class Results:
    """Takes every event, in a thread and over a connection of its own, and notes when it came.

    Events are read when all have come, so that reading takes no time from who is measured.
    """

    def __init__(self, url: str) -> None:
        self._came: list[tuple[float, bytes]] = []
        self._changed = threading.Condition()
        self._awaited = 0
        self._connection = pika.BlockingConnection(parameters(url, name="bench results", heartbeat=0))
        self._channel = self._connection.channel()
        self._channel.queue_purge(RESULTS)
        self._channel.basic_consume(RESULTS, self._on_event, auto_ack=True)
        self._thread = threading.Thread(target=self._channel.start_consuming, name="results", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._connection.add_callback_threadsafe(self._channel.stop_consuming)
        self._thread.join()
        self._connection.close()

    def _on_event(self, _channel: object, _method: object, _properties: object, body: bytes) -> None:
        self._came.append((time.monotonic(), body))
        if len(self._came) >= self._awaited:
            with self._changed:
                self._changed.notify_all()

    def forget(self) -> None:
        """Begin anew."""
        self._came.clear()

    def __len__(self) -> int:
        return len(self._came)

    def wait(self, number: int, *, alive: Callable[[], bool] = lambda: True) -> None:
        """Until so many events have come.

        Raises:
            ResultsError: None came for `PATIENCE_SECONDS`, or the worker has ended.
        """
        with self._changed:
            self._awaited, seen, since = number, -1, time.monotonic()
            while len(self._came) < number:
                if len(self._came) != seen:
                    seen, since = len(self._came), time.monotonic()
                if not alive() or time.monotonic() - since > PATIENCE_SECONDS:
                    raise ResultsError(f"{seen} of {number} events came; {'then no more' if alive() else 'the worker ended'}")
                self._changed.wait(0.5)

    def take(self, command_ids: Iterable[str], *, per_command: int = 1) -> dict[str, float]:
        """By command, the monotonic time at which its outcome came; see `outcomes`.

        Raises:
            ResultsError: It is not so.
        """
        time.sleep(CALM_SECONDS)
        came = self._came[:]
        self.forget()
        return outcomes([(at, orjson.loads(body)) for at, body in came], command_ids, per_command=per_command)


def outcomes(events: Sequence[tuple[float, dict[str, Any]]], command_ids: Iterable[str], *, per_command: int) -> dict[str, float]:
    """By command, when its outcome came.

    Args:
        events: each with the time at which it came.
        command_ids: the commands; each must have succeeded, once.
        per_command: events of one command, its outcome among them.

    Raises:
        ResultsError: It is not so.
    """
    expected = Counter(command_ids)
    if len(events) != per_command * expected.total():
        raise ResultsError(f"{len(events)} events came for {expected.total()} commands")
    succeeded = [(at, event["causationid"]) for at, event in events if event["type"].endswith(".succeeded")]
    found = Counter(command for _, command in succeeded)
    if found != expected:
        missing, surplus = (expected - found).total(), (found - expected).total()
        raise ResultsError(f"of {expected.total()} commands {missing} did not succeed; {surplus} events are too many")
    return {command: at for at, command in succeeded}
