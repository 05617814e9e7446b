"""`sips.order.check` with `lookup`: what SIPS says of an order beforehand."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from handlers.order_lookup import MAX_UNIT_CALLS
from handlers.order_payload import OrderRequest
from handlers.orders import OrderCheck, check_order
from tests.handlers.test_order_checks import CLEAN, CLEAN_V1
from tests.sips.making import ample, settings
from tests.sips.servers import TOKEN_PATH, Peer, Server, answer, token_answer
from worker.sips import Deadline, Sips, SipsClient, SipsError

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = ["customer", "branch", "products", "prices", "units"]

#: What a SIPS answers that takes the clean order: the start of a path to the body.
GOOD: dict[str, Any] = {
    "/customers/DEMO001": {"customerCode": "DEMO001", "nonSaleableIndicator": "N"},
    "/branches/v2/customerBranchLocations/DEMO001": [
        {"branchCode": "OTHER", "jobAccounts": [{"jobAccountNumber": 7}]},
        {"branchCode": "BRRIV", "jobAccounts": [{"jobAccountNumber": 43, "jobAccountName": "x"}]},
    ],
    "/branches/v2/activeBranchProducts/BRRIV": [
        {"productId": 1},
        {"productId": 75664, "productOptions": ["Country Gray"], "productVariant": [{"defaultUOM": "SQ", "uoMs": ["BD"]}]},
    ],
    "/products/v2/price": [{"productId": 75664, "itemCode": "CRT1", "requestedUOM": "SQ", "priceUOM": "SQ", "price": 12.5}],
    "/products/UOMConversion/": {"itemConversionList": [{"fromUOMCode": "PAL", "toUOMCode": "SQ"}]},
}
CUSTOMER, BRANCH, PRODUCTS, PRICES, UNITS = GOOD


class Knowing:
    """A SIPS that answers each path by a table, 404 where there is none; and what it was asked."""

    #: In the place of a body: the answer never comes.
    SILENT = object()

    def __init__(self) -> None:
        self.bodies: dict[str, Any] = {}
        self.asked: list[tuple[str, bytes]] = []

    def script(self, peer: Peer) -> None:
        """Answer a connection's requests."""
        while (request := peer.receive()) is not None:
            if request.target == TOKEN_PATH:
                peer.send(token_answer())
                continue
            self.asked.append((request.target, request.body))
            body = next((body for path, body in self.bodies.items() if request.target.startswith(path)), 404)
            if body is self.SILENT:
                peer.receive()  # until the client has gone
                return
            peer.send(answer({"message": "no"}, status=body) if isinstance(body, int) else answer(body))


@pytest.fixture(scope="module")
def _started() -> Iterator[tuple[Knowing, SipsClient]]:
    knowing = Knowing()
    with Server(knowing.script) as server:
        client = SipsClient(settings(server.url, sips_source_system="PARTNER"))
        yield knowing, client
        client.close()


@pytest.fixture
def knowing(_started: tuple[Knowing, SipsClient]) -> Knowing:
    """It takes the clean order."""
    _started[0].bodies, _started[0].asked = dict(GOOD), []
    return _started[0]


@pytest.fixture
def client(_started: tuple[Knowing, SipsClient]) -> SipsClient:
    """It goes to `knowing`."""
    return _started[1]


@pytest.fixture
def sips(_started: tuple[Knowing, SipsClient]) -> Sips:
    """What a handler gets."""
    return Sips(_started[1], ample())


def checked(sips: Sips, payload: dict[str, Any]) -> OrderCheck:
    """What comes of a check with `lookup`."""
    result = check_order(OrderRequest.model_validate(payload | {"lookup": True}), sips)
    assert isinstance(result, OrderCheck)
    return result


def drops(result: OrderCheck) -> list[tuple[str, str]]:
    """Codes and pointers."""
    return [(drop.code, drop.pointer) for drop in result.drops]


def line(**changes: Any) -> dict[str, Any]:
    """The clean order with its line changed."""
    return CLEAN | {"orderLineItemDetails": [CLEAN["orderLineItemDetails"][0] | changes]}


