"""Dead letters as they are read: what each says of itself, which are chosen, and that reading takes nothing out."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pika
import pytest
from pika.spec import BasicProperties

from tests.amqp import channel, count, eventually, publish, take_all
from worker.messaging import dead_letters, ladder
from worker.messaging.connection import parameters
from worker.messaging.dead_letters import DeadLetterQueue, Selection, describe_letter
from worker.messaging.header_tables import Unreadable
from worker.messaging.topology import DEAD, UNDELIVERED

if TYPE_CHECKING:
    from collections.abc import Iterator

STRUCTURED = "application/cloudevents+json"
EVENT = orjson.dumps({"specversion": "1.0", "id": "c1", "source": "shop", "type": "sips.delivery.get", "data": {}})


@pytest.fixture
def letters(amqp_url: str) -> Iterator[DeadLetterQueue]:
    """The queue, on a connection of its own."""
    connection = pika.BlockingConnection(parameters(amqp_url, name="tests", heartbeat=60))
    with DeadLetterQueue(connection) as opened:
        yield opened
    connection.close()


def fill(url: str, number: int) -> None:
    """So many dead letters, with the ids m0, m1 and so on."""
    for turn in range(number):
        publish(url, "", DEAD, b"{}", message_id=f"m{turn}", app_id="shop", type="sips.delivery.get")


def keys(letters: DeadLetterQueue, selection: Selection = Selection(), limit: int | None = None) -> list[str]:  # noqa: B008
    """What is read."""
    return [held.letter.key for held in letters.select(selection, limit)]


def test_a_letter_that_the_worker_set_aside_tells_everything() -> None:
    """From its headers and its command."""
    properties = BasicProperties(content_type=STRUCTURED, headers={"sips-attempt": 8, "sips-run": 2})
    headers = {"sips-reason": "sips-error", "sips-detail": "503", "sips-queue": "sips.queries"}
    dead = ladder.dead_letter(EVENT, properties, "sips.delivery.get", headers=headers)

    letter = describe_letter(dead.properties, dead.body)

    assert ("c1", "c1", "shop", "sips.delivery.get") == (letter.key, letter.id, letter.source, letter.type)
    assert ("sips-error", "503", "sips.queries", 8, 2) == (
        letter.reason,
        letter.detail,
        letter.queue,
        letter.attempts,
        letter.run,
    )
    assert letter.since
    assert timedelta(minutes=1) > abs(datetime.now(UTC) - letter.since)
    assert (len(EVENT), False) == (letter.size, letter.redelivered)


def test_a_letter_that_rabbitmq_set_aside_tells_what_rabbitmq_knows() -> None:
    """The worker has put no header on it."""
    moment = datetime(2026, 1, 15, tzinfo=UTC)
    death = {"reason": "delivery_limit", "queue": UNDELIVERED, "time": moment, "routing-keys": ["sips.undelivered"]}
    first = {"reason": "expired", "queue": "sips.queries", "time": moment, "routing-keys": ["sips.delivery.get"]}

    letter = describe_letter(BasicProperties(message_id="c1", headers={"x-death": [death, first]}), b"{}")

    assert ("delivery-limit", UNDELIVERED, moment, "sips.delivery.get") == (
        letter.reason,
        letter.queue,
        letter.since,
        letter.type,
    )


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {"": Unreadable("a header value is cut off"), "sips-reason": b"\xff", "sips-detail": 7, "sips-queue": ["x"]},
        {"sips-dead-at": 10**18, "sips-run": "two", "sips-attempt": -1, "x-death": "no list"},
        {"sips-dead-at": True, "x-death": ["no table"], "sips-routing-key": 5},
        {"x-death": [{"routing-keys": [], "time": "now", "reason": 1, "queue": None}]},
    ],
)
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]"])
def test_nothing_that_stands_in_a_letter_breaks_its_reading(headers: dict[str, Any] | None, body: bytes) -> None:
    """Bad input is what the queue is for; a letter without an id still has a key, the same each time."""
    letter = describe_letter(BasicProperties(headers=headers), body)

    assert (1, 1, None) == (letter.attempts, letter.run, letter.id)
    assert letter.key.startswith("~")
    assert letter.key == describe_letter(BasicProperties(headers=(headers or {}) | {"x-delivery-count": 4}), body).key
    assert letter.key != describe_letter(BasicProperties(headers=headers), body + b" ").key


def test_a_letter_that_kills_whoever_reads_it_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what stands outside of its body is told."""
    monkeypatch.setattr("worker.messaging.envelope.orjson.loads", lambda _body: pytest.fail("the body was read"))
    headers = {"sips-reason": "crash-on-read"}

    letter = describe_letter(BasicProperties(content_type=STRUCTURED, message_id="outside", headers=headers), EVENT)

    assert ("outside", "crash-on-read") == (letter.id, letter.reason)


