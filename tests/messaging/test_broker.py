"""Consuming for dramatiq, against the real RabbitMQ: what runs, what goes back, what survives a lost connection."""

from __future__ import annotations

import queue
import threading
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import dramatiq
import pika.exceptions
import pytest
from pika.spec import BasicProperties

from tests.amqp import PATIENCE, channel, count, eventually, publish, take_all
from tests.proxy import Proxy
from worker.main import Lifecycle, make_broker, make_topology
from worker.messaging.broker import RabbitBroker
from worker.messaging.consumer import RabbitConsumer
from worker.messaging.delivery import Delivery, Disposition
from worker.messaging.gate import Gate
from worker.messaging.topology import COMMANDS, DEAD, QUERIES, RETRY, UNDELIVERED, TopologyError
from worker.messaging.work_queue import WorkQueueMiddleware
from worker.ops.health import Beats
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pika.channel import Channel

    from worker.local.rabbitmq import RabbitMQNode
    from worker.messaging.connection import KeptConnection
    from worker.messaging.keeper import TopologyKeeper

THREADS = 4
PREFETCH = 5


class Harness:
    """A broker with dramatiq's worker in this process; each delivery is handed to the test, which lets it finish."""

    def __init__(self, url: str) -> None:
        self.started: queue.Queue[Delivery] = queue.Queue()
        self.permits = threading.Semaphore(0)
        self.ran: list[bytes] = []
        self.broker = RabbitBroker(
            url=url,
            topology=make_topology(),
            threads=THREADS,
            heartbeat=2,
            queues=(QUERIES,),
            execute=lambda delivery: self.execute(delivery),  # noqa: PLW0108 - a test may replace it
        )
        self.worker = dramatiq.Worker(self.broker, worker_threads=THREADS, worker_timeout=100)
        self.disposition: Disposition | None = Disposition.ACK
        self.execute: Callable[[Delivery], None] = self._execute

    def start(self) -> Harness:
        """Connect and consume."""
        self.broker.start()
        self.worker.start()
        return self

    def _execute(self, delivery: Delivery) -> None:
        self.ran.append(delivery.body)
        self.started.put(delivery)
        assert self.permits.acquire(timeout=60)
        delivery.disposition = self.disposition

    def next(self) -> Delivery:
        """The next delivery that runs."""
        return self.started.get(timeout=PATIENCE)

    def let(self, number: int) -> None:
        """Let this many deliveries finish."""
        self.permits.release(number)

    def stop(self) -> None:
        """Let everything finish, as a worker process does on SIGTERM."""
        self.let(1000)
        self.broker.stop_consuming()
        self.worker.stop(timeout=5000)
        self.broker.close()


def running(url: str) -> Iterator[Harness]:
    """A harness that is stopped whatever happens."""
    harness = Harness(url).start()
    try:
        yield harness
    finally:
        harness.stop()


@pytest.fixture
def harness(amqp_url: str) -> Iterator[Harness]:
    """On the shared RabbitMQ."""
    yield from running(amqp_url)


@pytest.fixture
def private(private_url: str) -> Iterator[Harness]:
    """On the private RabbitMQ, which may be taken down."""
    yield from running(private_url)


@pytest.fixture
def proxied(amqp_url: str) -> Iterator[tuple[Harness, Proxy]]:
    """Behind a proxy that can cut and freeze."""
    proxy, through = Proxy.of(amqp_url)
    with proxy:
        for harness in running(through):
            yield harness, proxy


def send(url: str, body: bytes, **properties: Any) -> None:
    """A message straight to the queue."""
    publish(url, RETRY, QUERIES, body, **properties)


def unacked(url: str, node: RabbitMQNode) -> int:
    """Messages of the queue that are out with a consumer, on the private node."""
    listing = node.rabbitmqctl("-q", "list_queues", "name", "messages_unacknowledged")
    return next(int(line.split()[1]) for line in listing.splitlines() if line.startswith(QUERIES))


