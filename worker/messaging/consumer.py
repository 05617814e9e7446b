"""Consume one queue for dramatiq: acks bound to their channel, a gate, and nothing run twice across a reconnect.

All state of the subscription lives in the loop's thread; dramatiq's consumer thread only takes from the inbox.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

import dramatiq
import pika.exceptions
import structlog

from worker.messaging.connection import describe
from worker.messaging.delivery import Delivery, Disposition
from worker.messaging.keeper import LOOK_SECONDS
from worker.messaging.loop import unwatched
from worker.messaging.topology import TopologyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pika.channel import Channel
    from pika.connection import Connection
    from pika.spec import BasicProperties

    from worker.messaging.connection import KeptConnection
    from worker.messaging.gate import Gate
    from worker.messaging.keeper import TopologyKeeper
    from worker.messaging.loop import Beat

__all__ = ["DeliveryProxy", "RabbitConsumer"]

#: Seconds before a channel is opened again after RabbitMQ closed it, and between two tries to declare the topology.
RETRY_SECONDS = 1.0

#: Seconds that closing waits for the confirms of what has run: many times what RabbitMQ takes while it is well.
DEFERRED_SECONDS = 1.0

#: Deliveries that ran on a lost channel, remembered so that their redelivery is settled with them and not run again.
MAX_ORPHANS = 1000

#: Seconds in which a redelivery can be one of a lost channel. RabbitMQ notices a dead connection within three heartbeats;
#: later, an equal message is one that somebody published again.
ORPHAN_SECONDS = 180.0

#: The latest acks. RabbitMQ does not confirm an ack, so the last ones on a lost channel may never have reached it.
MAX_ACKED = 500

#: Bodies larger than this are not held in memory after their ack, in bytes.
MAX_REMEMBERED_BYTES = 16_384

log = structlog.get_logger(__name__)


class DeliveryProxy(dramatiq.MessageProxy):
    """A delivery in the shape dramatiq handles: a message for the actor that stands for the queue.

    Args:
        message: one for all deliveries of the queue, which dramatiq never sees: what it asks for stands here.
    """

    def __init__(self, delivery: Delivery, message: dramatiq.Message[Any]) -> None:
        super().__init__(message)
        self.queue_name = self.actor_name = delivery.queue
        self.args: tuple[Any, ...] = (delivery,)
        self.kwargs: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.message_id = ""
        self.delivery = delivery


class RabbitConsumer(dramatiq.Consumer):
    """Iterates over one queue's deliveries while its gate is open; never raises for the broker being away."""

    def __init__(
        self,
        queue_name: str,
        *,
        connection: KeptConnection,
        keeper: TopologyKeeper,
        gate: Gate,
        prefetch: int,
        timeout: float,
        beat: Beat = unwatched,
    ) -> None:
        self.waiting: dict[int, Delivery] = {}
        self.running: dict[int, Delivery] = {}
        self._queue = queue_name
        self._beat = beat
        self._connection = connection
        self._keeper = keeper
        self._gate = gate
        self._prefetch = prefetch
        self._timeout = timeout
        self._inbox: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._to_settle: deque[Delivery] = deque()
        self._orphans: OrderedDict[Any, tuple[Delivery, float]] = OrderedDict()
        self._acked: deque[Delivery] = deque(maxlen=MAX_ACKED)
        self._message: dramatiq.Message[Any] = dramatiq.Message(queue_name, queue_name, args=(), kwargs={}, options={})
        self._topology_checked = False
        self._closed = False
        self._idle = threading.Event()
        # Of the loop's thread alone:
        self._pika_connection: Connection | None = None
        self._channel: Channel | None = None
        self._consumer_tag: str | None = None
        self._opening = False
        gate.on_change(lambda: self._soon(self._reconcile))
        self._beat(self._queue)

    # dramatiq's interface, called in its consumer thread and worker threads.

    def __next__(self) -> DeliveryProxy | None:
        self._beat(self._queue)
        ready = self._topology_checked or self._check_topology()
        try:
            delivery = self._inbox.get(timeout=self._timeout if ready else RETRY_SECONDS)
        except queue.Empty:
            return None
        return DeliveryProxy(delivery, self._message) if delivery is not None else None

    def wake(self) -> None:
        """Make `__next__` return at once, with None if there is no delivery."""
        self._inbox.put(None)

    def ack(self, message: dramatiq.MessageProxy) -> None:
        """Apply the disposition that the pipeline set; dramatiq's own verdict does not count."""
        delivery: Delivery = message.args[0]
        if not delivery.deferred:
            self.settle(delivery)

    nack = ack

    def settle(self, delivery: Delivery) -> None:
        """Apply its disposition; from any thread."""
        self._to_settle.append(delivery)
        self._soon(self._settle)

    def run_again(self, delivery: Delivery) -> None:
        """To a worker thread, the way it came."""
        self._inbox.put(delivery)

    def requeue(self, messages: Iterable[dramatiq.MessageProxy]) -> None:
        """Give back what has not started, and finish what was to be resumed."""
        for message in messages:
            if message.args[0].revoke():
                self.ack(message)
            else:
                message.args[0].finish()

    def close(self) -> None:
        """Settle what is done, wait for what is deferred, then close the channel; what is unsettled goes back to its queue."""
        self._closed = True
        self._finish_resumed()
        self._soon(self._settle)
        if self._connection.is_up:
            self._idle.wait(DEFERRED_SECONDS)
        closed = threading.Event()

        def close_channel() -> None:
            self._settle()
            if self._channel is not None and self._channel.is_open:
                self._channel.close()
            closed.set()

        self._soon(close_channel)
        if self._connection.is_up:
            closed.wait(RETRY_SECONDS)

    def _finish_resumed(self) -> None:
        """What no thread takes from the inbox any more; the rest of it goes back with the channel."""
        with contextlib.suppress(queue.Empty):
            while True:
                if (delivery := self._inbox.get_nowait()) is not None:
                    delivery.finish()

    def _check_topology(self) -> bool:
        self._beat(self._queue, allow=LOOK_SECONDS)
        try:
            self._keeper.ensure()
        except (TopologyError, pika.exceptions.AMQPError, OSError):
            return False
        self._topology_checked = True
        self._soon(self._reconcile)
        return True

    def _soon(self, call: Callable[[], None]) -> None:
        self._connection.call_soon(call)

    @property
    def is_consuming(self) -> bool:
        """Whether RabbitMQ was asked for the queue's messages, on a channel that is there. From any thread."""
        return self._consumer_tag is not None

    # Everything below runs in the loop's thread.

    @property
    def is_attached(self) -> bool:
        """Whether it knows an open connection."""
        return self._pika_connection is not None

    def connected(self, connection: Connection) -> None:
        """A new connection is open."""
        self._pika_connection = connection
        self._settle()
        self._look_at_topology_again()

    def disconnected(self) -> None:
        """The connection is gone, and with it the channel: what is running there must not run again here."""
        self._pika_connection = None
        self._lose_channel()

    def _look_at_topology_again(self) -> None:
        self._topology_checked = False
        self.wake()

    def _lose_channel(self) -> None:
        self._channel = self._consumer_tag = None
        self._opening = False
        for delivery in list(self.waiting.values()):
            delivery.settled = delivery.revoke()
        for delivery in self._acked:
            self._remember(delivery)
        self._acked.clear()
        for delivery in list(self.running.values()):
            if not delivery.revoked:
                self._remember(delivery)
        self.running.clear()

    def _remember(self, delivery: Delivery) -> None:
        self._orphans[_identity(delivery.body, delivery.properties)] = delivery, time.monotonic()
        while len(self._orphans) > MAX_ORPHANS:
            self._orphans.popitem(last=False)

    def _reconcile(self) -> None:
        """Bring the subscription in line with the gate."""
        connection = self._pika_connection
        if self._closed or connection is None or not connection.is_open or not self._topology_checked:
            return
        if not self._gate.is_open:
            self._unsubscribe()
        elif self._channel is None:
            if not self._opening:
                self._opening = True
                connection.channel(on_open_callback=self._channel_opened)
        elif self._consumer_tag is None and self._channel.is_open and len(self.running) < self._prefetch:
            # RabbitMQ gives a new consumer a window of its own; what still runs from the one before must not come on top.
            self._subscribe(self._channel)

    def _channel_opened(self, channel: Channel) -> None:
        self._opening = False
        self._channel = channel
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_cancel_callback(self._cancelled_by_broker)
        channel.basic_qos(prefetch_count=self._prefetch)
        self._reconcile()

    def _subscribe(self, channel: Channel) -> None:
        self._consumer_tag = channel.basic_consume(self._queue, self._delivered)
        log.info("consuming", queue=self._queue)

    def _unsubscribe(self) -> None:
        channel, tag = self._channel, self._consumer_tag
        if channel is None or not channel.is_open or tag is None:
            return
        self._consumer_tag = None
        channel.basic_cancel(tag)
        given_back = [delivery for delivery in list(self.waiting.values()) if delivery.revoke()]
        for delivery in given_back:
            delivery.settled = True
            channel.basic_nack(delivery.tag, requeue=True)
        log.info("consuming stopped", queue=self._queue, reasons=sorted(self._gate.reasons), given_back=len(given_back))

    def _cancelled_by_broker(self, _frame: Any) -> None:
        log.warning("RabbitMQ cancelled the consumer: the queue was deleted or moved", queue=self._queue)
        self._consumer_tag = None
        self._keeper.invalidate()
        self._look_at_topology_again()

    def _channel_closed(self, channel: Channel, error: BaseException) -> None:
        if channel is not self._channel:
            return
        self._lose_channel()
        if isinstance(error, pika.exceptions.ChannelClosedByBroker):
            log.warning("RabbitMQ closed the channel; opening another", queue=self._queue, error=describe(error))
            self._keeper.invalidate()
            self._connection.call_later(RETRY_SECONDS, self._look_at_topology_again)

    def _delivered(self, channel: Channel, method: Any, properties: BasicProperties, body: bytes) -> None:
        if method.consumer_tag != self._consumer_tag:
            channel.basic_nack(method.delivery_tag, requeue=True)  # on its way while the consumer was cancelled
            return
        if method.redelivered and self._orphans and self._adopt(channel, method.delivery_tag, properties, body):
            return
        delivery = Delivery(
            queue=self._queue,
            channel=channel,
            tag=method.delivery_tag,
            body=body,
            properties=properties,
            routing_key=method.routing_key,
            redelivered=method.redelivered,
            subscription=self,
        )
        self._inbox.put(delivery)

    def _adopt(self, channel: Channel, tag: int, properties: BasicProperties, body: bytes) -> bool:
        """Whether the message is one that runs, or was finished, here: it then gets that one's disposition."""
        delivery, lost_at = self._orphans.pop(_identity(body, properties), (None, 0.0))
        if delivery is None or (delivery.settled and time.monotonic() - lost_at > ORPHAN_SECONDS):
            return False
        log.info("a redelivery joins the execution it lost its connection to", queue=self._queue)
        delivery.channel, delivery.tag = channel, tag
        if delivery.settled:
            self._apply(delivery)
        else:
            self.running[id(delivery)] = delivery
        return True

    def _settle(self) -> None:
        while self._to_settle:
            delivery = self._to_settle.popleft()
            if delivery.settled:
                continue
            delivery.settled = True
            self.running.pop(id(delivery), None)
            self._apply(delivery)
        if self._closed and not any(delivery.deferred for delivery in list(self.running.values())):
            self._idle.set()
        if self._consumer_tag is None:
            self._reconcile()

    def _apply(self, delivery: Delivery) -> None:
        channel = delivery.channel
        if channel is not self._channel or not channel.is_open:
            if delivery.disposition is not Disposition.ACK:
                self._orphans.pop(_identity(delivery.body, delivery.properties), None)
            log.info("the channel of a delivery is gone; RabbitMQ delivers it again", queue=self._queue)
        elif delivery.disposition is Disposition.ACK:
            channel.basic_ack(delivery.tag)
            if len(delivery.body) <= MAX_REMEMBERED_BYTES:
                self._acked.append(delivery)
        else:
            channel.basic_nack(delivery.tag, requeue=True)


def _identity(body: bytes, properties: BasicProperties) -> Any:
    """What stays the same when RabbitMQ delivers a message again: all of it, less the broker's own counters."""
    headers = sorted((name, repr(value)) for name, value in (properties.headers or {}).items() if not name.startswith("x-"))
    return (
        body,
        properties.message_id,
        properties.app_id,
        properties.type,
        properties.correlation_id,
        properties.reply_to,
        properties.timestamp,
        tuple(headers),
    )
