"""Ask SIPS with requests, the way its documentation advises: one session per thread."""

from __future__ import annotations

import threading
from typing import Any

import requests

from tests.benchmarks.job import request
from tests.benchmarks.peers.surroundings import HEADERS, PRICES_URL

__all__ = ["ask"]

#: Seconds until a call is given up.
TIMEOUT = 15.0

_of_thread = threading.local()


def ask(command: dict[str, Any]) -> Any:
    """SIPS' answer to a command."""
    session = getattr(_of_thread, "session", None)
    if session is None:
        session = _of_thread.session = requests.Session()
    response = session.post(PRICES_URL, json=request(command), headers=HEADERS, timeout=TIMEOUT)
    response.raise_for_status()
    return response.json()
