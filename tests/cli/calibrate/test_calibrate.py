"""`sips-worker calibrate` against sandboxes whose paths and shapes are not those of the description."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from tests.cli.conftest import CLIENT_SECRET
from tests.sips.servers import TOKEN_PATH, Peer, Server, answer, token_answer
from worker.cli import cli
from worker.cli.calibrate.questions import QUESTIONS
from worker.cli.errors import CommandError
from worker.sandbox import Sandbox
from worker.sips import OPERATIONS, Confidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import CommandLine

#: It asks at paths that may be, and at invented ones.
pytestmark = pytest.mark.undescribed

GIVEN = ("--customer", "DEMO001", "--order", "35818786", "--invoice", "0019073403-001")

GUESSES = {operation.id for operation in OPERATIONS.values() if operation.confidence is Confidence.PLACEHOLDER}

#: For every guess a place that is built as those of the portal's other operations are: one of its variants, and not the first.
#: What is in no list of variants is a test of its own.
MOVED = {
    "orderDetails": "/orders/v2/details/{orderId}",
    "deliveryDetails": "/deliveries/v2/DeliveryDetails/{orderId}",
    "deliveriesList": "/deliveries/v2/List",
    "proofOfDelivery": "/deliveries/{orderId}/pod",
    "deliveryCoordinates": "/orders/{orderId}/Coordinates",
    "invoicePdf": "/invoices/v2/invoicePDF/{invoiceNumber}",
    "nearestEligibleBranch": "/branches/customer/{customerCode}",
    "shipToAddresses": "/customers/v2/shipTo/{customerCode}",
    "orderTemplatesV1": "/customers/{customerCode}/templates",
    "colorRecommendations": "/products/ColorRecommendations",
    "branchDetails": "/branches/branchDetails/{branchId}",
    "branchActiveItems": "/products/branch/{branchId}",
}


@pytest.fixture
def calibrate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, Any]]:
    """The command in this process: its exit status, and what it tells as JSON."""
    monkeypatch.chdir(tmp_path)

    def run(url: str, *arguments: str, **settings: str) -> tuple[int, Any]:
        ours = {"SIPS_BASE_URL": url, "SIPS_CLIENT_ID": "us", "SIPS_CLIENT_SECRET": CLIENT_SECRET}
        for name, value in (ours | settings).items():
            monkeypatch.setenv(name, value)
        with capture_logs():
            result = CliRunner().invoke(cli, ["calibrate", "--json", *arguments])
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result.exit_code, json.loads(result.stdout)

    return run


def by_operation(told: Any) -> dict[str, Any]:
    """What is told of each operation."""
    return {row["operation"]: row for row in told["operations"]}


def test_it_repairs_a_sandbox_with_every_guessed_path_moved(sips_worker: CommandLine, tmp_path: Path) -> None:
    """The printed lines are all it takes: with them every operation is confirmed. Nothing was ordered."""
    with Sandbox(paths=MOVED, credentials={"us": CLIENT_SECRET}) as sandbox:
        ours = {"SIPS_BASE_URL": sandbox.url, "SIPS_CLIENT_ID": "us"}
        first = sips_worker.run("calibrate", *GIVEN, "--save", "samples", **ours)
        lines = [line for line in first.out.splitlines() if line.startswith("SIPS_PATHS__")]
        (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
        second = sips_worker.run("calibrate", *GIVEN, **ours)
        stats = sandbox._state.stats()
        assert [] == sandbox._state.orders()

    assert (0, "") == (first.status, first.err), first.out
    assert {f"SIPS_PATHS__{operation}={path}" for operation, path in MOVED.items()} == set(lines)
    assert (GUESSES, 12) == (set(MOVED), len(lines))
    assert (0, 0) == (second.status, second.out.count("moved to"))
    assert len(QUESTIONS) == second.out.count("  ok  ")
    assert 1 == stats["mostAtOnce"]
    assert not {"ordersV2Submit", "ordersSubmitV1"} & stats["requests"].keys()
    assert {f"{row.operation}.json" for row in QUESTIONS} == {path.name for path in (tmp_path / "samples").iterdir()}


@pytest.fixture(scope="module")
def odd() -> Iterator[Sandbox]:
    """A sandbox with a path that nobody would guess, and shapes that are not those of the models."""
    reshaped: dict[str, Callable[[Any], Any]] = {
        "customerDetails": lambda body: body | {"fax": ["1"], "creditHold": False},
        "orderDetails": lambda body: {"data": {"order": body}},
        "shipToAddresses": lambda body: {"addresses": body["shipToList"]},
        "deliveryDetails": lambda body: {"deliveryList": [{"state": "x"} | row for row in body["deliveryList"]]},
        "branchDetails": lambda _body: {"message": "hello"},
    }
    with Sandbox(
        paths={"proofOfDelivery": "/documents/signed/{orderId}", "shipToAddresses": "/customers/shipTo/{customerCode}"},
        reshaped=reshaped,
    ) as started:
        yield started


def test_what_is_nowhere_is_said_with_what_was_tried(calibrate: Callable[..., tuple[int, Any]], odd: Sandbox) -> None:
    """A path that is in no list is not found, whatever stands around it; the exit status tells."""
    status, told = calibrate(odd.url, *GIVEN, "--only", "proofOfDelivery")

    (row,) = told["operations"]
    assert (1, "not found", None, []) == (status, row["state"], row["path"], told["settings"])
    assert len(row["tried"]) == told["requests"] > 40
    assert {"HTTP 404"} == {attempt["answer"] for attempt in row["tried"]}
    assert f"HTTP 404 from {len(row['tried'])} paths" == row["why"]


def test_other_shapes_are_told_property_by_property(calibrate: Callable[..., tuple[int, Any]], odd: Sandbox) -> None:
    """Without a value. What was put into something else is still found; what says nothing that is expected is not believed."""
    only = [word for name in ("orderDetails", "deliveryDetails", "shipToAddresses", "branchDetails") for word in ("--only", name)]
    status, told = calibrate(odd.url, *GIVEN, *only)
    rows = by_operation(told)
    differences = {
        name: [f"{difference['kind']} {difference['pointer']}" for difference in row["differences"] or ()]
        for name, row in rows.items()
    }

    assert 1 == status
    assert ("confirmed", "moved", "perhaps") == tuple(
        rows[name]["state"] for name in ("orderDetails", "shipToAddresses", "branchDetails")
    )
    assert "/customers/shipTo/{customerCode}" == rows["shipToAddresses"]["tried"][-1]["path"]
    assert ["type /fax", "new /creditHold"] == differences["customerDetails"]
    assert ["new /data"] == differences["orderDetails"][-1:]
    assert ["missing /shipToList", "new /addresses"] == differences["shipToAddresses"]
    assert "new /deliveryList/0/state" in differences["deliveryDetails"]
    assert "JSON with 0 of 15 expected properties" == rows["branchDetails"]["why"]
    assert ["SIPS_PATHS__shipToAddresses=/customers/shipTo/{customerCode}"] == told["settings"]
    assert "9876543210" not in json.dumps(told)


def test_where_one_operation_was_found_no_other_is_looked_for(calibrate: Callable[..., tuple[int, Any]]) -> None:
    """An order's details are at a place where its deliveries might be, and say nothing of where these are."""
    paths = {"orderDetails": "/orders/v2/details/{orderId}", "deliveryDetails": "/nowhere/{orderId}"}
    with Sandbox(paths=paths) as sandbox:
        _, told = calibrate(sandbox.url, *GIVEN, "--only", "orderDetails", "--only", "deliveryDetails")

    rows = by_operation(told)
    assert ("moved", "not found") == (rows["orderDetails"]["state"], rows["deliveryDetails"]["state"])
    assert paths["orderDetails"] not in [attempt["path"] for attempt in rows["deliveryDetails"]["tried"]]


