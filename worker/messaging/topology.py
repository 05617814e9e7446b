"""The whole topology as data, and the code that declares or checks it.

Queue arguments can never change under a name: a change is a new name beside the old one, which drains.
The arguments are those that RabbitMQ takes from 3.10 up to 4.x; the reasons stand beside them here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pika
import pika.exceptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pika.adapters.blocking_connection import BlockingChannel

__all__ = [
    "BULK",
    "COMMANDS",
    "CONTROL",
    "DEAD",
    "DELAY_SECONDS",
    "DELIVERY_LIMIT",
    "EVENTS",
    "ORDERS",
    "QUERIES",
    "RETRY",
    "SUSPECTS",
    "UNDELIVERED",
    "UNROUTED",
    "WATCHES",
    "WEBHOOKS",
    "WORK_QUEUES",
    "Topology",
    "TopologyError",
    "build",
    "delay_exchange",
]

COMMANDS = "sips.commands"
EVENTS = "sips.events"
RETRY = "sips.retry"
UNDELIVERED = "sips.undelivered"
UNROUTED = "sips.unrouted"
SUSPECTS = "sips.suspects"
DEAD = "sips.dead"

ORDERS = "sips.orders"
QUERIES = "sips.queries"
BULK = "sips.bulk"
WATCHES = "sips.watches"
WEBHOOKS = "sips.webhooks"
CONTROL = "sips.control"

#: The queues that hold commands, in the order in which a busy worker prefers them.
WORK_QUEUES = (CONTROL, ORDERS, QUERIES, WATCHES, WEBHOOKS, BULK)

#: The steps of the delay ladder, in seconds: 1 s up to a day and a half, each twice the one before.
DELAY_SECONDS: tuple[int, ...] = tuple(2**step for step in range(18))

#: Revision of the delay queues' arguments; a change of arguments needs a new revision beside the old one.
DELAY_REVISION = "r1"

#: RabbitMQ 4 sets 20 by default, and every return of a prefetched message counts. High enough for hours of restarts.
DELIVERY_LIMIT = 1000

#: Reading a dead letter counts as a delivery and must never delete it. (-1 means unlimited on 4.x and "drop" on 3.10.)
UNLIMITED = 2_147_483_647

#: Events that nobody was bound for, kept for a look; the oldest go first.
UNROUTED_LENGTH = 10_000

#: Dead-lettering that loses nothing needs all three of these on a quorum queue.
AT_LEAST_ONCE = {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


class TopologyError(Exception):
    """RabbitMQ has something else under a name, or refuses to make it; the text says what, and what to do.

    `access_refused` is set where the user lacks the right to configure.
    """

    def __init__(self, text: str, *, access_refused: bool = False) -> None:
        super().__init__(text)
        self.access_refused = access_refused


@dataclass(frozen=True, slots=True)
class Exchange:
    """One durable exchange."""

    name: str
    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """One durable quorum queue."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Binding:
    """One binding of a queue to an exchange."""

    exchange: str
    queue: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything that is declared, in the order in which it is."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]

    def declare(self, channel: BlockingChannel) -> None:
        """Declare all of it; what is already there with the same arguments stays.

        Raises:
            TopologyError: something is there with other arguments, or the user has no right to configure.
        """
        for exchange in self.exchanges:
            with _explained(f"exchange {exchange.name}"):
                channel.exchange_declare(
                    exchange.name, exchange_type=exchange.kind, durable=True, arguments=dict(exchange.arguments)
                )
        for queue in self.queues:
            with _explained(f"queue {queue.name}"):
                channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        for binding in self.bindings:
            with _explained(f"binding {binding.exchange} -> {binding.queue}"):
                channel.queue_bind(binding.queue, binding.exchange, routing_key=binding.routing_key)

    def check(self, connection: pika.BlockingConnection) -> list[str]:
        """Tell the names that are missing; needs no right to configure, but sees neither arguments nor bindings."""
        missing = []
        for kind, name in [("exchange", item.name) for item in self.exchanges] + [("queue", item.name) for item in self.queues]:
            channel = connection.channel()
            try:
                if kind == "exchange":
                    channel.exchange_declare(name, passive=True)
                else:
                    channel.queue_declare(name, passive=True)
            except pika.exceptions.ChannelClosedByBroker as error:
                if error.reply_code != NOT_FOUND:
                    raise TopologyError(f"{kind} {name} cannot be looked at: {error.reply_text}") from None
                missing.append(f"{kind} {name}")
            else:
                channel.close()
        return missing

    def export(self) -> dict[str, Any]:
        """The topology in the shape of RabbitMQ's definitions file, without a virtual host's name."""
        return {
            "exchanges": [
                {"name": item.name, "type": item.kind, "durable": True, "auto_delete": False, "internal": False}
                | {"arguments": dict(item.arguments)}
                for item in self.exchanges
            ],
            "queues": [
                {"name": item.name, "durable": True, "auto_delete": False, "arguments": dict(item.arguments)}
                for item in self.queues
            ],
            "bindings": [
                {"source": item.exchange, "destination": item.queue, "destination_type": "queue"}
                | {"routing_key": item.routing_key, "arguments": {}}
                for item in self.bindings
            ],
        }


