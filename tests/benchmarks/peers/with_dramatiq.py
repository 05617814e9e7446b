"""dramatiq with its own RabbitMQ broker, confirms on."""

from __future__ import annotations

from typing import Any

import dramatiq
import pika
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from tests.benchmarks.job import EVENTS, encoded, event
from tests.benchmarks.peers.asking import ask
from tests.benchmarks.peers.surroundings import AMQP_URL, QUEUE


class QuorumBroker(RabbitmqBroker):
    """The stock broker knows classic queues only; this one argument is all that is changed."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        arguments: dict[str, Any] = super()._build_queue_arguments(queue_name)  # type: ignore[no-untyped-call]
        return arguments | {"x-queue-type": "quorum"}


broker = QuorumBroker(url=AMQP_URL, confirm_delivery=True)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=QUEUE)
def fetch_prices(command: dict[str, Any]) -> None:
    """Ask SIPS, and publish over the broker's own channel of this thread: dramatiq itself sends nothing but its own messages."""
    outcome = event(command, ask(command))
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
    broker.channel.basic_publish(EVENTS, outcome["type"], encoded(outcome), properties, mandatory=True)
