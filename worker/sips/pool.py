"""The connections to one host: how they are opened, which the environment says, and those that are kept.

requests and urllib3 know the environment, TLS and proxies, and open the connections; what goes over them does not pass
through them again, as that costs more than all else that is done for a command.
"""

from __future__ import annotations

import weakref
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, prepend_scheme_if_needed, select_proxy
from urllib3 import PoolManager
from urllib3.connectionpool import port_by_scheme
from urllib3.exceptions import ClosedPoolError
from urllib3.util.ssl_ import create_urllib3_context
from urllib3.util.url import parse_url

from worker.settings import SettingsError
from worker.sips.connections import POOL_CLASSES

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from worker.sips.connections import Connection, Exchange

__all__ = ["ConnectionPool"]

#: Hosts that are never called through a proxy.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class ConnectionPool:
    """The connections to one host, for all threads; opens none before it is asked for one.

    Parameters:
        base_url: The address of the host.
        keep: How many idle connections of either kind are kept; more can be in use at the same time.

    Attributes:
        proxy: The address of the proxy; `None` where there is none.
        headers: What every request bears because of the way it goes: the host, and the proxy's credentials.

    Raises:
        SettingsError: The environment names a CA bundle that cannot be read, or a SOCKS proxy.
    """

    def __init__(self, base_url: str, *, keep: int) -> None:
        environment = _environment(base_url)
        self.proxy = _proxy(base_url, environment["proxies"])
        context = _tls_context(base_url, environment["verify"])
        if self.proxy is None:
            manager: Any = PoolManager(ssl_context=context)
        else:
            manager = HTTPAdapter().proxy_manager_for(self.proxy, ssl_context=context)
        manager.pool_classes_by_scheme = POOL_CLASSES
        self._opener = manager.connection_from_url(base_url)
        self._forwarded = self.proxy is not None and context is None
        self._origin_length = base_url.index("//") + 2 + len(urlsplit(base_url).netloc)
        self.headers = {"Host": _host(base_url), **(self._opener.proxy_headers if self._forwarded else {})}
        self._keep = keep
        # By whether they are always asked after: what a gateway sends that nobody wanted must never be an order's answer.
        self._idle: dict[bool, deque[Connection]] = {True: deque(), False: deque()}
        self._closed = False
        weakref.finalize(self, _close_all, self._idle)

    def target(self, url: str) -> str:
        """What the request for an address of the host asks for: the whole address only where a proxy forwards it."""
        return url if self._forwarded else url[self._origin_length :] or "/"

    def take(self, exchange: Exchange) -> Connection:
        """A connection that serves the exchange: the one that was used last, if not too long ago, or a fresh one.

        Raises:
            urllib3.exceptions.HTTPError: None can be opened, or the pool is closed.
            OSError: So too.
        """
        kept = self._idle[exchange.asks]
        while True:
            try:
                connection = kept.pop()
            except IndexError:
                break
            idle = connection.idle_seconds
            if idle < exchange.max_idle and (idle < exchange.unasked_idle or connection.is_connected):
                connection.serve(exchange)
                return connection
            connection.close()
        if self._closed:
            raise ClosedPoolError(self._opener, "the connections are closed")
        fresh: Connection = self._opener.open(exchange)
        return fresh

    def give_back(self, connection: Connection, exchange: Exchange) -> None:
        """Keep a connection whose answer to the exchange was read, where another request can be sent over it."""
        kept = self._idle[exchange.asks]
        if connection.rest() and len(kept) < self._keep:
            kept.append(connection)
        else:
            connection.close()
        if self._closed:
            _close_all(self._idle)

    def close(self) -> None:
        """Close the idle connections now, and those in use when they are given back."""
        self._closed = True
        _close_all(self._idle)


def _close_all(idle: dict[bool, deque[Connection]]) -> None:
    for connections in idle.values():
        while connections:
            connections.pop().close()


def _host(base_url: str) -> str:
    url = parse_url(base_url)
    return f"{url.host}" if url.port in {None, port_by_scheme.get(url.scheme or "")} else f"{url.host}:{url.port}"


def _environment(base_url: str) -> dict[str, Any]:
    """Proxies and CA bundle of the environment, as requests finds them."""
    with requests.Session() as session:
        return dict(session.merge_environment_settings(base_url, {}, None, None, None))


def _proxy(base_url: str, proxies: Mapping[str, str]) -> str | None:
    proxy = select_proxy(base_url, proxies)
    # A proxy for the outside world cannot reach the sandbox on this host, and NO_PROXY is easily forgotten.
    if proxy is None or urlsplit(base_url).hostname in LOOPBACK:
        return None
    if proxy.lower().startswith("socks"):
        raise SettingsError("SIPS cannot be called through a SOCKS proxy; unset it for this process or use an HTTP proxy")
    return str(prepend_scheme_if_needed(proxy, "http"))  # type: ignore[no-untyped-call]


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
