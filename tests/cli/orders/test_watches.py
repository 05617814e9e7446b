"""`sips-worker watches`: what is known of the orders that are watched, or were."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.orders import aged
from worker.runtime.observations import Observations
from worker.runtime.readings import Delivery, InvoiceHead
from worker.runtime.watch_events import of_order
from worker.settings import Settings
from worker.sips.models import OrderRow
from worker.store.hints import Hint, Hints
from worker.store.timers import Timers
from worker.store.watched import Kind, NewWatch, Subscription
from worker.store.watches import DELIVERIES, INVOICES, Watches

if TYPE_CHECKING:
    from tests.cli.orders.conftest import CommandLine
    from tests.orders import Rows
    from worker.store.engine import Store
    from worker.store.ledger import Ledger
    from worker.store.watched import Watch

DAY = 86_400.0

TITLES = ["ORDER ID", "CUSTOMER", "PO NUMBER", "WATCHED AS", "STATUS", "DELIVERIES", "NEXT LOOK", "LAST LOOK", "ENDS"]


@pytest.fixture
def watches(store: Store) -> Watches:
    """Of the store."""
    return Watches(store)


@pytest.fixture
def followed(rows: Rows, store: Store, watches: Watches) -> Watch:
    """An order that two services watch and SIPS was asked about."""
    watch = watches.open(of_order(rows.confirmed("c-1", "40000007")))
    until = watch.read_at + 60 * DAY
    wanted = [Subscription(kind, "shop", "c-1", until) for kind in Kind]
    wanted.append(Subscription(Kind.ORDER, "crm", "t-9", until - DAY, 90.0, ("Delivered", "Lost")))
    watches.subscribe(watch, wanted, 7_200.0)
    known = Observations(watches, Settings(_env_file=None))
    known.status(again(watches, watch), OrderRow(orderId="40000007", orderStatus="Open"))
    known.status(again(watches, watch), OrderRow(orderId="40000007", orderStatus="Confirmed"))
    rowlike = {"shipmentNumber": 1, "deliveryStatus": "En Route", "expectedDeliveryDate": "2026-11-28"}
    known.deliveries(again(watches, watch), [Delivery.model_validate(rowlike)])
    known.invoices(again(watches, watch), [InvoiceHead.model_validate({"invoiceNumber": "INV-1"})])
    timers = Timers(store)
    timers.start(DELIVERIES, watch.key, 1_800.0)
    timers.start(INVOICES, watch.key, 3_600.0)
    return again(watches, watch)


def again(watches: Watches, watch: Watch) -> Watch:
    """As it is now."""
    (found,) = watches.find_all([watch.key])
    return found


def ended(watches: Watches, new: NewWatch) -> Watch:
    """An order that nobody waits for, and nothing is known of."""
    return watches.open(new)


def order_ids(out: str) -> list[str]:
    """Of a table."""
    return [line.split()[0] for line in out.splitlines()[1:]]


def test_a_watch_is_one_line(followed: Watch, sips_worker: CommandLine) -> None:
    """Whose, who waits, what is known, and when it was and will be looked at."""
    done = sips_worker.run("watches", "list")

    titles, line = done.out.splitlines()
    starts = [titles.index(title) for title in TITLES]
    cells = [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
    assert (0, "") == (done.status, done.err)
    assert ["40000007", "DEMO001", "PO-c-1", "delivery 1, order 2", "Confirmed", "En Route"] == cells[:6]
    assert ["in 30 min", "0 s ago", "in 60 d"] == cells[6:]


@pytest.fixture
def three(rows: Rows, store: Store, followed: Watch, watches: Watches) -> None:
    """And an older order that nobody waits for, and one of another customer that was never placed here."""
    old = rows.confirmed("c-2", "40000008")
    aged(store, old, 3 * DAY)
    ended(watches, of_order(rows.again(old)))
    foreign = watches.open(NewWatch(followed.base_url, "35818786", "ACME", "PO-9"))
    watches.subscribe(foreign, [Subscription(Kind.DELIVERY, "crm", "t-1", foreign.read_at + DAY)], -5.0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["35818786", "40000007"]),
        (["--ended"], ["35818786", "40000007", "40000008"]),
        (["--customer", "ACME"], ["35818786"]),
        (["--order", "PO-c-1"], ["40000007"]),
        (["--order", "40000008", "--ended"], ["40000008"]),
        (["--order", "40000008"], []),
        (["--limit", "1", "--ended"], ["35818786"]),
    ],
)
def test_filters_narrow_each_other(three: None, sips_worker: CommandLine, options: list[str], expected: list[str]) -> None:
    """The newest order comes first."""
    assert expected == order_ids(sips_worker.run("watches", "list", *options).out)


def test_that_there_are_more_is_said(three: None, sips_worker: CommandLine) -> None:
    """But not between the lines."""
    assert "there are more; --limit 10 shows them\n" == sips_worker.run("watches", "list", "--limit", "1").err
    assert "" == sips_worker.run("watches", "list", "--limit", "2").err


def test_what_is_due_and_what_is_not_known_is_shown_so(three: None, sips_worker: CommandLine) -> None:
    """A look that is late is due now."""
    line = sips_worker.run("watches", "list", "--customer", "ACME").out.splitlines()[1]

    assert ["35818786", "ACME", "PO-9", "delivery", "1", "-", "-", "now", "-", "in", "24", "h"] == line.split()


def test_lines_for_machines_have_it_all(three: None, followed: Watch, sips_worker: CommandLine) -> None:
    """One object per line, with exact times."""
    _foreign, mine, old = map(json.loads, sips_worker.run("watches", "list", "--json", "--ended").out.splitlines())

    assert ("40000007", "DEMO001", "PO-c-1", "Confirmed", ["INV-1"], 4) == tuple(
        mine[name] for name in ("orderId", "customerCode", "poNumber", "status", "invoices", "sequence")
    )
    shipment = {"status": "En Route", "expectedDeliveryDate": "2026-11-28", "deliveredDate": None}
    assert {"1": shipment} == mine["deliveries"]
    assert [("delivery", "shop", None, None), ("order", "crm", 90.0, ["Delivered", "Lost"]), ("order", "shop", None, None)] == (
        sorted((one["kind"], one["source"], one["intervalSeconds"], one["terminalStatuses"]) for one in mine["subscriptions"])
    )
    assert mine["lastLookAt"] < mine["nextLookAt"] < mine["subscriptions"][0]["until"]
    assert (None, None, [], True) == (old["status"], old["nextLookAt"], old["subscriptions"], old["endedAt"] is not None)


def test_no_watch_is_said(sips_worker: CommandLine) -> None:
    """And not that nothing matches; a store that cannot be used is one line and exit status 2."""
    assert "no watch\n" == sips_worker.run("watches", "list").out
    assert "no watch that matches\n" == sips_worker.run("watches", "list", "--customer", "ACME").out
    done = sips_worker.run("watches", "list", DATABASE_URL="sqlite:////nowhere/at/all.db")
    assert (2, "", 1) == (done.status, done.out, len(done.err.splitlines()))


@pytest.mark.parametrize("called", ["40000007", "PO-c-1", "key"])
def test_everything_that_is_known_is_shown(
    followed: Watch, store: Store, ledger: Ledger, sips_worker: CommandLine, called: str
) -> None:
    """The parts, who waits, what was told and what webhooks said, what comes next."""
    first = ledger.events(followed.key)[0]
    ledger.mark_published([first.id])
    hints = Hints(store)
    hints.handled(Hint("h-1", "OU", "40000007", "", "", "2026-11-26T10:00:00"))
    hints.keep(Hint("h-2", "DU", "40000007", "", "", ""), 60.0)

    done = sips_worker.run("watches", "show", followed.key if called == "key" else called)

    shown = done.squeezed()
    assert (0, "") == (done.status, done.err)
    for text in (
        "order 40000007, PO number PO-c-1 of customer DEMO001 watched for crm, shop",
        "status Confirmed, seen 20",
        "delivery 1 En Route, expected 2026-11-28, seen 20",
        "invoices INV-1, seen 20",
        "begun by command c-1 of shop",
        "order for crm (command t-9): every 90 s, until 20",
        "or a terminal status (Delivered, Lost)",
        "delivery for shop (command c-1): as the expected day of delivery has it, until 20",
        "or a terminal status (those of the settings)",
        f"said 1. sips.order.status_changed: Open (id {first.id}, poll), published 20",
        "said 2. sips.order.status_changed: Open -> Confirmed (id ",
        "said 3. sips.delivery.status_changed delivery 1: En Route (id ",
        "said 4. sips.invoice.issued invoice INV-1 (id ",
        "poll), not known to be published yet",
        "webhook OU of 2026-11-26T10:00:00 (SIPS' own time): SIPS was asked",
        "webhook DU: SIPS is not asked yet",
        "its deliveries are looked at",
        "its invoices are looked at",
        "its status is looked at, with the other orders of its customer",
        "you can end it with `sips-worker watches cancel 40000007`",
    ):
        assert text in shown, text
    said = [line.split()[2] for line in done.out.splitlines() if "  said  " in line]
    assert ["1.", "2.", "3.", "4."] == said


def test_an_order_that_nobody_waits_for_is_shown(followed: Watch, watches: Watches, sips_worker: CommandLine) -> None:
    """With the way to have it watched again."""
    watches.end(followed.key, followed.subscriptions)

    shown = sips_worker.run("watches", "show", "40000007").squeezed()

    assert "not watched, since 20" in shown
    assert 'you can have it watched again with a command: sips.order.track {"orderId": "40000007", "watch": true}' in shown
    assert "watches cancel" not in shown


def test_an_order_of_which_nothing_was_seen_is_shown(watches: Watches, followed: Watch, sips_worker: CommandLine) -> None:
    """What is not known is not told as if there were none."""
    ended(watches, NewWatch(followed.base_url, "7"))

    shown = sips_worker.run("watches", "show", "7").squeezed()

    assert "status not seen yet" in shown
    assert "deliveries not looked at yet invoices not looked at yet" in shown
    assert "next nothing by itself" in shown


def test_a_watch_is_one_object_for_machines(followed: Watch, ledger: Ledger, sips_worker: CommandLine) -> None:
    """With the facts as they were published, in their sequence."""
    shown = json.loads(sips_worker.run("watches", "show", "PO-c-1", "--json").out)

    assert ("40000007", [1, 2, 3, 4]) == (shown["orderId"], [fact["data"]["sequence"] for fact in shown["facts"]])
    assert [orjson.loads(fact.body) for fact in ledger.events(followed.key)] == shown["facts"]


def test_several_matches_are_a_short_list(watches: Watches, followed: Watch, sips_worker: CommandLine) -> None:
    """Two customers may use the same PO number."""
    ended(watches, NewWatch(followed.base_url, "7", "ACME", "PO-c-1"))

    done = sips_worker.run("watches", "show", "PO-c-1")

    assert (1, ["40000007", "7"]) == (done.status, sorted(order_ids(done.out)))
    assert "sips-worker: 2 orders match PO-c-1; name the one you mean by its order id\n" == done.err


def test_an_order_that_nobody_ever_watched_is_one_line(sips_worker: CommandLine) -> None:
    """With the command that may know more."""
    done = sips_worker.run("watches", "show", "PO-7")

    assert (1, "") == (done.status, done.out)
    what = "no order PO-7 is or was watched; `sips-worker explain PO-7` tells what else is known of it"
    assert f"sips-worker: {what}\n" == done.err


def test_what_others_wrote_cannot_steer_the_terminal(watches: Watches, followed: Watch, sips_worker: CommandLine) -> None:
    """Control characters are shown, not obeyed."""
    odd = watches.open(replace(NewWatch(followed.base_url, "7"), customer_code="A\x1b[2J"))
    watches.subscribe(odd, [Subscription(Kind.ORDER, "s\x1b[2J", "c", odd.read_at + DAY, None, ("t\x1b[2J",))], 9.0)
    known = Observations(watches, Settings(_env_file=None))
    known.status(again(watches, odd), OrderRow(orderId="7", orderStatus="S\x1b[2J"))

    for command in (["list"], ["show", "7"], ["cancel", "7"]):
        out = sips_worker.run("watches", *command).out
        assert r"\x1b[2J" in out
        assert "\x1b[2J" not in out


def sources(watches: Watches, watch: Watch) -> list[tuple[str, str]]:
    """Who waits for what."""
    return sorted((each.kind.value, each.source) for each in again(watches, watch).subscriptions)


@pytest.mark.parametrize(
    ("options", "left", "says"),
    [
        ([], [], "these end; nobody waits for the order then ended 3"),
        (["--kind", "order"], [("delivery", "shop")], "these end; 1 of others stay ended 2"),
        (["--source", "crm"], [("delivery", "shop"), ("order", "shop")], "this ends; 2 of others stay ended 1"),
        (
            ["--source", "shop", "--kind", "delivery"],
            [("order", "crm"), ("order", "shop")],
            "this ends; 2 of others stay ended 1",
        ),
    ],
)
def test_a_person_ends_watches(
    followed: Watch, watches: Watches, sips_worker: CommandLine, options: list[str], left: list[tuple[str, str]], says: str
) -> None:
    """Of whoever asked for them, or of some of these; they are shown before."""
    done = sips_worker.run("watches", "cancel", "PO-c-1", "--yes", *options)

    assert (0, left, "") == (done.status, sources(watches, followed), done.err)
    assert done.squeezed().endswith(f"then {says}")
    assert done.out.count("(command ") == 3 - len(left)


def test_it_asks_first(followed: Watch, watches: Watches, sips_worker: CommandLine) -> None:
    """A script must say --yes."""
    done = sips_worker.run("watches", "cancel", "40000007")

    assert (2, 3) == (done.status, len(sources(watches, followed)))
    assert "order for crm (command t-9): every 90 s" in done.squeezed()
    assert "sips-worker: nothing was changed: without a terminal to ask on, this needs --yes\n" == done.err


def test_a_watch_that_is_not_there_is_not_ended(followed: Watch, watches: Watches, sips_worker: CommandLine) -> None:
    """Those that are there are shown; where there is none, nothing is left to do."""
    done = sips_worker.run("watches", "cancel", "40000007", "--yes", "--source", "erp")

    assert (1, 3, 3) == (done.status, len(sources(watches, followed)), len(done.out.splitlines()))
    assert "sips-worker: order 40000007 is watched, but not so; the above is what there is\n" == done.err
    sips_worker.run("watches", "cancel", "40000007", "--yes")
    again_done = sips_worker.run("watches", "cancel", "40000007", "--yes")
    assert (0, "nobody waits for it any more\n") == (again_done.status, again_done.out)


def test_explain_tells_that_an_order_is_watched(followed: Watch, watches: Watches, rows: Rows, sips_worker: CommandLine) -> None:
    """And who tells more."""
    more = "`sips-worker watches show 40000007` tells more"
    assert f"watched for crm, shop; its status is Confirmed: {more}" in sips_worker.run("explain", "c-1").squeezed()

    watches.end(followed.key, followed.subscriptions)
    assert f"watched by nobody now; its status is Confirmed: {more}" in sips_worker.run("explain", "c-1").squeezed()

    rows.confirmed("c-2", "40000008")
    assert "watched" not in sips_worker.run("explain", "c-2").out