def test_for_one_operation_no_more_is_asked_than_it_needs(calibrate: Callable[..., tuple[int, Any]], odd: Sandbox) -> None:
    """A branch's number is told with the customer; then nobody else is asked for it."""
    status, told = calibrate(odd.url, "--customer", "DEMO001", "--only", "branchDetails", "--only", "branchActiveItems")

    assert (1, ["customerDetails", "branchDetails", "branchActiveItems"]) == (status, list(by_operation(told)))


def test_a_customer_that_sips_does_not_have_ends_it(calibrate: Callable[..., tuple[int, Any]], odd: Sandbox) -> None:
    """Each further request would be in vain."""
    status, told = calibrate(odd.url, "--customer", "NOBODY")
    first, *others = told["operations"]

    assert (1, "not found", True) == (status, first["state"], "check the code" in first["why"])
    assert {("not tried", "stopped at customerDetails")} == {(row["state"], row["why"]) for row in others}
    assert told["requests"] < 10


def test_what_was_not_given_is_not_tried(calibrate: Callable[..., tuple[int, Any]], odd: Sandbox) -> None:
    """And said; what is given wrongly too."""
    status, told = calibrate(odd.url, "--customer", "DEMO001", "--only", "invoicePdf", "--only", "orderDetails")

    whys = [(row["state"], row["why"]) for row in told["operations"]]
    assert (1, [("not tried", "it takes an order: give one"), ("not tried", "it takes an invoice: give one")]) == (status, whys)