def test_a_delivery_that_ends_well_is_acked(harness: Harness, amqp_url: str) -> None:
    """The disposition of the pipeline is applied."""
    send(amqp_url, b"one")
    harness.next()
    harness.let(1)

    harness.stop()
    assert 0 == count(amqp_url, QUERIES)


def test_a_delivery_without_a_disposition_goes_back(harness: Harness, amqp_url: str) -> None:
    """Whereas dramatiq acks an actor that raised; here nothing is acked that the pipeline did not end."""
    harness.disposition = None
    send(amqp_url, b"one")
    harness.next()
    harness.let(1)

    again = harness.next()

    assert (b"one", True) == (again.body, again.redelivered)


def test_a_raising_actor_acks_nothing(amqp_url: str) -> None:
    """Even if the pipeline itself broke."""
    harness = Harness(amqp_url)

    def broken(delivery: Delivery) -> None:
        harness.started.put(delivery)
        raise RuntimeError("a fault of the test's own making")

    harness.execute = broken
    harness.start()
    send(amqp_url, b"one")
    harness.next()
    assert harness.next().redelivered

    harness.stop()
    assert [b"one"] == [body for _properties, body in take_all(amqp_url, QUERIES)]


def test_a_closed_gate_gives_back_what_has_not_started_and_an_open_one_resumes(harness: Harness, amqp_url: str) -> None:
    """What runs goes on; what was only fetched is there for other workers at once."""
    for number in range(THREADS + 3):
        send(amqp_url, b"%d" % number)
    for _ in range(THREADS):
        harness.next()

    harness.broker.gates[QUERIES].close("test")
    eventually(lambda: count(amqp_url, QUERIES) == 3, "what has not started is back in the queue")
    harness.let(THREADS)
    harness.broker.gates[QUERIES].open("test")

    for _ in range(3):
        harness.next()
    harness.let(3)
    assert THREADS + 3 == len(harness.ran)


def test_no_more_is_fetched_than_the_prefetch(harness: Harness, amqp_url: str) -> None:
    """A message that kills its process takes few neighbours along."""
    for number in range(PREFETCH + 4):
        send(amqp_url, b"%d" % number)
    for _ in range(THREADS):
        harness.next()

    eventually(lambda: count(amqp_url, QUERIES) == 4, "all but the prefetched ones stay in the queue")


def test_a_delivery_that_runs_through_a_cut_is_run_once(proxied: tuple[Harness, Proxy], amqp_url: str) -> None:
    """RabbitMQ delivers it again on the next connection; it joins the execution that is going on."""
    harness, proxy = proxied
    send(amqp_url, b"long", message_id="m1")
    harness.next()

    proxy.cut()
    send(amqp_url, b"after", message_id="m2")
    assert b"after" == harness.next().body
    harness.let(2)

    harness.stop()
    assert ([b"after", b"long"], 0) == (sorted(harness.ran), count(amqp_url, QUERIES))


def test_a_delivery_that_finished_while_the_connection_was_away_is_acked_on_the_next(
    proxied: tuple[Harness, Proxy], amqp_url: str
) -> None:
    """Its ack was lost, not its outcome: it must not run again in this process."""
    harness, proxy = proxied
    send(amqp_url, b"long", message_id="m1")
    delivery = harness.next()
    proxy.down()
    eventually(lambda: not delivery.channel.is_open, "the consumer noticed the loss")
    harness.let(1)
    eventually(lambda: delivery.disposition, "the execution is done")

    proxy.up()
    send(amqp_url, b"after", message_id="m2")
    assert b"after" == harness.next().body
    harness.let(1)

    harness.stop()
    assert ([b"long", b"after"], 0) == (harness.ran, count(amqp_url, QUERIES))


def test_an_equal_message_under_another_id_is_no_redelivery(proxied: tuple[Harness, Proxy], amqp_url: str) -> None:
    """Joining executions must never swallow a message of its own."""
    harness, proxy = proxied
    send(amqp_url, b"same", message_id="m1")
    send(amqp_url, b"same", message_id="m2")
    harness.next()
    harness.next()

    proxy.cut()
    send(amqp_url, b"same", message_id="m3")
    assert "m3" == harness.next().properties.message_id
    harness.let(3)

    harness.stop()
    assert (3, 0) == (len(harness.ran), count(amqp_url, QUERIES))


