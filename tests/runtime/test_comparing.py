"""Open orders are compared with what SIPS lists: by hand, and every day; publisher and SIPS are stand-ins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
from structlog.testing import capture_logs

from tests.orders import Rows, aged
from tests.runtime.standins import Recorder, deliver
from worker.main import make_comparing
from worker.messaging.delivery import Disposition
from worker.messaging.topology import WATCHES
from worker.runtime import comparing as comparing_module
from worker.runtime import daily as daily_module
from worker.runtime.ticks import CLAIM_SECONDS, TICK
from worker.runtime.watch_events import of_order
from worker.runtime.watch_ticks import SINGLY
from worker.settings import Settings
from worker.sips import OPERATIONS, Answer, Deadline, Sips
from worker.sips.errors import NotFound, PathUnconfirmed, Rejected, ServerFault
from worker.store.facts import TELL
from worker.store.ledger import Ledger
from worker.store.open_orders import COMPARE, DAILY
from worker.store.timers import Timer, Timers
from worker.store.watched import Kind, NewWatch, Part, Subscription, customer_ref, watch_key
from worker.store.watches import DELIVERIES, INVOICES, Watches

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runtime.standins import Make
    from worker.runtime.comparing import Compared
    from worker.sips import SipsClient, SipsError
    from worker.store.engine import Store
    from worker.store.orders import Order
    from worker.store.watched import Watch

URL = Settings(_env_file=None).base_url
CUSTOMER = "DEMO001"
DAY = 86_400.0


class Listing:
    """A SIPS that lists orders: id to status. Some it lists only where it is asked for them by themselves."""

    source_system = "TEST"

    def __init__(self, **listed: str) -> None:
        self.listed = {name.removeprefix("o"): status for name, status in listed.items()}
        self.hidden: set[str] = set()
        self.deliveries: list[dict[str, Any]] = []
        self.invoices: list[dict[str, Any]] = []
        self.errors: dict[str, SipsError] = {}
        self.asked: list[str] = []
        self.windows: list[str | None] = []

    def authorize(self, _deadline: object) -> None:
        """As `SipsClient.authorize`."""

    def operation(self, operation_id: str) -> Any:
        """As `SipsClient.operation`."""
        return OPERATIONS[operation_id]

    def call(self, operation_id: str, **call: Any) -> Answer:
        """As `SipsClient.call`; an error is of an operation, or of an order's own list."""
        body = self._body(operation_id, call)
        return Answer(operation_id, 200, body, orjson.dumps(body), "application/json", 0.0)

    def _body(self, operation_id: str, call: dict[str, Any]) -> Any:
        if operation_id == "ordersList":
            return self._list(call["json"])
        self.asked.append(operation_id)
        if error := self.errors.get(operation_id):
            raise error
        return {"deliveryList": self.deliveries} if operation_id == "deliveryDetails" else {"invoiceList": self.invoices}

    def _list(self, wanted: Any) -> dict[str, Any]:
        single = str(wanted.orderId or "")
        self.asked.append(single or wanted.customerNumber)
        if error := self.errors.get(self.asked[-1]):
            raise error
        self.windows += [] if single else [wanted.orderFromDate]
        shown = [single] if single else [number for number in self.listed if number not in self.hidden]
        return {"orderList": [row(number, self.listed[number]) for number in shown if number in self.listed]}


def row(order_id: str, status: str) -> dict[str, Any]:
    """As SIPS lists an order."""
    return {"orderId": int(order_id), "orderStatus": status, "customerCode": CUSTOMER, "PONumber": f"PO-{order_id}"}


@pytest.fixture
def rows(store: Store) -> Rows:
    """Orders of the sandbox's SIPS."""
    return Rows(Ledger(store), URL)


@pytest.fixture
def watches(store: Store) -> Watches:
    """Of the same store."""
    return Watches(store)


@pytest.fixture
def timers(store: Store) -> Timers:
    """Of the same store."""
    return Timers(store)


@pytest.fixture
def compare(store: Store) -> Callable[..., Compared]:
    """Compare with what SIPS lists, as the command line does."""

    def compared(client: Listing, customer: str = CUSTOMER, first: float = 0.0, **options: Any) -> Compared:
        sips = Sips(cast("SipsClient", client), Deadline.after(30))
        return make_comparing(Settings(_env_file=None), store).compare(sips, customer, first, **options)

    return compared


