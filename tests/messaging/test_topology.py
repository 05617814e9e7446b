"""The topology as data: arguments that every RabbitMQ from 3.10 up to 4.x takes, and with which nothing is lost."""

from __future__ import annotations

from worker.main import make_topology
from worker.messaging.topology import DEAD, DELAY_SECONDS, SUSPECTS, UNDELIVERED, UNROUTED, WORK_QUEUES, delay_exchange

#: Every queue and its arguments.
QUEUES = {queue.name: queue.arguments for queue in make_topology().queues}

#: What quorum queues of every release know. Not among them: `x-max-priority` and `x-queue-mode`.
PORTABLE = {
    "x-queue-type",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-delivery-limit",
    "x-max-length",
    "x-message-ttl",
    "x-overflow",
}


def test_every_queue_is_a_quorum_queue_with_arguments_of_every_release() -> None:
    """Durable ones, as the topology declares no other."""
    assert {"quorum"} == {arguments["x-queue-type"] for arguments in QUEUES.values()}
    assert set() == {name for arguments in QUEUES.values() for name in arguments} - PORTABLE


def test_nothing_is_lost_on_the_way_to_another_queue() -> None:
    """At-least-once dead-lettering takes all three: strategy, overflow and an exchange that is there."""
    exchanges = {"", *(exchange.name for exchange in make_topology().exchanges)}
    sending = {name: arguments for name, arguments in QUEUES.items() if "x-dead-letter-exchange" in arguments}

    assert {UNDELIVERED, SUSPECTS, *WORK_QUEUES, *map(delay_exchange, DELAY_SECONDS)} == set(sending)
    for arguments in sending.values():
        assert ("at-least-once", "reject-publish") == (arguments["x-dead-letter-strategy"], arguments["x-overflow"])
        assert arguments["x-dead-letter-exchange"] in exchanges


def test_what_is_given_back_meets_no_low_limit() -> None:
    """RabbitMQ 4 counts to 20 by default, and takes -1 for none where 3.10 drops the message."""
    consumed = {UNDELIVERED, SUSPECTS, *WORK_QUEUES}

    assert {1_000} == {QUEUES[name]["x-delivery-limit"] for name in consumed}


def test_no_dead_letter_is_deleted_by_time_or_by_being_read() -> None:
    """Each look at one counts as a delivery."""
    assert {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1} == QUEUES[DEAD]


def test_no_delay_waits_behind_a_longer_one() -> None:
    """One time for all messages of a queue."""
    delays = {delay_exchange(seconds): seconds * 1_000 for seconds in DELAY_SECONDS}

    assert delays == {name: arguments["x-message-ttl"] for name, arguments in QUEUES.items() if "x-message-ttl" in arguments}


def test_a_full_queue_of_unrouted_events_stops_no_publisher() -> None:
    """To refuse there would nack the event's publisher."""
    assert "drop-head" == QUEUES[UNROUTED]["x-overflow"]
