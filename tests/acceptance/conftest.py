"""A sandbox and a worker for each module, with times shortened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.amqp import EventTap, forget_the_store
from worker.client import CommandClient
from worker.local.stack import Sandbox, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = Path(__file__).parent.parent / "data" / "sips"

#: The source of the commands that the tests publish.
SOURCE = "tests"

FAST = {
    "THREADS": "8",
    "AMQP_HEARTBEAT": "2",
    "RETRY_ATTEMPTS": "3",
    "RETRY_BASE_SECONDS": "0.5",
    "RETRY_MAX_SECONDS": "1",
    "UNKNOWN_TYPE_SECONDS": "[1]",
    "SIPS_CALL_SECONDS": "3",
    "HANDLER_SECONDS": "6",
    "GRACE_SECONDS": "8",
    "LEASE_SECONDS": "9",
    "LOOK_SECONDS": "[0.5, 0.5, 1]",
    "ABSENCE_SECONDS": "4",
    "ABSENCE_AFTER_TROUBLE_SECONDS": "2",
    "PUBLISH_SECONDS": "3",
    "MAX_MESSAGE_BYTES": "1000000",
    "LOG_FORMAT": "json",
}


def example(name: str) -> Any:
    """A documented example of SIPS."""
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The stand-in for SIPS."""
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Iterator[Sandbox]:
    """The stand-in without faults."""
    sandbox_process.set_faults()
    yield sandbox_process
    sandbox_process.set_faults()


def settings_of(url: str, sandbox: Sandbox, database_url: str) -> dict[str, str]:
    """The shortened settings for this RabbitMQ, this sandbox and this store."""
    return FAST | {"AMQP_URL": url, "SIPS_BASE_URL": sandbox.url, "DATABASE_URL": database_url}


@pytest.fixture
def make_worker(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start workers with settings of one's own and a store in common; each is stopped at the end of the test."""
    workers: list[Worker] = []

    def make(url: str, *options: str, **settings: str) -> Worker:
        name = f"worker-{len(workers) + 1}"
        workers.append(Worker(name, tmp_path, settings_of(url, sandbox, sqlite_url) | settings, *options))
        return workers[-1].start()

    yield make
    for worker in workers:
        worker.stop()


@pytest.fixture(scope="module")
def database_url(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The store of the module's worker; a module may bring its own."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path_factory.mktemp('database') / 'store.db')}"


@pytest.fixture(scope="module")
def worker(
    shared_url: str, sandbox_process: Sandbox, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """One worker for the whole module."""
    forget_the_store(shared_url)
    settings = settings_of(shared_url, sandbox_process, database_url)
    with Worker("worker", tmp_path_factory.mktemp("worker"), settings) as started:
        yield started


@pytest.fixture
def tap(amqp_url: str) -> Iterator[EventTap]:
    """Every event of the test."""
    with EventTap(amqp_url) as started:
        yield started


@pytest.fixture
def client(amqp_url: str) -> Iterator[CommandClient]:
    """Publishes commands."""
    with CommandClient(amqp_url, source=SOURCE) as opened:
        yield opened
