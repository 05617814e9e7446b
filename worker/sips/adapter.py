"""Fit requests to one host: what the environment says of proxy and CA bundle is read once, and the pool is found once.

requests reads the environment and parses the address for every call, which is half of what a call of it costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3.util.ssl_ import create_urllib3_context

from worker.settings import SettingsError
from worker.sips.connections import POOL_CLASSES

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

__all__ = ["Adapter"]

#: Hosts that are never called through a proxy.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Adapter(HTTPAdapter):
    """requests' adapter for one host, over connections that report what they wrote.

    Parameters:
        base_url: The address of the host.
        connections: How many idle connections are kept; more can be open at the same time.

    Attributes:
        proxies: To be passed to `send`.

    Raises:
        SettingsError: The environment names a CA bundle that cannot be read, or a SOCKS proxy.
    """

    def __init__(self, base_url: str, *, connections: int) -> None:
        environment = _environment(base_url)
        self.proxies = _proxies(base_url, environment["proxies"])
        self._context = _tls_context(base_url, environment["verify"])
        self._pool: Any = None
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools for a direct connection."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOL_CLASSES

    def proxy_manager_for(self, proxy: Any, **proxy_kwargs: Any) -> Any:
        """The pools for connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = POOL_CLASSES
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """The pool's key: with the one context a fresh connection does not load the CA bundle again (some 20 ms)."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The pool: there is one, because there is one host and its proxy is settled."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def close(self) -> None:
        """Close the idle connections; requests would leave that to the garbage collector."""
        super().close()
        if self._pool is not None:
            self._pool.close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the verification to the context."""

    def request_url(self, request: Any, proxies: Any) -> str:
        """The request's target, which is the whole address only where a proxy forwards it."""
        return super().request_url(request, proxies) if proxies else str(request.path_url)

    def build_response(self, _request: Any, resp: Any) -> requests.Response:
        """The response without what is never looked at: cookies, encoding, the request."""
        response = requests.Response()
        response.status_code, response.headers, response.raw = resp.status, resp.headers, resp
        return response


def _environment(base_url: str) -> dict[str, Any]:
    """Proxies and CA bundle of the environment, as requests finds them."""
    with requests.Session() as session:
        return dict(session.merge_environment_settings(base_url, {}, None, None, None))


def _proxies(base_url: str, proxies: Mapping[str, str]) -> dict[str, str]:
    proxy = select_proxy(base_url, proxies)
    # A proxy for the outside world cannot reach the sandbox on this host, and NO_PROXY is easily forgotten.
    if proxy is None or urlsplit(base_url).hostname in LOOPBACK:
        return {}
    if proxy.lower().startswith("socks"):
        raise SettingsError("SIPS cannot be called through a SOCKS proxy; unset it for this process or use an HTTP proxy")
    return {urlsplit(base_url).scheme: proxy}


def _tls_context(base_url: str, verify: bool | str) -> ssl.SSLContext | None:
    if urlsplit(base_url).scheme != "https":
        return None
    bundle = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
    context = create_urllib3_context()
    try:
        if Path(bundle).is_dir():
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    except OSError as error:
        raise SettingsError(
            f"the CA bundle {bundle} cannot be read ({type(error).__name__}); check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"
        ) from None
    return context
