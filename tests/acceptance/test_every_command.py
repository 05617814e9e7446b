"""Every command through RabbitMQ and a real worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openapi_schema_validator import OAS31Validator

from tests.handlers.commands import CASES
from worker.cli.contract import FOLDER

if TYPE_CHECKING:
    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox

pytestmark = pytest.mark.usefixtures("worker")


def test_every_documented_request_is_carried_out(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """Each ends in a result of the contract's shape, with SIPS' answer beside it."""
    published = [(case, client.publish(case.type, case.payload)) for case in CASES]

    for case, command in published:
        outcome = tap.outcome(command)
        assert f"{case.type}.succeeded" == outcome["type"], outcome["data"]
        schema = json.loads((FOLDER / f"{case.type}.result.v1.json").read_text(encoding="utf-8"))
        assert [] == [error.message for error in OAS31Validator(schema).iter_errors(outcome["data"]["result"])]
        told = outcome["data"]["sips"]
        assert (200, True) == (told["status"], isinstance(told["body"], dict | list) or "result" in told["bodyOmitted"])

    assert {case.operation for case in CASES} <= sandbox.stats()["requests"].keys()


@pytest.mark.parametrize(
    ("command_type", "payload", "pointer"),
    [
        ("sips.product.convert", {"BranchId": 1, "Items": [{"GenericItemCode": 7}]}, "/Items/0/GenericItemCode"),
        ("sips.product.by_item_codes", {"branchCode": "BRRIV"}, "/itemCodes"),
        ("sips.invoice.list", {"customerCode": "DEMO001", "startInvoiceDate": "22.09.2020"}, "/startInvoiceDate"),
    ],
)
def test_what_is_wrong_with_a_payload_is_told_by_its_place(
    client: CommandClient, tap: EventTap, command_type: str, payload: dict[str, Any], pointer: str
) -> None:
    """In the spelling that was given; SIPS is not asked."""
    outcome = tap.outcome(client.publish(command_type, payload))

    assert (f"{command_type}.failed", "invalid-payload") == (outcome["type"], outcome["data"]["type"])
    assert [pointer] == [fault["pointer"] for fault in outcome["data"]["errors"]]


def test_what_a_guessed_path_does_not_have_is_no_missing_order(client: CommandClient, tap: EventTap) -> None:
    """The publisher learns that the path must be confirmed, and how."""
    outcome = tap.outcome(client.publish("sips.order.get", {"orderId": "1"}))

    assert ("sips.order.get.failed", "sips-path-unconfirmed") == (outcome["type"], outcome["data"]["type"])
    assert "SIPS_PATHS__orderDetails" in outcome["data"]["detail"]