def test_nothing_is_asked_without_lookup(knowing: Knowing, sips: Sips) -> None:
    """The warnings are those of a submit, and no part is said to be known."""
    order = OrderRequest.model_validate(line(price=12))
    result = check_order(order, sips)
    assert isinstance(result, OrderCheck)
    assert (order.warnings(), [], [], []) == (result.warnings, result.drops, result.looked_up, result.not_looked_up)
    assert ("DEMO001", "BRRIV", "5641-8") == (result.customer_code, result.branch_code, result.po_number)
    assert [] == knowing.asked


def test_an_order_that_sips_would_take_has_nothing_to_tell(knowing: Knowing, sips: Sips) -> None:
    """Every part was asked for, units only where they were not named before, and nothing was sent to be placed."""
    result = checked(sips, CLEAN)
    assert ([], PARTS, []) == (result.drops, result.looked_up, result.not_looked_up)
    assert [CUSTOMER, f"{BRANCH}?BranchCode=BRRIV", PRODUCTS, PRICES] == [path for path, _ in knowing.asked]
    (request,) = [json.loads(body) for path, body in knowing.asked if path == PRICES]
    assert re.fullmatch(r"[0-9a-f-]{36}", request.pop("transactionId"))
    assert {
        "sourceSystem": "PARTNER",
        "customerCode": "DEMO001",
        "branchCode": "BRRIV",
        "jobAccountNumber": 43,
        "productList": [{"productId": 75664, "quantity": 1, "uom": "SQ", "productOptions": ["Country Gray"]}],
    } == request


@pytest.mark.parametrize(
    ("code", "pointer", "payload", "answers"),
    [
        ("customer-unknown", "/customerCode", CLEAN, {CUSTOMER: 404}),
        ("customer-not-saleable", "/customerCode", CLEAN, {CUSTOMER: {"nonSaleableIndicator": "Y"}}),
        ("branch-not-for-customer", "/branchCode", CLEAN, {BRANCH: [{"branchCode": "OTHER"}]}),
        ("job-account-unknown", "/jobAccountNumber", CLEAN | {"jobAccountNumber": 7}, {}),
        ("product-not-at-branch", "/orderLineItemDetails/0/productId", CLEAN, {PRODUCTS: [{"productId": 1}]}),
        ("option-unknown", "/orderLineItemDetails/0/option", line(option="Pink"), {}),
        ("unit-unknown", "/orderLineItemDetails/0/uom", line(uom="EA"), {}),
        ("not-priced", "/orderLineItemDetails/0", CLEAN, {PRICES: []}),
        ("not-priced", "/orderLineItemDetails/0", CLEAN, {PRICES: [{"productId": 75664, "priceUOM": "SQ", "messageCode": 3}]}),
        ("price-differs", "/orderLineItemDetails/0/price", line(price=12), {}),
    ],
)
def test_what_sips_would_drop_is_told(
    knowing: Knowing, sips: Sips, code: str, pointer: str, payload: dict[str, Any], answers: dict[str, Any]
) -> None:
    """Each at its place."""
    knowing.bodies |= answers
    result = checked(sips, payload)
    assert ([(code, pointer)], PARTS) == (drops(result), result.looked_up)


@pytest.mark.parametrize(
    ("payload", "answers"),
    [
        (CLEAN, {BRANCH: [{"branchCode": "BRRIV"}]}),
        (line(option=""), {}),
        (CLEAN, {PRODUCTS: [{"productId": "75664"}]}),
        (line(price=12.5), {}),
        (line(price={}), {PRICES: [{"productId": 75664, "priceUOM": "BD", "price": 4}]}),
        (line(price=12), {PRICES: [{"productId": 75664, "priceUOM": "SQ", "price": 0, "messageCode": 0}]}),
        (line(price=12), {PRICES: [{"productId": 75664, "priceUOM": "BD", "price": 4}]}),
        (line(uom="BD"), {}),
        (line(uom="PAL"), {}),
        (line(uom="EA"), {PRODUCTS: [{"productId": 75664}], PRICES: [{"productId": 75664}]}),
    ],
)
def test_what_sips_does_not_say_is_not_concluded(
    knowing: Knowing, sips: Sips, payload: dict[str, Any], answers: dict[str, Any]
) -> None:
    """It lists no accounts, options or units, or the price is of another unit, or only the branch's."""
    knowing.bodies |= answers
    assert [] == drops(checked(sips, payload))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("reply", [400, 409, "text", [1], {"a": []}], ids=str)
