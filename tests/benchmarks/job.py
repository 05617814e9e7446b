"""The job that every worker does: a command of 1 KiB comes in, SIPS is asked for a price, an event of about 1 KiB goes out.

The peers import this in an environment of their own: standard library only.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "ANSWER",
    "COMMAND_TYPE",
    "EVENTS",
    "IN_FLIGHT",
    "PRICES_PATH",
    "SOURCE",
    "THREADS",
    "TOKEN",
    "command",
    "encoded",
    "event",
    "request",
]

#: The command, and where SIPS answers it (portal page price-32656412e0).
COMMAND_TYPE = "sips.pricing.fetch"
PRICES_PATH = "/products/v2/price"

#: Who publishes the commands.
SOURCE = "bench"

#: Topic exchange for the events of every worker.
EVENTS = "sips.events"

#: Bytes of a command.
COMMAND_BYTES = 1024

#: Commands that a peer with threads works on at the same time, and that one without fetches ahead.
THREADS = 8
IN_FLIGHT = 100

#: What the server takes. The peers bear it from the start, this worker fetches it.
TOKEN = "bench-" + "t" * 1000  # as long as those of an identity provider

#: What SIPS answers, as documented.
ANSWER: list[dict[str, Any]] = [
    {
        "itemCode": "ACEACEPLT3INI",
        "productId": 77673,
        "productName": "Ace Insulation Plates",
        "productOptions": ["N/A"],
        "priceUOM": "PC",
        "requestedUOM": "PC",
        "uomConversionFactor": 1,
        "price": 0.25,
        "availableStatus": "Call for Availability",
        "transactionId": "SPR-1",
        "message": "",
        "messageCode": 0,
    }
]


def command(command_id: str) -> dict[str, Any]:
    """A structured CloudEvent of `COMMAND_BYTES`; what no model knows is passed on to SIPS, here a text that fills it up."""
    product = {"productId": 77673, "productName": "Ace Insulation Plates", "productOptions": ["N/A"], "quantity": 1, "uom": "PC"}
    data = {"customerCode": "DEMO001", "branchCode": "HWPLY", "transactionId": "SPR-1", "productList": [product], "note": ""}
    made = {"specversion": "1.0", "id": command_id, "source": SOURCE, "type": COMMAND_TYPE, "data": data}
    data["note"] = "x" * (COMMAND_BYTES - len(encoded(made)))
    return made


def request(made: dict[str, Any]) -> dict[str, Any]:
    """What SIPS is asked."""
    return {"sourceSystem": "bench", **made["data"]}


def event(made: dict[str, Any], answer: Any) -> dict[str, Any]:
    """What a peer publishes: the outcome in the shape of this worker's, with SIPS' answer in it."""
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/peer",
        "type": f"{made['type']}.succeeded",
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "causationid": made["id"],
        "correlationid": made["id"],
        "data": {
            "command": {"id": made["id"], "type": made["type"], "run": 1, "attempts": 1},
            "result": {"customerCode": made["data"]["customerCode"], "lines": answer},
            "sips": {"status": 200, "body": answer},
        },
    }


def encoded(value: Any) -> bytes:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()
