"""An order is placed at most once and ends once, whatever SIPS, the network and the publisher do; on both kinds of database."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.acceptance.conftest import SOURCE, settings_of
from tests.acceptance.test_commands import SUBMIT, order, placed
from tests.amqp import count, eventually, publish, take_all
from worker.messaging.events import outcome_id
from worker.messaging.topology import COMMANDS, DEAD, ORDERS, RETRY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox

pytestmark = pytest.mark.usefixtures("worker")

#: Faults are for submits alone: what is looked up meanwhile is answered.
ONLY = {"operations": ["ordersV2Submit"]}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Both kinds; the module's worker is started for each."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("migrated_schema"))
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path_factory.mktemp('database') / 'store.db')}"


def types(tap: EventTap, command: str) -> list[str]:
    """The types of the different events about a command; a repetition has the same id."""
    seen = {event["id"]: event["type"] for event in tap.events if event["causationid"] == command}
    return sorted(seen.values())


def submits(sandbox: Sandbox, operation: str = "ordersV2Submit") -> int:
    """Requests to submit an order, however they were answered."""
    return sum(sandbox.stats()["requests"].get(operation, {}).values())


@pytest.mark.parametrize(
    "fault",
    [
        {"lost_answer": ONLY},
        {"error_after": ONLY},
        {"garbage": ONLY},
        {"slow": {"seconds": 60, **ONLY}},
        {"drip": ONLY},
        # Accepted, unanswered, and listed only after a while (11).
        {"lost_answer": ONLY, "queued": {"listed_after": 2}},
    ],
    ids=["lost", "error", "garbage", "slow", "drip", "listed late"],
)
def test_an_order_whose_answer_is_lost_is_found_and_never_sent_again(
    client: CommandClient, tap: EventTap, sandbox: Sandbox, fault: dict[str, Any]
) -> None:
    """(10) Its outcome is the truth: SIPS has it."""
    sandbox.set_faults(**fault)
    payload, before = order(), submits(sandbox)

    command = client.publish(SUBMIT, payload)
    outcome = tap.outcome(command)

    (at_sips,) = placed(sandbox, payload)
    assert (f"{SUBMIT}.succeeded", "confirmed", at_sips["orderId"], at_sips["transactionID"]) == (
        outcome["type"],
        outcome["data"]["result"]["status"],
        outcome["data"]["result"]["orderId"],
        outcome["data"]["result"]["transactionId"],
    )
    tap.wait(lambda _: types(tap, command) == ["sips.order.confirmed", f"{SUBMIT}.succeeded"], "both events came")
    assert before + 1 == submits(sandbox)


def test_an_order_of_version_1_is_placed_at_most_once_as_well(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """Its lost answer is looked up; its key stands for this order, however strict its publisher is the next time."""
    sandbox.set_faults(lost_answer={"operations": ["ordersSubmitV1"]})
    before = submits(sandbox, "ordersSubmitV1")
    payload = order() | {"apiVersion": 1, "branchId": 247}
    payload["orderLineItemDetails"] = [{"itemCode": "TARMS300", "quantity": 1, "UOM": "RL"}]
    key = {"idempotencykey": uuid.uuid4().hex}

    outcome = tap.outcome(client.publish(SUBMIT, payload, extensions=key))
    again = tap.outcome(client.publish(SUBMIT, payload | {"strict": True}, extensions=key))
    as_version_2 = tap.outcome(client.publish(SUBMIT, order(**payload["poDetails"]), extensions=key))

    (at_sips,) = placed(sandbox, payload)
    assert (f"{SUBMIT}.succeeded", at_sips["orderId"]) == (outcome["type"], outcome["data"]["result"]["orderId"])
    assert (outcome["type"], outcome["data"]["result"]) == (again["type"], again["data"]["result"])
    assert "api-version-deprecated" in [warning["code"] for warning in again["data"]["result"]["warnings"]]
    assert (f"{SUBMIT}.failed", "idempotency-conflict") == (as_version_2["type"], as_version_2["data"]["type"])
    assert before + 1 == submits(sandbox, "ordersSubmitV1")


def test_an_order_that_is_not_found_is_unknown(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """(17) After enough looks, for a person; never a second call, never `.failed`."""
    sandbox.set_faults(error_before=ONLY)
    payload, before = order(), submits(sandbox)

    outcome = tap.outcome(client.publish(SUBMIT, payload))

    data = outcome["data"]
    assert (f"{SUBMIT}.unknown", payload["poDetails"]["poNumber"], "DEMO001", "BRRIV", True) == (
        outcome["type"],
        data["poNumber"],
        data["customerCode"],
        data["branchCode"],
        data["looks"] >= 4,
    )
    assert ("sips-error" in data["lastError"], "orders resolve" in data["nextStep"]) == (True, True)
    assert "job-account-placeholder" in [warning["code"] for warning in data["warnings"]]
    assert before + 1 == submits(sandbox)


def test_the_same_command_again_gets_the_stored_outcome(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """(2, 21) The same id, and no call."""
    payload, command = order(), uuid.uuid4().hex
    first = tap.outcome(client.publish(SUBMIT, payload, command_id=command))

    client.publish(SUBMIT, payload, command_id=command)

    tap.wait(lambda _: len(tap.outcomes(command)) == 2, "it was said again")
    assert [first, first] == tap.outcomes(command)
    assert 1 == len(placed(sandbox, payload))


def test_another_command_with_the_same_key_gets_the_same_answer(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """(2, 4) Under its own id; payloads are compared by what they say."""
    payload = order()
    first = tap.outcome(client.publish(SUBMIT, payload, extensions={"idempotencykey": f"key-{payload['poDetails']['poNumber']}"}))
    rewritten = json.loads(json.dumps(dict(reversed(payload.items()))).replace('"quantity": 1,', '"quantity": 1.0,'))

    second = client.publish(SUBMIT, rewritten, extensions={"idempotencykey": f"key-{payload['poDetails']['poNumber']}"})

    outcome = tap.outcome(second)
    assert (outcome_id(SOURCE, second, SUBMIT, 1), first["data"]["result"]) == (outcome["id"], outcome["data"]["result"])
    assert 1 == len(placed(sandbox, payload))


def test_another_command_with_the_key_of_an_order_that_waits_to_be_sent_waits_for_its_answer(
    client: CommandClient, tap: EventTap, sandbox: Sandbox
) -> None:
    """(2) Each command has an outcome under its own id, whichever comes first."""
    sandbox.set_faults(throttle={"count": 1, "retry_after": 2, **ONLY})
    payload, key, before = order(), uuid.uuid4().hex, submits(sandbox)
    first = client.publish(SUBMIT, payload, extensions={"idempotencykey": key})
    eventually(lambda: submits(sandbox) > before, "it was turned away, and waits")

    second = client.publish(SUBMIT, payload, extensions={"idempotencykey": key})

    outcomes = [tap.outcome(command) for command in (first, second)]
    assert [f"{SUBMIT}.succeeded"] * 2 == [outcome["type"] for outcome in outcomes]
    assert 1 == len(placed(sandbox, payload))


def test_the_same_key_with_another_payload_is_a_conflict(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """(3) No call."""
    key = {"idempotencykey": uuid.uuid4().hex}
    tap.outcome(client.publish(SUBMIT, order(), extensions=key))
    other = order()

    outcome = tap.outcome(client.publish(SUBMIT, other, extensions=key))

    assert (f"{SUBMIT}.failed", "idempotency-conflict", False, []) == (
        outcome["type"],
        outcome["data"]["type"],
        outcome["data"]["keyReusable"],
        placed(sandbox, other),
    )


def test_the_same_id_with_another_payload_is_for_a_person(
    client: CommandClient, tap: EventTap, sandbox: Sandbox, amqp_url: str
) -> None:
    """(3) `.failed` under that id would contradict what was said of the first one; to drop it would lose an order."""
    command, other = uuid.uuid4().hex, order()
    tap.outcome(client.publish(SUBMIT, order(), command_id=command))

    client.publish(SUBMIT, other, command_id=command)

    eventually(lambda: count(amqp_url, DEAD) == 1, "the dead letter is there")
    ((properties, _body),) = take_all(amqp_url, DEAD)
    assert "idempotency-conflict" == (properties.headers or {})["sips-reason"]
    assert ([], [f"{SUBMIT}.succeeded"]) == (placed(sandbox, other), [event["type"] for event in tap.outcomes(command)])


def test_a_command_that_comes_twice_while_it_is_sent_places_one_order(
    client: CommandClient, tap: EventTap, sandbox: Sandbox
) -> None:
    """(5) One claims, the other waits and says what the first found."""
    sandbox.set_faults(slow={"seconds": 1, **ONLY})
    payload, command = order(), uuid.uuid4().hex

    for _ in range(3):
        client.publish(SUBMIT, payload, command_id=command)

    tap.wait(lambda _: len(tap.outcomes(command)) == 3, "each delivery ended")
    assert 1 == len({event["id"] for event in tap.outcomes(command)})
    assert 1 == len(placed(sandbox, payload))


def test_a_second_order_under_the_same_po_number_is_refused(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """(23) And stays refused when it comes again."""
    first = order()
    tap.outcome(client.publish(SUBMIT, first))
    second = order(**first["poDetails"]) | {"notes": "another one"}

    command = client.publish(SUBMIT, second)

    outcome = tap.outcome(command)
    assert (f"{SUBMIT}.failed", "duplicate-po") == (outcome["type"], outcome["data"]["type"])
    client.publish(SUBMIT, second, command_id=command)
    tap.wait(lambda _: len(tap.outcomes(command)) == 2, "it was said again")
    assert [outcome, outcome] == tap.outcomes(command)
    assert 1 == len(placed(sandbox, first))


def test_an_order_that_sips_refuses_is_failed_for_good(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """(14) 400 with a JSON body on the first send; its PO number is free again."""
    payload = order()
    good = json.loads(json.dumps(payload))
    payload["poDetails"]["orderDate"] = "12.04.2021"  # which the worker only warns of

    outcome = tap.outcome(client.publish(SUBMIT, payload))

    assert (f"{SUBMIT}.failed", "sips-rejected", 400, []) == (
        outcome["type"],
        outcome["data"]["type"],
        outcome["data"]["sips"]["status"],
        placed(sandbox, payload),
    )
    assert [{"pointer": "/poDetails/orderDate", "detail": "SIPS refused it (invalid)"}] == outcome["data"]["errors"]
    assert "date-format" in [warning["code"] for warning in outcome["data"]["warnings"]]  # which may be why
    assert f"{SUBMIT}.succeeded" == tap.outcome(client.publish(SUBMIT, good))["type"]


@pytest.mark.parametrize(
    "fault",
    [{"not_found": {"count": 2, **ONLY}}, {"waf": {"count": 2, **ONLY}}, {"throttle": {"count": 2, **ONLY}}],
    ids=["404", "firewall", "429"],
)
def test_what_turns_an_order_away_at_the_door_rejects_nothing(
    client: CommandClient, tap: EventTap, sandbox: Sandbox, fault: dict[str, Any]
) -> None:
    """(14b, 16) Configuration, gateway or load: it is sent again, with its own transaction id."""
    sandbox.set_faults(**fault)
    payload = order()

    outcome = tap.outcome(client.publish(SUBMIT, payload))

    assert (f"{SUBMIT}.succeeded", 1, 1) == (
        outcome["type"],
        outcome["data"]["command"]["attempts"],
        len(placed(sandbox, payload)),
    )


def test_a_refused_token_costs_an_order_nothing(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """(15) 401 is refused before execution."""
    sandbox.set_faults(unauthorized={"count": 1, **ONLY})
    payload = order()

    outcome = tap.outcome(client.publish(SUBMIT, payload))

    assert (f"{SUBMIT}.succeeded", 1) == (outcome["type"], len(placed(sandbox, payload)))


def test_an_order_without_attempts_left_is_failed_and_can_be_redriven(
    client: CommandClient, tap: EventTap, sandbox: Sandbox, amqp_url: str, database_url: str
) -> None:
    """It was never executed: `.failed` is the truth, and a dead letter keeps it."""
    sandbox.set_faults(unauthorized=ONLY)
    payload = order()

    outcome = tap.outcome(client.publish(SUBMIT, payload))

    assert (f"{SUBMIT}.failed", "sips-unauthorized", 3, []) == (
        outcome["type"],
        outcome["data"]["type"],
        outcome["data"]["command"]["attempts"],
        placed(sandbox, payload),
    )
    eventually(lambda: count(amqp_url, DEAD) == 1, "the dead letter is there")
    sandbox.set_faults()
    redriven = subprocess.run(
        [sys.executable, "-m", "worker", "dead", "redrive", "--yes"],
        env=os.environ | settings_of(amqp_url, sandbox, database_url),
        check=False,
    )
    assert 0 == redriven.returncode
    second = tap.wait(lambda _: tap.outcomes(outcome["causationid"])[1:], "the second run has an outcome")[0]
    assert (f"{SUBMIT}.succeeded", 2, 1) == (second["type"], second["data"]["command"]["run"], len(placed(sandbox, payload)))
    assert outcome["id"] != second["id"]


def test_a_queued_order_is_followed_to_its_confirmation(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """(12) The outcome says that it is queued; that it became real is a fact."""
    sandbox.set_faults(queued={"listed_after": 2})
    payload = order()

    command = client.publish(SUBMIT, payload)

    outcome = tap.outcome(command)
    assert ("queued", None) == (outcome["data"]["result"]["status"], outcome["data"]["result"]["orderId"])
    tap.wait(lambda _: types(tap, command) == ["sips.order.confirmed", f"{SUBMIT}.succeeded"], "it was confirmed")
    (confirmed,) = [event for event in tap.events if event["type"] == "sips.order.confirmed" and event["causationid"] == command]
    assert placed(sandbox, payload)[0]["orderId"] == confirmed["data"]["orderId"]


def test_a_redelivered_order_that_was_never_begun_is_placed_once(tap: EventTap, sandbox: Sandbox, amqp_url: str) -> None:
    """SIPS is asked first; it was given back by a worker that stopped, say."""
    payload, looks = order(), lists(sandbox)
    redeliver(amqp_url, payload, "given-back")

    outcome = tap.outcome("given-back")

    assert (f"{SUBMIT}.succeeded", 1) == (outcome["type"], len(placed(sandbox, payload)))
    assert looks < lists(sandbox)


def test_a_redelivered_order_that_sips_has_already_is_found(tap: EventTap, sandbox: Sandbox, amqp_url: str) -> None:
    """The ledger has lost it, from a restored backup, say: it is not sent again."""
    payload = order()
    place_behind_our_back(sandbox, payload)
    redeliver(amqp_url, payload, "lost-row")

    outcome = tap.outcome("lost-row")

    (at_sips,) = placed(sandbox, payload)
    assert (f"{SUBMIT}.succeeded", at_sips["orderId"]) == (outcome["type"], outcome["data"]["result"]["orderId"])


def place_behind_our_back(sandbox: Sandbox, payload: dict[str, Any]) -> None:
    """Place an order at SIPS without the worker."""
    credentials = {"grant_type": "client_credentials", "scope": "ALL", "client_id": "c", "client_secret": "s"}
    token = requests.post(f"{sandbox.url}/Authentication/token", data=credentials, timeout=30).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.post(f"{sandbox.url}/orders/v2/Submit", json=payload, headers=headers, timeout=30).ok


def redeliver(url: str, payload: dict[str, Any], message_id: str) -> None:
    """Publish an order as a copy of one that was delivered before."""
    properties = {"message_id": message_id, "app_id": SOURCE, "type": SUBMIT, "headers": {"sips-redelivered": True}}
    publish(url, RETRY, ORDERS, json.dumps(payload).encode(), **properties)


def lists(sandbox: Sandbox) -> int:
    """Looks at SIPS' list of orders."""
    return sum(sandbox.stats()["requests"].get("ordersList", {}).values())


