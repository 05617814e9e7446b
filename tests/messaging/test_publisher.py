"""Publishing with confirms, against the real RabbitMQ."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from pika.spec import BasicProperties

from tests.amqp import channel, count, eventually, publish, take_all
from tests.proxy import Proxy
from worker.messaging.pending import Told
from worker.messaging.publisher import (
    FRAME_BYTES,
    HEADER_FRAME_BYTES,
    Message,
    Publisher,
    PublishError,
    PublishTimeoutError,
    RefusedError,
    UnroutableError,
)
from worker.messaging.topology import EVENTS, QUERIES, RETRY, UNROUTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.local.rabbitmq import RabbitMQNode


class Running:
    """A started publisher and what it reported."""

    def __init__(self, url: str, repair: Callable[[], None] = lambda: None) -> None:
        self.up = threading.Event()
        self.down = threading.Event()
        self.publisher = Publisher(url, name="test publisher", heartbeat=2, on_state=self._changed, repair=repair)
        self.publisher.start()

    def _changed(self, up: bool) -> None:
        (self.up if up else self.down).set()
        (self.down if up else self.up).clear()


@pytest.fixture
def running(amqp_url: str) -> Iterator[Running]:
    """A publisher that is connected."""
    started = Running(amqp_url)
    assert started.up.wait(30)
    yield started
    started.publisher.stop(5)


@pytest.fixture
def half_open(amqp_url: str) -> Iterator[Publisher]:
    """One whose connection is: a message leaves, its confirm never comes, the heartbeat finds out."""
    proxy, through = Proxy.of(amqp_url)
    with proxy:
        started = Running(through)
        assert started.up.wait(30)
        proxy.freeze()
        yield started.publisher
        started.publisher.stop(5)


def message(routing_key: str = QUERIES, exchange: str = RETRY, body: bytes = b"{}", **properties: object) -> Message:
    """A message to a queue that exists, unless told otherwise."""
    return Message(exchange, routing_key, body, BasicProperties(delivery_mode=2, **properties))


def publish_until_blocked(publisher: Publisher) -> None:
    """The first message may pass, as RabbitMQ blocks a connection when it publishes."""
    for _ in range(100):
        publisher.publish(message(), timeout=1)


def test_a_publish_returns_after_the_confirm(running: Running, amqp_url: str) -> None:
    """What was confirmed is in the queue."""
    running.publisher.publish(message(body=b"one"), timeout=10)

    assert [b"one"] == [body for _properties, body in take_all(amqp_url, QUERIES)]


def test_several_messages_are_published_in_their_order_and_all_confirmed(running: Running, amqp_url: str) -> None:
    """With one wait for all of them."""
    running.publisher.publish(*(message(body=body) for body in (b"one", b"two", b"three")), timeout=10)

    assert [b"one", b"two", b"three"] == [body for _properties, body in take_all(amqp_url, QUERIES)]


def test_one_of_several_messages_that_is_not_taken_is_an_error(running: Running) -> None:
    """Nothing is known to be published unless all are."""
    with pytest.raises(UnroutableError, match="no queue is bound"):
        running.publisher.publish(message(), message("nowhere"), message(), timeout=10)


def test_many_threads_share_the_pipeline(running: Running, amqp_url: str) -> None:
    """Each publish is confirmed to its own caller."""

    def publish_twenty() -> None:
        for _ in range(20):
            running.publisher.publish(message(), timeout=20)

    threads = [threading.Thread(target=publish_twenty) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert 320 == len(take_all(amqp_url, QUERIES))


def test_a_message_without_a_queue_is_an_error_of_its_own_caller(running: Running, amqp_url: str) -> None:
    """Others in the pipeline are not affected by one that is returned."""
    errors: list[Exception] = []

    def astray() -> None:
        try:
            running.publisher.publish(message("nowhere"), timeout=10)
        except UnroutableError as error:
            errors.append(error)

    thread = threading.Thread(target=astray)
    thread.start()
    for _ in range(50):
        running.publisher.publish(message(), timeout=10)
    thread.join(30)

    assert ["no queue is bound for sips.retry nowhere"] == [str(error) for error in errors]
    assert 50 == len(take_all(amqp_url, QUERIES))


def test_an_event_that_nobody_is_bound_for_is_kept_for_a_look(running: Running, amqp_url: str) -> None:
    """The alternate exchange takes it; that is no error."""
    running.publisher.publish(message("sips.order.confirmed", EVENTS), timeout=10)

    assert 1 == len(take_all(amqp_url, UNROUTED))


def test_what_cannot_be_encoded_is_refused_and_harms_nobody(running: Running, amqp_url: str) -> None:
    """The error comes from pika's encoder, not from the connection."""
    with pytest.raises(RefusedError):
        running.publisher.publish(message(headers={"odd": object()}), timeout=10)

    running.publisher.publish(message(), timeout=10)
    assert 1 == len(take_all(amqp_url, QUERIES))