def test_a_half_open_connection_is_found_out_and_replaced(proxied: tuple[Harness, Proxy], amqp_url: str) -> None:
    """Nobody closes it, nothing comes in: the heartbeat tells. An ack that went into the void is given again."""
    harness, proxy = proxied
    send(amqp_url, b"before", message_id="m1")
    delivery = harness.next()

    proxy.freeze()
    harness.let(1)
    eventually(lambda: delivery.settled, "the ack was sent into the half-open connection")
    send(amqp_url, b"after", message_id="m2")

    assert b"after" == harness.next().body
    harness.let(1)
    harness.stop()
    assert ([b"before", b"after"], 0) == (harness.ran, count(amqp_url, QUERIES))


def test_a_deleted_queue_is_declared_and_consumed_again(harness: Harness, amqp_url: str) -> None:
    """RabbitMQ cancels the consumer; the topology is put back."""
    send(amqp_url, b"before")
    harness.next()
    harness.let(1)
    with channel(amqp_url) as opened:
        opened.queue_delete(QUERIES)

    eventually(lambda: can_send(amqp_url), "the queue is there again, and bound")

    assert b"after" == harness.next().body


def can_send(url: str) -> bool:
    """Whether a message to the queue finds it; if so, it is sent."""
    try:
        send(url, b"after")
    except pika.exceptions.UnroutableError:
        return False
    return True


def test_what_came_before_its_queue_was_deleted_runs_while_the_queue_is_not_back() -> None:
    """Nobody else has it any more, and on its open channel it would stay unsettled."""

    class Refused:
        """A topology that cannot be brought about."""

        def ensure(self) -> None:
            """As `TopologyKeeper.ensure`."""
            raise TopologyError("no right to configure")

    connection = cast("KeptConnection", SimpleNamespace(call_soon=lambda _call: None))
    keeper = cast("TopologyKeeper", Refused())
    consumer = RabbitConsumer(QUERIES, connection=connection, keeper=keeper, gate=Gate(QUERIES), prefetch=1, timeout=0)
    method = SimpleNamespace(consumer_tag=None, redelivered=False, delivery_tag=1, routing_key=QUERIES)
    consumer._delivered(cast("Channel", None), method, BasicProperties(), b"one")

    proxy = next(consumer)

    assert proxy is not None
    assert b"one" == proxy.delivery.body


def test_a_restarted_broker_is_consumed_again(private: Harness, private_url: str, node: RabbitMQNode) -> None:
    """And what was unacked is not lost."""
    send(private_url, b"before")
    private.next()

    node.restart()
    send(private_url, b"after")

    assert b"after" == private.next().body
    private.let(2)
    private.stop()
    assert ([b"before", b"after"], 0) == (private.ran, count(private_url, QUERIES))


def test_heartbeats_are_served_while_every_thread_is_busy(harness: Harness, amqp_url: str) -> None:
    """A handler may run for minutes: the connection is not its business."""
    for number in range(THREADS):
        send(amqp_url, b"%d" % number)
    deliveries = [harness.next() for _ in range(THREADS)]
    received = deliveries[0].channel.connection.bytes_received

    eventually(lambda: deliveries[0].channel.connection.bytes_received > received + 16, "heartbeats come in")
    harness.let(THREADS)

    harness.stop()
    assert (THREADS, 0) == (len(harness.ran), count(amqp_url, QUERIES))


class Postprocessed(dramatiq.Middleware):
    """Counts the deliveries that dramatiq is done with."""

    def __init__(self) -> None:
        self.number = 0

    def after_ack(self, _broker: dramatiq.Broker, _message: dramatiq.MessageProxy) -> None:
        """Its last step."""
        self.number += 1


def deferring(harness: Harness) -> Postprocessed:
    """Let executions return before their deliveries end."""

    def execute(delivery: Delivery) -> None:
        harness.ran.append(delivery.body)
        delivery.defer()
        harness.started.put(delivery)

    harness.execute = execute
    harness.broker.add_middleware(postprocessed := Postprocessed())
    return postprocessed


