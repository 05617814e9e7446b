"""`sips-worker doctor`: the store, the orders in it, and the control look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.orders.conftest import place, set_faults
from tests.orders import aged, orders_url
from worker.cli.doctor_orders import control_look, look_at_store
from worker.settings import Settings
from worker.store.controls import Controls
from worker.store.engine import Store
from worker.store.timers import Timers

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.cli.orders.conftest import CommandLine
    from tests.orders import Rows
    from worker.sandbox import Sandbox


def about_orders(sips_worker: CommandLine) -> list[str]:
    """What the doctor says of the store and what is in it."""
    lines = sips_worker.run("doctor").out.splitlines()
    return lines[next(number for number, line in enumerate(lines) if "store: " in line) :]


def test_a_store_in_order(store: Store, sips_worker: CommandLine) -> None:
    """Named by its id, by which two installations are told apart."""
    assert [
        f"  ok  store: it answers, and its tables are those of this release ({store.id})",
        "  ok  orders: none waits for a person",
        "  ok  timers: none is late",
    ] == about_orders(sips_worker)


def test_a_clock_that_is_far_from_the_databases_is_noted(
    store: Store, sips_worker: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing stops for it, but a publisher's expirytime and the log are then of two minds."""
    theirs = Store.now
    monkeypatch.setattr(Store, "now", lambda self: theirs(self) - 240)

    assert about_orders(sips_worker)[1].startswith("  ..  clock: this host's is 4 min ahead of the database's: see that ")


def test_what_waits_is_counted(rows: Rows, store: Store, sips_worker: CommandLine) -> None:
    """For a person, and for SIPS."""
    rows.unresolved("c-1")
    rows.unresolved("c-2")
    aged(store, rows.in_doubt("c-3"), 2 * 3_600)
    rows.in_doubt("c-4")
    aged(store, rows.queued("c-5"), 3 * 86_400)

    assert [
        "  ..  orders: 2 wait for a person: `sips-worker orders list --state unresolved`",
        "  ..  orders: 2 in doubt, the oldest sent 2 h ago; timers look after them",
        "  ..  orders: 1 in SIPS' queue, sent 3 d ago; timers look after them",
    ] == about_orders(sips_worker)[1:-1]


def test_late_timers_are_wrong(
    store: Store, tmp_path: Path, sips_worker: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody does what is due."""
    Timers(store).start("look", "one", -7_200.0)
    Timers(store).start("look", "two", -5.0)
    settings = Settings(_env_file=None, database_url=orders_url(tmp_path))

    assert not look_at_store(settings)
    assert (
        "  !!  timers: 1 is late, by up to 2 h: no worker does what is due; is `sips-worker run` running?"
        == capsys.readouterr().out.splitlines()[-1]
    )


def test_a_store_that_cannot_be_used_is_said_with_its_reason(sips_worker: CommandLine) -> None:
    """The rest is still looked at."""
    done = sips_worker.run("doctor", DATABASE_URL="sqlite:////nowhere/at/all.db")

    assert 1 == done.status
    assert done.out.splitlines()[-1].startswith("  !!  store: ")
    assert done.out.splitlines()[-1].endswith("run `sips-worker migrate`, or correct DATABASE_URL")


def test_outside_the_sandbox_an_unchecked_list_is_mentioned(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until it is checked, no order in doubt comes to an end by absence."""
    settings = Settings(_env_file=None, database_url=orders_url(tmp_path)).model_copy(update={"sips_environment": "qa"})

    assert look_at_store(settings)
    assert "order list: never checked" in capsys.readouterr().out

    Controls(store).add(settings.base_url, "PO-7")
    assert look_at_store(settings)
    assert "order list" not in capsys.readouterr().out


def test_the_control_look_is_written_down_where_the_list_tells_orders_apart(
    rows: Rows, store: Store, sandbox: Sandbox, sips_worker: CommandLine
) -> None:
    """It lists the one that SIPS has, and not the one that was made up."""
    place(sandbox, rows.confirmed("c-1", "40000000"))

    done = sips_worker.run("doctor", "--order-list", "PO-c-1")

    assert (0, True) == (done.status, Controls(store).has(sandbox.url))
    assert "  ok  known order: PO number PO-c-1 is listed" in done.out.splitlines()
    assert "is not listed" in done.out.splitlines()[2]
    assert "it can be believed" in done.out.splitlines()[3]


def test_a_known_order_that_is_not_listed_proves_nothing(store: Store, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """Nothing is written down."""
    done = sips_worker.run("doctor", "--order-list", "PO-7")

    assert (1, False) == (done.status, Controls(store).has(sandbox.url))
    assert "  !!  known order: PO number PO-7 is not listed" in done.out
    assert "can be believed" not in done.out


def test_a_list_that_has_what_nobody_ordered_cannot_be_believed(
    tmp_path: Path,
    rows: Rows,
    store: Store,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SIPS may ignore the PO number of a query."""
    place(sandbox, rows.confirmed("c-1", "40000000"))
    monkeypatch.setattr("worker.runtime.lookup.secrets.token_hex", lambda _size: "listed")
    place(sandbox, rows.confirmed("c-2", "40000001", po_number="NO-SUCH-PO-listed"))

    passed = control_look(Settings(_env_file=None, database_url=orders_url(tmp_path), sips_base_url=sandbox.url), "PO-c-1")

    assert (False, False) == (passed, Controls(store).has(sandbox.url))
    assert "  !!  invented order: PO number NO-SUCH-PO-listed is listed" in capsys.readouterr().out


def test_a_look_that_sips_does_not_answer_says_nothing(sandbox: Sandbox, store: Store, sips_worker: CommandLine) -> None:
    """Neither found nor not."""
    set_faults(sandbox, error_before={"rate": 1, "operations": ["ordersList"]})

    done = sips_worker.run("doctor", "--order-list", "PO-7")

    assert (1, False) == (done.status, Controls(store).has(sandbox.url))
    assert "  !!  order list: sips-error: " in done.out
    assert "known order" not in done.out