def test_properties_that_do_not_fit_one_frame_are_refused_and_harm_nobody(running: Running, amqp_url: str) -> None:
    """RabbitMQ would close the connection, again and again, with everything that is on its way over it."""
    with pytest.raises(RefusedError):
        running.publisher.publish(message(headers={"pad": "x" * 131_072}), timeout=10)

    running.publisher.publish(message(), timeout=10)
    assert (1, False) == (len(take_all(amqp_url, QUERIES)), running.down.is_set())


def test_properties_that_just_fit_one_frame_are_published(running: Running, amqp_url: str) -> None:
    """RabbitMQ and this module agree on what fits."""
    empty = sum(map(len, message(headers={"pad": ""}).properties.encode())) + HEADER_FRAME_BYTES
    running.publisher.publish(message(headers={"pad": "x" * (FRAME_BYTES - empty)}), timeout=10)

    assert (1, False) == (len(take_all(amqp_url, QUERIES)), running.down.is_set())


def test_a_message_that_rabbitmq_closes_the_channel_for_is_found_among_the_others(amqp_url: str) -> None:
    """A wrong user id, or a body that is too large: published again with the others, it would close each new channel."""
    refused: list[str] = []
    proxy, through = Proxy.of(amqp_url)
    with proxy:
        started = Running(through)
        assert started.up.wait(30)
        proxy.down()
        assert started.down.wait(30)

        def publish_one(number: int) -> None:
            properties = {"user_id": "somebody"} if number == 3 else {}
            try:
                started.publisher.publish(message(body=b"%d" % number, **properties), timeout=30)
            except RefusedError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=publish_one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        proxy.up()  # all of them are sent at once, in the pipeline
        for thread in threads:
            thread.join(40)
        started.publisher.publish(message(body=b"8"), timeout=30)
        started.publisher.stop(5)

    assert {b"0", b"1", b"2", b"4", b"5", b"6", b"7", b"8"} == {body for _properties, body in take_all(amqp_url, QUERIES)}
    assert ["406"] == [error.split()[5] for error in refused]


def test_a_missing_exchange_is_repaired_and_the_message_published(amqp_url: str) -> None:
    """RabbitMQ closes the channel with 404; what was on it is published again after the repair."""

    def declare() -> None:
        with channel(amqp_url) as opened:
            opened.exchange_declare("test.vanished", exchange_type="direct", auto_delete=True)
            opened.queue_bind(QUERIES, "test.vanished", routing_key="key")

    started = Running(amqp_url, repair=declare)
    try:
        started.publisher.publish(message("key", "test.vanished", b"repaired"), timeout=20)

        assert [b"repaired"] == [body for _properties, body in take_all(amqp_url, QUERIES)]
    finally:
        started.publisher.stop(5)
        with channel(amqp_url) as opened:
            opened.exchange_delete("test.vanished")


