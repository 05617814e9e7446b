"""Events as they are built."""

from __future__ import annotations

import orjson

from worker.messaging.events import EventContext, event


def test_a_fact_without_a_command_names_none() -> None:
    """It starts a correlation of its own, and nothing stands there as null."""
    message = event("sips.service.down", "id-1", {"reason": "any"}, EventContext(environment="sandbox"))

    body = orjson.loads(message.body)
    assert {
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "datacontenttype",
        "dataschema",
        "environment",
        "correlationid",
        "data",
    } == body.keys()
    assert ("id-1", "id-1", "id-1", {}) == (
        body["id"],
        body["correlationid"],
        message.properties.correlation_id,
        message.properties.headers,
    )


def test_an_event_of_a_command_names_it_also_for_bindings() -> None:
    """Customer and source stand as headers, so that a consumer can bind to its own."""
    context = EventContext("qa", correlation_id="flow", causation_id="c1", command_source="shop", customer_code="C")

    message = event("sips.order.confirmed", "id-1", {}, context)

    body = orjson.loads(message.body)
    assert ("flow", "c1", "shop", "C") == tuple(
        body[name] for name in ("correlationid", "causationid", "commandsource", "customercode")
    )
    assert {"commandsource": "shop", "customercode": "C"} == message.properties.headers
