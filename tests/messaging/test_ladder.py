"""Republished messages."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.spec import BasicProperties

from worker.messaging import ladder
from worker.messaging.publisher import FRAME_BYTES, HEADER_FRAME_BYTES
from worker.messaging.topology import DEAD, DELAY_SECONDS, RETRY


@given(st.floats(min_value=0, max_value=1e7), st.integers())
def test_a_delay_becomes_one_of_its_neighbouring_rungs(seconds: float, seed: int) -> None:
    """Never below the lower or above the upper neighbour."""
    rung = ladder.step(seconds, random.Random(seed))

    assert rung in DELAY_SECONDS
    assert rung / 2 <= max(seconds, 0.5) or rung == 1
    assert rung * 2 >= min(seconds, DELAY_SECONDS[-1])


def test_above_a_rung_are_the_longer_ones() -> None:
    """Up to the last, which has none above it."""
    assert (32_768, 65_536, 131_072) == ladder.from_step(32_768)
    assert (131_072,) == ladder.from_step(131_072)


def test_the_mean_of_many_delays_is_the_delay_that_was_asked_for() -> None:
    """Rounding is random in proportion."""
    source = random.Random(7)

    mean = sum(ladder.step(5, source) for _ in range(20_000)) / 20_000

    assert mean == pytest.approx(5, rel=0.02)


def hostile() -> BasicProperties:
    """Properties as a delivered message may have them, with everything that would steer the broker."""
    return BasicProperties(
        content_type="application/json",
        message_id="c1",
        app_id="shop",
        type="sips.order.submit",
        correlation_id="corr",
        reply_to="answers",
        user_id="guest",
        expiration="1000",
        timestamp=1,
        priority=3,
        headers={
            "CC": ["elsewhere"],
            "BCC": ["elsewhere"],
            "x-death": [{"queue": "q"}],
            "x-first-death-queue": "q",
            "x-first-death-reason": "expired",
            "x-delivery-count": 4,
            "ce-id": "c1",
            "ccnumber": "kept",
        },
    )


def test_a_republish_keeps_body_and_properties_but_nothing_that_steers_the_broker() -> None:
    """An old x-death keeps a message in a quorum queue for ever; CC sends copies; user_id closes the channel."""
    message = ladder.delayed(b"body", hostile(), "sips.order.submit", queue="sips.orders", seconds=4, headers={"sips-attempt": 2})

    kept = message.properties
    assert ("sips.delay.r1.4", "sips.orders", b"body", True) == (
        message.exchange,
        message.routing_key,
        message.body,
        message.mandatory,
    )
    assert ("c1", "shop", "sips.order.submit", "corr", "answers", 1, 3, 2) == (
        kept.message_id,
        kept.app_id,
        kept.type,
        kept.correlation_id,
        kept.reply_to,
        kept.timestamp,
        kept.priority,
        kept.delivery_mode,
    )
    assert (None, None) == (kept.user_id, kept.expiration)
    assert {
        "ce-id": "c1",
        "ccnumber": "kept",
        "sips-attempt": 2,
        "sips-routing-key": "sips.order.submit",
    } == kept.headers


def test_the_first_routing_key_survives_a_second_republish() -> None:
    """On the way back from the ladder the routing key is the queue's name."""
    first = ladder.delayed(b"", hostile(), "sips.order.submit", queue="sips.orders", seconds=1, headers={})

    second = ladder.returned(b"", first.properties, "sips.orders", queue="sips.orders", headers={})

    headers: Any = second.properties.headers
    assert (RETRY, "sips.order.submit") == (second.exchange, headers["sips-routing-key"])


def test_a_dead_letter_tells_what_was_stripped() -> None:
    """A person may need the broker's own history."""
    message = ladder.dead_letter(b"body", hostile(), "sips.order.submit", headers={"sips-reason": "not-json"})

    headers: Any = message.properties.headers
    original = json.loads(headers["sips-original"])
    assert ("", DEAD, b"body", "not-json") == (message.exchange, message.routing_key, message.body, headers["sips-reason"])
    assert ("guest", "1000", ["elsewhere"]) == (original["userId"], original["expiration"], original["headers"]["CC"])


@pytest.mark.parametrize(
    ("headers", "dropped"),
    [
        ({"large": "x" * 130_000, "small": "kept"}, "large"),
        ({"large": "x" * 60_000, "larger": "x" * 60_001, "small": "kept"}, "larger"),
        ({"x-death": "\x01" * 40_000, "small": "kept"}, None),  # six times as long in JSON
        ({"\\xff" * 64: "a name that was no UTF-8", "small": "kept"}, "\\xff" * 64),
        ({"number": 2**63, "small": "kept"}, "number"),
    ],
)
def test_a_dead_letter_can_always_be_published(headers: dict[str, Any], dropped: str | None) -> None:
    """Or its message would go back and forth between queue and worker for ever."""
    message = ladder.dead_letter(b"body", BasicProperties(headers=headers), "key", headers={"sips-reason": "not-json"})

    kept: Any = message.properties.headers
    assert sum(map(len, message.properties.encode())) + HEADER_FRAME_BYTES <= FRAME_BYTES
    assert ("kept", "not-json", dropped) == (kept["small"], kept["sips-reason"], kept.get("sips-dropped-headers"))
    assert dropped not in kept