def test_a_missing_exchange_that_cannot_be_repaired_is_an_error_of_its_own_caller(running: Running, amqp_url: str) -> None:
    """Sent again with the others it would close each new channel, until its time is up."""
    with pytest.raises(UnroutableError, match=r"test\.nowhere key: .* 404 NOT_FOUND"):
        running.publisher.publish(message("key", "test.nowhere"), timeout=30)

    assert running.up.wait(30)
    running.publisher.publish(message(body=b"next"), timeout=30)
    assert [b"next"] == [body for _properties, body in take_all(amqp_url, QUERIES)]


def test_unconfirmed_messages_are_published_again_after_a_cut(half_open: Publisher, amqp_url: str) -> None:
    """The caller waits through the reconnect and gets its confirm."""
    half_open.publish(message(body=b"again"), timeout=30)

    bodies = [body for _properties, body in take_all(amqp_url, QUERIES)]
    assert b"again" in bodies


def test_a_publish_without_a_broker_ends_in_time_and_is_not_published_later(private_url: str) -> None:
    """Its caller was told that it failed, and acts on that."""
    proxy, through = Proxy.of(private_url)
    started = Running(through)
    assert started.up.wait(30)
    proxy.close()
    assert started.down.wait(30)

    with pytest.raises(PublishTimeoutError):
        started.publisher.publish(message(), timeout=0.5)

    started.publisher.stop(5)
    assert 0 == count(private_url, QUERIES)


class Heard:
    """What a publisher told of a message that was handed over."""

    def __init__(self) -> None:
        self.ends: list[PublishError | None] = []
        self.threads: list[str] = []
        self._told = threading.Semaphore(0)

    def __call__(self, error: PublishError | None) -> None:
        """As what is given to `Publisher.hand_over`."""
        self.ends.append(error)
        self.threads.append(threading.current_thread().name)
        self._told.release()

    def next(self) -> PublishError | None:
        """What it was told last, once it was told something more."""
        assert self._told.acquire(timeout=30)
        return self.ends[-1]


@pytest.fixture
def heard() -> Heard:
    """Nothing yet."""
    return Heard()


def test_what_is_handed_over_is_told_of_after_the_confirm(running: Running, amqp_url: str, heard: Heard) -> None:
    """In the thread of the connection, once."""
    running.publisher.hand_over(message(body=b"one"), heard, timeout=30)

    assert heard.next() is None
    assert [b"one"] == [body for _properties, body in take_all(amqp_url, QUERIES)]
    assert ["test publisher"] == heard.threads


@pytest.mark.parametrize(
    ("unwanted", "error"),
    [
        (message("no.queue"), UnroutableError),
        (message(headers={"odd": object()}), RefusedError),
        (message(headers={"long": "x" * FRAME_BYTES}), RefusedError),
    ],
    ids=["no route", "cannot be encoded", "too large"],
)
def test_what_is_handed_over_in_vain_is_told_of(
    amqp_url: str, heard: Heard, unwanted: Message, error: type[PublishError]
) -> None:
    """Nothing is repaired in that thread, and nobody else is harmed."""
    repairs: list[int] = []
    started = Running(amqp_url, repair=lambda: repairs.append(1))
    assert started.up.wait(30)

    started.publisher.hand_over(unwanted, heard, timeout=30)
    assert error is type(heard.next())
    started.publisher.publish(message(), timeout=30)

    started.publisher.stop(5)
    assert ([], 1) == (repairs, len(heard.ends))


def test_what_is_handed_over_is_published_again_after_a_cut(half_open: Publisher, amqp_url: str, heard: Heard) -> None:
    """And told of once, when it is confirmed on the next connection."""
    half_open.hand_over(message(body=b"again"), heard, timeout=30)
    assert heard.next() is None
    half_open.publish(message(), timeout=30)

    assert b"again" in [body for _properties, body in take_all(amqp_url, QUERIES)]
    assert [None] == heard.ends


