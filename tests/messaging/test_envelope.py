"""Messages as commands."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.spec import BasicProperties

from worker.messaging.envelope import MAX_NESTING, MAX_TEXT_BYTES, Command, EnvelopeError, parse
from worker.messaging.header_tables import MAX_BYTES, Unreadable

STRUCTURED = {"content_type": "application/cloudevents+json"}
EVENT = {"specversion": "1.0", "id": "c1", "source": "shop", "type": "sips.pricing.fetch", "data": {"a": 1}}


def read(body: Any, routing_key: str = "sips.pricing.fetch", **properties: Any) -> Command:
    """Parse a body (bytes, or anything JSON can say) with these properties."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse(raw, BasicProperties(**properties), routing_key, max_bytes=1_000_000)


def refused(body: Any, **properties: Any) -> EnvelopeError:
    """The error for a message that is no command."""
    with pytest.raises(EnvelopeError) as caught:
        read(body, **properties)
    return caught.value


@pytest.mark.parametrize("prefix", ["ce-", "CE-", "cloudEvents:", "cloudEvents_"])
def test_the_binary_form_is_read_under_each_prefix(prefix: str) -> None:
    """Attributes stand in headers; practice has three prefixes."""
    attributes = {"specversion": "1.0", "id": "c1", "source": "shop", "type": "sips.pricing.fetch", "idempotencykey": "k"}

    command = read({"a": 1}, headers={prefix + name: value for name, value in attributes.items()})

    assert ("binary", "c1", "shop", "sips.pricing.fetch", {"a": 1}, "k") == (
        command.form,
        command.id,
        command.source,
        command.type,
        command.data,
        command.idempotency_key,
    )


def test_the_structured_form_is_read() -> None:
    """The body is the whole event; extensions are optional and default to the id."""
    command = read(EVENT, content_type="application/cloudevents+json; charset=utf-8")

    assert ("structured", "c1", "shop", {"a": 1}, "c1", "c1") == (
        command.form,
        command.id,
        command.source,
        command.data,
        command.idempotency_key,
        command.correlation_id,
    )


def test_the_structured_form_may_carry_its_data_in_base64() -> None:
    """CloudEvents allow `data_base64` for any content."""
    event = {name: value for name, value in EVENT.items() if name != "data"}
    encoded = base64.b64encode(b'{"a": 2}').decode()

    assert {"a": 2} == read(event | {"data_base64": encoded}, **STRUCTURED).data


def test_the_plain_form_takes_its_attributes_from_amqp() -> None:
    """No CloudEvents needed: properties stand in, and the routing key for the type."""
    command = read({"a": 1}, message_id="c1", app_id="shop", correlation_id="corr")

    assert ("plain", "c1", "shop", "sips.pricing.fetch", "corr") == (
        command.form,
        command.id,
        command.source,
        command.type,
        command.correlation_id,
    )


def test_the_plain_form_prefers_the_amqp_type_and_can_lack_a_source() -> None:
    """Whether a source is needed depends on the command, so the envelope only tells."""
    command = read({}, message_id="c1", type="sips.delivery.get")

    assert ("sips.delivery.get", "unknown", False) == (command.type, command.source, command.has_source)


def test_a_message_from_the_ladder_keeps_its_first_routing_key_and_counts() -> None:
    """Our own headers travel with a republished command."""
    headers = {"sips-routing-key": "sips.delivery.get", "sips-attempt": 3, "sips-run": 2}

    command = read({}, routing_key="sips.queries", message_id="c1", headers=headers)

    assert ("sips.delivery.get", 3, 2) == (command.type, command.attempt, command.run)


def test_the_expiry_time_is_read_with_its_zone() -> None:
    """RFC 3339."""
    command = read(EVENT | {"expirytime": "2026-01-15T14:05:00Z"}, **STRUCTURED)

    assert datetime(2026, 1, 15, 14, 5, tzinfo=UTC) == command.expires_at


