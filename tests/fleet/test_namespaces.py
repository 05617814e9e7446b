"""The same in network namespaces of their own, as containers are: nothing is shared but SIPS and PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.databases import postgres_schema
from tests.fleet.conftest import SECRETS
from tests.fleet.processes import Process, Processes
from tests.proxy import Proxy
from worker.sandbox import Sandbox
from worker.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A network for tests (RFC 2544); each namespace gets four addresses of it, of which the first is ours.
NETWORK = "198.18.213"
NAMESPACES, THREADS = 2, 32


def ip(*arguments: str, pid: int | None = None) -> None:
    """Call iproute2, in the namespace of a process where one is given."""
    inside = ["nsenter", "--target", str(pid), "--net"] if pid else []
    subprocess.run([*inside, "ip", *arguments], check=True)


@contextlib.contextmanager
def link(number: int) -> Iterator[str]:
    """Our end of a link to a namespace, which is put into it later; it is gone at the end, and both ends with it."""
    ours, theirs, address = f"sips-{number}", f"sips-in-{number}", f"{NETWORK}.{4 * number + 1}"
    ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
    try:
        ip("address", "add", f"{address}/30", "dev", ours)
        ip("link", "set", ours, "up")
        yield address
    finally:
        subprocess.run(["ip", "link", "delete", ours], check=False, capture_output=True)  # it may have gone with the namespace


def join(number: int, pid: int) -> None:
    """Put the other end into the namespace of a process; it ends with that process."""
    theirs = f"sips-in-{number}"
    ip("link", "set", theirs, "netns", str(pid))
    ip("address", "add", f"{NETWORK}.{4 * number + 2}/30", "dev", theirs, pid=pid)
    ip("link", "set", theirs, "up", pid=pid)
    ip("route", "add", "default", "via", f"{NETWORK}.{4 * number + 1}", pid=pid)


@pytest.mark.soak
def test_two_network_namespaces_share_one_token(postgres_url: str) -> None:
    """Cold, and when SIPS forgets the token. Needs root and iproute2 (apt-get install iproute2), which make the namespaces."""
    with contextlib.ExitStack() as last_first:
        given = last_first.enter_context(postgres_schema(postgres_url))
        migrate(given)
        host, *_ = [last_first.enter_context(link(number)) for number in range(NAMESPACES)]
        sandbox = last_first.enter_context(Sandbox(host="0.0.0.0", credentials={"us": SECRETS[0]}))
        parts = urlsplit(given)
        proxy = last_first.enter_context(Proxy((parts.hostname or "", parts.port or 0), host))
        settings = {
            "SIPS_BASE_URL": f"http://{host}:{urlsplit(sandbox.url).port}",
            "SIPS_CLIENT_ID": "us",
            "SIPS_CLIENT_SECRET": SECRETS[0],
            "SIPS_TOKEN_MIN_AGE_SECONDS": "0",
            "DATABASE_URL": given.replace(f"{parts.hostname}:{parts.port}", f"{host}:{proxy.port}"),
        }
        fleet = Processes([Process(settings, "unshare", "--net", "--") for _ in range(NAMESPACES)])
        last_first.callback(fleet.close)
        for number, process in enumerate(fleet.all):
            join(number, process.process.pid)

        cold = fleet.run(threads=THREADS, calls=1)
        first = sandbox._state.stats()["tokensIssued"]
        sandbox._state._tokens.clear()
        refused = fleet.run(threads=THREADS, calls=1)

        assert ({"ok": NAMESPACES * THREADS}, {"ok": NAMESPACES * THREADS}) == (cold, refused)
        assert (1, 2) == (first, sandbox._state.stats()["tokensIssued"])
    figures = {"proof": "namespaces", "namespaces": NAMESPACES, "calls": sum((cold + refused).values()), "tokens": 2}
    print(json.dumps(figures))  # noqa: T201 - the figures of the proof
