"""`sips-worker orders list`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.orders import aged

if TYPE_CHECKING:
    from tests.cli.orders.conftest import CommandLine
    from tests.orders import Rows
    from worker.store.engine import Store


@pytest.fixture
def three(rows: Rows, store: Store) -> None:
    """An order of three hours ago in doubt, one of an hour ago that waits for a person, and a new one of another customer."""
    aged(store, rows.in_doubt("c-old"), 3 * 3_600)
    aged(store, rows.unresolved("c-mid"), 3_600)
    rows.confirmed("c-new", "40000007", customer_code="ACME")


def commands(out: str) -> list[str]:
    """The command ids of a table."""
    return [line.split()[-1] for line in out.splitlines()[1:]]


def test_the_newest_comes_first(three: None, sips_worker: CommandLine) -> None:
    """With what a person calls the order by."""
    done = sips_worker.run("orders", "list")

    assert (0, ["c-new", "c-mid", "c-old"]) == (done.status, commands(done.out))
    assert ["CAME", "IN", "STATE", "AGE", "CUSTOMER", "PO", "NUMBER", "ORDER", "ID", "COMMAND"] == done.out.splitlines()[
        0
    ].split()
    assert done.out.splitlines()[1].split()[1:-1] == ["confirmed", "0", "s", "ACME", "PO-c-new", "40000007"]
    assert done.out.splitlines()[3].split()[1:-1] == ["in_doubt", "3", "h", "DEMO001", "PO-c-old", "-"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--state", "unresolved"], ["c-mid"]),
        (["--state", "unresolved", "--state", "in_doubt"], ["c-mid", "c-old"]),
        (["--customer", "ACME"], ["c-new"]),
        (["--older-than", "30m"], ["c-mid", "c-old"]),
        (["--older-than", "2h", "--state", "unresolved"], []),
        (["--limit", "2"], ["c-new", "c-mid"]),
    ],
)
def test_filters_narrow_each_other(three: None, sips_worker: CommandLine, options: list[str], expected: list[str]) -> None:
    """States are alternatives."""
    assert expected == commands(sips_worker.run("orders", "list", *options).out)


def test_that_there_are_more_is_said(three: None, sips_worker: CommandLine) -> None:
    """But not between the lines."""
    assert "there are more; --limit 20 shows them\n" == sips_worker.run("orders", "list", "--limit", "2").err
    assert "" == sips_worker.run("orders", "list", "--limit", "3").err


def test_lines_for_machines_hold_no_personal_data(three: None, sips_worker: CommandLine) -> None:
    """One object per line, in camelCase, with exact times."""
    done = sips_worker.run("orders", "list", "--json", "--customer", "DEMO001")

    mid, old = map(json.loads, done.out.splitlines())
    assert ("unresolved", "c-mid", "PO-c-mid", 4, []) == (
        mid["state"],
        mid["commandId"],
        mid["poNumber"],
        mid["looks"],
        mid["decisions"],
    )
    assert "lost-answer: ordersV2Submit: the connection broke" == old["lastError"]
    assert not any(value in done.out for value in ("Pat Example", "555-0100", "5 Example Rd"))


def test_an_age_that_is_none_is_refused(sips_worker: CommandLine) -> None:
    """With an example of what is one."""
    done = sips_worker.run("orders", "list", "--older-than", "2 hours")

    assert 2 == done.status
    assert "'2 hours' is no age such as 90s, 15m, 2h or 3d" in done.err


def test_an_empty_ledger_says_so(sips_worker: CommandLine) -> None:
    """And not that nothing matches."""
    assert "no order\n" == sips_worker.run("orders", "list").out
    assert "no order that matches\n" == sips_worker.run("orders", "list", "--state", "queued").out


def test_a_store_that_cannot_be_used_is_one_line(sips_worker: CommandLine) -> None:
    """Exit status 2: the question could not be answered."""
    done = sips_worker.run("orders", "list", DATABASE_URL="sqlite:////nowhere/at/all.db")

    assert (2, "", 1) == (done.status, done.out, len(done.err.splitlines()))
    assert done.err.startswith("sips-worker: the store cannot be used: ")


def test_what_a_publisher_wrote_cannot_steer_the_terminal(rows: Rows, sips_worker: CommandLine) -> None:
    """Control characters in a PO number are shown, not obeyed."""
    rows.unsent("c-1", po_number="PO\x1b[2J")

    assert r"PO\x1b[2J" in sips_worker.run("orders", "list").out
