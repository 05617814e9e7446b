"""Commands become SIPS calls and outcomes."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pika
import pytest

from tests.acceptance.conftest import SOURCE, example
from tests.amqp import count, eventually, publish, take_all
from worker.messaging.events import outcome_id
from worker.messaging.topology import COMMANDS, DEAD, QUERIES, RETRY

if TYPE_CHECKING:
    from tests.amqp import EventTap
    from worker.client import CommandClient, Form
    from worker.local.stack import Sandbox, Worker

pytestmark = pytest.mark.usefixtures("worker")

PRICES = "sips.pricing.fetch"
DELIVERY = "sips.delivery.get"
SUBMIT = "sips.order.submit"


def order(**details: Any) -> dict[str, Any]:
    """The documented order under a PO number of its own."""
    payload: dict[str, Any] = example("ordersV2Submit.request")
    payload["poDetails"] = payload["poDetails"] | {"poNumber": f"PO-{uuid.uuid4().hex[:10]}"} | details
    return payload


def placed(sandbox: Sandbox, payload: dict[str, Any]) -> list[dict[str, Any]]:
    """The orders that SIPS has under the payload's PO number."""
    return [order for order in sandbox.orders() if order["poNumber"] == payload["poDetails"]["poNumber"]]


@pytest.mark.parametrize("form", ["structured", "binary", "plain"])
def test_the_documented_price_request_is_answered(client: CommandClient, tap: EventTap, form: Form) -> None:
    """In each form; the result has our shape, and SIPS' answer stands beside it untouched."""
    command = client.publish(PRICES, example("productsV2Price.request"), form=form)

    outcome = tap.outcome(command)

    result = outcome["data"]["result"]
    assert f"{PRICES}.succeeded" == outcome["type"]
    assert {"id": command, "type": PRICES, "run": 1, "attempts": 1} == outcome["data"]["command"]
    assert ("DEMO001", "HWPLY", 77673) == (result["customerCode"], result["branchCode"], result["lines"][0]["productId"])
    assert result["lines"][0]["price"] == outcome["data"]["sips"]["body"][0]["price"]
    fetched, stale = (datetime.fromisoformat(result[name]) for name in ("fetchedAt", "staleAt"))
    assert timedelta(hours=4) == stale - fetched


