"""Bad input stops nothing: a dead letter with the reason, `.failed` where somebody can be told, a log line, the next message."""

from __future__ import annotations

import json
import struct
import uuid
from typing import TYPE_CHECKING, Any

import pika.exceptions
import pytest
from pika import spec
from pika.data import encode_short_string

from tests.acceptance.conftest import SOURCE, example
from tests.amqp import channel, count, eventually, take_all
from tests.messaging.test_header_tables import entry, table
from worker.messaging.topology import COMMANDS, DEAD

if TYPE_CHECKING:
    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Worker

pytestmark = pytest.mark.usefixtures("worker")

DELIVERY = "sips.delivery.get"
STRUCTURED = {"content_type": "application/cloudevents+json"}


def structured(**changes: Any) -> bytes:
    """A structured CloudEvent; a change to None leaves the attribute out."""
    event = {"specversion": "1.0", "id": "c1", "source": SOURCE, "type": DELIVERY, "data": {"orderId": "35818786"}} | changes
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


class RawHeaders(spec.BasicProperties):
    """Properties whose header table is bytes of the test's own; pika would not encode them."""

    def __init__(self, raw: bytes, message_id: str) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            message_id=message_id, app_id=SOURCE
        )
        self._raw = raw

    def encode(self) -> list[bytes]:
        """In the order of the specification: headers, message id, app id."""
        flags = self.FLAG_HEADERS | self.FLAG_MESSAGE_ID | self.FLAG_APP_ID
        pieces = [struct.pack(">H", flags), self._raw]
        encode_short_string(pieces, self.message_id)
        encode_short_string(pieces, self.app_id)
        return pieces


def plain(body: bytes, **properties: Any) -> tuple[bytes, spec.BasicProperties]:
    """A message with an id and a source of its own in the AMQP properties."""
    return body, spec.BasicProperties(**{"message_id": str(uuid.uuid4()), "app_id": SOURCE} | properties)


def raw(*entries: bytes) -> tuple[bytes, spec.BasicProperties]:
    """A message with a header table as it stands on the wire."""
    return b"{}", RawHeaders(table(*entries), str(uuid.uuid4()))


#: Kind of bad message: the reason on its dead letter, and whether its publisher can be told.
BAD: dict[str, tuple[str, bool, tuple[bytes, spec.BasicProperties]]] = {
    "not JSON": ("not-json", True, plain(b"{")),
    "empty": ("not-json", True, plain(b"")),
    "not UTF-8": ("not-utf8", True, plain(b'{"orderId": "\xff"}')),
    "NaN": ("not-json", True, plain(b'{"orderId": NaN}')),
    "a huge number": ("not-json", True, plain(b'{"orderId": 1e999}')),
    "hostile nesting": ("too-deep", True, plain(b"[" * 900 + b"]" * 900)),
    "nesting beyond any parser": ("not-json", True, plain(b'{"a":' * 100_000)),
    "a large body": ("too-large", True, plain(b'"' + b"x" * (2 * 1024 * 1024) + b'"')),
    "no id": ("no-id", False, plain(b"{}", message_id=None)),
    "a CloudEvent without an id": ("no-id", False, (structured(id=None), spec.BasicProperties(**STRUCTURED))),
    "a CloudEvent of another version": (
        "not-a-cloudevent",
        True,
        (structured(specversion="0.3"), spec.BasicProperties(**STRUCTURED)),
    ),
    "a CloudEvent that is a list": ("not-a-cloudevent", False, (b"[]", spec.BasicProperties(**STRUCTURED))),
    "an id that is a number": ("wrong-type", False, (structured(id=7), spec.BasicProperties(**STRUCTURED))),
    "an unknown type": ("unknown-type", True, plain(b"{}", type="sips.order.teleport")),
    "a header of the wrong type": ("wrong-type", True, plain(b"{}", headers={"sips-attempt": "many"})),
    "an impossible time stamp": ("unreadable-headers", True, raw(entry(b"when", b"T", struct.pack(">Q", 1_764_000_000_000)))),
    "a header that is no UTF-8": ("wrong-type", True, raw(entry(b"sips-routing-key", b"S", b"\x00\x00\x00\x01\xff"))),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_stops_nothing(kind: str, client: CommandClient, tap: EventTap, worker: Worker, amqp_url: str) -> None:
    """Each kind becomes a dead letter that says why and keeps the message; its publisher is told where it can be."""
    reason, can_be_told, (body, properties) = BAD[kind]
    with channel(amqp_url) as opened:
        opened.basic_publish(COMMANDS, DELIVERY, body, properties, mandatory=True)

    eventually(lambda: count(amqp_url, DEAD) == 1, "the dead letter is there")
    ((set_aside, kept),) = take_all(amqp_url, DEAD)
    headers = set_aside.headers or {}
    assert (reason, body, properties.message_id) == (headers["sips-reason"], kept, set_aside.message_id)
    assert headers["sips-detail"]
    if can_be_told:
        command = properties.message_id or "c1"
        outcome = tap.outcome(command)
        assert ((".failed", reason), headers["sips-detail"]) == (
            (outcome["type"][-7:], outcome["data"]["type"]),
            outcome["data"]["detail"],
        )
    assert eventually(lambda: [line for line in worker.lines() if f"{reason}:" in str(line.get("error"))], "it is logged")
    next_one = client.publish("sips.pricing.fetch", example("productsV2Price.request"))
    assert "sips.pricing.fetch.succeeded" == tap.outcome(next_one)["type"]


def test_a_body_of_20_mib_stops_nothing(client: CommandClient, tap: EventTap, amqp_url: str) -> None:
    """RabbitMQ 4 refuses it at the door, so that its publisher knows; older ones take it, and it is set aside here."""
    body, properties = plain(b'"' + b"x" * (20 * 1024 * 1024) + b'"')
    try:
        with channel(amqp_url) as opened:
            opened.basic_publish(COMMANDS, DELIVERY, body, properties, mandatory=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        assert "larger than configured max size" in error.reply_text
    else:
        assert "too-large" == tap.outcome(properties.message_id)["data"]["type"]
        eventually(lambda: count(amqp_url, DEAD) == 1, "the dead letter is there")
    next_one = client.publish("sips.pricing.fetch", example("productsV2Price.request"))
    assert "sips.pricing.fetch.succeeded" == tap.outcome(next_one)["type"]
