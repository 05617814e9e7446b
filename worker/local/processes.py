"""A server that ends when this process ends, however that happens, and ports for it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from worker.local import guard

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["GuardedProcess", "free_ports", "is_free"]

#: Below the range from which systems pick ports for outgoing connections (Linux 32768, macOS 49152): a port that was
#: free a moment ago is not taken by a connection of anybody's before the server binds it.
SERVER_PORTS = range(20_000, 32_000)

#: Seconds beyond the guard's own patience before the guard itself is given up.
GUARD_SECONDS = guard.STOP_SECONDS + 10.0


class GuardedProcess:
    """One running server, started at once; its output goes to a file.

    Args:
        command: The program and its arguments. It must stay in the foreground.
        environment: Its whole environment; nothing is inherited.
        folder: Where it runs; deleted if this process dies without stopping it.
        log: The file that its output is appended to.
        stop_signal: What asks it to stop.
    """

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        folder: Path,
        log: Path,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        isolated = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(folder), str(int(stop_signal))]
        with log.open("ab") as output:
            self._guard = subprocess.Popen(  # noqa: S603 - our own guard, and what the caller starts
                [*isolated, *command],
                stdin=subprocess.PIPE,
                bufsize=0,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        """Whether the server has neither ended by itself nor been ended."""
        return self._guard.poll() is None

    def stop(self) -> None:
        """Ask the server to stop and wait until it has; kill it if it takes longer than `guard.STOP_SECONDS`."""
        self._order(guard.STOP)

    def kill(self) -> None:
        """Kill the server as a crash would and wait until it is gone."""
        self._order(guard.KILL)

    def _order(self, order: bytes) -> None:
        assert self._guard.stdin is not None  # noqa: S101 - opened above
        if not self._guard.stdin.closed:
            with contextlib.suppress(BrokenPipeError), self._guard.stdin as orders:  # broken: it has ended by itself
                orders.write(order)
        self._guard.wait(GUARD_SECONDS)


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nothing listens on now; another process may still take one first."""
    found: list[int] = []
    for port in random.sample(SERVER_PORTS, len(SERVER_PORTS)):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"only {len(found)} of the ports {SERVER_PORTS.start}-{SERVER_PORTS.stop - 1} on 127.0.0.1 are free")


def is_free(port: int) -> bool:
    """Whether nothing listens on this loopback port."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still winding down counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
