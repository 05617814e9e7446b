"""What every peer is given: where RabbitMQ and SIPS are, and which queue is its own."""

from __future__ import annotations

import os

__all__ = ["AMQP_URL", "HEADERS", "PRICES_URL", "QUEUE"]

from tests.benchmarks.job import PRICES_PATH, TOKEN

AMQP_URL = os.environ["AMQP_URL"]
QUEUE = os.environ["BENCH_QUEUE"]
PRICES_URL = os.environ["SIPS_BASE_URL"] + PRICES_PATH
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
