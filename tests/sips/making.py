"""Settings, requests and deadlines for the tests of the SIPS client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from worker.settings import Settings
from worker.sips.deadline import Deadline
from worker.sips.errors import SipsError
from worker.sips.operations import OPERATIONS
from worker.sips.transport import Request, Transport

if TYPE_CHECKING:
    from tests.sips.servers import Server
    from worker.sips.answers import Answer
    from worker.sips.operations import Operation

#: A call that changes something, and one that reads.
SUBMIT = OPERATIONS["ordersV2Submit"]
LIST = OPERATIONS["ordersList"]

#: The body of a submit, as far as a server in these tests looks at it.
ORDER = b'{"customerCode": "DEMO001"}'

SECRET = "secret-that-must-not-show"


def settings(url: str, **others: Any) -> Settings:
    """Settings for a server at `url`, whatever the environment says."""
    values = {"sips_base_url": url, "sips_client_id": "client-1", "sips_client_secret": SECRET, "threads": 4, **others}
    return Settings(_env_file=None, sips_environment="sandbox", **values)


def transport(url: str, **others: Any) -> Transport:
    """The connections to a server at `url`."""
    return Transport(settings(url), **others)


def request(url: str, path: str, body: bytes | None = b"{}") -> Request:
    """A request to a server at `url`."""
    return Request("POST", url + path, {"Content-Type": "application/json", "Accept": "application/json"}, body)


def ample() -> Deadline:
    """A deadline that no test should meet."""
    return Deadline.after(30)


def send(client: Transport, operation: Operation = SUBMIT, *, body: bytes | None = ORDER, seconds: float = 30) -> Answer:
    """Send one request for an operation."""
    return client.send(operation, request(client.base_url, operation.path, body), Deadline.after(seconds))


def failure(server: Server, operation: Operation = SUBMIT, *, body: bytes | None = ORDER, seconds: float = 30) -> SipsError:
    """The error that one request to a server ends with."""
    client = transport(server.url, max_answer_bytes=100_000)
    try:
        with pytest.raises(SipsError) as caught:
            send(client, operation, body=body, seconds=seconds)
    finally:
        client.close()
    return caught.value
