"""FastStream with one aiohttp session; its two log lines per message are off, which makes it faster than as it comes."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitExchange, RabbitQueue

from tests.benchmarks.job import EVENTS, IN_FLIGHT, event, request
from tests.benchmarks.peers.surroundings import AMQP_URL, HEADERS, PRICES_URL, QUEUE

broker = RabbitBroker(AMQP_URL, default_channel=Channel(prefetch_count=IN_FLIGHT), logger=None)
app = FastStream(broker, logger=None)
events = RabbitExchange(EVENTS, declare=False)


class Sips:
    """The session, made where the loop runs."""

    session: aiohttp.ClientSession


@app.on_startup
async def open_session() -> None:
    """One for all messages, with as many connections as there are messages at the same time."""
    Sips.session = aiohttp.ClientSession(headers=HEADERS)


@app.after_shutdown
async def close_session() -> None:
    """The last thing."""
    await Sips.session.close()


@broker.subscriber(RabbitQueue(QUEUE, queue_type=QueueType.QUORUM, durable=True))
async def fetch_prices(command: dict[str, Any]) -> None:
    """Ask SIPS, and publish."""
    async with Sips.session.post(PRICES_URL, json=request(command)) as response:
        response.raise_for_status()
        outcome = event(command, await response.json())
    await broker.publish(outcome, exchange=events, routing_key=outcome["type"], persist=True)


if __name__ == "__main__":
    asyncio.run(app.run())
