"""What the tests of the SIPS client share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.sips.fleet import Clock, Endpoint, Fleet
from tests.sips.servers import CERTIFICATE

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_proxy_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a proxy or an own CA bundle; the tests set their own where they need one."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"}:
            monkeypatch.delenv(name)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate of the TLS servers is trusted."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))


@pytest.fixture
def endpoint() -> Endpoint:
    """A token endpoint."""
    return Endpoint()


@pytest.fixture
def fleet(sqlite_url: str, endpoint: Endpoint) -> Iterator[Fleet]:
    """Processes around an empty store."""
    fleet = Fleet(sqlite_url, endpoint)
    with capture_logs():
        yield fleet
    for store in fleet.stores:
        store.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the token managers."""
    return Clock(monkeypatch)
