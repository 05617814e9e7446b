"""What the demo publishes: the documented examples in all three forms, and one bad message of each kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import pika

if TYPE_CHECKING:
    from worker.client import Form

__all__ = ["BadMessage", "GoodMessage", "bad_messages", "good_messages", "order"]

#: Field of the portal's examples (pages price-32656412e0 and submit-order-v2-21007252e0).
PRICE_REQUEST = {
    "customerCode": "DEMO001",
    "branchCode": "HWPLY",
    "transactionId": "SPR-1",
    "jobAccountNumber": 1,
    "productList": [
        {
            "productId": 77673,
            "productName": "Ace Insulation Plates",
            "productOptions": ["N/A"],
            "quantity": 1,
            "uom": "PC",
        }
    ],
}
DELIVERY_REQUEST = {"orderId": "35818786"}
CALL_FOR_PRICE_PRODUCT = 1


@dataclass(frozen=True, slots=True)
class GoodMessage:
    """A command and the end it should come to."""

    title: str
    type: str
    data: dict[str, Any]
    form: Form = "structured"
    extensions: dict[str, str] = field(default_factory=dict)
    expected: str = "succeeded"


@dataclass(frozen=True, slots=True)
class BadMessage:
    """A message that is no command: a dead letter, and `.failed` where its id and source can be read."""

    title: str
    routing_key: str
    body: bytes
    properties: pika.BasicProperties
    id: str | None
    reason: str


def order(po_number: str, **changes: Any) -> dict[str, Any]:
    """The documented order under a PO number of its own."""
    return {
        "customerCode": "DEMO001",
        "jobAccountNumber": 1,
        "branchCode": "BRRIV",
        "accountNumber": "DEMO001",
        "notes": "",
        "shipTo": {
            "name": "John",
            "addressLine1": "1234 COUNTY LINE ROAD",
            "addressLine2": "",
            "addressLine3": "",
            "city": "ONTARIO",
            "state": "NY",
            "zipCode": "14519",
        },
        "poDetails": {
            "poNumber": po_number,
            "reference": "5641: 7GP",
            "jobNumber": "",
            "orderDate": "2021-04-12",
            "expectedDeliveryDate": "2021-04-15",
            "expectedDeliveryTime": "Anytime",
            "orderType": "WHSE",
            "shippingMethod": "Ground Drop",
        },
        "orderLineItemDetails": [
            _line(75664, "CertainTeed Presidential Solaris Shingles", "Country Gray", "SQ"),
            _line(1443, "CertainTeed Landmark Solaris Non-AR Shingles", "Burnt Sienna", "SQ"),
            _line(75621, "CertainTeed SwiftStart Starter", "N/A", "BD"),
        ],
        "customerContactInfo": {
            "customerContactName": "John Dough",
            "customerContactPhone": "9876543210",
            "customerContactEmail": "jdough@example.com",
            "customerContactAddress": {
                "addressLine1": "123 Main St",
                "city": "Salt Lake City",
                "state": "Utah",
                "zipCode": "84121",
            },
            "additionalContactEmails": ["test@example.com"],
        },
        **changes,
    }


def _line(product: int, name: str, option: str, uom: str) -> dict[str, Any]:
    return {
        "productId": product,
        "productName": name,
        "option": option,
        "quantity": 1,
        "price": 12,
        "customerItem": "XXXX",
        "uom": uom,
    }


def good_messages(run: str) -> list[GoodMessage]:
    """Readable commands: the documented examples in the three forms, and two that must fail with a reason."""
    forms: tuple[Form, ...] = ("structured", "binary", "plain")
    messages = [GoodMessage(f"prices, {form} form", "sips.pricing.fetch", PRICE_REQUEST, form) for form in forms]
    messages += [GoodMessage(f"delivery, {form} form", "sips.delivery.get", DELIVERY_REQUEST, form) for form in forms]
    messages += [
        GoodMessage(f"order, {form} form", "sips.order.submit", order(f"5641-8-{run}-{number}"), form)
        for number, form in enumerate(forms, start=1)
    ]
    call_for_price = {"productId": CALL_FOR_PRICE_PRODUCT, "quantity": 1, "uom": "EA"}
    messages += [
        GoodMessage("a price only the branch can tell", "sips.pricing.fetch", PRICE_REQUEST | {"productList": [call_for_price]}),
        GoodMessage(
            "order without lines",
            "sips.order.submit",
            order(f"5641-8-{run}-4", orderLineItemDetails=[]),
            expected="failed",
        ),
        GoodMessage(
            "command past its expirytime",
            "sips.pricing.fetch",
            PRICE_REQUEST,
            extensions={"expirytime": "2020-01-01T00:00:00Z"},
            expected="failed",
        ),
    ]
    return messages


def bad_messages(run: str, source: str, too_large: int) -> list[BadMessage]:
    """One bad message of each kind; `too_large` is a body's size beyond the limit."""
    kinds: list[tuple[str, bytes, dict[str, Any], str]] = [
        ("not JSON", b"{", {}, "not-json"),
        ("not UTF-8", b'{"orderId": "\xff"}', {}, "not-utf8"),
        ("NaN", b'{"orderId": NaN}', {}, "not-json"),
        ("a number beyond every range", b'{"orderId": 1e999}', {}, "not-json"),
        ("nested 500 levels deep", b"[" * 500 + b"]" * 500, {}, "too-deep"),
        ("a body beyond the limit", b'"' + b"x" * too_large + b'"', {}, "too-large"),
        ("a header of the wrong type", b"{}", {"headers": {"sips-attempt": "many"}}, "wrong-type"),
        ("a CloudEvent without specversion", b"{}", {"headers": {"ce-source": source}}, "not-a-cloudevent"),
        ("an unknown type", b"{}", {"type": "sips.order.teleport"}, "unknown-type"),
    ]
    messages = [_bad(f"{run}-bad-{number}", source, *kind) for number, kind in enumerate(kinds, start=1)]
    nameless = pika.BasicProperties(app_id=source, type="sips.delivery.get", delivery_mode=2)
    messages.append(BadMessage("no id", "sips.delivery.get", orjson.dumps(DELIVERY_REQUEST), nameless, None, "no-id"))
    return messages


def _bad(message_id: str, source: str, title: str, body: bytes, extra: dict[str, Any], reason: str) -> BadMessage:
    properties = pika.BasicProperties(message_id=message_id, app_id=source, type="sips.delivery.get", delivery_mode=2)
    for name, value in extra.items():
        setattr(properties, name, value)
    return BadMessage(title, properties.type, body, properties, message_id, reason)
