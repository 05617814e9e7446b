"""The real RabbitMQ and PostgreSQL that the tests share, and what they need around them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import hypothesis
import pika
import pytest
import structlog

from tests.amqp import purge
from tests.databases import empty, postgres_schema
from tests.sandbox import recording
from worker.local import stack
from worker.local.postgres import PostgresCluster
from worker.local.rabbitmq import RabbitMQNode
from worker.main import make_topology
from worker.messaging.connection import parameters
from worker.sandbox import Sandbox
from worker.settings import Settings
from worker.store.engine import Store
from worker.store.migrate import migrate
from worker.store.postgresql import SCHEMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: A busy machine makes no example wrong.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _structlog_as_imported() -> Iterator[None]:
    """What a command line run inside of a test configures does not reach the next test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True, scope="session")
def _requests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where every sandbox, of this process or in one of its own, writes down what it is asked."""
    file = tmp_path_factory.mktemp("requests") / "asked"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(recording.FILE, str(file))
        patch.setattr(stack.Sandbox, "module", recording.__name__)
        patch.setattr(Sandbox, "_answer_sips", recording.answer_recorded)
        yield file


@pytest.fixture(autouse=True)
def _every_request_is_described(request: pytest.FixtureRequest, _requests: Path) -> Iterator[None]:
    """No test has SIPS asked for what its description has not, unless it is marked `undescribed`."""
    yield
    asked = recording.take(_requests)
    if asked and not request.node.get_closest_marker("undescribed"):
        assert [] == recording.problems(asked)


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine's takes part, and the folder has no `.env`."""
    names = {field.upper() for field in Settings.model_fields}
    for name in list(os.environ):
        if name.upper() in names or name.upper().startswith("SIPS_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def node() -> Iterator[RabbitMQNode]:
    """A private RabbitMQ that a test may restart or alarm; it leaves it running and unalarmed."""
    with RabbitMQNode() as started:
        yield started


@pytest.fixture(scope="session")
def shared_url(request: pytest.FixtureRequest) -> str:
    """The RabbitMQ of `AMQP_URL` where it is set, else the private one; the topology is declared."""
    url = os.environ.get("AMQP_URL") or request.getfixturevalue("node").url
    connection = pika.BlockingConnection(parameters(url, name="tests", heartbeat=60))
    make_topology().declare(connection.channel())
    connection.close()
    return url


@pytest.fixture
def amqp_url(shared_url: str) -> str:
    """A RabbitMQ with the whole topology and no message in it."""
    purge(shared_url)
    return shared_url


@pytest.fixture
def private_url(node: RabbitMQNode) -> str:
    """The same on the private node, for tests that take it down."""
    connection = pika.BlockingConnection(parameters(node.url, name="tests", heartbeat=60))
    make_topology().declare(connection.channel())
    connection.close()
    purge(node.url)
    return node.url


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """A private PostgreSQL that a test may stop; it leaves it running."""
    with PostgresCluster() as started:
        yield started


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """The PostgreSQL of `DATABASE_URL` where it is set, else the private one; tests make schemas of their own in it."""
    given = os.environ.get("DATABASE_URL", "")
    return given if given.startswith(SCHEMES) else str(request.getfixturevalue("postgres").url)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """On each kind of database, one that was never migrated."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
    else:
        with postgres_schema(request.getfixturevalue("postgres_url")) as url:
            yield url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("store") / "migrated.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_schema(postgres_url: str) -> Iterator[str]:
    """A migrated schema to empty before each use."""
    with postgres_schema(postgres_url) as url:
        migrate(url)
        yield url


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """A migrated SQLite store without a row."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'store.db')}"


@pytest.fixture
def postgresql_url(migrated_schema: str) -> str:
    """A migrated PostgreSQL store without a row."""
    empty(migrated_schema)
    return migrated_schema


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """On each kind of database, a migrated store without a row."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """The same, opened."""
    opened = Store(store_url)
    yield opened
    opened.close()


@pytest.fixture
def stoppable_url(postgres: PostgresCluster) -> Iterator[str]:
    """A migrated store in the private PostgreSQL, for tests that take it down."""
    with postgres_schema(postgres.start().url) as url:
        migrate(url)
        yield url
        postgres.start()