def watched(watches: Watches, order: Order) -> Watch:
    """What is known of an order."""
    found = watches.find(watch_key(URL, order.order_id or ""))
    assert found
    return found


def told(store: Store, order_id: str) -> list[tuple[int, str, Any, Any, str]]:
    """The facts of an order: number, type, before, now, source."""
    facts = Ledger(store).events(watch_key(URL, order_id))
    data = {fact.run: (fact.type, orjson.loads(fact.body)["data"]) for fact in facts}
    return [(number, kind, fact["previous"], fact["current"], fact["source"]) for number, (kind, fact) in sorted(data.items())]


def tick(make: Make, timers: Timers, client: Listing, kind: str, ref: str, **settings: Any) -> tuple[Recorder, bool]:
    """Let a timer's tick be carried out; what was published, and whether the timer is set still."""
    timers.start(kind, ref, -1.0)
    claimed = [timer for timer in timers.claim(99, lease_seconds=CLAIM_SECONDS) if (timer.kind, timer.ref) == (kind, ref)]
    recorder = Recorder()
    make(recorder, client, **settings).execute(delivery := deliver(TICK, as_body(claimed[0]), WATCHES))
    assert Disposition.ACK is delivery.disposition
    return recorder, kind in timers.of(ref)


def as_body(timer: Timer) -> dict[str, Any]:
    """Of its tick."""
    return {"kind": timer.kind, "ref": timer.ref, "claims": timer.claims}


def test_an_order_that_nobody_watched_is_known_from_then_on(
    rows: Rows, store: Store, watches: Watches, timers: Timers, compare: Callable[..., Compared]
) -> None:
    """Its state is told in the name of its submit; deliveries and invoices are read by others; nobody waits for more."""
    order = rows.confirmed("c-1", "1")

    compared = compare(Listing(o1="Confirmed"))

    assert (1, [("1", None, "Confirmed")], [], None) == (
        compared.orders,
        [(change.watch.order_id, change.watch.status, change.status) for change in compared.changed],
        compared.not_listed,
        compared.after,
    )
    assert [(1, "sips.order.status_changed", None, {"status": "Confirmed"}, "poll")] == told(store, "1")
    assert {TELL, DELIVERIES, INVOICES} == set(timers.of(watch_key(URL, "1")))
    (fact,) = Ledger(store).events(watch_key(URL, "1"))
    event = orjson.loads(fact.body)
    assert (False, "cor-c-1", "c-1", "shop", CUSTOMER) == (
        fact.published,
        *(event[name] for name in ("correlationid", "causationid", "commandsource", "customercode")),
    )
    found = watched(watches, order)
    assert ((), None, True) == (found.subscriptions, found.due, found.ended_at is not None)
    assert order.created_at == found.created_at


def test_a_second_comparison_tells_nothing_new(
    rows: Rows, store: Store, watches: Watches, compare: Callable[..., Compared]
) -> None:
    """What has not changed is told once, and was seen just now; what has come to its end is not asked for any more."""
    order = rows.confirmed("c-1", "1")
    rows.confirmed("c-2", "2")
    compare(Listing(o1="Open", o2="Invoiced"))
    client, before = Listing(o1="Open", o2="Open"), watched(watches, order)

    compared = compare(client)

    assert (before.status_seen_at or 0) < (watched(watches, order).status_seen_at or 0)
    assert (1, [], [CUSTOMER]) == (compared.orders, compared.changed, client.asked)
    assert [1, 1] == [len(told(store, order_id)) for order_id in ("1", "2")]


def test_a_watch_that_ended_is_compared_as_well(
    rows: Rows, store: Store, watches: Watches, timers: Timers, compare: Callable[..., Compared]
) -> None:
    """What changed since is the next fact of its order, and what it came to is read, as nobody else does."""
    order = rows.confirmed("c-1", "1")
    compare(Listing(o1="Open"))
    watch = watches.subscribe(watched(watches, order), [Subscription(Kind.DELIVERY, "crm", "t-1", 9e9)], 60.0)
    watches.cancel(watch.key, "crm", [Kind.DELIVERY])
    timers.stop(Timer(INVOICES, watch.key, 0))

    compare(Listing(o1="Invoiced"))

    assert (2, "sips.order.status_changed", {"status": "Open"}, {"status": "Invoiced"}, "poll") == told(store, "1")[-1]
    assert {TELL, DELIVERIES, INVOICES} == set(timers.of(watch.key))