def test_a_doubtful_order_or_invoice_is_noted(calibrate: Callable[..., tuple[int, Any]], odd: Sandbox) -> None:
    """As a 404 then says nothing of a path."""
    given = ("--customer", "DEMO001", "--order", "1", "--invoice", "1")
    _, told = calibrate(odd.url, *given, "--only", "ordersList", "--only", "invoiceDetails")

    assert ["--invoice is wrong" in note or "--order is wrong" in note for note in told["notes"]] == [True, True]


class Scripted:
    """A SIPS that answers every path but the token's in one way."""

    def __init__(self, given: bytes) -> None:
        self._given = given
        self.asked: list[str] = []
        self.tokens = 0

    def __call__(self, peer: Peer) -> None:
        """Serve a connection."""
        while (request := peer.receive()) is not None:
            if request.target == TOKEN_PATH:
                self.tokens += 1
                peer.send(token_answer())
                continue
            self.asked.append(request.target)
            peer.send(self._given)


@pytest.mark.parametrize(
    ("given", "state", "why"),
    [
        (answer({"message": "Bad Request"}, status=400), "not found", "HTTP 400, as an invented path"),
        (answer({"message": "Unauthorized"}, status=401), "not found", "HTTP 401, as an invented path"),
        (answer({"message": "hello"}), "not found", "expected properties, as an invented path"),
        (answer([]), "not found", "an empty list, as an invented path"),
        (answer({"message": "Too Many"}, status=429), "not tried", "set SIPS_MAX_RPS=1"),
    ],
)
def test_a_gateway_that_answers_everything_alike_tells_nothing(
    calibrate: Callable[..., tuple[int, Any]], given: bytes, state: str, why: str
) -> None:
    """An invented path of the same form is held against it; and who is told to slow down stops. No token is given up for it."""
    script = Scripted(given)
    with Server(script) as server:
        status, told = calibrate(server.url, *GIVEN, "--only", "orderTemplatesV1", SIPS_TOKEN_MIN_AGE_SECONDS="0")

    row = by_operation(told)["orderTemplatesV1"]
    assert (1, state, True) == (status, row["state"], why in row["why"])
    assert len(script.asked) == len(set(script.asked))
    assert 1 == script.tokens


