"""A process of a fleet: threads that call SIPS with the shared token, as they are told line by line on standard input.

A line is a JSON object. `threads` that call at once, for a `customer`: each so many `calls`, or without an end until a line
with `stop`; they are answered when they are done. `progress`: how many calls each of them has made by now. `anew`: settings
with which the process begins again without a token in its memory. Each but `stop` is answered by one line.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import threading
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.acceptance.conftest import example
from worker import __version__
from worker.ops import configure_logs, register_secret
from worker.settings import load
from worker.sips import Deadline, SipsClient, SipsError, Transport, make_token_source
from worker.store.engine import Store
from worker.store.postgresql import LimitedConnection
from worker.store.tokens import Tokens


class Load:
    """What the calls of some threads came to.

    Attributes:
        progress: calls that each thread has made.
        ends: how often calls ended in what.
        failures: one exception of each kind, in full.
        failed_at: when the first one came, by the clock that all processes of a host have in common.
        longest: seconds that the longest call took.
    """

    def __init__(self, threads: int) -> None:
        self.progress = [0] * threads
        self.ends: Counter[str] = Counter()
        self.failures: dict[str, str] = {}
        self.failed_at = math.inf
        self.longest = 0.0
        self._lock = threading.Lock()

    def ended(self, thread: int, seconds: float, error: SipsError | None) -> None:
        """A call ended now."""
        with self._lock:
            self.progress[thread] += 1
            self.longest = max(self.longest, seconds)
            self.ends["ok" if error is None else f"{error.code}: {error}"] += 1
            if error is not None:
                self.failed_at = min(self.failed_at, time.monotonic())
                told = "".join(traceback.format_exception(error))
                self.failures.setdefault(error.code, f"{error!r} {vars(error)} {told}")

    def told(self) -> dict[str, Any]:
        """All but the progress."""
        return {name: getattr(self, name) for name in ("ends", "failures", "failed_at", "longest")}


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
        self.load = Load(0)
        self.stop = threading.Event()

    def close(self) -> None:
        """Close what is open."""
        self._transport.close()
        self._store.close()

    def run(self, *, threads: int, calls: float = math.inf, customer: str = "DEMO001") -> None:
        """Make calls until each thread has made so many, or until the stop."""
        barrier, load = threading.Barrier(threads), self.load

        def go(thread: int) -> None:
            barrier.wait(60)
            while load.progress[thread] < calls and not self.stop.is_set():
                started, error = time.monotonic(), self._call(customer)
                load.ended(thread, time.monotonic() - started, error)

        with ThreadPoolExecutor(threads) as pool:
            for job in [pool.submit(go, thread) for thread in range(threads)]:
                job.result()

    def _call(self, customer: str) -> SipsError | None:
        request = example("productsV2Price.request") | {"customerCode": customer}
        try:
            self._client.call("productsV2Price", json=request, deadline=Deadline.after(self._seconds))
        except SipsError as error:
            return error
        return None


def main() -> None:
    """Until standard input ends."""
    LimitedConnection.limit = float(os.environ.get("STORE_ANSWER_SECONDS", LimitedConnection.limit))
    caller = Caller()
    _say("ready")
    for line in sys.stdin:
        told = json.loads(line)
        if "stop" in told:
            caller.stop.set()
        elif "progress" in told:
            _say(caller.load.progress)
        elif "anew" in told:
            caller.close()
            caller = Caller(**told["anew"])
            _say("ready")
        else:
            caller.load = Load(told["threads"])
            caller.stop.clear()
            threading.Thread(target=_run, args=(caller, told), daemon=True).start()
    caller.close()


def _run(caller: Caller, told: dict[str, Any]) -> None:
    try:
        caller.run(**told)
    except BaseException:  # noqa: BLE001 - somebody waits for the answer
        traceback.print_exc()
        os._exit(1)
    _say(caller.load.told())


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps({"answer": answer}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
