"""Commands as they arrive in RabbitMQ, and events as they are read."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pika
import pika.exceptions
import pytest

from tests.acceptance.conftest import example
from tests.amqp import channel, publish, take_all
from worker.client import CommandClient
from worker.messaging.envelope import parse
from worker.messaging.topology import EVENTS, ORDERS, QUERIES, UNDELIVERED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.client import Form

PRICES, SUBMIT = "sips.pricing.fetch", "sips.order.submit"

EXTENSIONS = {
    "idempotencykey": "key-1",
    "correlationid": "flow-7",
    "causationid": "cause-1",
    "expirytime": "2030-01-01T00:00:00Z",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


@pytest.fixture
def client(amqp_url: str) -> Iterator[CommandClient]:
    """A client that publishes only."""
    with CommandClient(amqp_url, source="shop/1") as opened:
        yield opened


def arrived(url: str, queue: str = QUERIES) -> tuple[pika.BasicProperties, bytes]:
    """The one message in a queue, without the headers that RabbitMQ added (which depends on its version)."""
    ((properties, body),) = take_all(url, queue)
    own = {name: value for name, value in (properties.headers or {}).items() if not name.startswith("x-")}
    properties.headers = own or None
    return properties, body


def event(event_type: str, **attributes: Any) -> bytes:
    """An event as a worker publishes it."""
    return json.dumps({"specversion": "1.0", "id": str(uuid.uuid4()), "type": event_type, **attributes}).encode()


# Commands.


def test_a_structured_command_is_one_cloudevent(client: CommandClient, amqp_url: str) -> None:
    """All of it stands in the body; the message is persistent."""
    payload = example("productsV2Price.request")
    published = client.publish(PRICES, payload, command_id="c-1", extensions=EXTENSIONS, reply_to="mine")
    properties, body = arrived(amqp_url)
    assert "c-1" == published
    assert {
        "specversion": "1.0",
        "id": "c-1",
        "source": "shop/1",
        "type": PRICES,
        "datacontenttype": "application/json",
        "data": payload,
        **EXTENSIONS,
    } == json.loads(body)
    assert ("application/cloudevents+json", 2, "mine", None, None) == (
        properties.content_type,
        properties.delivery_mode,
        properties.reply_to,
        properties.headers,
        properties.message_id,
    )


def test_a_binary_command_has_its_attributes_in_headers(client: CommandClient, amqp_url: str) -> None:
    """And nothing but the payload in its body."""
    payload = example("productsV2Price.request")
    client.publish(PRICES, payload, command_id="c-1", form="binary", extensions=EXTENSIONS, reply_to="mine")
    properties, body = arrived(amqp_url)
    attributes = {"specversion": "1.0", "id": "c-1", "source": "shop/1", "type": PRICES, **EXTENSIONS}
    assert payload == json.loads(body)
    assert {f"ce-{name}": value for name, value in attributes.items()} == properties.headers
    assert ("application/json", 2, "mine") == (properties.content_type, properties.delivery_mode, properties.reply_to)


def test_a_plain_command_has_its_attributes_in_properties(client: CommandClient, amqp_url: str) -> None:
    """And nothing but the payload in its body."""
    payload = example("productsV2Price.request")
    client.publish(PRICES, payload, command_id="c-1", form="plain", extensions={"correlationid": "flow-7"}, reply_to="mine")
    properties, body = arrived(amqp_url)
    assert payload == json.loads(body)
    assert ("c-1", "shop/1", PRICES, "flow-7", "application/json", 2, "mine", None) == (
        properties.message_id,
        properties.app_id,
        properties.type,
        properties.correlation_id,
        properties.content_type,
        properties.delivery_mode,
        properties.reply_to,
        properties.headers,
    )


@pytest.mark.parametrize("extension", sorted(EXTENSIONS.keys() - {"correlationid"}))
def test_what_the_plain_form_cannot_carry_is_refused(client: CommandClient, amqp_url: str, extension: str) -> None:
    """A key or an expiry that was silently left out would be found out too late."""
    with pytest.raises(ValueError, match=f"the plain form cannot carry {extension}; publish in another form"):
        client.publish(PRICES, {}, form="plain", extensions={extension: EXTENSIONS[extension]})
    assert [] == take_all(amqp_url, QUERIES)


@pytest.mark.parametrize("form", ["structured", "binary", "plain"])
def test_a_worker_reads_what_was_meant(client: CommandClient, amqp_url: str, form: Form) -> None:
    """In each form; the id is a new one by default."""
    extensions = {"correlationid": "flow-7"} if form == "plain" else EXTENSIONS
    ids = [client.publish(PRICES, {"a": ["ü", None]}, form=form, extensions=extensions) for _ in range(2)]
    commands = [parse(body, properties, PRICES, max_bytes=10_000) for properties, body in take_all(amqp_url, QUERIES)]
    assert ids == [command.id for command in commands]
    assert 2 == len(set(map(uuid.UUID, ids)))
    assert (form, "shop/1", PRICES, {"a": ["ü", None]}, "flow-7", extensions.get("idempotencykey", ids[0])) == (
        commands[0].form,
        commands[0].source,
        commands[0].type,
        commands[0].data,
        commands[0].correlation_id,
        commands[0].idempotency_key,
    )


def test_commands_reach_the_queue_of_their_type(client: CommandClient, amqp_url: str) -> None:
    """Unknown ones the queue of what nobody was bound for; each is there when `publish` returns."""
    client.publish(PRICES, {}, command_id="p")
    client.publish(SUBMIT, {}, command_id="o")
    client.publish("sips.order.teleport", {}, command_id="u")
    for queue, command_id in ((QUERIES, "p"), (ORDERS, "o"), (UNDELIVERED, "u")):
        assert command_id == json.loads(arrived(amqp_url, queue)[1])["id"]


def test_any_message_can_be_published(client: CommandClient, amqp_url: str) -> None:
    """Byte for byte, for trying out bad ones."""
    client.publish_raw(PRICES, b"\xff{", pika.BasicProperties(content_type="x", headers={"a": 1}))
    properties, body = arrived(amqp_url)
    assert (b"\xff{", "x", {"a": 1}) == (body, properties.content_type, properties.headers)


def test_the_connection_bears_the_name_of_the_source(client: CommandClient) -> None:
    """So that an operator sees whose it is."""
    assert client._connection._impl.params.client_properties == {"connection_name": "sips-worker client shop/1"}


# Events.


def test_events_are_read_as_they_come(amqp_url: str) -> None:
    """Those of the bindings, from the client's start on, as they were written."""
    publish(amqp_url, EVENTS, "sips.order.confirmed", event("sips.order.confirmed", n=0))
    with CommandClient(amqp_url, source="shop", bindings=("sips.order.#", "sips.pricing.*.failed")) as client:
        keys = ("sips.order.confirmed", "sips.pricing.fetch.succeeded", "sips.pricing.fetch.failed", "sips.order.submit.unknown")
        for number, key in enumerate(keys, start=1):
            publish(amqp_url, EVENTS, key, event(key, n=number, data={"ü": [1.50, None]}))
        stream = client.events(30)
        seen = [next(stream) for _ in range(3)]
    assert [(1, "sips.order.confirmed"), (3, "sips.pricing.fetch.failed"), (4, "sips.order.submit.unknown")] == [
        (told["n"], told["type"]) for told in seen
    ]
    assert {"ü": [1.5, None]} == seen[0]["data"]


