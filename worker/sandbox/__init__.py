"""A stand-in for SIPS, written from its description alone, with faults that can be switched on."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

from worker.sandbox.server import Live, Sandbox
from worker.sandbox.webhooks import Receiver
from worker.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Live", "Receiver", "Sandbox", "serve"]


def serve(
    host: str,
    port: int,
    control_port: int,
    *,
    credentials: Mapping[str, str] | None = None,
    seed: int | None = None,
    live: Live | None = None,
) -> None:
    """Run a sandbox until SIGTERM or SIGINT; says in one JSON line where it listens.

    `credentials`, `seed` and `live` as in `Sandbox`.

    Raises:
        SettingsError: it cannot listen there.
    """
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    sandbox = Sandbox(host, port, control_port, credentials=credentials, seed=seed, live=live)
    try:
        sandbox.start()
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"the sandbox cannot listen on {host}, ports {port} and {control_port} ({error}); "
            "choose others with --port and --control-port"
        ) from None
    with sandbox:
        ready = {"event": "sandbox ready", "url": sandbox.url, "control_url": sandbox.control_url}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        signal.sigwait(signals)
