"""Look into RabbitMQ from outside, as a test."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Self

import orjson
import pika
import pika.exceptions

from worker.local.rabbitmq import RabbitMQError
from worker.main import make_topology
from worker.messaging.connection import parameters
from worker.messaging.store_mark import STORE
from worker.messaging.topology import DEAD, UNROUTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.local.rabbitmq import RabbitMQNode

#: Seconds after which something that should have happened has not.
PATIENCE = 30.0


@contextlib.contextmanager
def channel(url: str) -> Iterator[Any]:
    """A channel with confirms on, on a connection of its own."""
    connection = pika.BlockingConnection(parameters(url, name="tests", heartbeat=60))
    try:
        opened = connection.channel()
        opened.confirm_delivery()
        yield opened
    finally:
        if connection.is_open:
            connection.close()


def purge(url: str) -> None:
    """Empty every queue of the topology, and let the broker belong to another store."""
    with channel(url) as opened:
        for queue in make_topology().queues:
            opened.queue_purge(queue.name)
    forget_the_store(url)


def forget_the_store(url: str) -> None:
    """Let the broker belong to another store: the next test has one of its own."""
    with channel(url) as opened:
        opened.exchange_delete(STORE)


@contextlib.contextmanager
def copies(url: str) -> Iterator[str]:
    """A queue that gets a copy of all that is published to an exchange of the topology meanwhile."""
    topology, name = make_topology(), f"copies-{uuid.uuid4()}"
    with channel(url) as opened:
        opened.queue_declare(name, durable=True)
        for exchange in topology.exchanges:  # "#" is every routing key for a topic exchange, and a fanout asks for none
            for key in {"#", *(binding.routing_key for binding in topology.bindings if binding.exchange == exchange.name)}:
                opened.queue_bind(name, exchange.name, key)
    try:
        yield name
    finally:
        with channel(url) as opened:
            opened.queue_delete(name)


def count(url: str, queue: str) -> int:
    """Messages ready in a queue."""
    with channel(url) as opened:
        ready: int = opened.queue_declare(queue, passive=True).method.message_count
        return ready


def left_in_queues(node: RabbitMQNode) -> dict[str, int] | None:
    """The messages in each queue that is not empty, unacked ones included, but those that wait for a person.

    None while RabbitMQ does not say.
    """
    try:
        listed = node.rabbitmqctl("list_queues", "name", "messages", "--no-table-headers")
    except RabbitMQError:
        return None
    rows = (line.split("\t") for line in listed.splitlines() if line.startswith("sips."))
    return {name: int(number) for name, number in rows if int(number) and name not in {DEAD, UNROUTED}}


def take_all(url: str, queue: str) -> list[tuple[pika.BasicProperties, bytes]]:
    """Everything that is ready in a queue, taken out of it."""
    taken = []
    with channel(url) as opened:
        while (message := opened.basic_get(queue, auto_ack=True))[0] is not None:
            taken.append((message[1], message[2]))
    return taken


def publish(url: str, exchange: str, routing_key: str, body: bytes, **properties: Any) -> None:
    """Publish one message, confirmed."""
    with channel(url) as opened:
        opened.basic_publish(exchange, routing_key, body, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True)


def eventually(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """The first true value of a condition that only polling can see (another process, RabbitMQ's counters)."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {patience:g} s still not: {what}"
        time.sleep(0.05)
    return value


class EventTap:
    """Collects every event that is published from now on, in a thread and over a connection of its own."""

    def __init__(self, url: str, binding: str = "#") -> None:
        self.events: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._connection = pika.BlockingConnection(parameters(url, name="tap", heartbeat=60))
        self._channel = self._connection.channel()
        queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.queue_bind(queue, "sips.events", routing_key=binding)
        self._channel.basic_consume(queue, self._on_event, auto_ack=True)
        self._thread = threading.Thread(target=self._consume, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        with contextlib.suppress(pika.exceptions.AMQPError):
            self._connection.add_callback_threadsafe(self._channel.stop_consuming)
        self._thread.join(PATIENCE)
        with contextlib.suppress(pika.exceptions.AMQPError):
            self._connection.close()

    def _consume(self) -> None:
        with contextlib.suppress(pika.exceptions.AMQPError):
            self._channel.start_consuming()

    def _on_event(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        with self._changed:
            self.events.append(orjson.loads(body))
            self._changed.notify_all()

    def wait(self, condition: Callable[[list[dict[str, Any]]], Any], what: str, patience: float = PATIENCE) -> Any:
        """The first true value of `condition(events)`."""
        deadline = time.monotonic() + patience
        with self._changed:
            while not (value := condition(self.events)):
                left = deadline - time.monotonic()
                assert left > 0, f"after {patience:g} s still not: {what}; seen: {[event['type'] for event in self.events]}"
                self._changed.wait(left)
        return value

    def outcome(self, command_id: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The outcome of a command."""
        found: dict[str, Any] = self.wait(lambda _events: self.outcomes(command_id)[:1], f"outcome of {command_id}", patience)[0]
        return found

    def outcomes(self, command_id: str) -> list[dict[str, Any]]:
        """All outcomes of a command so far."""
        ends = (".succeeded", ".failed", ".unknown")
        return [event for event in self.events if event.get("causationid") == command_id and event["type"].endswith(ends)]