def test_what_is_looked_at_anyway_is_not_hastened(
    rows: Rows, watches: Watches, timers: Timers, compare: Callable[..., Compared]
) -> None:
    """A delivery that somebody watches has its own times; one that has ended and is invoiced is not read at all."""
    order, settled = rows.confirmed("c-1", "1"), rows.confirmed("c-2", "2")
    compare(client := Listing(o1="Open", o2="Shipped off"))
    for kind in (DELIVERIES, INVOICES):
        for order_id in ("1", "2"):
            timers.stop(Timer(kind, watch_key(URL, order_id), 0))
    watches.subscribe(watched(watches, order), [Subscription(Kind.DELIVERY, "crm", "t-1", 9e9)], 60.0)
    settle(watches, settled)

    compare(client)

    assert 0 < timers.of(watch_key(URL, "1"))[DELIVERIES]
    assert timers.of(watch_key(URL, "1"))[INVOICES] <= 0
    assert {TELL} == set(timers.of(watch_key(URL, "2")))


def settle(watches: Watches, order: Order) -> None:
    """Its delivery is completed and its invoice is known, whatever its status says."""
    shipments = orjson.dumps({"1": {"status": "completed", "expectedDeliveryDate": None, "deliveredDate": None}}).decode()
    for part, state in ((Part.DELIVERIES, shipments), (Part.INVOICES, '["INV-1"]')):
        watches.observe(watched(watches, order), part, lambda _known, state=state: state, lambda _known: [])  # type: ignore[misc]


def test_a_list_is_asked_for_from_the_day_of_the_oldest_submit(
    rows: Rows, store: Store, compare: Callable[..., Compared]
) -> None:
    """Not from that of its watch, which may be opened weeks later; orders of others may be of any day."""
    order = rows.confirmed("c-1", "1")
    aged(store, order, 20 * DAY)
    compare(client := Listing(o1="Open"))
    compare(client)
    Watches(store).open(NewWatch(URL, "2", CUSTOMER))
    compare(client)

    first = client.windows[0]
    assert [first, first, None] == client.windows
    assert first is not None
    assert 27 * DAY < store.now() - seconds(first) < 30 * DAY


def seconds(day: str) -> float:
    """The begin of a day in UTC."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def test_what_is_not_listed_with_others_is_asked_for_by_itself(
    rows: Rows, store: Store, compare: Callable[..., Compared]
) -> None:
    """The list may be cut off, or the order dated otherwise; what is not listed then either is told."""
    for number in (1, 2, 3):
        rows.confirmed(f"c-{number}", str(number))
    client = Listing(o1="Open", o2="Delivered")
    client.hidden = {"2"}

    compared = compare(client)

    assert [CUSTOMER, "2", "3"] == client.asked
    assert (3, ["3"]) == (compared.orders, [watch.order_id for watch in compared.not_listed])
    assert [1, 1, 0] == [len(told(store, order_id)) for order_id in ("1", "2", "3")]


def test_one_order_that_sips_does_not_tell_of_holds_up_no_other(
    rows: Rows, store: Store, compare: Callable[..., Compared]
) -> None:
    """It is told, with the reason."""
    rows.confirmed("c-1", "1")
    rows.confirmed("c-2", "2")
    client = Listing(o1="Open", o2="Open")
    client.hidden, client.errors["1"] = {"1", "2"}, ServerFault("ordersList", "it failed", status=500)

    compared = compare(client)

    assert [("1", "sips-error")] == [(watch.order_id, error.code) for watch, error in compared.unanswered]
    assert (1, 0, 1) == (compared.orders, len(told(store, "1")), len(told(store, "2")))


def test_orders_whose_customer_is_not_known_are_asked_for_one_by_one(
    store: Store, watches: Watches, compare: Callable[..., Compared]
) -> None:
    """SIPS tells whose they are, also of one whose status was known."""
    watches.observe(watches.open(NewWatch(URL, "1")), Part.STATUS, lambda _known: "Open", lambda _known: [])

    compare(client := Listing(o1="Open"), "")

    assert ["1"] == client.asked
    assert [CUSTOMER] == [watch.customer_code for watch in watches.find_all([watch_key(URL, "1")])]
    assert [] == told(store, "1")


def test_many_orders_are_compared_in_parts(
    rows: Rows, store: Store, compare: Callable[..., Compared], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is compared once, whether a part ends with its batch or with its calls for single orders."""
    monkeypatch.setattr(comparing_module, "BATCH", 2 * SINGLY + 3)
    numbers = [str(number) for number in range(1000, 1000 + 2 * SINGLY + 6)]
    for number in numbers:
        rows.confirmed(f"c-{number}", number)
    client = Listing(**{f"o{number}": "Open" for number in numbers})
    client.hidden = set(numbers[:-3])

    after, calls = "", 0
    while (compared := compare(client, after=after)).after is not None:
        assert after < compared.after
        after, calls = compared.after, calls + 1

    assert numbers == [asked for asked in client.asked if asked != CUSTOMER] + numbers[-3:]
    assert [1] * len(numbers) == [len(told(store, number)) for number in numbers]
    assert calls + 1 == client.asked.count(CUSTOMER) == 3


