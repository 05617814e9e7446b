"""What a private PostgreSQL cluster is, and how its data are made."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CONFIGURATION", "Cluster", "PostgresError", "environment", "make", "server_user"]

#: Seconds for `initdb`; it takes less than one.
MAKE_SECONDS = 60.0

#: The superuser of the cluster, and the database that exists from the start.
USER, DATABASE = "sips", "postgres"

#: Users to run as where we are root, which PostgreSQL refuses.
UNPRIVILEGED = ("postgres", "nobody")

#: Beside the port. A cluster proves durability, so `fsync` stays on; loopback only, and no socket outside of its folder.
CONFIGURATION = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "fsync": "on",
    "log_min_messages": "warning",
}


class PostgresError(Exception):
    """A private cluster cannot be had, or did not start; the text says what to look at."""


@dataclass(frozen=True)
class Cluster:
    """What makes one cluster this one: its folder, its port and the password of its superuser."""

    folder: Path
    port: int
    password: str = field(repr=False)

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The file that takes what its processes print."""
        return self.folder / "server.log"

    @property
    def lock(self) -> Path:
        """The file that is locked as long as any of its processes lives."""
        return self.folder / "lock"

    @property
    def url(self) -> str:
        """Its first database, as a superuser."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"


def server_user() -> pwd.struct_passwd | None:
    """The user to run as where we are root, else None.

    Raises:
        PostgresError: There is nobody to run as.
    """
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresError(f"PostgreSQL does not run as root, and there is no user {' or '.join(UNPRIVILEGED)} here")


def make(initdb: Path, folder: Path, password: str, user: pwd.struct_passwd | None) -> None:
    """Run `initdb` as `user`. It need not sync: what is committed later is.

    Raises:
        PostgresError: It failed; the text holds what it printed.
    """
    secret = folder / "password"
    secret.write_text(password, encoding="ascii")
    if user:
        for path in (folder, secret):
            os.chown(path, user.pw_uid, user.pw_gid)
    options = ["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--username={USER}"]
    done = subprocess.run(  # noqa: S603 - initdb with our own arguments
        [str(initdb), *options, f"--pwfile={secret}", f"--pgdata={folder / 'data'}"],
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=MAKE_SECONDS,
        check=False,
    )
    secret.unlink()
    if done.returncode:
        raise PostgresError(f"initdb could not make a private cluster in {folder}:\n{done.stdout}{done.stderr}")


def environment(folder: Path) -> dict[str, str]:
    """No variable of the user's takes part; PG* would."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(folder), "TZ": "UTC"}
