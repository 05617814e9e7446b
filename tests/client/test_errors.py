"""What goes wrong with RabbitMQ, and what the client says of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pika
import pytest

from tests.amqp import publish
from tests.client.conftest import EVERYTHING, READ_ONLY, VHOST
from tests.proxy import Proxy
from worker.client import ClientError, CommandClient
from worker.client import commands as module
from worker.local.processes import free_ports
from worker.messaging.topology import EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.local.rabbitmq import RabbitMQNode

PRICES = "sips.pricing.fetch"
DECLARE = "declare the topology with `sips-worker topology declare`"
AWAY = "no connection to RabbitMQ ({}); is it running, and is AMQP_URL right?"
AGAIN = "an earlier error closed this client; open another one"


def connecting(url: str, bindings: tuple[str, ...] = ()) -> str:
    """What is said of a client that cannot be made."""
    with pytest.raises(ClientError) as caught:
        CommandClient(url, source="shop", bindings=bindings)
    assert caught.value.__cause__ is None
    return str(caught.value)


def publishing(client: CommandClient) -> str:
    """What is said of a command that cannot be published."""
    with pytest.raises(ClientError) as caught:
        client.publish(PRICES, {})
    return str(caught.value)


# No connection.


def test_a_broker_that_is_away_is_told() -> None:
    """With where to look."""
    (port,) = free_ports(1)
    assert AWAY.format("Connection refused") == connecting(f"amqp://guest:secret@127.0.0.1:{port}/%2F")


@pytest.mark.parametrize("url", ["amqp://guest:secret@127.0.0.1:99999", "amqp://guest:secret@127.0.0.1/%2F?heartbeat=x"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    """Without its password."""
    text = connecting(url)
    assert (True, False) == (text.startswith("AMQP_URL cannot be read: "), "secret" in text)


def test_a_wrong_password_is_told(node: RabbitMQNode) -> None:
    """Without it."""
    assert "RabbitMQ refused the login; check user and password in AMQP_URL" == connecting(
        node.url.replace("guest:guest", "guest:wrong")
    )


def test_a_virtual_host_that_is_not_there_is_told(node: RabbitMQNode) -> None:
    """Or that is not for this user; RabbitMQ tells the same of both."""
    said = "RabbitMQ refused the virtual host (NOT_ALLOWED - vhost nowhere not found); "
    assert said + "check the end of AMQP_URL and the user's permissions" == connecting(node.url.replace("/%2F", "/nowhere"))


# No topology, no rights.


def test_a_missing_exchange_of_commands_is_told(vhost_url: str) -> None:
    """With how to make it; the client cannot be used any more, and says so."""
    with CommandClient(vhost_url, source="shop") as client:
        said = f"RabbitMQ refused: NOT_FOUND - no exchange 'sips.commands' in vhost '{VHOST}'; {DECLARE}"
        assert [said, AGAIN] == [publishing(client), publishing(client)]


def test_a_missing_exchange_of_events_is_told(vhost_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no connection is left behind."""
    opened: list[pika.BlockingConnection] = []

    def connect(parameters: pika.URLParameters) -> pika.BlockingConnection:
        opened.append(real(parameters))
        return opened[-1]

    real = pika.BlockingConnection
    monkeypatch.setattr(pika, "BlockingConnection", connect)
    said = f"RabbitMQ refused: NOT_FOUND - no exchange 'sips.events' in vhost '{VHOST}'; {DECLARE}"
    assert said == connecting(vhost_url, ("#",))
    assert [True] == [connection.is_closed for connection in opened]


@pytest.mark.usefixtures("exchanges")
def test_a_command_that_no_queue_takes_is_told(vhost_url: str) -> None:
    """It would be lost; the client goes on."""
    with CommandClient(vhost_url, source="shop") as client:
        assert [f"no queue takes commands; {DECLARE}"] * 2 == [publishing(client), publishing(client)]


