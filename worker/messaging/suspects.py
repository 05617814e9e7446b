"""Run what may have killed its process: one message at a time in each process, started the moment it arrives.

So RabbitMQ's mark on a message of this queue means that a process died, or lost its connection, while that message ran:
none waits here while others run, and none is given back by a process that lives.
"""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING

import structlog

from worker.messaging import ladder
from worker.messaging.delivery import Disposition
from worker.messaging.publisher import PublishError
from worker.messaging.topology import SUSPECTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.messaging.consumer import RabbitConsumer
    from worker.messaging.delivery import Delivery
    from worker.messaging.publisher import Publisher

__all__ = ["SuspectRunner"]

#: Seconds for the confirm of a message that goes back, and between two tries.
PUT_BACK_SECONDS = 5.0
RETRY_SECONDS = 1.0

log = structlog.get_logger(__name__)


class SuspectRunner:
    """A thread of its own that takes from the queue of suspects and executes.

    Args:
        consumer: of the queue, with a prefetch of one.
        execute: called with each delivery; sets its disposition and does not raise.
        publisher: puts back what came to no end while the process lives.
    """

    def __init__(self, consumer: RabbitConsumer, execute: Callable[[Delivery], None], publisher: Publisher) -> None:
        self._consumer = consumer
        self._execute = execute
        self._publisher = publisher
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="suspects", daemon=True)

    def start(self) -> None:
        """Begin to take messages, once the connection is there and the gate is open."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Take nothing more, and wait at most `timeout` seconds for the message that runs."""
        self._stopping.set()
        self._consumer.wake()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._take_one()
            except Exception:
                log.exception("a suspect could not be run; its message goes back")
                self._stopping.wait(RETRY_SECONDS)

    def _take_one(self) -> None:
        proxy = next(self._consumer)
        if proxy is None or not proxy.delivery.start():
            return
        try:
            self._execute(proxy.delivery)
            if proxy.delivery.disposition is not Disposition.ACK:
                self._put_back(proxy.delivery)
        finally:
            self._consumer.ack(proxy)

    def _put_back(self, delivery: Delivery) -> None:
        """No end, but no crash either: a requeue would be marked as one, a copy is not."""
        # Unlike this one, which is acked: after a lost connection the copy must not be settled as if it were this one again.
        mark = {"sips-put-back": uuid.uuid4().hex}
        copy = ladder.returned(delivery.body, delivery.properties, delivery.routing_key, queue=SUSPECTS, headers=mark)
        while not self._stopping.is_set():
            try:
                self._publisher.publish(copy, timeout=PUT_BACK_SECONDS)
            except PublishError as error:
                log.warning("a suspect cannot be put back yet", error=str(error))
                self._stopping.wait(RETRY_SECONDS)
            else:
                delivery.disposition = Disposition.ACK
                return
