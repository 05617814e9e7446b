"""Resolve a host name and connect to it within a deadline.

A name look-up cannot be interrupted: with an unreachable name server it blocks for tens of seconds. So it runs in a
thread of its own, which is left behind when the deadline passes; callers that ask for the same name share one look-up.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from urllib3.util.connection import allowed_gai_family

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.sips.deadline import Deadline

__all__ = ["open_socket"]

#: What `socket.getaddrinfo` gives: family, kind, protocol, canonical name, address.
AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]

#: The look-ups that are under way.
_pending: dict[tuple[str, int], Future[list[AddressInfo]]] = {}
_pending_lock = threading.Lock()


def open_socket(host: str, port: int, deadline: Deadline, options: Iterable[tuple[int, int, int | bytes]]) -> socket.socket:
    """A connected socket; every address of the host gets an equal share of the time that is left.

    Raises:
        socket.gaierror: The name has no address.
        TimeoutError: The deadline passed.
        OSError: No address could be reached; the error of the last one.
    """
    addresses = _addresses(host.strip("[]"), port, deadline)
    failure = OSError(f"{host} has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(max(deadline.remaining() / (len(addresses) - tried), 0.001))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _addresses(host: str, port: int, deadline: Deadline) -> list[AddressInfo]:
    if _is_literal(host):
        return _resolve(host, port)
    try:
        return _shared_lookup(host, port).result(timeout=deadline.remaining())
    except TimeoutError:
        raise TimeoutError("the name look-up did not end in time") from None


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _resolve(host: str, port: int) -> list[AddressInfo]:
    return list(socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM))


def _shared_lookup(host: str, port: int) -> Future[list[AddressInfo]]:
    with _pending_lock:
        future = _pending.get((host, port))
        if future is None:
            future = _pending[host, port] = Future()
            threading.Thread(target=_look_up, args=(host, port, future), name="sips-lookup", daemon=True).start()
        return future


def _look_up(host: str, port: int, future: Future[list[AddressInfo]]) -> None:
    try:
        addresses = _resolve(host, port)
    except OSError as error:
        _forget(host, port)
        future.set_exception(error)
    except UnicodeError:
        _forget(host, port)
        future.set_exception(socket.gaierror(socket.EAI_NONAME, "no valid host name"))
    else:
        _forget(host, port)
        future.set_result(addresses)


def _forget(host: str, port: int) -> None:
    with _pending_lock:
        del _pending[host, port]