#: AMQP reply codes (the 0-9-1 specification's constants).
ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED = 403, 404, 406


class _explained:  # noqa: N801 - reads as part of a with statement
    """Turn the closing of a channel into a `TopologyError` that names what was being declared."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if not isinstance(error, pika.exceptions.ChannelClosedByBroker):
            return
        advice = {
            ACCESS_REFUSED: "give the user the right to configure it, or declare it once with `sips-worker topology declare`",
            PRECONDITION_FAILED: "it exists with other arguments: drain and delete it, then declare again",
        }.get(error.reply_code, "see RabbitMQ's log")
        refused = error.reply_code == ACCESS_REFUSED
        raise TopologyError(f"{self._what}: {error.reply_text}; {advice}", access_refused=refused) from None


def delay_exchange(seconds: int) -> str:
    """The exchange (and queue) that gives a message back after `seconds`, a step of `DELAY_SECONDS`."""
    return f"sips.delay.{DELAY_REVISION}.{seconds}"


def build(bindings: Mapping[str, str]) -> Topology:
    """The topology for these commands: a mapping of command type to work queue."""
    return Topology(tuple(_exchanges()), tuple(_queues()), tuple(_bindings(bindings)))


def _exchanges() -> Iterable[Exchange]:
    yield Exchange(UNDELIVERED, "fanout")
    yield Exchange(UNROUTED, "fanout")
    yield Exchange(COMMANDS, "topic", {"alternate-exchange": UNDELIVERED})
    yield Exchange(EVENTS, "topic", {"alternate-exchange": UNROUTED})
    yield Exchange(RETRY, "direct")
    for seconds in DELAY_SECONDS:
        yield Exchange(delay_exchange(seconds), "fanout")


def _queues() -> Iterable[Queue]:
    yield Queue(DEAD, {"x-queue-type": "quorum", "x-delivery-limit": UNLIMITED})
    to_the_dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD, "x-delivery-limit": DELIVERY_LIMIT}
    yield Queue(UNDELIVERED, AT_LEAST_ONCE | to_the_dead)
    for name in (*WORK_QUEUES, SUSPECTS):
        yield Queue(name, AT_LEAST_ONCE | {"x-dead-letter-exchange": UNDELIVERED, "x-delivery-limit": DELIVERY_LIMIT})
    for seconds in DELAY_SECONDS:
        yield Queue(delay_exchange(seconds), AT_LEAST_ONCE | {"x-dead-letter-exchange": RETRY, "x-message-ttl": seconds * 1000})
    yield Queue(UNROUTED, {"x-queue-type": "quorum", "x-max-length": UNROUTED_LENGTH, "x-overflow": "drop-head"})


def _bindings(commands: Mapping[str, str]) -> Iterable[Binding]:
    yield Binding(UNDELIVERED, UNDELIVERED, "")
    yield Binding(UNROUTED, UNROUTED, "")
    for name in (*WORK_QUEUES, SUSPECTS, UNDELIVERED):
        yield Binding(RETRY, name, name)
    for seconds in DELAY_SECONDS:
        yield Binding(delay_exchange(seconds), delay_exchange(seconds), "")
    for command, queue in sorted(commands.items()):
        yield Binding(COMMANDS, queue, command)
