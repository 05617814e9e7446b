"""Celery with its pool of threads, acks late, confirms on."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Queue

from tests.benchmarks.job import EVENTS, event
from tests.benchmarks.peers.asking import ask
from tests.benchmarks.peers.surroundings import AMQP_URL, QUEUE

app = Celery("bench", broker=AMQP_URL)
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_default_queue=QUEUE,
    task_ignore_result=True,
    task_queues=[Queue(QUEUE, routing_key=QUEUE, queue_arguments={"x-queue-type": "quorum"})],
)


@app.task(name="fetch_prices")
def fetch_prices(command: dict[str, Any]) -> None:
    """Ask SIPS, and publish with a producer of Celery's own pool."""
    outcome = event(command, ask(command))
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(
            outcome, exchange=EVENTS, routing_key=outcome["type"], serializer="json", delivery_mode=2, mandatory=True, retry=True
        )