def test_the_daily_round_sets_a_timer_for_each_customer(rows: Rows, timers: Timers, make: Make) -> None:
    """Within an hour, and the round comes again after about a day; SIPS is not asked for that."""
    rows.confirmed("c-1", "1")
    rows.confirmed("c-2", "2", customer_code="ACME")
    client = Listing()

    tick(make, timers, client, DAILY, URL)

    refs = [customer_ref(URL, customer) for customer in ("ACME", CUSTOMER)]
    assert all(-1 < timers.of(ref)[COMPARE] <= daily_module.SPREAD_SECONDS for ref in refs)
    assert 0.8 * DAY < timers.of(URL)[DAILY] < 1.2 * DAY
    assert [] == client.asked


@pytest.mark.parametrize(
    ("settings", "customers", "stays"),
    [
        ({"reconcile_days": 0}, 0, False),
        ({"order_tracking": False}, 0, True),
        ({"reconcile_days": 5}, 0, True),
        ({"sips_base_url": "https://other.example"}, 0, True),
        ({}, 1, True),
    ],
)
def test_what_is_not_wanted_is_not_compared(
    rows: Rows, store: Store, timers: Timers, make: Make, settings: dict[str, Any], customers: int, stays: bool
) -> None:
    """Nothing, what nobody wants watched, what began too long ago, what another SIPS has."""
    aged(store, rows.confirmed("c-1", "1"), 6 * DAY)

    _recorder, is_set = tick(make, timers, Listing(), DAILY, URL, **settings)

    assert stays is is_set
    assert customers == len(timers.of(customer_ref(URL, CUSTOMER)))


