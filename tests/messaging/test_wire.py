"""The short way of what every message passes: the same as pika's own way, and taken at all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pika
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import frame, spec
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport

from tests.amqp import take_all
from worker.messaging.connection import KeptConnection
from worker.messaging.loop import Loop
from worker.messaging.topology import QUERIES
from worker.messaging.wire import RECEIVE_BYTES, WireConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TAG = "consumer"
PROPERTIES = spec.BasicProperties(message_id="id", headers={"name": "value"})


class Transport:
    """Takes what is sent, in place of a socket."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        """As pika's."""
        self.sent.append(data)


class Fed:
    """A connection without a broker: two channels that consume and publish with confirms, and what came of the bytes it got."""

    def __init__(self, kind: type[pika.SelectConnection]) -> None:
        self.seen: list[Any] = []
        self.slow = 0
        self.transport = Transport()
        self.connection = kind(pika.ConnectionParameters(), internal_connection_workflow=False)
        self.connection._transport = self.transport  # type: ignore[assignment]
        self.connection._opened = True
        self.connection._set_connection_state(self.connection.CONNECTION_OPEN)
        self.connection.server_capabilities = {"publisher_confirms": True, "basic.nack": True}
        for number in (1, 2):
            self._open(number)
        process, self.seen = self.connection._process_frame, []

        def slowly(value: Any) -> None:
            self.slow += 1
            process(value)

        self.connection._process_frame = slowly  # type: ignore[assignment,method-assign]

    def _open(self, number: int) -> None:
        channel = self.connection.channel(number)
        self.feed(method(number, spec.Channel.OpenOk()))
        channel.basic_consume("queue", self._delivered, consumer_tag=TAG)
        self.feed(method(number, spec.Basic.ConsumeOk(TAG)))

        def confirmed(confirm: Any) -> None:
            self.seen.append((number, confirm.method.NAME, confirm.method.delivery_tag, confirm.method.multiple))

        if isinstance(self.connection, WireConnection):
            self.connection.on_confirm(channel, confirmed)
        channel.confirm_delivery(confirmed)
        channel.add_on_return_callback(lambda _channel, method, _properties, body: self.seen.append((method.reply_code, body)))

    def _delivered(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.seen.append((channel.channel_number, method.delivery_tag, method.routing_key, method.redelivered, properties, body))
        channel.basic_ack(method.delivery_tag)

    def feed(self, data: bytes) -> None:
        """Bytes from the broker."""
        self.connection._on_data_available(data)

    def close(self) -> None:
        """Give back the loop's descriptors."""
        self.connection.ioloop.close()

    @property
    def state(self) -> tuple[Any, ...]:
        """All that must be the same whatever way the bytes took."""
        connection = self.connection
        counts = connection.bytes_received, connection.frames_received, connection.bytes_sent, connection.frames_sent
        return self.seen, counts, connection._frame_buffer, b"".join(self.transport.sent)


def method(number: int, value: Any) -> bytes:
    """A method in its frame."""
    return frame.Method(number, value).marshal()


def content(number: int, *bodies: bytes) -> bytes:
    """Header and body of a message."""
    header = frame.Header(number, sum(map(len, bodies)), PROPERTIES).marshal()
    return header + b"".join(frame.Body(number, body).marshal() for body in bodies)


def delivery(number: int, tag: int, *bodies: bytes) -> bytes:
    """A message as RabbitMQ delivers it."""
    return method(number, spec.Basic.Deliver(TAG, tag, True, "exchange", "key")) + content(number, *bodies)


#: What a broker may say, each whole; some of it takes the short way.
SAID = (
    delivery(1, 1, b"body"),
    delivery(2, 2, b"x" * 300),
    delivery(1, 3),
    delivery(1, 4, b"two ", b"frames"),
    method(1, spec.Basic.Deliver(TAG, 5, False, "exchange", "key")) + method(2, spec.Basic.Ack(1)) + content(1, b"amid"),
    method(2, spec.Basic.Deliver(TAG, 6, False, "exchange", "key"))
    + method(1, spec.Basic.Deliver(TAG, 7, False, "exchange", "key"))
    + content(2, b"the other's")
    + content(1, b"between"),
    method(1, spec.Basic.Ack(7, False)),
    method(2, spec.Basic.Ack(8, True)),
    method(1, spec.Basic.Nack(9, False)),
    method(1, spec.Basic.Return(312, "NO_ROUTE", "exchange", "key")) + content(1, b"returned"),
    method(3, spec.Basic.Ack(1)),
    delivery(3, 8, b"of no channel"),
)

pieces = st.lists(st.integers(1, 400), max_size=60)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(SAID), max_size=12), pieces)
def test_bytes_come_to_the_same_as_in_pikas_own_way(said: list[bytes], sizes: list[int]) -> None:
    """Whatever the broker says, in whatever pieces it arrives: messages, confirms, counts, what is kept, what is answered."""
    data, ways = b"".join(said), (Fed(WireConnection), Fed(pika.SelectConnection))
    for way in ways:
        rest = data
        for size in sizes:
            way.feed(rest[:size])
            rest = rest[size:]
        if rest:
            way.feed(rest)
        way.close()

    short, own = ways
    assert own.state == short.state


