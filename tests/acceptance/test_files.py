"""Documents and lists that are too large for an event: kept in a folder, and opened by whoever is told where."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import settings_of
from tests.acceptance.test_process import children
from tests.amqp import forget_the_store
from worker.local.stack import Worker
from worker.sandbox.files import MIB, pdf, proofs
from worker.sandbox.products import product_list
from worker.sandbox.state import EXAMPLE_ORDER_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Sandbox

#: Times for tens of MiB on a busy machine.
AMPLE = {"SIPS_CALL_SECONDS": "30", "HANDLER_SECONDS": "40", "GRACE_SECONDS": "45", "LEASE_SECONDS": "50"}

CATALOG, PRODUCTS, INVOICE = "sips.product.catalog", "sips.branch.products", "sips.invoice.pdf"

#: An invoice that the sandbox has.
NUMBER = "0019073403-001"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing of it."""

    def log_message(self, *_arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for blobs."""
    return tmp_path_factory.mktemp("blobs")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[str]:
    """The address where the folder can be read."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def bulk_worker(
    shared_url: str,
    sandbox_process: Sandbox,
    database_url: str,
    folder: Path,
    served: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Worker]:
    """A worker with a folder."""
    forget_the_store(shared_url)
    settings = settings_of(shared_url, sandbox_process, database_url) | AMPLE
    settings |= {"BLOB_FOLDER": str(folder), "BLOB_BASE_URL": served}
    with Worker("worker", tmp_path_factory.mktemp("worker"), settings, "--queues", "bulk") as started:
        yield started


def result_of(outcome: dict[str, Any]) -> dict[str, Any]:
    """The result of a command that succeeded."""
    assert outcome["type"].endswith(".succeeded"), outcome
    result: dict[str, Any] = outcome["data"]["result"]
    return result


def fetched(address: str) -> tuple[str, bytes]:
    """The media type and the bytes at an address."""
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read()


def memory(pid: int, name: str) -> float:
    """MiB of resident memory of a process: `VmRSS` now, `VmHWM` at most since `forget_peak`."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def forget_peak(pid: int) -> None:
    """Begin anew with the most memory that a process had (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


@pytest.mark.usefixtures("bulk_worker")
def test_files_are_inline_while_they_are_small_and_referenced_beyond(
    sandbox: Sandbox, folder: Path, client: CommandClient, tap: EventTap
) -> None:
    """A document and a list; both forms tell size and hash of the same bytes, and the body is not told twice."""
    small, large = pdf(f"Invoice {NUMBER}", 0), pdf(f"Invoice {NUMBER}", 2)

    outcome = tap.outcome(client.publish(INVOICE, {"invoiceNumber": NUMBER}))
    (document,) = result_of(outcome)["documents"]
    assert (NUMBER, []) == (result_of(outcome)["invoiceNumber"], result_of(outcome)["links"])
    assert (True, small, None, None) == (
        document["inline"],
        base64.b64decode(document["data"]),
        document["dataref"],
        document["availableUntil"],
    )
    assert {"status": 200, "body": None, "bodyOmitted": "the documents stand in result"} == outcome["data"]["sips"]
    assert [] == list(folder.iterdir())

    sandbox.set_faults(large={"mib": 2})
    (document,) = result_of(tap.outcome(client.publish(INVOICE, {"invoiceNumber": NUMBER})))["documents"]
    assert (False, None, len(large), hashlib.sha256(large).hexdigest(), "application/pdf") == (
        document["inline"],
        document["data"],
        document["size"],
        document["sha256"],
        document["mediaType"],
    )
    assert ("application/pdf", large) == fetched(document["dataref"])
    until = datetime.fromisoformat(document["availableUntil"])
    assert timedelta(days=6, hours=23) < until - datetime.now(UTC) < timedelta(days=7)

    result = result_of(tap.outcome(client.publish(PRODUCTS, {"branchCode": "BRRIV"})))
    media_type, products = fetched(result["dataref"])
    assert ("application/json", product_list(2)) == (media_type, products)
    assert (len(json.loads(products)), len(products)) == (result["count"], result["size"])

    outcome = tap.outcome(client.publish("sips.delivery.proof", {"orderId": EXAMPLE_ORDER_ID}))
    (link,) = proofs(int(EXAMPLE_ORDER_ID))["documents"]
    assert [link | {"fetched": False}] == result_of(outcome)["links"]
    assert proofs(int(EXAMPLE_ORDER_ID)) == outcome["data"]["sips"]["body"]


def test_a_catalogue_of_50_mib_costs_a_worker_less_than_20_mib(
    bulk_worker: Worker, sandbox: Sandbox, folder: Path, client: CommandClient, tap: EventTap
) -> None:
    """Of resident memory at its peak, over what it had before."""
    tap.outcome(client.publish("sips.delivery.proof", {"orderId": EXAMPLE_ORDER_ID}))
    sandbox.set_faults(large={"mib": 50})
    (working,) = children(bulk_worker.process.pid)
    before = memory(working, "VmRSS")
    forget_peak(working)

    result = result_of(tap.outcome(client.publish(CATALOG, {}), patience=60))

    rise = memory(working, "VmHWM") - before
    figures = {"proof": "catalogue", "mib": round(result["size"] / MIB, 1), "mib_of_memory": round(rise, 1)}
    print(json.dumps(figures))  # noqa: T201 - the figures of the proof
    assert 50 * MIB <= result["size"]
    assert 0 < rise < 20
    with (folder / result["dataref"].rpartition("/")[2]).open("rb") as opened:
        assert result["sha256"] == hashlib.file_digest(opened, "sha256").hexdigest()