def test_an_order_can_be_withdrawn_before_it_comes(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """The submit that comes later is `.failed` (`withdrawn`)."""
    payload, command = order(), uuid.uuid4().hex

    withdrawal = tap.outcome(client.publish("sips.order.withdraw", {"idempotencyKey": command}))
    outcome = tap.outcome(client.publish(SUBMIT, payload, command_id=command))

    assert ("sips.order.withdraw.succeeded", f"{SUBMIT}.failed", "withdrawn", []) == (
        withdrawal["type"],
        outcome["type"],
        outcome["data"]["type"],
        placed(sandbox, payload),
    )


def test_an_order_that_waits_can_be_withdrawn(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """Nothing of it was executed yet."""
    sandbox.set_faults(throttle=ONLY)
    payload, before = order(), submits(sandbox)
    command = client.publish(SUBMIT, payload)
    eventually(lambda: submits(sandbox) > before, "it was turned away")

    withdrawal = eventually(lambda: withdraw(client, tap, command), "it is between two attempts")
    sandbox.set_faults()

    outcome = tap.outcome(command)
    assert ("sips.order.withdraw.succeeded", "withdrawn", []) == (
        withdrawal["type"],
        outcome["data"]["type"],
        placed(sandbox, payload),
    )


def withdraw(client: CommandClient, tap: EventTap, key: str) -> dict[str, Any] | None:
    """The outcome of a withdrawal, or None where the order was just being sent."""
    outcome = tap.outcome(client.publish("sips.order.withdraw", {"idempotencyKey": key}))
    return outcome if outcome["type"].endswith("succeeded") else None


def test_an_order_that_was_sent_cannot_be_withdrawn(client: CommandClient, tap: EventTap, sandbox: Sandbox) -> None:
    """`.failed` (`too-late`), and the order stays."""
    payload, command = order(), uuid.uuid4().hex
    tap.outcome(client.publish(SUBMIT, payload, command_id=command))

    outcome = tap.outcome(client.publish("sips.order.withdraw", {"idempotencyKey": command}))

    assert ("sips.order.withdraw.failed", "too-late", 1) == (
        outcome["type"],
        outcome["data"]["type"],
        len(placed(sandbox, payload)),
    )


def test_orders_are_listed(client: CommandClient, tap: EventTap) -> None:
    """`sips.order.list`, in our spelling."""
    payload = order()
    placed_order = tap.outcome(client.publish(SUBMIT, payload))["data"]["result"]

    outcome = tap.outcome(client.publish("sips.order.list", {"poNumber": payload["poDetails"]["poNumber"]}))

    assert [(placed_order["orderId"], "DEMO001", "Open")] == [
        (row["orderId"], row["customerCode"], row["orderStatus"]) for row in outcome["data"]["result"]["orders"]
    ]


def test_an_order_that_expired_after_its_send_goes_on_to_its_own_end(
    client: CommandClient, tap: EventTap, sandbox: Sandbox, amqp_url: str
) -> None:
    """(19) A recorded send is followed up; expiry and validation no longer apply."""
    payload, command = order(), uuid.uuid4().hex
    first = tap.outcome(client.publish(SUBMIT, payload, command_id=command))

    client.publish(SUBMIT, payload, command_id=command, extensions={"expirytime": "2020-01-01T00:00:00Z"})
    invalid = {name: value for name, value in payload.items() if name != "branchCode"}
    publish(amqp_url, COMMANDS, SUBMIT, json.dumps(invalid).encode(), message_id=f"never-{command}", app_id=SOURCE)

    tap.wait(lambda _: len(tap.outcomes(command)) == 2, "it was said again")
    assert [first, first] == tap.outcomes(command)
    assert "invalid-payload" == tap.outcome(f"never-{command}")["data"]["type"]
