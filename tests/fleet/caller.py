"""A process of a fleet: threads that call SIPS with the shared token, as they are told line by line on standard input.

Each line is a JSON object: `threads` that call at once, each `calls` times or for `seconds`, for a `customer`; or `anew`,
settings with which the process begins again without a token in its memory. Each is answered by one line.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.acceptance.conftest import example
from worker import __version__
from worker.ops import configure_logs, register_secret
from worker.settings import load
from worker.sips import Deadline, SipsClient, SipsError, Transport, make_token_source
from worker.store.engine import Store
from worker.store.tokens import Tokens


class Caller:
    """What a process of the fleet has, as the composition root of a worker makes it."""

    def __init__(self, **overrides: Any) -> None:
        settings = load(**overrides)
        secrets = [credentials.client_secret for credentials in settings.credentials()]
        configure_logs("json", environment="sandbox", version=__version__, secrets=secrets)
        self._store = Store(settings.database_url.get_secret_value())
        self._seconds = settings.sips_call_seconds
        self._transport = Transport(settings)
        tokens = make_token_source(settings, self._transport, storage=Tokens(self._store), learn=register_secret)
        self._client = SipsClient(settings, tokens, self._transport)

    def close(self) -> None:
        """Close what is open."""
        self._transport.close()
        self._store.close()

    def run(self, *, threads: int, calls: int = 0, seconds: float = 0.0, customer: str = "DEMO001") -> Counter[str]:
        """How often calls ended in what."""
        barrier, until = threading.Barrier(threads), time.monotonic() + seconds

        def call() -> Counter[str]:
            barrier.wait(60)
            ends: Counter[str] = Counter()
            left = calls
            while left > 0 or time.monotonic() < until:
                left -= 1
                ends[self._call(customer)] += 1
            return ends

        with ThreadPoolExecutor(threads) as pool:
            jobs = [pool.submit(call) for _ in range(threads)]
            return sum((job.result() for job in jobs), Counter())

    def _call(self, customer: str) -> str:
        request = example("productsV2Price.request") | {"customerCode": customer}
        try:
            self._client.call("productsV2Price", json=request, deadline=Deadline.after(self._seconds))
        except SipsError as error:
            return f"{error.code}: {error}"
        return "ok"


def main() -> None:
    """Until standard input ends."""
    caller = Caller()
    _say("ready")
    for line in sys.stdin:
        told = json.loads(line)
        if "anew" in told:
            caller.close()
            caller = Caller(**told["anew"])
            answer: Any = "ready"
        else:
            answer = dict(caller.run(**told))
        _say(answer)
    caller.close()


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps({"answer": answer}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
