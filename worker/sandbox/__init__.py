"""A stand-in for SIPS, written from its description alone, with faults that can be switched on."""

from __future__ import annotations

import json
import signal
import sys

from worker.sandbox.server import Sandbox
from worker.settings import SettingsError

__all__ = ["Sandbox", "serve"]


def serve(host: str, port: int, control_port: int) -> None:
    """Run a sandbox until SIGTERM or SIGINT; says in one JSON line where it listens.

    Raises:
        SettingsError: it cannot listen there.
    """
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    sandbox = Sandbox(host, port, control_port)
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
