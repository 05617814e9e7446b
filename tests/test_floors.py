"""Imports go down only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.floors import FLOORS, NAMES, modules, part_of, violations
from worker import sips
from worker.messaging import topology

ROOT = Path(__file__).parent.parent
MODULES = modules(ROOT)


def test_imports_go_down_only() -> None:
    """In every module, also where an import is for annotations only or stands inside a function."""
    found = [
        line
        for module, file in MODULES.items()
        for line in violations(module, file.read_text(encoding="utf-8"), MODULES, is_package=file.name == "__init__.py")
    ]

    assert [] == found
    assert {"worker", "worker.main", "worker.cli.demo.command", "worker.messaging.topology", "handlers.orders"} <= set(MODULES)


def test_the_floors_lead_down_only() -> None:
    """No part may import one that stands above it: the table is in order, and so no two can import each other."""
    order = list(FLOORS)

    assert [] == [(part, other) for part, others in FLOORS.items() for other in others if order.index(other) <= order.index(part)]


def test_the_siblings_may_not_import_each_other() -> None:
    """Nor anything above them, so that each can be understood and tested alone."""
    siblings = [f"worker.{name}" for name in ("messaging", "sips", "store", "blobs", "webhook", "ops", "client")]

    for part in siblings:
        assert {"worker", "worker.settings", "worker.nesting", "worker.seldom"} >= set(FLOORS[part])
    assert (("worker.settings",), ("worker.settings",), ()) == (
        FLOORS["worker.sandbox"],
        FLOORS["worker.local"],
        FLOORS["worker.settings"],
    )


def test_a_handler_sees_queue_names_and_the_front_door_of_sips() -> None:
    """Names that exist; none of what makes connections and tokens."""
    queues = NAMES["handlers", "worker.messaging"]["worker.messaging.topology"]
    front_door = NAMES["handlers", "worker.sips"]["worker.sips"]
    assert queues is not None
    assert front_door is not None

    assert set(topology.WORK_QUEUES) == {getattr(topology, name) for name in queues}
    assert set(sips.__all__) > front_door
    assert not [name for name in front_door if "Token" in name or name in {"SipsClient", "Transport", "Grant"}]


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("worker.sips.client", "from worker.messaging import topology", ["worker.sips.client imports worker.messaging.topology"]),
        ("worker.sips.client", "import worker.messaging.broker", ["worker.sips.client imports worker.messaging.broker"]),
        ("worker.messaging.broker", "import worker.sips.client as c", ["worker.messaging.broker imports worker.sips.client"]),
        (
            "worker.ops.logs",
            "if TYPE_CHECKING:\n    from worker.client import CommandClient",
            ["worker.ops.logs imports worker.client"],
        ),
        ("worker.ops.logs", "def late():\n    from worker import main", ["worker.ops.logs imports worker.main"]),
        ("worker.sandbox.routes", "from worker.sips.models import X", ["worker.sandbox.routes imports worker.sips.models"]),
        ("worker.sandbox.routes", "from worker import __version__", ["worker.sandbox.routes imports worker"]),
        ("worker.settings", "from worker import __version__", ["worker.settings imports worker"]),
        ("worker.runtime.pipeline", "from handlers import orders", ["worker.runtime.pipeline imports handlers.orders"]),
        ("worker.main", "from worker.cli import run", ["worker.main imports worker.cli.run"]),
        ("worker.store.ledger", "import worker.runtime", ["worker.store.ledger imports worker.runtime"]),
        ("worker.store.ledger", "from worker.sips import errors", ["worker.store.ledger imports worker.sips.errors"]),
        ("worker.store.ledger", "from worker.ops import text", ["worker.store.ledger imports worker.ops.text"]),
        ("worker.sips.client", "from worker.store.ledger import X", ["worker.sips.client imports worker.store.ledger"]),
        ("worker.sips.client", "from worker.blobs import BlobError", ["worker.sips.client imports worker.blobs"]),
        ("handlers.bulk", "from worker.blobs import BlobStore", ["handlers.bulk imports worker.blobs"]),
        ("worker.messaging.redrive", "from worker.store import engine", ["worker.messaging.redrive imports worker.store.engine"]),
        ("handlers.orders", "from worker.store.ledger import X", ["handlers.orders imports worker.store.ledger"]),
        ("handlers.orders", "from worker.ops import text", ["handlers.orders imports worker.ops.text"]),
        ("handlers.orders", "from worker.settings import load", ["handlers.orders imports worker.settings"]),
        (
            "handlers.orders",
            "from worker.messaging import gate",
            ["handlers.orders imports worker.messaging.gate"],
        ),
        (
            "handlers.orders",
            "from worker.messaging.topology import ORDERS, Topology",
            ["handlers.orders imports Topology of worker.messaging.topology"],
        ),
        (
            "handlers.orders",
            "import worker.messaging.topology",
            ["handlers.orders imports all of worker.messaging.topology"],
        ),
        (
            "handlers.orders",
            "from worker.sips import Sips, Grant",
            ["handlers.orders imports Grant of worker.sips"],
        ),
        ("handlers.orders", "from worker.sips import token", ["handlers.orders imports worker.sips.token"]),
        ("worker.sips.client", "from ..messaging import broker", ["worker.sips.client imports worker.messaging.broker"]),
        ("worker.sips", "from ..messaging.broker import X", ["worker.sips imports worker.messaging.broker"]),
        ("worker.new.thing", "", ["worker.new.thing stands on no floor"]),
        ("worker.sips.client", "import requests\nfrom worker import settings, __version__\nfrom . import errors", []),
        ("worker.sips", "from . import errors\nfrom .client import Sips", []),
        ("worker.cli.run", "from worker.main import check\nfrom worker.sandbox import serve", []),
        ("handlers", "from handlers import orders", []),
        ("handlers.orders", "from worker.sips.models import OrderRow\nfrom worker.runtime import submission", []),
        ("worker.runtime.lookup", "from worker.store.ledger import X\nfrom worker.ops import text", []),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str, found: list[str]) -> None:
    """In every way to write one; what is allowed is not."""
    assert found == violations(module, source, MODULES, is_package=module in {"worker.sips", "handlers"})


def test_every_folder_has_its_floor() -> None:
    """A new one is put into the table before anything is put into it."""
    assert [] == [module for module in MODULES if part_of(module) is None]
