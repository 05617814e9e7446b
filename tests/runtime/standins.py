"""Stand-ins for publisher and client: what a real RabbitMQ or SIPS cannot be brought to do on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import orjson
from pika.spec import BasicProperties

from worker.messaging.delivery import Delivery
from worker.messaging.publisher import PublishError
from worker.runtime.pipeline import Pipeline
from worker.sips import Answer

if TYPE_CHECKING:
    from pika.channel import Channel

    from worker.messaging.publisher import Message

#: Makes a pipeline around a recorder, a client and settings.
Make = Callable[..., Pipeline]


class Recorder:
    """Takes what is published; fails where it is told to, for `refused` only if an exchange is named there."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.error: Exception | None = None
        self.refused: str | None = None

    def publish(self, *messages: Message, timeout: float) -> None:
        """As `Publisher.publish`."""
        assert timeout > 0
        for message in messages:
            if self.error and self.refused in {None, message.exchange}:
                raise self.error
            self.messages.append(message)

    def hand_over(self, message: Message, then: Callable[[PublishError | None], None], *, timeout: float) -> None:
        """As `Publisher.hand_over`, and confirmed before it returns."""
        try:
            self.publish(message, timeout=timeout)
        except PublishError as error:
            then(error)
        else:
            then(None)

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        """The events among them."""
        return [orjson.loads(message.body) for message in self.messages if message.exchange == "sips.events"]


class Client:
    """Answers every call alike, and counts."""

    source_system = "TEST"

    def __init__(self, body: Any = None, error: Exception | None = None) -> None:
        self.body = body
        self.error = error
        self.calls = 0

    def authorize(self, _deadline: object) -> None:
        """As `SipsClient.authorize`."""

    def call(self, operation_id: str, **_call: Any) -> Answer:
        """As `SipsClient.call`."""
        assert operation_id
        self.calls += 1
        if self.error:
            raise self.error
        return Answer(
            operation=operation_id,
            status=200,
            body=self.body,
            raw=orjson.dumps(self.body),
            media_type="application/json",
            seconds=0.0,
        )

    def operation(self, operation_id: str) -> Any:
        """As `SipsClient.operation`."""
        from worker.sips import OPERATIONS

        return OPERATIONS[operation_id]


class Subscribed:
    """A subscription whose deliveries go on at once, in the thread that says so."""

    def __init__(self) -> None:
        self.waiting: dict[int, Delivery] = {}
        self.running: dict[int, Delivery] = {}

    def settle(self, delivery: Delivery) -> None:
        """As `Subscription.settle`."""
        delivery.settled = True

    def run_again(self, delivery: Delivery) -> None:
        """As `Subscription.run_again`."""
        assert delivery.finish()


def deliver(
    command_type: str, data: Any, queue: str, *, redelivered: bool = False, headers: dict[str, Any] | None = None
) -> Delivery:
    """A started delivery of a plain command."""
    properties = BasicProperties(message_id="c1", app_id="shop", type=command_type, headers=headers)
    delivery = Delivery(
        queue=queue,
        channel=cast("Channel", None),
        tag=1,
        body=orjson.dumps(data),
        properties=properties,
        routing_key=command_type,
        redelivered=redelivered,
        subscription=Subscribed(),
    )
    delivery.start()
    return delivery