MOMENT = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), True),
        (Selection(types=frozenset({"sips.delivery.get", "sips.order.submit"})), True),
        (Selection(types=frozenset({"sips.order.submit"})), False),
        (Selection(reasons=frozenset({"sips-error"})), True),
        (Selection(reasons=frozenset({"not-json"})), False),
        (Selection(sources=frozenset({"shop"})), True),
        (Selection(sources=frozenset({"other"})), False),
        (Selection(keys=frozenset({"c1"})), True),
        (Selection(keys=frozenset({"c2"})), False),
        (Selection(before=MOMENT + timedelta(seconds=1)), True),
        (Selection(before=MOMENT), False),
        (Selection(after=MOMENT), True),
        (Selection(after=MOMENT + timedelta(seconds=1)), False),
        (Selection(types=frozenset({"sips.delivery.get"}), reasons=frozenset({"not-json"})), False),
    ],
)
def test_a_selection_narrows_by_each_kind_of_its_values(selection: Selection, expected: bool) -> None:
    """Alternatives within a kind, all kinds together."""
    headers = {"sips-reason": "sips-error", "sips-dead-at": int(MOMENT.timestamp())}

    letter = describe_letter(BasicProperties(content_type=STRUCTURED, headers=headers), EVENT)

    assert expected == selection.matches(letter)


def test_an_age_selects_no_letter_whose_age_is_not_known() -> None:
    """What is not known to be old must not be dropped as old."""
    letter = describe_letter(BasicProperties(), b"")

    assert not Selection(before=datetime.now(UTC)).matches(letter)
    assert not Selection(after=MOMENT).matches(letter)


def test_reading_takes_nothing_out_however_often(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More letters than one window holds, read again and again."""
    monkeypatch.setattr(dead_letters, "WINDOW", 10)
    fill(amqp_url, 35)
    with contextlib.closing(pika.BlockingConnection(parameters(amqp_url, name="tests", heartbeat=60))) as connection:
        for _ in range(3):
            with DeadLetterQueue(connection) as letters:
                assert {f"m{turn}" for turn in range(35)} == set(keys(letters))
            eventually(lambda: count(amqp_url, DEAD) == 35, "all of it went back")


def test_that_nothing_came_yet_is_not_the_end(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pika stops waiting for other reasons as well."""
    fill(amqp_url, 3)
    connection = pika.BlockingConnection(parameters(amqp_url, name="tests", heartbeat=60))
    wait, for_nothing = connection.process_data_events, iter(range(3))

    def waits(time_limit: float) -> None:
        if next(for_nothing, None) is None:
            wait(time_limit=time_limit)

    monkeypatch.setattr(connection, "process_data_events", waits)
    with contextlib.closing(connection), DeadLetterQueue(connection) as letters:
        assert ["m0", "m1", "m2"] == keys(letters)


def test_a_limit_stops_the_reading(letters: DeadLetterQueue, amqp_url: str) -> None:
    """And counts what matches, not what was passed over."""
    fill(amqp_url, 5)

    assert ["m2", "m3"] == keys(letters, Selection(keys=frozenset({"m2", "m3", "m4"})), limit=2)


def test_only_what_is_removed_is_gone(letters: DeadLetterQueue, amqp_url: str) -> None:
    """When the channel is closed, RabbitMQ has done it."""
    fill(amqp_url, 5)
    for held in letters.select(Selection(keys=frozenset({"m1", "m3"}))):
        letters.remove(held.tag)

    letters.close()

    eventually(lambda: count(amqp_url, DEAD) == 3, "the rest went back")
    assert {"m0", "m2", "m4"} == {properties.message_id for properties, _body in take_all(amqp_url, DEAD)}


def test_a_letter_that_comes_while_the_queue_is_read_is_not_read(letters: DeadLetterQueue, amqp_url: str) -> None:
    """One that is run again and dies again at once would go round for ever."""
    fill(amqp_url, 3)
    seen = []

    for held in letters.select(Selection()):
        seen.append(held.letter.key)
        letters.remove(held.tag)
        publish(amqp_url, "", DEAD, b"{}", message_id="again")

    assert ["m0", "m1", "m2"] == seen


def test_what_another_reader_holds_is_not_waited_for_long(
    letters: DeadLetterQueue, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was counted, and somebody else was quicker."""
    monkeypatch.setattr(dead_letters, "IDLE_SECONDS", 0.2)
    fill(amqp_url, 3)
    reading = letters.select(Selection())
    assert "m0" == next(reading).letter.key
    with channel(amqp_url) as other:
        assert other.basic_get(DEAD)[0]

        assert ["m2"] == [held.letter.key for held in reading]