def test_a_deferred_delivery_is_settled_when_it_is_concluded(harness: Harness, amqp_url: str) -> None:
    """What dramatiq says of it when its execution has returned does not count; nor does anybody wait for it."""
    postprocessed = deferring(harness)
    send(amqp_url, b"first", message_id="m1")
    first = harness.next()
    send(amqp_url, b"second", message_id="m2")
    second = harness.next()
    eventually(lambda: postprocessed.number == 2, "both executions have returned")

    second.conclude(Disposition.ACK)
    eventually(lambda: second.settled, "the second is settled")
    assert not first.settled
    first.conclude(None)
    again = harness.next()

    assert (True, b"first", True) == (first.settled, again.body, again.redelivered)
    again.conclude(Disposition.ACK)
    harness.stop()
    assert (3, 0) == (len(harness.ran), count(amqp_url, QUERIES))


def test_more_is_deferred_than_there_are_threads_but_not_than_is_fetched(harness: Harness, amqp_url: str) -> None:
    """RabbitMQ's window holds however quickly the threads go on."""
    postprocessed = deferring(harness)
    for number in range(PREFETCH + 1):
        send(amqp_url, b"%d" % number)
    deferred = [harness.next() for _ in range(PREFETCH)]
    eventually(lambda: postprocessed.number == PREFETCH, "all executions have returned")
    eventually(lambda: count(amqp_url, QUERIES) == 1, "one is left in the queue")
    assert harness.started.empty()

    for delivery in deferred:
        delivery.conclude(Disposition.ACK)
    harness.next().conclude(Disposition.ACK)
    harness.stop()
    assert 0 == count(amqp_url, QUERIES)


def test_what_is_left_to_do_for_a_deferred_delivery_is_done_in_a_worker_thread(harness: Harness, amqp_url: str) -> None:
    """Once, and its deferral stays: dramatiq, done with its first execution only then, must not give it back."""
    postprocessed = deferring(harness)
    send(amqp_url, b"one")
    delivery = harness.next()
    threads: list[threading.Thread] = []

    def rest() -> None:
        threads.append(threading.current_thread())
        delivery.conclude(Disposition.ACK)

    delivery.resume(rest)
    eventually(lambda: delivery.settled and postprocessed.number == 2, "the rest is done")

    assert set(threads) <= set(harness.worker.workers)
    harness.stop()
    assert ([b"one"], 1, 0) == (harness.ran, len(threads), count(amqp_url, QUERIES))


def test_what_was_left_to_do_is_not_held_after_the_ack(harness: Harness, amqp_url: str) -> None:
    """The latest acks are remembered, hundreds of them, and with each its answer and its event would be."""
    deferring(harness)
    send(amqp_url, b"one")
    delivery = harness.next()
    answer = threading.Event()
    held = weakref.ref(answer)

    def resume(answer: threading.Event) -> None:
        def rest() -> None:
            answer.set()
            delivery.conclude(Disposition.ACK)

        delivery.resume(rest)

    resume(answer)
    assert answer.wait(PATIENCE)
    del answer

    eventually(lambda: delivery.settled and held() is None, "it is let go")


@pytest.mark.parametrize("stopped", ["its thread", "the way to its thread"])
def test_what_no_thread_comes_to_any_more_is_done_by_the_one_that_stops(harness: Harness, amqp_url: str, stopped: str) -> None:
    """It was resumed when the others had ended."""
    deferring(harness)
    send(amqp_url, b"one")
    delivery = harness.next()
    harness.worker.work_queue.close()  # type: ignore[attr-defined]
    ending: list[Any] = [*harness.worker.workers, *(harness.worker.consumers.values() if "way" in stopped else ())]
    for thread in ending:
        thread.stop()
    for thread in ending:
        thread.join()
    threads: list[threading.Thread] = []

    def rest() -> None:
        threads.append(threading.current_thread())
        delivery.conclude(Disposition.ACK)

    delivery.resume(rest)
    harness.stop()

    assert ([threading.current_thread()], 0) == (threads, count(amqp_url, QUERIES))


