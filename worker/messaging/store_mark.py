"""Mark the broker with the store that its orders are kept in, so that two stores never share one broker.

The mark is an exchange whose `alternate-exchange` is the store's id: RabbitMQ refuses to declare it again with another one.
"""

from __future__ import annotations

import pika
import pika.exceptions

from worker.messaging.connection import parameters
from worker.messaging.topology import ACCESS_REFUSED, PRECONDITION_FAILED, TopologyError

__all__ = ["STORE", "mark_broker"]

#: The exchange that carries the mark; nothing is ever published to it.
STORE = "sips.store"


def mark_broker(url: str, store_id: str, *, heartbeat: int) -> None:
    """Declare the mark.

    Raises:
        TopologyError: the broker belongs to another store, or the mark cannot be declared.
        pika.exceptions.AMQPError, OSError: RabbitMQ is away.
    """
    connection = pika.BlockingConnection(parameters(url, name="sips-worker store mark", heartbeat=heartbeat))
    try:
        connection.channel().exchange_declare(
            STORE, exchange_type="fanout", durable=True, arguments={"alternate-exchange": store_id}
        )
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code == PRECONDITION_FAILED:
            raise TopologyError(
                "this RabbitMQ belongs to another store: its orders are written down elsewhere. Point DATABASE_URL to that "
                f"store; or, if it is gone for good, delete the exchange {STORE} and look every open order up at SIPS"
            ) from None
        advice = (
            r"give the user the right to configure it (^sips\.store$), and nothing more: only by declaring it does a worker "
            "learn whether this RabbitMQ belongs to its store"
            if error.reply_code == ACCESS_REFUSED
            else "see RabbitMQ's log"
        )
        raise TopologyError(f"exchange {STORE}: {error.reply_text}; {advice}") from None
    finally:
        if connection.is_open:
            connection.close()
