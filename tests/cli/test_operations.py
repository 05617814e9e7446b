"""`sips-worker operations`: which path each operation has, and whether that is a guess."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.description import OPERATIONS

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def test_every_operation_is_listed_with_its_path_and_command(sips_worker: CommandLine) -> None:
    """As SIPS' description has it; only the token is fetched without a command."""
    status, out, err = sips_worker.run("operations", "--json")

    rows = [json.loads(line) for line in out.splitlines()]
    assert (0, "") == (status, err)
    assert [] == [row["operationId"] for row in rows if row["command"] is None and row["operationId"] != "authenticationToken"]
    assert {
        name: (method, path, row["x-path-confidence"], row["x-path-confidence"] != "placeholder", row["x-source"])
        for name, (method, path, row) in OPERATIONS.items()
    } == {row["operationId"]: (row["method"], row["path"], row["confidence"], row["proved"], row["source"]) for row in rows}
    commands = {row["operationId"]: row["command"] for row in rows}
    assert ("sips.order.submit", "sips.order.submit", "sips.branch.products") == (
        commands["ordersV2Submit"],
        commands["ordersSubmitV1"],
        commands["activeBranchProducts"],
    )


def test_a_path_that_is_set_is_proved_by_whoever_set_it(sips_worker: CommandLine) -> None:
    """The one in force is shown; the others are as they were."""
    out = sips_worker.run("operations", SIPS_PATHS__ORDERDETAILS="/orders/v2/{orderId}").out

    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert ["sips.order.get", "GET", "/orders/v2/{orderId}", "configured", "proved"] == rows["orderDetails"][:-1]
    assert ["placeholder", "unproved"] == rows["deliveryDetails"][3:-1]
    assert ["-", "POST", "/Authentication/token", "documented", "proved"] == rows["authenticationToken"][:-1]


@pytest.mark.parametrize(
    ("setting", "told"),
    [("SIPS_PATHS__ORDERS", "SIPS has no such operation"), ("SIPS_PATHS__ORDERDETAILS", "the path must hold {orderId}")],
)
def test_a_wrong_path_is_one_line(sips_worker: CommandLine, setting: str, told: str) -> None:
    """As `run` would say it."""
    status, out, err = sips_worker.run("operations", **{setting: "/nowhere"})

    assert (2, "", 1) == (status, out, err.count("\n"))
    assert told in err
