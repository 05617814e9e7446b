"""What webhooks tell of is looked up and told, by a worker that hardly ever looks by itself."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.acceptance.conftest import settings_of
from tests.acceptance.test_commands import SUBMIT, order
from tests.acceptance.test_watches import facts, last
from tests.amqp import channel, eventually, forget_the_store
from tests.webhook.calling import Receiver
from worker.local.processes import free_ports
from worker.local.stack import Sandbox, Worker
from worker.runtime.hints import hint
from worker.sandbox.life import DELIVERY, INVOICE, ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.amqp import EventTap
    from worker.client import CommandClient

#: A life of two to four days in some seconds.
FACTOR = "60000"

PLAIN = {"WEBHOOK_HEADER_SECRET": "", "WEBHOOK_HEADER": "", "WEBHOOK_HMAC_SECRET": "", "WEBHOOK_HMAC_HEADER": ""}


@pytest.fixture(scope="module")
def port() -> int:
    """Where the receiver listens."""
    (found,) = free_ports(1)
    return found


@pytest.fixture(scope="module")
def sandbox_process(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Its orders live, and it tells of that."""
    url = f"http://127.0.0.1:{port}/webhooks/sips/s3cret-of-the-path"
    with Sandbox(tmp_path_factory.mktemp("sandbox"), options=["--live", FACTOR, "--webhook", url]) as started:
        yield started


@pytest.fixture(scope="module")
def receiver(shared_url: str, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Takes the calls."""
    settings = PLAIN | {"WEBHOOK_PORT": str(port), "WEBHOOK_PATH_SECRET": "s3cret-of-the-path"}
    with Receiver(tmp_path_factory.mktemp("webhook"), shared_url, **settings) as started:
        started.wait_until(200)
        yield started


@pytest.fixture(scope="module")
def worker(
    shared_url: str, sandbox_process: Sandbox, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """Looks every hour."""
    forget_the_store(shared_url)
    settings = settings_of(shared_url, sandbox_process, database_url) | {"WATCH_SECONDS": "3600"}
    with Worker("worker", tmp_path_factory.mktemp("worker"), settings) as started:
        yield started


def tell(url: str, hint_id: str | None = None, **fields: str) -> str:
    """Hand a hint to the workers as the receiver would; its id, by default a new one."""
    told = hint(hint_id or str(uuid.uuid4()), fields, orjson.dumps(fields), is_json=True, environment="sandbox")
    with channel(url) as opened:
        opened.basic_publish(told.exchange, told.routing_key, told.body, told.properties, mandatory=True)
    return str(told.properties.message_id)


def attempts(worker: Worker, hint_id: str) -> list[str]:
    """How each delivery of a hint ended."""
    return [line["outcome"] for line in worker.lines() if line.get("event") == "attempt" and line["id"] == hint_id]


@pytest.mark.usefixtures("worker", "receiver")
def test_what_sips_tells_of_is_told(client: CommandClient, tap: EventTap) -> None:
    """To its end, with the time as SIPS wrote it."""
    command = client.publish(SUBMIT, order())
    order_id = tap.outcome(command)["data"]["result"]["orderId"]

    ends = {ORDER: "Invoiced", DELIVERY: "Completed", INVOICE: "Issued"}
    tap.wait(lambda _events: ends == {subject: last(tap, order_id, subject) for subject in ends}, "all is over", 60)

    told = [fact["data"] for fact in facts(tap, order_id)]
    assert [*range(1, len(told) + 1)] == [fact["sequence"] for fact in told]
    issued = told[[fact.get("invoiceNumber") is not None for fact in told].index(True)]
    assert "webhook" in {fact["source"] for fact in told}
    assert all((fact["source"] == "webhook") == (fact["sipsTime"] is not None) for fact in told)
    assert f"{int(order_id):010}-001" == issued["invoiceNumber"]


def test_a_hint_of_an_order_that_is_not_known_is_kept_for_it(
    worker: Worker, client: CommandClient, amqp_url: str, tap: EventTap
) -> None:
    """It is looked up as soon as somebody asks for the order; then it is dropped where it comes again."""
    fields = {"id": "35818786", "type": "OU", "status": "open", "reference2": "35818786", "time": "soon"}
    hint_id = tell(amqp_url, **fields)
    eventually(lambda: attempts(worker, hint_id) == ["kept"], "it is kept")

    tap.outcome(client.publish("sips.delivery.track", {"orderId": "35818786", "watch": True}))

    told = tap.wait(
        lambda _events: [fact for fact in facts(tap, "35818786") if fact["type"] == "sips.order.status_changed"], "it joined"
    )
    assert [("webhook", "soon", "Open")] == [
        (fact["data"]["source"], fact["data"]["sipsTime"], fact["data"]["current"]["status"]) for fact in told
    ]
    tell(amqp_url, hint_id, **fields)
    eventually(lambda: attempts(worker, hint_id) == ["kept", "repeated"], "it was dropped")


def test_what_nobody_knows_is_told_as_it_came(worker: Worker, amqp_url: str, tap: EventTap) -> None:
    """Once, under the hint's id."""
    assert worker.process.poll() is None
    hint_id = tell(amqp_url, type="ZZ", id="7")

    (event,) = tap.wait(lambda events: [event for event in events if event["type"] == "sips.webhook.unrecognized"], "it is told")
    expected: dict[str, Any] = {"type": "ZZ", "id": "7"}
    assert (hint_id, {"fields": expected, "body": expected}) == (event["id"], event["data"])
