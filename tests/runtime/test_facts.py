"""Facts that belong to no command."""

from __future__ import annotations

from structlog.testing import capture_logs

from tests.amqp import EventTap
from tests.sips.making import settings
from worker.messaging.publisher import Publisher
from worker.runtime.facts import Facts


def test_a_fact_is_published_with_its_place(amqp_url: str) -> None:
    """Which SIPS, and which process saw it."""
    publisher = Publisher(amqp_url, name="tests", heartbeat=60)
    publisher.start()
    with EventTap(amqp_url) as tap:
        Facts(publisher, settings("https://sips.example:8443/base")).publish("sips.service.down", {"reason": "sips-down"})
        (fact,) = tap.wait(lambda events: events[:1], "the fact")
    publisher.stop(5)

    assert ("sips.service.down", "sips-worker/sandbox") == (fact["type"], fact["source"])
    assert ("sips-down", "sips.example:8443") == (fact["data"]["reason"], fact["data"]["host"])
    assert "/" in fact["data"]["instance"]


def test_a_fact_that_rabbitmq_does_not_take_is_logged() -> None:
    """Best effort: whoever tells it goes on."""
    publisher = Publisher("amqp://127.0.0.1:1", name="never started", heartbeat=60)

    with capture_logs() as logs:
        Facts(publisher, settings("http://127.0.0.1", publish_seconds=0.01)).publish("sips.service.up", {"reason": "sips-down"})

    (line,) = logs
    assert ("warning", "sips.service.up", "sips-down") == (line["log_level"], line["type"], line["reason"])
