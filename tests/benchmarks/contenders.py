"""The workers that do the job: how each is started, and in which form it takes its commands."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dramatiq
import pika

from tests.benchmarks.job import COMMAND_TYPE, IN_FLIGHT, SOURCE, THREADS, command, encoded
from worker.messaging.topology import COMMANDS, QUERIES
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CELERY", "CONTENDERS", "DRAMATIQ", "FASTSTREAM", "OURS", "Contender", "Message"]

OURS, DRAMATIQ, CELERY, FASTSTREAM = "sips-worker", "dramatiq", "celery", "faststream"

#: The name that the peers' own messages call the job by.
TASK = "fetch_prices"

PEERS = "tests.benchmarks.peers"

QUORUM = {"x-queue-type": "quorum"}


@dataclass(frozen=True, slots=True)
class Message:
    """A command on its way to a worker."""

    exchange: str
    routing_key: str
    properties: pika.BasicProperties
    body: bytes


@dataclass(frozen=True, slots=True)
class Contender:
    """One worker.

    Attributes:
        name: as in the figures.
        queue: where its commands wait.
        arguments: of the Python that runs it.
        message: a command, by its id, in the form that this worker takes.
        in_flight: commands that it works on at the same time.
        queue_arguments: with which it declares its queue.
        is_peer: is not ours.
    """

    name: str
    queue: str
    arguments: tuple[str, ...]
    message: Callable[[str], Message]
    in_flight: int
    queue_arguments: Mapping[str, str] = field(default_factory=lambda: QUORUM)
    is_peer: bool = True


def _for_us(command_id: str) -> Message:
    properties = pika.BasicProperties(content_type="application/cloudevents+json", delivery_mode=2)
    return Message(COMMANDS, COMMAND_TYPE, properties, encoded(command(command_id)))


def _for_dramatiq(command_id: str) -> Message:
    message: dramatiq.Message[Any] = dramatiq.Message(
        queue_name=f"bench.{DRAMATIQ}", actor_name=TASK, args=(command(command_id),), kwargs={}, options={}
    )
    return Message("", message.queue_name, pika.BasicProperties(delivery_mode=2), message.encode())


def _for_celery(command_id: str) -> Message:
    """Celery's message protocol, version 2."""
    task = str(uuid.uuid4())
    headers: dict[str, Any] = {
        "lang": "py",
        "task": TASK,
        "id": task,
        "root_id": task,
        "parent_id": None,
        "group": None,
        "retries": 0,
    }
    headers |= {"eta": None, "expires": None, "timelimit": [None, None], "argsrepr": "", "kwargsrepr": "", "origin": SOURCE}
    properties = pika.BasicProperties(
        content_type="application/json", content_encoding="utf-8", headers=headers, correlation_id=task, delivery_mode=2
    )
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return Message("", f"bench.{CELERY}", properties, encoded([[command(command_id)], {}, embedded]))


def _for_faststream(command_id: str) -> Message:
    properties = pika.BasicProperties(content_type="application/json", message_id=command_id, delivery_mode=2)
    return Message("", f"bench.{FASTSTREAM}", properties, encoded(command(command_id)))


#: Every worker by its name. Ours comes with its defaults; the peers with theirs, but for what the job asks of them.
CONTENDERS: Mapping[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender(
            OURS,
            QUERIES,
            ("-m", "worker", "run"),
            _for_us,
            Settings.model_fields["threads"].default,
            is_peer=False,
        ),
        Contender(
            DRAMATIQ,
            f"bench.{DRAMATIQ}",
            ("-m", "dramatiq", f"{PEERS}.with_dramatiq", "--processes", "1", "--threads", str(THREADS)),
            _for_dramatiq,
            THREADS,
            QUORUM | {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"bench.{DRAMATIQ}.XQ"},
        ),
        Contender(
            CELERY,
            f"bench.{CELERY}",
            ("-m", "celery", "-A", f"{PEERS}.with_celery", "worker", "--pool", "threads", "--concurrency", str(THREADS)),
            _for_celery,
            THREADS,
        ),
        Contender(FASTSTREAM, f"bench.{FASTSTREAM}", ("-m", f"{PEERS}.with_faststream"), _for_faststream, IN_FLIGHT),
    )
}
