"""The dramatiq broker of this worker: plain CloudEvents from quorum queues, one connection to consume, one to publish.

dramatiq's own RabbitMQ broker reads its own envelope only, holds delayed messages in memory and acks on channels that are
gone; this one is built on dramatiq's public interfaces, and on what its worker uses of a queue (`worker.messaging.work_queue`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

import dramatiq

from worker.messaging.connection import KeptConnection
from worker.messaging.consumer import RabbitConsumer
from worker.messaging.gate import Gate
from worker.messaging.keeper import TopologyKeeper
from worker.messaging.loop import Loop, unwatched
from worker.messaging.publisher import Publisher
from worker.messaging.suspects import SuspectRunner
from worker.messaging.topology import SUSPECTS
from worker.messaging.work_queue import WorkQueueMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pika.connection import Connection

    from worker.messaging.delivery import Delivery
    from worker.messaging.loop import Beat
    from worker.messaging.topology import Topology

__all__ = ["PUBLISHER_DOWN", "STOPPING", "RabbitBroker"]

#: Reasons of a gate that the broker itself knows.
PUBLISHER_DOWN = "publisher-down"
STOPPING = "stopping"

#: Messages fetched ahead per thread and queue. Small, so that a message that kills its process takes few along.
PREFETCH_PER_THREAD = 1.25

#: Seconds that closing a connection may take.
CLOSE_SECONDS = 2.0

#: Seconds that closing waits for the suspect that runs: the default of GRACE_SECONDS, as dramatiq does not know of it.
SUSPECT_SECONDS = 25.0


class RabbitBroker(dramatiq.Broker):
    """One per worker process; connects when dramatiq starts its consumers.

    Args:
        url: where RabbitMQ is.
        topology: what is declared.
        threads: of this process; gives the prefetch.
        heartbeat: seconds.
        queues: consumed by this process, in the order in which a busy worker prefers them.
        execute: called in a worker thread with each delivery that started; sets its disposition and does not raise.
        middleware: dramatiq's hooks; none of them decides anything.
        beat: called by each loop (of the connections, of the consumer of each queue) when it goes round.
    """

    def __init__(
        self,
        *,
        url: str,
        topology: Topology,
        threads: int,
        heartbeat: int,
        queues: Iterable[str],
        execute: Callable[[Delivery], None],
        middleware: Iterable[dramatiq.Middleware] = (),
        beat: Beat = unwatched,
    ) -> None:
        super().__init__(middleware=[WorkQueueMiddleware(), *middleware])
        names = tuple(queues)
        self.gates = {name: Gate(name) for name in (*names, SUSPECTS)}
        self.keeper = TopologyKeeper(url, topology, heartbeat=heartbeat)
        self._loop = Loop("sips-worker connections", beat=beat)
        self.publisher = Publisher(
            url,
            name="sips-worker publisher",
            heartbeat=heartbeat,
            on_state=self._publisher_changed,
            repair=self.keeper.repair,
            loop=self._loop,
        )
        self._connection = KeptConnection(
            self._loop,
            url,
            name="sips-worker consumer",
            heartbeat=heartbeat,
            on_up=self._connected,
            on_down=self._disconnected,
        )
        self._beat = beat
        self._prefetch = math.ceil(threads * PREFETCH_PER_THREAD)
        self._consumers: dict[str, RabbitConsumer] = {}
        self._pika_connection: Connection | None = None
        self._publisher_changed(False)
        for priority, name in enumerate(names):
            self._declare_actor(name, priority, execute)
        # Not dramatiq's: a suspect must not wait in this process behind others that run.
        self._suspects = SuspectRunner(self._make_consumer(SUSPECTS, prefetch=1), execute, self.publisher)

    def _declare_actor(self, queue: str, priority: int, execute: Callable[[Delivery], None]) -> None:
        def run(delivery: Delivery) -> None:
            if not delivery.finish() and delivery.start():
                execute(delivery)

        dramatiq.actor(actor_name=queue, queue_name=queue, priority=priority, broker=self)(run)

    def start(self) -> None:
        """Connect in the background; called in the process that works, after it was forked."""
        self._loop.start()
        self._suspects.start()

    def stop_consuming(self) -> None:
        """Take no new message, and give back at once what has not started."""
        for gate in self.gates.values():
            gate.close(STOPPING)

    def close(self) -> None:
        """Let the suspect that runs end, then close both connections; RabbitMQ gives back what is unsettled."""
        self._suspects.stop(SUSPECT_SECONDS)
        self._connection.stop(CLOSE_SECONDS)
        self.publisher.stop(CLOSE_SECONDS)
        self._loop.stop(CLOSE_SECONDS)

    def unready(self) -> list[str]:
        """Why this process does not consume all of its queues; empty while it does. From any thread."""
        consumers = self._consumers.copy()
        if not consumers:
            return ["starting"]
        if not self._connection.is_up:
            return ["no connection to RabbitMQ"]
        closed: dict[str, list[str]] = {}
        for queue, consumer in consumers.items():
            others = () if consumer.is_consuming else ("not consumed yet",)
            for reason in sorted(self.gates[queue].reasons) or others:
                closed.setdefault(reason, []).append(queue)
        return [f"{reason}: {', '.join(sorted(queues))}" for reason, queues in closed.items()]

    def declare_queue(self, queue_name: str) -> None:
        """Make dramatiq consume the queue. It is declared in RabbitMQ with the whole topology, not here."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> RabbitConsumer:  # noqa: ARG002
        """Called once per queue, in dramatiq's consumer thread, whose prefetch (twice the threads) is not used."""
        return self._make_consumer(queue_name, prefetch=self._prefetch, timeout=timeout / 1000)

    def _make_consumer(self, queue_name: str, *, prefetch: int, timeout: float = 1.0) -> RabbitConsumer:
        consumer = RabbitConsumer(
            queue_name,
            connection=self._connection,
            keeper=self.keeper,
            gate=self.gates[queue_name],
            prefetch=prefetch,
            timeout=timeout,
            beat=self._beat,
        )
        self._consumers[queue_name] = consumer
        self._connection.call_soon(lambda: self._attach(consumer))
        return consumer

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> NoReturn:
        """Commands do not come from dramatiq.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("publish a command to the exchange sips.commands instead")

    # In the loop's thread.

    def _connected(self, connection: Connection) -> None:
        self._pika_connection = connection
        self.keeper.invalidate()
        for consumer in list(self._consumers.values()):
            consumer.connected(connection)

    def _disconnected(self) -> None:
        self._pika_connection = None
        for consumer in list(self._consumers.values()):
            consumer.disconnected()

    def _attach(self, consumer: RabbitConsumer) -> None:
        """A consumer made while the connection is open; one made before hears of it in `_connected`."""
        if self._pika_connection is not None and not consumer.is_attached:
            consumer.connected(self._pika_connection)

    def _publisher_changed(self, up: bool) -> None:
        for gate in self.gates.values():
            if up:
                gate.open(PUBLISHER_DOWN)
            else:
                gate.close(PUBLISHER_DOWN)