def test_a_customer_is_compared_in_parts_by_one_timer_after_another(
    rows: Rows, store: Store, timers: Timers, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each does what fits into an attempt, and says where the next one goes on."""
    monkeypatch.setattr(comparing_module, "BATCH", 2)
    for number in (1, 2, 3):
        rows.confirmed(f"c-{number}", str(number))
    client, ref = Listing(o1="Open", o2="Open", o3="Open"), customer_ref(URL, CUSTOMER)

    _recorder, is_set = tick(make, timers, client, COMPARE, ref)

    assert not is_set
    assert [1, 1, 0] == [len(told(store, order_id)) for order_id in ("1", "2", "3")]
    following = orjson.dumps([URL, CUSTOMER, watch_key(URL, "2")]).decode()
    assert timers.of(following)[COMPARE] <= 0
    _recorder, is_set = tick(make, timers, client, COMPARE, following)
    assert (False, 1) == (is_set, len(told(store, "3")))


@pytest.mark.parametrize(
    ("settings", "stays"), [({"order_tracking": False}, False), ({"sips_base_url": "https://other.example"}, True)]
)
def test_a_customer_is_compared_by_the_settings_of_the_day(
    rows: Rows, timers: Timers, make: Make, settings: dict[str, Any], stays: bool
) -> None:
    """They may be others than those of the round that set the timer."""
    rows.confirmed("c-1", "1")

    _recorder, is_set = tick(make, timers, client := Listing(o1="Open"), COMPARE, customer_ref(URL, CUSTOMER), **settings)

    assert (stays, []) == (is_set, client.asked)


def test_what_could_not_be_asked_is_in_the_line_of_its_attempt(rows: Rows, timers: Timers, make: Make) -> None:
    """The next round asks again."""
    rows.confirmed("c-1", "1")
    client, ref = Listing(), customer_ref(URL, CUSTOMER)
    client.errors["1"] = ServerFault("ordersList", "it failed", status=500)

    with capture_logs() as lines:
        tick(make, timers, client, COMPARE, ref)

    (attempt,) = (line for line in lines if line["event"] == "attempt")
    assert "sips-error: ordersList: it failed (order 1; the next round asks again)" == attempt["error"]
    assert CUSTOMER == attempt["customer_code"]


@pytest.mark.parametrize(
    ("error", "again"), [(ServerFault("ordersList", "it failed"), True), (Rejected("ordersList", "no such customer"), False)]
)
def test_a_list_that_is_not_told_is_asked_for_again_where_that_may_help(
    rows: Rows, timers: Timers, make: Make, error: SipsError, again: bool
) -> None:
    """What SIPS refuses waits for the next round."""
    rows.confirmed("c-1", "1")
    client = Listing()
    client.errors[CUSTOMER] = error

    _recorder, is_set = tick(make, timers, client, COMPARE, customer_ref(URL, CUSTOMER))

    assert again is is_set


def test_the_missed_facts_are_published_in_their_sequence(rows: Rows, store: Store, timers: Timers, make: Make) -> None:
    """By the timers that a comparison sets: status, delivery, invoice; then nothing is left to do."""
    rows.confirmed("c-1", "1")
    client, key = Listing(o1="Invoiced"), watch_key(URL, "1")
    client.deliveries = [{"orderId": 1, "shipmentNumber": 1, "deliveryStatus": "Completed"}]
    client.invoices = [{"invoiceNumber": "INV-1", "invoiceDate": "2026-01-15"}]
    tick(make, timers, client, COMPARE, customer_ref(URL, CUSTOMER))

    published: list[dict[str, Any]] = []
    for kind in (TELL, DELIVERIES, INVOICES, TELL):
        published += tick(make, timers, client, kind, key)[0].outcomes

    assert [
        (1, "sips.order.status_changed"),
        (2, "sips.delivery.status_changed"),
        (3, "sips.delivery.completed"),
        (4, "sips.invoice.issued"),
    ] == [(event["data"]["sequence"], event["type"]) for event in published]
    assert {} == timers.of(key)


@pytest.mark.parametrize(
    ("error", "is_awaited", "again"),
    [
        (NotFound("deliveryDetails", "not found", status=404), True, True),
        (NotFound("deliveryDetails", "not found", status=404), False, False),
        (PathUnconfirmed("deliveryDetails", "no such path", status=404), False, False),
        (ServerFault("deliveryDetails", "it failed", status=500), False, True),
    ],
)
def test_a_look_that_nobody_waits_for_ends_where_sips_has_nothing_to_show(
    rows: Rows, watches: Watches, timers: Timers, make: Make, error: SipsError, is_awaited: bool, again: bool
) -> None:
    """It would be made for ever."""
    watch = watches.open(of_order(rows.confirmed("c-1", "1")))
    if is_awaited:
        watches.subscribe(watch, [Subscription(Kind.DELIVERY, "crm", "t-1", 9e9)], 60.0)
    client = Listing()
    client.errors["deliveryDetails"] = error

    assert again is tick(make, timers, client, DELIVERIES, watch.key)[1]


def test_a_look_that_fails_ends_with_the_time_of_whoever_waits_for_it(
    rows: Rows, watches: Watches, timers: Timers, make: Make
) -> None:
    """A path that does not hold kept the watch alive for ever."""
    watch = watches.open(of_order(rows.confirmed("c-1", "1")))
    watches.subscribe(watch, [Subscription(Kind.DELIVERY, "crm", "t-1", watch.read_at - 1)], 60.0)
    client = Listing()
    client.errors["deliveryDetails"] = PathUnconfirmed("deliveryDetails", "no such path", status=404)

    _recorder, is_set = tick(make, timers, client, DELIVERIES, watch.key)

    (watch,) = watches.find_all([watch.key])
    assert (False, (), True) == (is_set, watch.subscriptions, watch.ended_at is not None)


def test_a_look_that_fails_ends_with_the_age_of_its_order(
    rows: Rows, store: Store, watches: Watches, timers: Timers, make: Make
) -> None:
    """Whatever SIPS answers for months is no news."""
    order = rows.confirmed("c-1", "1")
    aged(store, order, 61 * DAY)
    watch = watches.open(of_order(rows.again(order)))
    client = Listing()
    client.errors["invoicesList"] = ServerFault("invoicesList", "it failed", status=500)

    assert not tick(make, timers, client, INVOICES, watch.key)[1]