def test_deliveries_and_confirms_take_the_short_way() -> None:
    """None of their frames passes pika's callbacks, and what they are answered goes out in one piece."""
    fed = Fed(WireConnection)
    fed.transport.sent.clear()

    fed.feed(delivery(1, 1, b"one") + method(1, spec.Basic.Ack(1)) + delivery(2, 2, b"two"))
    fed.close()

    assert [(1, 1), (1, "Basic.Ack"), (2, 2)] == [seen[:2] for seen in fed.seen]
    assert 0 == fed.slow
    assert [method(1, spec.Basic.Ack(1)) + method(2, spec.Basic.Ack(2))] == fed.transport.sent


def test_a_frame_without_its_end_is_still_an_error() -> None:
    """It means that both sides have lost each other."""
    fed = Fed(WireConnection)
    broken = delivery(1, 1, b"body")[:-1] + b"\x00"

    with pytest.raises(pika.exceptions.InvalidFrameError):
        fed.feed(broken)
    fed.close()


class Socket:
    """A connection's socket, and how often something was asked of it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.takes: int | None = None
        self.sent: list[int] = []
        self.received: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send(self, data: bytes) -> int:
        """As the socket does."""
        self.sent.append(len(data))
        sent: int = self._inner.send(data[: self.takes])
        return sent

    def recv(self, size: int) -> bytes:
        """As the socket does."""
        self.received.append(size)
        data: bytes = self._inner.recv(size)
        return data


class Up:
    """A connection to RabbitMQ whose socket is looked at."""

    def __init__(self, url: str) -> None:
        self._up = threading.Event()
        self.loop = Loop("test")
        self.kept = KeptConnection(self.loop, url, name="test", heartbeat=60, on_up=self._is_up, on_down=lambda: None)
        self.loop.start()
        assert self._up.wait(30)

    def _is_up(self, connection: Any) -> None:
        self.connection: WireConnection = connection
        self.transport: Any = connection._transport
        self.socket = self.transport._sock = Socket(self.transport._sock)
        self._up.set()

    def ask(self, call: Callable[[threading.Event], None]) -> None:
        """Wait for what `call`, in the connection's thread, has RabbitMQ answer."""
        answered = threading.Event()
        self.kept.call_soon(lambda: call(answered))
        assert answered.wait(30)


@pytest.fixture
def up(amqp_url: str) -> Iterator[Up]:
    """One that is open."""
    made = Up(amqp_url)
    yield made
    made.kept.stop(5)
    made.loop.stop(5)


def test_what_is_said_in_one_go_is_one_send_and_its_answer_one_receive(up: Up) -> None:
    """Of pika's transport for plain TCP, whose private parts are used."""

    def publish(answered: threading.Event) -> None:
        channel = up.connection.channel(on_open_callback=lambda channel: published(channel, answered))
        assert channel.is_opening
        assert [] == up.socket.sent

    def published(channel: Any, answered: threading.Event) -> None:
        up.socket.sent.clear()
        up.socket.received.clear()
        for _ in range(3):
            channel.basic_publish("", "no such queue", b"body")
        channel.queue_declare(QUERIES, passive=True, callback=lambda _frame: answered.set())
        assert [] == up.socket.sent

    up.ask(publish)

    assert type(up.transport) is _AsyncPlaintextTransport
    assert 1 == len(up.socket.sent)
    assert [RECEIVE_BYTES] == up.socket.received


def test_what_the_kernel_does_not_take_at_once_follows_in_order(up: Up, amqp_url: str) -> None:
    """A socket that is full for a moment: what is said after that waits for the rest of what was said before."""

    def publish(answered: threading.Event) -> None:
        up.connection.channel(on_open_callback=lambda channel: up.kept.call_later(0, lambda: published(channel, answered)))

    def published(channel: Any, answered: threading.Event) -> None:
        up.socket.sent.clear()
        up.socket.takes = 3
        for body in (b"one", b"two"):
            channel.basic_publish("", QUERIES, body)
        channel.queue_declare(QUERIES, passive=True, callback=lambda _frame: answered.set())
        assert len(up.socket.sent) == 1
        up.socket.takes = None

    up.ask(publish)

    assert [b"one", b"two"] == [body for _properties, body in take_all(amqp_url, QUERIES)]
