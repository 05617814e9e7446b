"""What the tests of the SIPS client share."""

from __future__ import annotations

import os

import pytest

from tests.sips.servers import CERTIFICATE


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