def test_an_outcome_carries_its_command_through(client: CommandClient, tap: EventTap) -> None:
    """Ids, subject, trace and environment; the outcome's id follows from the command."""
    extensions = {"correlationid": "flow-7", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    command = client.publish(PRICES, example("productsV2Price.request"), extensions=extensions)

    outcome = tap.outcome(command)

    assert {
        "specversion": "1.0",
        "id": outcome_id(SOURCE, command, PRICES, 1),
        "source": "sips-worker/sandbox",
        "correlationid": "flow-7",
        "causationid": command,
        "commandsource": SOURCE,
        "customercode": "DEMO001",
        "subject": "customer/DEMO001",
        "environment": "sandbox",
        "traceparent": extensions["traceparent"],
        "dataschema": f"urn:sips-worker:schema:{PRICES}.succeeded:1",
    }.items() <= outcome.items()


def test_a_price_of_zero_is_never_shown_as_a_price(client: CommandClient, tap: EventTap) -> None:
    """SIPS demands another text there."""
    payload = example("productsV2Price.request") | {"productList": [{"productId": 1, "quantity": 1, "uom": "EA"}]}

    line = tap.outcome(client.publish(PRICES, payload))["data"]["result"]["lines"][0]

    assert (None, "Please call branch for product pricing") == (line["price"], line["displayText"])


def test_a_delivery_is_read(client: CommandClient, tap: EventTap) -> None:
    """By order id, as text or as a number."""
    for order_id in ("35818786", 35818786):
        outcome = tap.outcome(client.publish(DELIVERY, {"orderId": order_id}))

        assert ("35818786", 1) == (outcome["data"]["result"]["orderId"], len(outcome["data"]["result"]["deliveries"]))


@pytest.mark.parametrize("form", ["structured", "binary", "plain"])
def test_the_documented_order_is_placed(client: CommandClient, tap: EventTap, sandbox: Sandbox, form: Form) -> None:
    """In each form; `sips.order.confirmed` tells of it as well."""
    payload = order()

    command = client.publish(SUBMIT, payload, form=form)

    outcome = tap.outcome(command)
    (at_sips,) = placed(sandbox, payload)
    result = outcome["data"]["result"]
    assert (f"{SUBMIT}.succeeded", "confirmed", at_sips["orderId"], at_sips["transactionID"]) == (
        outcome["type"],
        result["status"],
        result["orderId"],
        result["transactionId"],
    )
    (confirmed,) = tap.wait(
        lambda events: [event for event in events if event["type"] == "sips.order.confirmed"], "it is told as a fact"
    )
    assert (command, at_sips["orderId"]) == (confirmed["causationid"], confirmed["data"]["orderId"])


def test_the_workers_own_fields_of_an_order_are_overwritten(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """The example's transactionID must not reach SIPS: it would be the same for every order made from it. All are told."""
    payload = order()

    result = tap.outcome(client.publish(SUBMIT, payload))["data"]["result"]

    (at_sips,) = placed(sandbox, payload)
    assert payload["transactionID"] != at_sips["transactionID"] == result["transactionId"]
    assert ("SANDBOX", False) == (result["sourceSystem"], payload["transactionDate"] == result["transactionDate"])


def test_the_order_that_was_reported_as_accepted_goes_through(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """In QA, without job account and prices; what else it may lack is told, and told again with the same words."""
    payload = example("ordersV2Submit.field.request")
    payload["poDetails"]["poNumber"] = f"PO-{uuid.uuid4().hex[:10]}"

    command = client.publish(SUBMIT, payload)

    outcome = tap.outcome(command)
    assert (f"{SUBMIT}.succeeded", 1) == (outcome["type"], len(placed(sandbox, payload)))
    warnings = outcome["data"]["result"]["warnings"]
    assert [
        ("job-account-missing", "/jobAccountNumber"),
        ("option-not-applicable", "/orderLineItemDetails/0/option"),
        ("option-not-applicable", "/orderLineItemDetails/1/option"),
    ] == [(warning["code"], warning["pointer"]) for warning in warnings]
    client.publish(SUBMIT, payload, command_id=command)
    tap.wait(lambda _: len(tap.outcomes(command)) == 2, "it was said again")
    assert [outcome, outcome] == tap.outcomes(command)


def test_an_order_that_is_meant_strictly_is_not_sent_with_a_warning(
    client: CommandClient, tap: EventTap, sandbox: Sandbox
) -> None:
    """Each warning is an error with its pointer; checked beforehand, it ends in the same way. The key may be used again."""
    payload, key = order(), {"idempotencykey": uuid.uuid4().hex}

    strict = payload | {"strict": True}
    refused = [
        tap.outcome(client.publish(SUBMIT, strict, extensions=key)),
        tap.outcome(client.publish("sips.order.check", strict)),
    ]

    assert [f"{SUBMIT}.failed", "sips.order.check.failed"] == [outcome["type"] for outcome in refused]
    assert refused[0]["data"]["errors"] == refused[1]["data"]["errors"]
    assert ("invalid-payload", True) == (refused[0]["data"]["type"], refused[0]["data"]["keyReusable"])
    assert "/jobAccountNumber" in [error["pointer"] for error in refused[0]["data"]["errors"]]
    assert [] == placed(sandbox, payload)
    assert f"{SUBMIT}.succeeded" == tap.outcome(client.publish(SUBMIT, payload, extensions=key))["type"]


def test_an_order_can_be_checked_before_it_is_sent(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """SIPS is asked for what it would drop without a word, and has no order."""
    payload = order() | {"jobAccountNumber": 7, "lookup": True}
    payload["orderLineItemDetails"][0]["uom"] = "PAL"

    outcome = tap.outcome(client.publish("sips.order.check", payload))

    result = outcome["data"]["result"]
    assert "sips.order.check.succeeded" == outcome["type"], outcome
    assert {"customer", "branch", "prices", "units"} <= set(result["lookedUp"])
    assert {
        ("job-account-unknown", "/jobAccountNumber"),
        ("price-differs", "/orderLineItemDetails/1/price"),
    } <= {(drop["code"], drop["pointer"]) for drop in result["drops"]}
    assert "line-price" in {warning["code"] for warning in result["warnings"]}
    assert [] == placed(sandbox, payload)


def test_an_order_that_is_only_queued_is_not_called_confirmed(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """SIPS says 200 for it, too."""
    sandbox.set_faults(queued=1)

    outcome = tap.outcome(client.publish(SUBMIT, order()))

    result = outcome["data"]["result"]
    assert (f"{SUBMIT}.succeeded", "queued", None, True) == (
        outcome["type"],
        result["status"],
        result["orderId"],
        bool(result["queueId"]),
    )
    assert [] == [event for event in tap.events if event["type"] == "sips.order.confirmed"]


@pytest.mark.parametrize("fault", ["error_before", "throttle", "unauthorized"])
def test_a_passing_failure_costs_a_read_nothing_but_time(
    client: CommandClient, tap: EventTap, sandbox: Sandbox, fault: str
) -> None:
    """It waits on the ladder in the broker, and comes back."""
    sandbox.set_faults(**{fault: {"rate": 1, "count": 2}})

    outcome = tap.outcome(client.publish(PRICES, example("productsV2Price.request")))

    assert f"{PRICES}.succeeded" == outcome["type"]


def test_a_read_that_fails_at_every_attempt_is_told_and_set_aside(
    client: CommandClient, tap: EventTap, sandbox: Sandbox, amqp_url: str
) -> None:
    """`.failed`, and a dead letter that a person can run again."""
    sandbox.set_faults(error_before=1)

    outcome = tap.outcome(client.publish(PRICES, example("productsV2Price.request")))

    data = outcome["data"]
    assert (f"{PRICES}.failed", "sips-error", True, 3) == (
        outcome["type"],
        data["type"],
        data["retryable"],
        data["command"]["attempts"],
    )
    eventually(lambda: count(amqp_url, DEAD) == 1, "the dead letter is there")


def test_an_order_waits_out_a_refused_connection(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """No byte was written, so it is safe to repeat, and no attempt is used up."""
    sandbox.set_faults(down={"seconds": 3})
    payload = order()

    outcome = tap.outcome(client.publish(SUBMIT, payload))

    assert (f"{SUBMIT}.succeeded", 1, 1) == (
        outcome["type"],
        outcome["data"]["command"]["attempts"],
        len(placed(sandbox, payload)),
    )


def test_what_sips_refuses_is_failed_for_good(client: CommandClient, tap: EventTap, amqp_url: str) -> None:
    """An order id that SIPS does not know, on a path that is only a guess: never "not found"."""
    outcome = tap.outcome(client.publish(DELIVERY, {"orderId": "1"}))

    assert (f"{DELIVERY}.failed", "sips-path-unconfirmed", 404) == (
        outcome["type"],
        outcome["data"]["type"],
        outcome["data"]["sips"]["status"],
    )
    assert 0 == count(amqp_url, DEAD)


def test_an_answer_that_drips_ends_at_the_deadline(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """Time-outs of sockets are per read; one byte a second would never end. It may be an outage, so it costs no attempt."""
    sandbox.set_faults(drip={"rate": 1, "count": 1})

    outcome = tap.outcome(client.publish(PRICES, example("productsV2Price.request")))

    assert (f"{PRICES}.succeeded", 1) == (outcome["type"], outcome["data"]["command"]["attempts"])


def test_an_invalid_payload_is_failed_with_a_pointer_to_each_problem(
    client: CommandClient, tap: EventTap, sandbox: Sandbox, amqp_url: str
) -> None:
    """The publisher is told; there is nothing for a person to do, and no dead letter."""
    payload = order()
    payload["orderLineItemDetails"][1]["quantity"] = 0
    del payload["customerContactInfo"]["customerContactPhone"]
    del payload["branchCode"]

    outcome = tap.outcome(client.publish(SUBMIT, payload))

    assert (f"{SUBMIT}.failed", "invalid-payload", "DEMO001") == (
        outcome["type"],
        outcome["data"]["type"],
        outcome["customercode"],
    )
    assert {"/branchCode", "/orderLineItemDetails/1/quantity", "/customerContactInfo/customerContactPhone"} == {
        error["pointer"] for error in outcome["data"]["errors"]
    }
    assert ([], 0) == (placed(sandbox, payload), count(amqp_url, DEAD))


def test_a_command_past_its_expiry_time_is_failed(client: CommandClient, tap: EventTap, amqp_url: str) -> None:
    """Whoever asked does not want it any more."""
    extensions = {"expirytime": "2020-01-01T00:00:00Z"}

    outcome = tap.outcome(client.publish(PRICES, example("productsV2Price.request"), extensions=extensions))

    assert (f"{PRICES}.failed", "expired", 0) == (outcome["type"], outcome["data"]["type"], count(amqp_url, DEAD))


def test_a_command_in_the_wrong_queue_reaches_its_own(client: CommandClient, tap: EventTap, amqp_url: str) -> None:
    """A routing key that is not the type still ends well."""
    body = json.dumps(example("productsV2Price.request")).encode()

    publish(amqp_url, COMMANDS, SUBMIT, body, message_id="astray", app_id=SOURCE, type=PRICES)

    assert f"{PRICES}.succeeded" == tap.outcome("astray")["type"]


def test_a_command_without_a_binding_reaches_its_queue(tap: EventTap, amqp_url: str) -> None:
    """The alternate exchange catches it; the worker knows the type."""
    body = json.dumps(example("productsV2Price.request")).encode()

    publish(amqp_url, COMMANDS, "some.key", body, message_id="unbound", app_id=SOURCE, type=PRICES)

    assert f"{PRICES}.succeeded" == tap.outcome("unbound")["type"]


def test_a_plain_order_without_a_source_is_set_aside(amqp_url: str, sandbox: Sandbox) -> None:
    """Its id would be nobody's; a key is never invented."""
    payload = order()

    publish(amqp_url, COMMANDS, SUBMIT, json.dumps(payload).encode(), message_id="nobody's")

    eventually(lambda: count(amqp_url, DEAD) == 1, "the dead letter is there")
    ((properties, _body),) = take_all(amqp_url, DEAD)
    assert ("no-source", []) == ((properties.headers or {})["sips-reason"], placed(sandbox, payload))


@pytest.mark.parametrize(
    ("reason", "headers"),
    [("headers-too-large", {"pad": "x" * 130_900}), ("not-json", {"x-death": "\x01" * 40_000})],
    ids=["a full frame of headers", "headers that grow"],
)
def test_headers_that_do_not_fit_a_copy_are_set_aside(
    amqp_url: str, tap: EventTap, worker: Worker, reason: str, headers: dict[str, Any]
) -> None:
    """A dead letter carries more than its message did; it must fit one frame all the same, or it would never get there."""
    publish(amqp_url, COMMANDS, DELIVERY, b"no JSON", message_id="large", app_id=SOURCE, headers=headers)

    assert (f"{DELIVERY}.failed", reason) == ((outcome := tap.outcome("large"))["type"], outcome["data"]["type"])
    eventually(lambda: count(amqp_url, DEAD) == 1, "the dead letter is there")
    assert "lost the connection to RabbitMQ" not in {line["event"] for line in worker.lines()}


def test_a_code_of_unreasonable_length_is_an_invalid_payload(client: CommandClient, tap: EventTap) -> None:
    """It would stand in a header of every event, which must fit one frame."""
    payload = example("productsV2Price.request") | {"customerCode": "x" * 200_000}

    outcome = tap.outcome(client.publish(PRICES, payload))

    assert ("invalid-payload", ["/customerCode"]) == (
        outcome["data"]["type"],
        [error["pointer"] for error in outcome["data"]["errors"]],
    )


def test_a_reply_goes_to_the_queue_that_the_command_names(amqp_url: str, tap: EventTap) -> None:
    """Also over direct reply-to, with the command's correlation id, and after the event."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    replies = channel.consume("amq.rabbitmq.reply-to", auto_ack=True, inactivity_timeout=30)
    next(channel.consume("amq.rabbitmq.reply-to", auto_ack=True, inactivity_timeout=0.1))
    properties = pika.BasicProperties(message_id="asked", app_id=SOURCE, correlation_id="q1", reply_to="amq.rabbitmq.reply-to")
    channel.basic_publish(COMMANDS, DELIVERY, b'{"orderId": "35818786"}', properties)

    _method, answered, body = next(replies)
    connection.close()

    assert (tap.outcome("asked")["id"], "q1") == (json.loads(body or b"{}")["id"], answered and answered.correlation_id)


def test_no_reply_goes_to_a_name_of_the_workers_own(amqp_url: str, tap: EventTap) -> None:
    """A command must not be able to write into the queues of commands or dead letters."""
    publish(amqp_url, COMMANDS, DELIVERY, b'{"orderId": "35818786"}', message_id="sly", app_id=SOURCE, reply_to=DEAD)

    tap.outcome("sly")
    publish(amqp_url, RETRY, QUERIES, b'{"orderId": "35818786"}', message_id="next", app_id=SOURCE, type=DELIVERY)
    tap.outcome("next")
    assert 0 == count(amqp_url, DEAD)


def test_one_canonical_line_tells_of_each_attempt(client: CommandClient, tap: EventTap, worker: Worker) -> None:
    """Everything an operator needs to find a command and see where its time went."""
    payload = order()
    command = client.publish(SUBMIT, payload)
    outcome = tap.outcome(command)

    (line,) = eventually(lambda: [line for line in worker.lines() if line.get("id") == command], "the line is written")

    assert {
        "event": "attempt",
        "type": SUBMIT,
        "source": SOURCE,
        "correlation_id": command,
        "outcome": "succeeded",
        "final": True,
        "attempt": 1,
        "run": 1,
        "sips_status": 200,
        "customer_code": "DEMO001",
        "po_number": payload["poDetails"]["poNumber"],
        "order_id": outcome["data"]["result"]["orderId"],
        "transaction_id": outcome["data"]["result"]["transactionId"],
        "error": None,
        "environment": "sandbox",
    }.items() <= line.items()
    assert {"queue_ms", "sips_ms", "duration_ms", "version", "timestamp"} <= line.keys()
    assert 0 < line["sips_ms"] <= line["duration_ms"]


def test_no_personal_data_reaches_the_log(client: CommandClient, tap: EventTap, sandbox: Sandbox, worker: Worker) -> None:
    """Neither when all goes well, nor when the payload or SIPS is at fault."""
    canaries = {"customerContactName": "Canary Wharf", "customerContactPhone": "5550001234"}
    street = "99 Canary Lane"
    payload = order()
    payload["customerContactInfo"] |= canaries
    payload["customerContactInfo"]["customerContactAddress"]["addressLine1"] = street
    broken = order() | {"customerContactInfo": payload["customerContactInfo"], "branchCode": None}
    outcomes = [tap.outcome(client.publish(SUBMIT, body))["type"] for body in (payload, broken)]
    sandbox.set_faults(error_before={"rate": 1, "operations": ["ordersV2Submit"]})
    outcomes.append(tap.outcome(client.publish(SUBMIT, payload | {"poDetails": order()["poDetails"]}))["type"])

    log = worker.log.read_text(encoding="utf-8")

    assert [f"{SUBMIT}.succeeded", f"{SUBMIT}.failed", f"{SUBMIT}.unknown"] == outcomes
    assert "attempt" in log
    assert not any(canary in log for canary in (*canaries.values(), street))