def test_a_sips_that_does_not_answer_is_left_alone(calibrate: Callable[..., tuple[int, Any]]) -> None:
    """After three times."""
    hung_up: list[str] = []

    def hang_up(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            if request.target != TOKEN_PATH:
                hung_up.append(request.target)
                return
            peer.send(token_answer())

    with Server(hang_up) as server:
        status, told = calibrate(server.url, *GIVEN, "--only", "orderDetails", "--only", "deliveryDetails")

    first, second = told["operations"]
    assert (1, 3, True) == (status, told["requests"], "SIPS does not answer" in first["why"])
    assert "stopped at orderDetails" == second["why"]
    assert hung_up


def test_a_sips_that_answers_now_and_then_is_asked_on(calibrate: Callable[..., tuple[int, Any]]) -> None:
    """Only what is not answered in a row counts."""
    template = {"templateId": "1", "name": "x", "description": "", "instructionsToBranch": "", "products": None}
    asked: list[str] = []

    def now_and_then(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            if request.target == TOKEN_PATH:
                peer.send(token_answer())
                continue
            asked.append(request.target)
            if len(asked) % 3:
                return
            peer.send(answer([template | {"products": [{}]}]))

    with Server(now_and_then) as server:
        _, told = calibrate(server.url, *GIVEN, "--only", "orderTemplatesV2", "--only", "orderTemplatesV1")

    assert not [row for row in told["operations"] if row["state"] == "not tried"]


def test_a_token_that_is_refused_is_one_clear_line(calibrate: Callable[..., tuple[int, Any]]) -> None:
    """With what to look at."""
    with Sandbox(credentials={"us": "another"}) as sandbox:
        status, told = calibrate(sandbox.url, *GIVEN)

    assert (1, True) == (status, "`sips-worker doctor` looks at the token" in told["operations"][0]["why"])


def test_a_token_endpoint_that_is_not_there_is_told_where_it_may_be(calibrate: Callable[..., tuple[int, Any]]) -> None:
    """From the same table."""

    def nothing(peer: Peer) -> None:
        while peer.receive() is not None:
            peer.send(answer({"message": "Not Found"}, status=404))

    with Server(nothing) as server:
        _, told = calibrate(server.url, *GIVEN)

    assert "set SIPS_PATHS__authenticationToken to /authentication/token" in told["operations"][0]["why"]


def test_production_is_not_searched_by_chance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It takes a word more, and nothing was asked before."""
    monkeypatch.chdir(tmp_path)
    production = {
        "SIPS_ENVIRONMENT": "production",
        "SIPS_BASE_URL": "https://127.0.0.1:1",
        "SIPS_CLIENT_ID": "us",
        "SIPS_CLIENT_SECRET": CLIENT_SECRET,
        "SIPS_TIME_ZONE": "UTC",
        "SIPS_SOURCE_SYSTEM": "US",
    }
    for name, value in production.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(cli, ["calibrate", *GIVEN])

    assert (True, "") == (isinstance(result.exception, CommandError), result.stdout)
    assert re.search(r"may ask production for \d{3} paths, .*: calibrate qa first", str(result.exception))


def test_an_operation_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    """As they are written; Submit, which does not only read, is none of them."""
    for name in ("nonsense", "ordersV2Submit"):
        result = CliRunner().invoke(cli, ["calibrate", *GIVEN, "--only", name])

        assert 2 == result.exit_code
        assert f"'{name}' is none of the operations that only read: customerDetails, customersValidate, " in result.stderr
        assert "--only OPERATION" in CliRunner().invoke(cli, ["calibrate", "--help"]).stdout


def test_an_operation_is_named_in_any_letter_case(odd: Sandbox, calibrate: Callable[..., tuple[int, Any]]) -> None:
    """As in the setting of its path."""
    _, told = calibrate(odd.url, *GIVEN, "--only", "ORDERSLIST")

    assert "ordersList" in [operation["operation"] for operation in told["operations"]]
