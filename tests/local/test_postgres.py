"""A private cluster against the real PostgreSQL of this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.local.waiting import is_alive, listens, wait_until
from worker.local import postgres as postgres_module
from worker.local import processes, programs
from worker.local.postgres import PostgresCluster, PostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: An owner that starts a cluster, says what makes it up, and then waits to be killed.
OWNER = """
import json, sys
from worker.local.postgres import PostgresCluster
cluster = PostgresCluster().start()
print(json.dumps({"folder": str(cluster.folder), "port": cluster.port}), flush=True)
sys.stdin.read()
"""


def server_pid(folder: Path) -> int:
    """The process id that the server itself wrote."""
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    """A cluster whose first choice of a port was taken by another process meanwhile."""
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as taken:
        choices = [[taken.getsockname()[1]], processes.free_ports(1)]
        patch.setattr(postgres_module, "free_ports", lambda _count: choices.pop(0))
        started = PostgresCluster().start()
    yield started
    started.close()


@pytest.fixture
def connection(cluster: PostgresCluster) -> Iterator[psycopg.Connection]:
    """A connection to the cluster."""
    with psycopg.connect(cluster.start().url, autocommit=True) as opened:
        yield opened


def show(connection: psycopg.Connection, setting: str) -> str:
    """A setting of the server."""
    row = connection.execute(f"SHOW {setting}".encode()).fetchone()
    assert row
    return str(row[0])


def test_a_cluster_is_durable_and_keeps_to_loopback(cluster: PostgresCluster, connection: psycopg.Connection) -> None:
    """Commits are synced to the disk; only this host can connect, and only with the password."""
    assert ("on", "on") == (show(connection, "fsync"), show(connection, "synchronous_commit"))
    assert ("127.0.0.1", "") == (show(connection, "listen_addresses"), show(connection, "unix_socket_directories"))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(cluster.url.replace("sips:", "sips:wrong"))


def test_a_server_does_not_run_as_root(cluster: PostgresCluster, connection: psycopg.Connection) -> None:
    """Where we are root, its processes belong to somebody else; elsewhere to us."""
    folder = Path(show(connection, "data_directory"))
    assert cluster.folder / "data" == folder
    assert (os.geteuid() == 0) == (folder.stat().st_uid != os.geteuid())


@pytest.mark.parametrize("crash", [False, True])
def test_a_restart_keeps_the_address_and_what_was_committed(
    cluster: PostgresCluster, connection: psycopg.Connection, crash: bool
) -> None:
    """After a restart, and after a crash in the middle of a transaction, clients are cut off and find what they committed."""
    url, pid = cluster.url, server_pid(cluster.folder)
    connection.execute("DROP TABLE IF EXISTS kept")
    connection.execute("CREATE TABLE kept (name text)")
    connection.execute("INSERT INTO kept VALUES ('committed')")
    with psycopg.connect(url) as open_transaction:
        open_transaction.execute("INSERT INTO kept VALUES ('not committed')")
        if crash:
            cluster.kill()
            assert not is_alive(pid)
            assert not listens(cluster.port)
            cluster.stop()
            cluster.start()
        else:
            cluster.restart()
        with pytest.raises(psycopg.OperationalError):
            open_transaction.execute("SELECT 1")

    assert url == cluster.url
    assert pid != server_pid(cluster.folder)
    with psycopg.connect(url) as again:
        assert [("committed",)] == again.execute("SELECT name FROM kept").fetchall()


def test_a_killed_cluster_leaves_no_process(cluster: PostgresCluster, connection: psycopg.Connection) -> None:
    """The process that serves a client goes as well, although it is in a process group of its own."""
    backend = connection.info.backend_pid
    assert is_alive(backend)
    cluster.kill()
    wait_until(lambda: not is_alive(backend), "the client's process to go")


def test_a_start_waits_for_what_a_crash_has_left(cluster: PostgresCluster, connection: psycopg.Connection) -> None:
    """A process of the crashed server that lives on delays the next start: PostgreSQL would refuse it."""
    backend = connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    cluster.kill()
    with ThreadPoolExecutor() as threads:
        start = threads.submit(cluster.start)
        wait([start], timeout=1)
        os.kill(backend, signal.SIGKILL)
        start.result()
    assert listens(cluster.port)


def test_a_cluster_ends_when_its_owner_is_killed() -> None:
    """After SIGKILL of the process that started it, the server and its folder go."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        said = json.loads(owner.stdout.readline())
        folder = Path(said["folder"])
        pid = server_pid(folder)
        assert listens(said["port"])

        owner.kill()

        wait_until(lambda: not is_alive(pid) and not folder.exists(), "the server and its folder to go")
        wait_until(lambda: not listens(said["port"]), "the port to be closed")


def test_a_closed_cluster_leaves_no_folder() -> None:
    """The end of the context removes the data."""
    with PostgresCluster() as started:
        folder = started.folder
        assert folder.is_dir()
    assert not folder.exists()


def test_a_cluster_that_does_not_come_up_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error ends with what the server printed, and the log it names is kept."""
    for name, script in (("initdb", "exit 0"), ("postgres", "echo cannot read the stars; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(postgres_module, "server_user", lambda: None)  # another user may not look into our folder
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with pytest.raises(PostgresError, match=r"ended before it answered(?s:.*)\ncannot read the stars$") as error:
        PostgresCluster().start()

    (log,) = tmp_path.glob("sips-postgres-*/server.log")
    assert str(log) in str(error.value)


def test_a_refused_initdb_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error holds what `initdb` printed."""
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(postgres_module, "server_user", lambda: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(PostgresError, match=r"initdb could not make .*:\nno room"):
        PostgresCluster().start()


def test_a_machine_without_postgresql_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server there is one message that names the ways out."""
    monkeypatch.setattr(programs, "POSTGRESQL_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PostgresError, match=r"python -m worker\.local\.install postgresql.*DATABASE_URL"):
        PostgresCluster()