def test_reading_can_go_on_where_it_ended(amqp_url: str) -> None:
    """Nothing that came in between is lost, nothing is read twice."""
    with CommandClient(amqp_url, source="shop", bindings=("#",)) as client:
        for number in range(3):
            publish(amqp_url, EVENTS, "a", event("a", n=number))
        assert [0, 1] == [next(client.events(30))["n"] for _ in range(2)]
        assert 2 == next(client.events(30))["n"]
        assert [] == list(client.events(0.05))


def test_what_was_read_is_not_kept(amqp_url: str) -> None:
    """A client that listens for days must not fill RabbitMQ's memory."""
    with CommandClient(amqp_url, source="shop", bindings=("#",)) as client:
        publish(amqp_url, EVENTS, "a", event("a"))
        assert "a" == next(client.events(30))["type"]
        client._channel.close()
        assert 0 == client._connection.channel().queue_declare(client._queue, passive=True).method.message_count


@pytest.mark.parametrize("junk", [b"", b"not JSON", b"\xff", b"[]", b"1", b"null", b"{}", b'{"type": 1}'])
def test_what_is_no_event_is_passed_over(amqp_url: str, junk: bytes) -> None:
    """Others may publish there as well."""
    with CommandClient(amqp_url, source="shop", bindings=("#",)) as client:
        publish(amqp_url, EVENTS, "junk", junk)
        publish(amqp_url, EVENTS, "a", event("a", n=1))
        assert 1 == next(client.events(30))["n"]


def test_reading_without_bindings_is_a_mistake(client: CommandClient) -> None:
    """Told as such, rather than by waiting for ever."""
    with pytest.raises(ValueError, match="make it with bindings"):
        next(client.events(30))
    with pytest.raises(ValueError, match="make it with bindings"):
        client.wait("c-1", 30)


def test_the_queue_of_events_goes_with_the_client(amqp_url: str) -> None:
    """However often it is closed."""
    client = CommandClient(amqp_url, source="shop", bindings=("#",))
    queue = client._queue
    client.close()
    client.close()
    with channel(amqp_url) as opened, pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue"):
        opened.queue_declare(queue, passive=True)


# Outcomes.


@pytest.mark.parametrize("end", ["succeeded", "failed", "unknown"])
def test_the_outcome_of_a_command_is_waited_for(amqp_url: str, end: str) -> None:
    """Of ours: not another one's, not of another source with the same id, no fact and no event without a command."""
    with CommandClient(amqp_url, source="shop", bindings=("#",)) as client:
        ours = {"causationid": client.publish(SUBMIT, {}), "commandsource": "shop"}
        for event_type, attributes in (
            (f"{SUBMIT}.succeeded", ours | {"commandsource": "other"}),
            (f"{SUBMIT}.succeeded", ours | {"causationid": "other"}),
            (f"{SUBMIT}.succeeded", {}),
            ("sips.order.confirmed", ours),
            ("sips.order.status_changed", ours),
            (f"{SUBMIT}.{end}", ours | {"n": 1}),
            (f"{SUBMIT}.{end}", ours | {"n": 2}),
        ):
            publish(amqp_url, EVENTS, event_type, event(event_type, **attributes))
        outcome = client.wait(ours["causationid"], 30)
    assert outcome
    assert (f"{SUBMIT}.{end}", 1) == (outcome["type"], outcome["n"])


def test_no_outcome_in_time_is_none(amqp_url: str) -> None:
    """The command is still on its way."""
    with CommandClient(amqp_url, source="shop", bindings=("#",)) as client:
        command = client.publish(PRICES, {})
        publish(amqp_url, EVENTS, "a", event("a"))
        assert client.wait(command, 0.2) is None
    assert 1 == len(take_all(amqp_url, QUERIES))