def test_a_part_without_a_usable_answer_is_told_as_such(knowing: Knowing, sips: Sips, part: str, reply: Any) -> None:
    """And the others go on."""
    path = list(GOOD)[PARTS.index(part)]
    knowing.bodies |= {path: reply}
    result = checked(sips, line(uom="PAL"))
    if (part, reply) == ("customer", {"a": []}):  # a customer of whom nothing is said
        assert (PARTS, []) == (result.looked_up, result.not_looked_up)
        return
    assert [one for one in PARTS if one != part] == result.looked_up
    (missing,) = result.not_looked_up
    assert (part, True) == (missing.part, missing.code.startswith("sips-"))


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_what_may_be_answered_later_is_asked_later(knowing: Knowing, sips: Sips, status: int) -> None:
    """The check as a whole is a read like any other."""
    knowing.bodies |= {PRODUCTS: status}
    with pytest.raises(SipsError) as caught:
        checked(sips, CLEAN)
    assert status == caught.value.status


def test_a_list_of_products_that_takes_too_long_does_not_cost_the_rest(knowing: Knowing, client: SipsClient) -> None:
    """Tens of MiB may be slow to come; half of the time is left for the others then."""
    knowing.bodies[PRODUCTS] = Knowing.SILENT
    result = checked(Sips(client, Deadline.after(4)), CLEAN)
    assert [("products", "deadline")] == [(one.part, one.code) for one in result.not_looked_up]
    assert [part for part in PARTS if part != "products"] == result.looked_up


def test_a_long_order_has_few_calls(knowing: Knowing, sips: Sips) -> None:
    """Units of one item are asked for once, and those of many items not at all: the time of an attempt is limited."""
    lines = [{"productId": number, "quantity": 1, "uom": "EA"} for number in range(MAX_UNIT_CALLS + 2) for _ in range(2)]
    knowing.bodies[PRODUCTS] = [{"productId": number} for number in range(MAX_UNIT_CALLS + 2)]
    knowing.bodies[PRICES] = [{"productId": number, "itemCode": f"I{number}"} for number in range(MAX_UNIT_CALLS + 2)]
    result = checked(sips, CLEAN | {"orderLineItemDetails": lines})
    assert MAX_UNIT_CALLS == len([path for path, _ in knowing.asked if path.startswith(UNITS)])
    assert (PARTS[:-1], ["too-many"]) == (result.looked_up, [one.code for one in result.not_looked_up])
    assert [("unit-unknown", f"/orderLineItemDetails/{number}/uom") for number in range(2 * MAX_UNIT_CALLS)] == drops(result)


def test_of_a_branchs_products_only_those_of_the_order_are_held(
    knowing: Knowing, sips: Sips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch lists tens of MiB of them, perhaps one several times."""
    knowing.bodies[PRODUCTS] = GOOD[PRODUCTS] * 2
    pick, held = Sips.pick, []

    def noted(*arguments: Any, **more: Any) -> list[dict[str, Any]]:
        held.extend(pick(*arguments, **more))
        return held

    monkeypatch.setattr(Sips, "pick", noted)
    assert [] == drops(checked(sips, CLEAN))
    assert [GOOD[PRODUCTS][1]] == held
    assert PRODUCTS in {path for path, _ in knowing.asked}


def test_version_1_is_looked_up_as_far_as_it_can_be(knowing: Knowing, sips: Sips) -> None:
    """Its customer, and the units of its items."""
    result = checked(sips, CLEAN_V1)
    assert [("unit-unknown", "/orderLineItemDetails/0/uom")] == drops(result)
    assert (["customer", "units"], ["branch", "products", "prices"]) == (
        result.looked_up,
        [one.part for one in result.not_looked_up],
    )
    assert [CUSTOMER, f"{UNITS}TARMS300"] == [path for path, _ in knowing.asked]
