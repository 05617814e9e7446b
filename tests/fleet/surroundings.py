"""Where a fleet lives: on one host around a file or a server, or in network namespaces, as containers do.

Those share nothing but SIPS and PostgreSQL. They need root, iproute2 and util-linux (apt-get install iproute2 util-linux).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.databases import postgres_schema
from tests.proxy import Proxy
from worker.store.engine import Store
from worker.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

NAMESPACES = 2

#: Names of links are known to the whole host, and no longer than 15 characters.
LINK = f"sips{os.getpid()}"

#: A network for tests (RFC 2544); each namespace gets four addresses of it, of which the first is ours.
NETWORK = f"198.18.{os.getpid() % 256}"


@dataclass
class Surroundings:
    """What a fleet finds.

    Attributes:
        url: of the store, as it is here.
        settings: with the store as the processes find it.
        hanging: has the store answer nothing for the time of a block.
        away: has it refuse connections for the time of a block; a file does not go away.
        host: the address of ours under which the processes find SIPS.
        places: what a process is started with, in each place.
    """

    url: str
    settings: dict[str, str]
    hanging: Callable[[], AbstractContextManager[object]]
    away: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
    host: str = "127.0.0.1"
    places: Sequence[Sequence[str]] = field(default=((),))


@contextlib.contextmanager
def around_sqlite(file: Path) -> Iterator[Surroundings]:
    """A migrated file; it hangs while somebody else writes."""
    url = f"sqlite:///{file}"
    with closing(Store(url)) as other:
        yield Surroundings(url, {"DATABASE_URL": url}, other.write)


@contextlib.contextmanager
def around_postgresql(
    server: str, host: str = "127.0.0.1", places: Sequence[Sequence[str]] = ((),), **settings: str
) -> Iterator[Surroundings]:
    """A schema of a server's, behind a proxy; further settings are for the processes."""
    with postgres_schema(server) as url:
        migrate(url)
        proxy, through = Proxy.of(url, host)
        with proxy:
            yield Surroundings(url, settings | {"DATABASE_URL": through}, proxy.hanging, proxy.away, host, places)


@contextlib.contextmanager
def in_namespaces(server: str) -> Iterator[Surroundings]:
    """The same from two network namespaces."""
    with ExitStack() as last_first:
        entries = [last_first.enter_context(_namespace(number)) for number in range(NAMESPACES)]
        yield last_first.enter_context(around_postgresql(server, f"{NETWORK}.1", entries))


@contextlib.contextmanager
def _namespace(number: int) -> Iterator[list[str]]:
    """What starts a process in a network namespace of its own, from which ours is reached; it ends with its processes."""
    ours, theirs, first = f"{LINK}-{number}", f"{LINK}i{number}", 4 * number
    asleep = ["unshare", "--net", "--", "sh", "-c", "echo; exec cat"]  # until we are gone
    with subprocess.Popen(asleep, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline(), "a network namespace cannot be made; it needs root"
        entry = ["nsenter", "--target", str(holder.pid), "--net", "--"]
        _run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", str(holder.pid))
        try:
            _run("ip", "address", "add", f"{NETWORK}.{first + 1}/30", "dev", ours)
            _run("ip", "link", "set", ours, "up")
            _run(*entry, "ip", "address", "add", f"{NETWORK}.{first + 2}/30", "dev", theirs)
            _run(*entry, "ip", "link", "set", theirs, "up")
            _run(*entry, "ip", "route", "add", "default", "via", f"{NETWORK}.{first + 1}")
            yield entry
        finally:
            _run("ip", "link", "delete", ours)  # both ends, at once; with the namespace they would go some time later


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
