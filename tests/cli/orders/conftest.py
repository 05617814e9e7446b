"""A store of its own for each test, a sandbox, and the command line in this process."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests

from tests.orders import Rows, empty_store, orders_url, payload
from worker.cli import main
from worker.local.stack import FOREIGN
from worker.sandbox import Sandbox
from worker.settings import Settings
from worker.sips import Deadline, Sips, SipsClient
from worker.store.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.store.engine import Store
    from worker.store.orders import Order

#: Nothing listens there.
NOBODY = "amqp://guest:guest@127.0.0.1:1/%2F"


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    def squeezed(self) -> str:
        """What was printed, with every run of white space as one space."""
        return " ".join(self.out.split())


class CommandLine:
    """Runs `sips-worker` in this process, with no settings but those given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: dict[str, str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.settings = settings

    def run(self, *arguments: str, **settings: str) -> Done:
        """Run a command to its end."""
        for name, value in (self.settings | settings).items():
            self._monkeypatch.setenv(name, value)
        self._monkeypatch.setattr("sys.argv", ["sips-worker", *arguments])
        self._capsys.readouterr()  # what the test itself has logged
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return Done(int(ended.value.code or 0), out, err)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A stand-in for SIPS without an order."""
    with Sandbox() as started:
        yield started


def set_faults(sandbox: Sandbox, **faults: Any) -> None:
    """Replace the sandbox's faults."""
    requests.put(f"{sandbox.control_url}/_sandbox/faults", json=faults, timeout=10).raise_for_status()


def place(sandbox: Sandbox, order: Order, **changes: Any) -> str:
    """Let SIPS have the order, as if its answer had been lost; SIPS' order id."""
    settings = Settings(_env_file=None, sips_base_url=sandbox.url)
    own = {"transactionID": order.transaction_id, "transactionDate": order.transaction_date, "sourceSystem": "US"}
    body = payload(order.po_number) | own | {"accountNumber": order.customer_code} | changes
    body["poDetails"] |= {"orderDate": datetime.now(UTC).date().isoformat()}
    return str(Sips(SipsClient(settings), Deadline.after(30)).call("ordersV2Submit", json=body).body["orderID"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with empty_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def ledger(store: Store) -> Ledger:
    """The ledger of the store."""
    return Ledger(store)


@pytest.fixture
def rows(ledger: Ledger, sandbox: Sandbox) -> Rows:
    """Makes orders that were sent to the sandbox, as far as the ledger knows."""
    return Rows(ledger, sandbox.url)


@pytest.fixture
def sips_worker(
    store: Store,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> CommandLine:
    """The command line, with this store and this sandbox, and no RabbitMQ."""
    for name in os.environ:
        if name.upper().startswith(FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # where no `.env` is found
    settings = {"DATABASE_URL": orders_url(tmp_path), "SIPS_BASE_URL": sandbox.url, "AMQP_URL": NOBODY, "PUBLISH_SECONDS": "2"}
    return CommandLine(monkeypatch, capsys, settings)
