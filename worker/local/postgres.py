"""A private PostgreSQL cluster: on loopback, in a temporary folder, gone when its owner is gone."""

from __future__ import annotations

import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import psycopg

from worker.local import become, programs
from worker.local.cluster import CONFIGURATION, Cluster, PostgresError, environment, make, server_user
from worker.local.processes import GuardedProcess, free_ports, is_free

__all__ = ["PostgresCluster", "PostgresError"]

#: Seconds for a cluster to answer; it takes a fraction of one.
START_SECONDS = 60.0

#: Seconds between two looks whether the cluster answers.
LOOK_SECONDS = 0.02

#: Seconds for whoever listens on our port to answer: another process that took it may not answer at all.
CONNECT_SECONDS = 2

#: Starts with a new port, if another process takes ours between the choice and the bind.
PORT_ATTEMPTS = 3

#: Lines of the log that an error shows.
LOG_LINES = 25


class PostgresCluster:
    """One private cluster; several can run side by side.

    As a context manager it is started and, at the end, stopped and its folder deleted. If the process that made it
    dies, however that happens, the cluster's processes and folder are removed within seconds.

    Raises:
        PostgresError: PostgreSQL's server is not installed.
    """

    def __init__(self) -> None:
        found = programs.find_postgresql()
        if found is None:
            raise PostgresError(
                "there is no PostgreSQL server on this machine: run `python -m worker.local.install postgresql`, or set "
                "DATABASE_URL to a database that may be written to"
            )
        self._programs = found
        self._user = server_user()
        self._cluster: Cluster | None = None
        self._server: GuardedProcess | None = None

    @property
    def url(self) -> str:
        """The address of its first database, as a superuser; it stays the same across restarts."""
        return self._started.url

    @property
    def folder(self) -> Path:
        """Where its data and its log lie."""
        return self._started.folder

    @property
    def port(self) -> int:
        """The loopback port that it listens on."""
        return self._started.port

    def start(self) -> Self:
        """Start the cluster and wait until it answers; after `stop` or `kill`, with the same port and data.

        Raises:
            PostgresError: It did not come up; the text ends with the log, and the log stays where it is.
        """
        if self._cluster is None:
            self._start_new()
        elif self._server is None or not self._server.is_running():
            self._start(self._cluster)
        return self

    def stop(self) -> None:
        """Stop the cluster in good order, cutting its clients off; its data stay. Does nothing if it does not run."""
        self._end(kill=False)

    def kill(self) -> None:
        """End the server as a crash would; `start` brings it back. Its clients' processes find out for themselves, at once."""
        self._end(kill=True)

    def restart(self) -> None:
        """Stop the cluster and start it again with the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the cluster and delete its folder."""
        self.stop()
        if self._cluster:
            shutil.rmtree(self._cluster.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _started(self) -> Cluster:
        if self._cluster is None:
            raise PostgresError("the private PostgreSQL has not been started; call start() first")
        return self._cluster

    def _start_new(self) -> None:
        """Make a cluster and start it; on another port if one was taken between the choice and the bind."""
        folder, password = Path(tempfile.mkdtemp(prefix="sips-postgres-")), secrets.token_hex(16)
        try:
            make(self._programs / "initdb", folder, password, self._user)
            for attempt in range(1, PORT_ATTEMPTS + 1):
                self._cluster = Cluster(folder, free_ports(1)[0], password)
                try:
                    return self._start(self._cluster)
                except PostgresError:
                    if attempt == PORT_ATTEMPTS or is_free(self._cluster.port):
                        raise
        except PostgresError:
            self._cluster = None
            raise  # and keep the log
        except BaseException:
            self._cluster = None
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _start(self, cluster: Cluster) -> None:
        self._end(kill=False)  # what a crash of the server has left
        user = f"{self._user.pw_uid}:{self._user.pw_gid}" if self._user else ""
        settings = CONFIGURATION | {"port": str(cluster.port)}
        command = [
            *(sys.executable, "-I", "-S", become.__file__, user, str(cluster.lock)),
            *(str(self._programs / "postgres"), "-D", str(cluster.data)),
            *(option for name, value in settings.items() for option in ("-c", f"{name}={value}")),
        ]
        try:
            self._server = GuardedProcess(
                command, environment(cluster.folder), cluster.folder, cluster.log, stop_signal=signal.SIGINT
            )
            self._await_answer(cluster, self._server)
        except BaseException:
            self._end(kill=False)
            raise

    def _end(self, *, kill: bool) -> None:
        if self._server:
            (self._server.kill if kill else self._server.stop)()
            self._server = None

    def _await_answer(self, cluster: Cluster, server: GuardedProcess) -> None:
        deadline = time.monotonic() + START_SECONDS
        while server.is_running():
            try:
                psycopg.connect(cluster.url, connect_timeout=CONNECT_SECONDS).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise _start_error(cluster, f"did not answer within {START_SECONDS:.0f} s ({error})") from None
                time.sleep(LOOK_SECONDS)
            else:
                return  # nobody else has this password
        raise _start_error(cluster, "ended before it answered")


def _start_error(cluster: Cluster, what: str) -> PostgresError:
    log = cluster.log.read_text(encoding="utf-8", errors="replace") if cluster.log.exists() else ""
    tail = "\n".join(log.splitlines()[-LOG_LINES:])
    return PostgresError(f"the private PostgreSQL {what}; its log is {cluster.log} and ends:\n{tail}")
