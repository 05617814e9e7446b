"""The command of an order, published again from its row."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.orders import Rows, empty_store, payload
from worker.messaging.envelope import parse
from worker.messaging.topology import ORDERS, RETRY
from worker.runtime.fingerprint import fingerprint
from worker.runtime.order_events import envelope
from worker.runtime.republish import command_message
from worker.runtime.submission import order_key
from worker.store.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Makes orders."""
    with empty_store(tmp_path) as store:
        yield Rows(Ledger(store))


def test_it_is_read_as_the_command_that_made_the_row(rows: Rows) -> None:
    """Key, payload, correlation, trace and the address of its reply: whatever the row was made from."""
    known = {
        "correlationId": "cor-1",
        "traceparent": "00-1-2-03",
        "tracestate": "a=b",
        "replyTo": "mine",
        "replyCorrelationId": "reply-1",
    }
    order = rows.unsent("c-1", key="ключ %", envelope=orjson.dumps(known).decode())

    message = command_message(replace(order, run=2))

    assert (RETRY, ORDERS, True) == (message.exchange, message.routing_key, message.mandatory)
    assert order.key == (message.properties.headers or {})["sips-order"]
    command = parse(message.body, message.properties, message.routing_key, max_bytes=100_000)
    assert ("c-1", "shop", "sips.order.submit", 2) == (command.id, command.source, command.type, command.run)
    assert order.key == order_key(order.base_url, command.source, command.idempotency_key)
    assert (payload("PO-c-1"), order.fingerprint) == (command.data, fingerprint(command.data))
    assert known.items() <= orjson.loads(envelope(command, message.properties)).items()


def test_an_order_without_its_payload_cannot_be_published(rows: Rows) -> None:
    """It was emptied."""
    with pytest.raises(ValueError, match="emptied"):
        command_message(replace(rows.unsent("c-1"), payload=None))