def test_a_deferred_delivery_that_lasts_through_a_cut_is_acked_on_the_next_connection(
    proxied: tuple[Harness, Proxy], amqp_url: str
) -> None:
    """RabbitMQ delivers it again, and it joins what is deferred, as it would what runs."""
    harness, proxy = proxied
    deferring(harness)
    send(amqp_url, b"long", message_id="m1")
    delivery = harness.next()

    proxy.cut()
    send(amqp_url, b"after", message_id="m2")
    after = harness.next()
    assert b"after" == after.body
    for each in (delivery, after):
        each.conclude(Disposition.ACK)

    harness.stop()
    assert ([b"long", b"after"], 0) == (harness.ran, count(amqp_url, QUERIES))


def test_stopping_waits_for_what_is_deferred(harness: Harness, amqp_url: str) -> None:
    """Its confirm is on the way; given back, it would be carried out once more."""
    deferring(harness)
    send(amqp_url, b"one")
    delivery = harness.next()
    closing, was_idle = threading.Event(), []
    settle = RabbitConsumer._settle

    def settled(consumer: RabbitConsumer) -> None:
        settle(consumer)
        if consumer._closed:
            was_idle.append(consumer._idle.is_set())
            closing.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RabbitConsumer, "_settle", settled)
        stop = threading.Thread(target=harness.stop)
        stop.start()
        assert closing.wait(PATIENCE)
        delivery.conclude(Disposition.ACK)
        stop.join()

    assert (False, True) == (was_idle[0], harness.broker._consumers[QUERIES]._idle.is_set())
    assert (True, 0) == (delivery.settled, count(amqp_url, QUERIES))


def test_what_stays_deferred_goes_back_when_the_process_stops(harness: Harness, amqp_url: str) -> None:
    """It is not waited for as long as RabbitMQ may be away."""
    deferring(harness)
    send(amqp_url, b"one")
    harness.next()

    harness.stop()

    assert 1 == count(amqp_url, QUERIES)


def test_stopping_gives_back_at_once_what_has_not_started(harness: Harness, amqp_url: str) -> None:
    """While what runs is allowed to finish."""
    for number in range(PREFETCH):
        send(amqp_url, b"%d" % number)
    for _ in range(THREADS):
        harness.next()

    harness.broker.stop_consuming()

    eventually(lambda: count(amqp_url, QUERIES) == 1, "the fetched one is back while the others still run")
    harness.stop()
    assert (THREADS, 1) == (len(harness.ran), count(amqp_url, QUERIES))


def test_an_expired_message_and_an_unbound_type_are_set_aside_by_the_broker(amqp_url: str) -> None:
    """The topology has somebody who speaks for what the broker drops."""
    send(amqp_url, b"expired", expiration="1")
    publish(amqp_url, COMMANDS, "sips.no.such_type", b"unbound")

    eventually(lambda: count(amqp_url, UNDELIVERED) == 2, "both are in sips.undelivered")


def test_the_ladder_gives_a_message_back_to_its_queue(amqp_url: str) -> None:
    """A delay queue's time to live, its dead-letter exchange and the binding by queue name belong together."""
    publish(amqp_url, "sips.delay.r1.1", QUERIES, b"later")

    eventually(lambda: count(amqp_url, QUERIES) == 1, "the message is back")
    assert 0 == count(amqp_url, DEAD)


def test_none_of_dramatiqs_own_middleware_is_there() -> None:
    """`TimeLimit` could strike between SIPS' answer and its record, and `Retries` would acknowledge for the pipeline."""
    broker = make_broker(Settings(_env_file=None), threading.Event(), Beats())

    assert [WorkQueueMiddleware, Lifecycle] == [type(middleware) for middleware in broker.middleware]


def test_commands_do_not_come_from_dramatiq(harness: Harness) -> None:
    """Its own way in would bypass the contract."""
    message: dramatiq.Message[None] = dramatiq.Message(QUERIES, QUERIES, (), {}, {})

    with pytest.raises(NotImplementedError):
        harness.broker.enqueue(message)
