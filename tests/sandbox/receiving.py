"""A receiver of webhooks over real HTTP, with nothing of the receiver under test."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Received:
    """One call as it came; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiving:
    """Takes webhooks and answers with the given statuses, then with 200."""

    def __init__(self, statuses: Iterable[int] = ()) -> None:
        self.calls: list[Received] = []
        coming = iter(statuses)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(handler) -> None:  # noqa: N805 - the library's name; `self` is the receiver
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.calls.append(Received(handler.path, {name.lower(): value for name, value in handler.headers.items()}, body))
                handler.send_response(next(coming, 200))
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(handler, *_arguments: object) -> None:  # noqa: N805 - as above
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hooks/made-up"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)