def test_a_command_that_its_queue_does_not_take_is_told(vhost_url: str, exchanges: Any) -> None:
    """It may be published again; the client goes on, and works when there is room."""
    exchanges.queue_declare("full", exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    exchanges.queue_bind("full", "sips.commands", routing_key="#")
    with CommandClient(vhost_url, source="shop") as client:
        client.publish(PRICES, {})
        assert "RabbitMQ did not take the command: its queue is full or not available; publish again later" == publishing(client)
        exchanges.queue_purge("full")
        assert client.publish(PRICES, {}, command_id="again") == "again"


@pytest.mark.usefixtures("exchanges")
def test_a_missing_right_is_told(vhost_url: str, node: RabbitMQNode) -> None:
    """To declare the topology would not help."""
    node.rabbitmqctl("set_permissions", "-p", VHOST, "guest", *READ_ONLY)
    try:
        with CommandClient(vhost_url, source="shop") as client:
            text = publishing(client)
    finally:
        node.rabbitmqctl("set_permissions", "-p", VHOST, "guest", *EVERYTHING)
    assert (True, True) == (
        text.startswith("RabbitMQ refused: ACCESS_REFUSED - access to exchange 'sips.commands' in vhost"),
        text.endswith("; the user in AMQP_URL lacks that right, which RabbitMQ's administrator can give"),
    )


def test_any_other_refusal_is_told_in_the_brokers_words(amqp_url: str) -> None:
    """Such as a user id that is not the connection's."""
    with CommandClient(amqp_url, source="shop") as client, pytest.raises(ClientError) as caught:
        client.publish_raw(PRICES, b"{}", pika.BasicProperties(user_id="somebody"))
    assert str(caught.value).startswith("RabbitMQ refused: PRECONDITION_FAILED - user_id property set to 'somebody'")


# A connection that ends.


@pytest.mark.parametrize(
    "use",
    [lambda client: client.publish(PRICES, {}), lambda client: next(client.events(30)), lambda client: client.wait("c", 30)],
    ids=["publish", "events", "wait"],
)
def test_a_connection_that_breaks_is_told(amqp_url: str, use: Callable[[CommandClient], object]) -> None:
    """Whatever the client is used for, and every time; to close it is no error."""
    proxy, url = Proxy.of(amqp_url)
    with proxy, CommandClient(url, source="shop", bindings=("#",)) as client:
        proxy.cut()
        said = []
        for _time in range(2):
            with pytest.raises(ClientError) as caught:
                use(client)
            said.append(str(caught.value))
    assert re.fullmatch(re.escape(AWAY).replace(r"\{\}", "[A-Za-z: ]+"), said[0])  # the cause's name is up to the system
    assert AGAIN == said[1]
    client.close()


def test_a_client_can_be_closed_after_its_connection_broke(amqp_url: str) -> None:
    """Before it was told of it, too; the error of a `with` block must not be hidden by another one."""
    proxy, url = Proxy.of(amqp_url)

    def fail_in_the_middle() -> None:
        with CommandClient(url, source="shop", bindings=("#",)):
            proxy.cut()
            raise KeyError

    with proxy, pytest.raises(KeyError):
        fail_in_the_middle()


def test_a_queue_of_events_that_is_taken_away_is_told(amqp_url: str) -> None:
    """Nothing would ever come again."""
    with CommandClient(amqp_url, source="shop", bindings=("#",)) as client:
        publish(amqp_url, EVENTS, "a", json.dumps({"type": "a"}).encode())
        stream = client.events(30)
        assert "a" == next(stream)["type"]
        client._channel.queue_delete(client._queue)
        with pytest.raises(ClientError, match="RabbitMQ took the queue of events away; open another client"):
            next(stream)


def test_a_publish_does_not_wait_out_a_memory_alarm(
    private_url: str, node: RabbitMQNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ keeps quiet as long as the alarm lasts; the same id may be published again then."""
    monkeypatch.setattr(module, "BLOCKED_SECONDS", 0.5)
    node.rabbitmqctl("set_vm_memory_high_watermark", "0.000001")
    try:
        with CommandClient(private_url, source="shop") as client, pytest.raises(ClientError) as caught:
            publish_until_refused(client)
    finally:
        node.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
    said = "RabbitMQ takes no messages (memory or disk alarm); look at it, and publish again under the same id"
    assert said == str(caught.value)
    monkeypatch.undo()
    with CommandClient(private_url, source="shop") as client:
        assert "again" == client.publish(PRICES, {}, command_id="again")


def publish_until_refused(client: CommandClient) -> None:
    """The alarm is raised at any moment."""
    while True:
        client.publish(PRICES, {}, command_id="again")


def test_the_wait_for_a_blocked_broker_is_the_urls_if_it_names_one(amqp_url: str) -> None:
    """Else half a minute."""
    waits = []
    for options in ("", "?blocked_connection_timeout=7"):
        with CommandClient(amqp_url.partition("?")[0] + options, source="shop") as client:
            waits.append(client._connection._impl.params.blocked_connection_timeout)
    assert [30.0, 7.0] == waits