def test_what_is_handed_over_without_a_broker_is_given_up_in_time(private_url: str, heard: Heard) -> None:
    """And is not published later."""
    proxy, through = Proxy.of(private_url)
    started = Running(through)
    assert started.up.wait(30)
    with proxy.away():
        assert started.down.wait(30)
        started.publisher.hand_over(message(body=b"late"), heard, timeout=0.5)
        assert PublishTimeoutError is type(heard.next())

    assert started.up.wait(30)
    started.publisher.publish(message(), timeout=30)
    started.publisher.stop(5)
    proxy.close()
    assert ([b"{}"], 1) == ([body for _properties, body in take_all(private_url, QUERIES)], len(heard.ends))


def test_what_was_given_up_is_told_of_once(half_open: Publisher, heard: Heard) -> None:
    """Each look finds it overdue again, until the next connection is there."""
    half_open.hand_over(message(), heard, timeout=0)
    assert PublishTimeoutError is type(heard.next())
    half_open.publish(message(), timeout=30)

    assert 1 == len(heard.ends)


def test_a_confirm_that_comes_after_its_time_is_not_told_of(heard: Heard) -> None:
    """Whoever heard that there was none acts on that."""
    late, error = Told(message(), 0.0, heard), PublishTimeoutError("no confirm")

    late.finish(error)
    late.finish(None)

    assert ([error], True) == (heard.ends, late.abandoned)


def test_what_is_handed_over_is_given_up_when_the_publisher_stops(heard: Heard) -> None:
    """Nobody would hear of it any more."""
    started = Running("amqp://127.0.0.1:1")
    started.publisher.hand_over(message(), heard, timeout=3600)

    started.publisher.stop(5)

    assert [PublishTimeoutError] == [type(end) for end in heard.ends]


def test_a_memory_alarm_is_reported_and_publishing_goes_on_after_it(node: RabbitMQNode, private_url: str) -> None:
    """RabbitMQ blocks a connection when it publishes under the alarm; a time-out ends the wait."""
    started = Running(private_url)
    assert started.up.wait(30)
    node.rabbitmqctl("set_vm_memory_high_watermark", "0.000001")
    try:
        eventually(lambda: "memory" in node.rabbitmqctl("status"), "the alarm is raised")
        with pytest.raises(PublishTimeoutError):
            publish_until_blocked(started.publisher)
        assert started.down.wait(30)
        assert not started.publisher.is_up
    finally:
        node.rabbitmqctl("set_vm_memory_high_watermark", "0.6")

    assert started.up.wait(30)
    started.publisher.publish(message(), timeout=10)
    started.publisher.stop(5)


def test_a_publisher_that_connects_under_an_alarm_is_not_up_before_it_is_over(node: RabbitMQNode, private_url: str) -> None:
    """RabbitMQ takes such connections; a worker that believed them would carry out what it cannot tell of."""
    node.rabbitmqctl("set_vm_memory_high_watermark", "0.000001")
    try:
        eventually(lambda: "memory" in node.rabbitmqctl("status"), "the alarm is raised")
        started = Running(private_url)
        eventually(lambda: "block" in node.rabbitmqctl("list_connections", "state"), "RabbitMQ knows it as a publisher")
        assert not started.up.is_set()
    finally:
        node.rabbitmqctl("set_vm_memory_high_watermark", "0.6")

    assert started.up.wait(30)
    started.publisher.publish(message(), timeout=10)
    started.publisher.stop(5)


def test_a_reply_to_a_queue_that_is_gone_is_no_error(running: Running, amqp_url: str) -> None:
    """Replies are best effort."""
    running.publisher.send(message("no.such.queue", exchange=""))
    running.publisher.send(message(QUERIES, exchange="", body=b"reply"))

    assert [b"reply"] == eventually(
        lambda: [body for _properties, body in take_all(amqp_url, QUERIES)], "the reply that has a queue arrives"
    )


def test_the_helper_publishes(amqp_url: str) -> None:
    """The tests' own publisher is mandatory and confirmed, too."""
    publish(amqp_url, RETRY, QUERIES, b"{}")

    assert 1 == len(take_all(amqp_url, QUERIES))