@pytest.mark.parametrize(
    ("reason", "body", "properties"),
    [
        ("not-json", b"{", {"message_id": "c1"}),
        ("not-json", b"", {"message_id": "c1"}),
        ("not-json", b'{"a": NaN}', {"message_id": "c1"}),
        ("not-json", b'{"a": Infinity}', {"message_id": "c1"}),
        ("not-json", b'{"a": 1e999}', {"message_id": "c1"}),
        ("not-json", b'"\\ud800"', {"message_id": "c1"}),
        ("not-utf8", b'{"a": "\xff"}', {"message_id": "c1"}),
        ("too-large", b"1" * 1_000_001, {"message_id": "c1"}),
        ("too-deep", b"[" * 500 + b"]" * 500, {"message_id": "c1"}),
        ("not-json", b"[" * 100_000, {"message_id": "c1"}),
        ("no-id", {}, {}),
        ("unsupported-encoding", b"\x1f\x8b", {"message_id": "c1", "content_encoding": "gzip"}),
        ("unsupported-content-type", b"[]", {"content_type": "application/cloudevents-batch+json"}),
        ("unsupported-content-type", EVENT | {"datacontenttype": "text/xml"}, STRUCTURED),
        ("not-a-cloudevent", [], STRUCTURED),
        ("not-a-cloudevent", {"id": "c1"}, STRUCTURED),
        ("not-a-cloudevent", EVENT | {"specversion": 1.0}, STRUCTURED),
        ("not-a-cloudevent", EVENT | {"data_base64": "e30="}, STRUCTURED),
        ("not-a-cloudevent", {"specversion": "1.0", "id": "c", "source": "s", "type": "t", "data_base64": "%"}, STRUCTURED),
        ("no-id", {name: value for name, value in EVENT.items() if name != "id"}, STRUCTURED),
        ("no-source", {name: value for name, value in EVENT.items() if name != "source"}, STRUCTURED),
        ("no-type", {name: value for name, value in EVENT.items() if name != "type"}, STRUCTURED),
        ("wrong-type", EVENT | {"id": 7}, STRUCTURED),
        ("wrong-type", EVENT | {"id": "a\nb"}, STRUCTURED),
        ("too-long", EVENT | {"id": "x" * (MAX_TEXT_BYTES + 1)}, STRUCTURED),
        ("too-long", EVENT | {"idempotencykey": "\u00e9" * MAX_TEXT_BYTES}, STRUCTURED),
        ("wrong-type", EVENT | {"expirytime": "tomorrow"}, STRUCTURED),
        ("wrong-type", EVENT | {"expirytime": "2026-01-15T14:05:00"}, STRUCTURED),
        ("wrong-type", {}, {"message_id": "c1", "headers": {"sips-attempt": "three"}}),
        ("wrong-type", {}, {"message_id": "c1", "headers": {"sips-attempt": 0}}),
        ("wrong-type", {}, {"message_id": b"\xff"}),
        ("wrong-type", {}, {"headers": {"ce-specversion": "1.0", "ce-id": 7, "ce-source": "s", "ce-type": "t"}}),
        ("unreadable-headers", {}, {"message_id": "c1", "headers": {"when": Unreadable("impossible time stamp")}}),
        ("unreadable-headers", {}, {"message_id": "c1", "headers": {"\\xff" * 64: "a name that was no UTF-8"}}),
        ("headers-too-large", {}, {"message_id": "c1", "headers": {"pad": "x" * MAX_BYTES}}),
    ],
)
def test_a_message_that_is_no_command_is_refused_with_a_reason(reason: str, body: Any, properties: dict[str, Any]) -> None:
    """Each kind of bad input has a stable code and a text."""
    error = refused(body, **properties)

    assert (reason, True) == (error.reason, len(error.detail) > 0)


def test_an_error_knows_id_source_and_type_where_they_can_be_read() -> None:
    """So that the publisher can be told."""
    error = refused(b"{", message_id="c1", app_id="shop", type="sips.delivery.get", correlation_id="corr")

    assert ("c1", "shop", "sips.delivery.get", "corr") == (error.id, error.source, error.type, error.correlation_id)


def test_an_error_prefers_what_the_cloudevent_says_of_itself() -> None:
    """The sender's own words come before AMQP's."""
    error = refused(EVENT | {"specversion": "0.3"}, message_id="other", app_id="proxy", **STRUCTURED)

    assert ("c1", "shop") == (error.id, error.source)


def test_a_body_at_the_nesting_limit_is_read() -> None:
    """The limit itself is allowed."""
    body = b"[" * MAX_NESTING + b"]" * MAX_NESTING

    assert "plain" == read(body, message_id="c1").form


header_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
names = st.text(max_size=12) | st.sampled_from(
    ["ce-id", "ce-source", "ce-type", "ce-specversion", "ce-expirytime", "cloudEvents:id", "sips-attempt", "sips-routing-key"]
)
short_strings = st.none() | st.text(max_size=40) | st.binary(max_size=10) | st.just("application/cloudevents+json")


@given(
    body=st.binary(max_size=300) | st.builds(lambda value: json.dumps(value).encode(), st.dictionaries(st.text(), st.text())),
    headers=st.none() | st.dictionaries(names, header_values, max_size=6),
    texts=st.tuples(*[short_strings] * 6),
    routing_key=st.text(max_size=20),
)
def test_arbitrary_messages_raise_nothing_but_the_envelopes_own_error(
    body: bytes, headers: dict[str, Any] | None, texts: tuple[Any, ...], routing_key: str
) -> None:
    """Whatever a stranger publishes becomes a command or an `EnvelopeError`."""
    content_type, encoding, message_id, app_id, message_type, correlation_id = texts
    properties = BasicProperties()
    properties.headers = headers
    properties.content_type, properties.content_encoding = content_type, encoding
    properties.message_id, properties.app_id = message_id, app_id
    properties.type, properties.correlation_id = message_type, correlation_id

    try:
        command = parse(body, properties, routing_key, max_bytes=250)
    except EnvelopeError as error:
        assert error.reason
    else:
        assert command.id
