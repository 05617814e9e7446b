"""A hundred thousand watches at a quarter of an hour: one worker looks at all of them, with less than half a core."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert

from tests.acceptance.conftest import FAST
from tests.acceptance.test_load import Installation
from tests.acceptance.test_outage import processor_seconds
from tests.acceptance.test_process import consuming
from tests.amqp import EventTap, count, eventually, forget_the_store
from tests.databases import postgres_schema
from worker.local.stack import Worker
from worker.messaging.topology import WATCHES
from worker.store import schema
from worker.store.engine import Store
from worker.store.migrate import migrate
from worker.store.timers import Timers
from worker.store.watched import customer_ref, watch_key
from worker.store.watches import DELIVERIES, ORDERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Watched orders; each has its deliveries watched as well, so there are twice as many watches.
FEW, MANY = 500, 50_000

#: Orders of one customer.
TOGETHER = 100

#: Seconds between two looks, and those in which looks are counted.
INTERVAL, COUNTED = 900.0, 60.0

#: Rows that are written at a time.
BATCH = 5_000


class Answers(http.server.BaseHTTPRequestHandler):
    """A SIPS that has every order, each still on its way today."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    counts: Counter[str]

    def do_GET(self) -> None:
        """The deliveries of an order."""
        self.counts["deliveries"] += 1
        day = datetime.now(UTC).date().isoformat()
        self._answer({"deliveryList": [{"shipmentNumber": 1, "deliveryStatus": "Pending", "expectedDeliveryDate": day}]})

    def do_POST(self) -> None:
        """A token, or the orders of a customer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/orders/List":
            self._answer({"token_type": "Bearer", "expires_in": 86_400, "access_token": "t0ken"})
            return
        self.counts["lists"] += 1
        first = int(json.loads(body)["customerNumber"].removeprefix("C")) * TOGETHER
        orders = [{"orderId": 40_000_000 + number, "orderStatus": "Open"} for number in range(first, first + TOGETHER)]
        self._answer({"orderList": orders})

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_line: Any) -> None:
        """Nothing."""


@pytest.fixture
def sips() -> Iterator[tuple[str, Counter[str]]]:
    """Its address, and what it was asked."""
    counts: Counter[str] = Counter()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Counting", (Answers,), {"counts": counts})) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", counts
        server.shutdown()


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> Iterator[dict[int, str]]:
    """An empty store of a kind for each number of orders."""
    if request.param == "sqlite":
        yield {number: f"sqlite:///{shutil.copy(migrated_file, tmp_path / f'{number}.db')}" for number in (FEW, MANY)}
        return
    url = request.getfixturevalue("postgres_url")
    with postgres_schema(url) as first, postgres_schema(url) as second:
        for each in (first, second):
            migrate(each)
        yield {FEW: first, MANY: second}


def fill(url: str, base_url: str, number: int) -> None:
    """So many orders in the middle of being watched: looks are spread over the interval, those of a customer made together."""
    now = time.time()
    with closing(Store(url)) as store:
        for first in range(0, number, BATCH):
            rows: dict[str, list[dict[str, Any]]] = {"watches": [], "subscriptions": [], "timers": []}
            for order in range(first, min(first + BATCH, number)):
                customer, order_id = f"C{order // TOGETHER}", str(40_000_000 + order)
                key, due = watch_key(base_url, order_id), now + INTERVAL * ((order // TOGETHER) * TOGETHER / number)
                watch: dict[str, Any] = {
                    "key": key,
                    "base_url": base_url,
                    "order_id": order_id,
                    "customer_code": customer,
                    "po_number": "",
                }
                watch |= {"envelope": "{}", "sequence": 1, "status": "Open", "status_seen_at": now - INTERVAL, "due": due}
                rows["watches"].append(watch | {"created_at": now - 86_400})
                for kind in ("order", "delivery"):
                    wanted = {"key": key, "kind": kind, "source": "shop", "command_id": "c", "until": now + 86_400}
                    rows["subscriptions"].append(wanted | {"interval": INTERVAL, "created_at": now})
                timer: dict[str, Any] = {"kind": DELIVERIES, "ref": key, "due": now + INTERVAL * order / number, "claims": 0}
                rows["timers"].append(timer)
                if order % TOGETHER == 0:
                    rows["timers"].append(timer | {"kind": ORDERS, "ref": customer_ref(base_url, customer), "due": due})
            with store.write() as connection:
                for table, values in rows.items():
                    connection.execute(insert(schema.metadata.tables[table]), values)


def caught_up(url: str, amqp_url: str) -> bool:
    """Whether no look has been due for long, and none of those that were waits for a thread."""
    with closing(Store(url)) as store:
        return Timers(store).late(2.0)[0] == 0 and count(amqp_url, WATCHES) == 0


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_hundred_thousand_watches_cost_less_than_half_a_core(
    private_url: str, databases: dict[int, str], sips: tuple[str, Counter[str]], tmp_path: Path
) -> None:
    """All that is due is looked at, and the memory is that of a thousand."""
    base_url, counts = sips
    cores, mebibytes = {}, {}
    for number, url in databases.items():
        forget_the_store(private_url)
        fill(url, base_url, number)
        settings = FAST | {"AMQP_URL": private_url, "SIPS_BASE_URL": base_url, "DATABASE_URL": url}
        with Worker(f"worker-{number}", tmp_path, settings) as worker, EventTap(private_url) as tap:
            consuming(worker)
            installation = Installation(private_url, worker, tap)
            eventually(partial(caught_up, url, private_url), "what became due while the worker started was looked at")
            counts.clear()
            before, started = processor_seconds(installation.pid), time.monotonic()
            time.sleep(COUNTED)
            seconds = time.monotonic() - started
            cores[number] = (processor_seconds(installation.pid) - before) / seconds
            mebibytes[number] = installation.mebibytes()
            looked = dict(counts)
            with closing(Store(url)) as store:
                late, _longest = Timers(store).late(5.0)
    expected = {"deliveries": MANY * seconds / INTERVAL, "lists": MANY / TOGETHER * seconds / INTERVAL}
    figures = {
        "proof": "watches",
        "database": databases[MANY].partition(":")[0],
        "watches": {"few": 2 * FEW, "many": 2 * MANY},
        "cores": {"few": round(cores[FEW], 3), "many": round(cores[MANY], 3)},
        "mebibytes": {"few": round(mebibytes[FEW], 1), "many": round(mebibytes[MANY], 1)},
        "looks": looked,
        "looks_expected": {name: round(value) for name, value in expected.items()},
        "late": late,
    }
    print(json.dumps(figures))  # noqa: T201 - the figures of the proof
    assert figures["late"] == 0
    assert all(looked[name] > 0.9 * value for name, value in expected.items())
    assert cores[MANY] < 0.5
    assert mebibytes[MANY] < mebibytes[FEW] + 8
