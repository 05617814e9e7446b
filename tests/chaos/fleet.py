"""Workers that are started again when they end, as a container platform does; and which of their processes sends what."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from worker.local.stack import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from worker.local.stack import Sandbox

__all__ = ["BrokenWorker", "Fleet"]

#: Seconds between two looks whether a worker has ended.
LOOK_SECONDS = 0.1

#: Seconds to wait for an order under way before a process is killed that sends none.
SENDER_SECONDS = 4.0

#: Seconds for a worker to end after SIGTERM.
END_SECONDS = 60.0

#: State of an established connection in /proc/net/tcp.
ESTABLISHED = "01"


class BrokenWorker(Worker):
    """`sips-worker run` without one of its protections; see `tests.chaos.broken`."""

    module = "tests.chaos.broken"


class Fleet:
    """Keeps `size` workers running, in a thread of its own.

    Args:
        make: a worker that was not started yet, by its number.
        size: how many.
        sandbox: whom they ask.
    """

    def __init__(self, make: Callable[[int], Worker], size: int, sandbox: Sandbox) -> None:
        self._make = make
        self._sandbox = sandbox
        self._lock = threading.Lock()
        self._made = 0
        self._workers = [self._new() for _ in range(size)]
        #: Orders that were under way in a process when it was killed, by PO number.
        self.crashed: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, name="fleet", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def kill_sender(self, chance: Random) -> str:
        """SIGKILL the process with most orders under way; its master ends too, and another worker takes its place."""
        deadline = time.monotonic() + SENDER_SECONDS
        while True:
            sending = self._sending()
            victim = max(sending, key=lambda pid: len(sending[pid]), default=None)
            if (victim is not None and sending[victim]) or time.monotonic() > deadline:
                break
            time.sleep(LOOK_SECONDS)
        if victim is None:
            return "no process to kill"
        if not sending[victim]:
            victim = chance.choice(list(sending))
        os.kill(victim, signal.SIGKILL)
        self.crashed |= sending[victim]
        return f"{len(sending[victim])} orders under way"

    def kill_process(self, chance: Random) -> bool:
        """SIGKILL one of the processes that carry out commands; its master ends too. Whether there was one."""
        with self._lock:
            masters = [worker.process.pid for worker in self._workers]
        pids = [pid for master in masters for pid in _children(master)]
        if pids:
            os.kill(chance.choice(pids), signal.SIGKILL)
        return bool(pids)

    def kill_master(self, chance: Random) -> str:
        """SIGKILL a worker's first process; its children end by themselves."""
        self._choose(chance).signal(signal.SIGKILL)
        return ""

    def terminate(self, chance: Random) -> str:
        """SIGTERM, as in a rolling restart."""
        self._choose(chance).signal(signal.SIGTERM)
        return ""

    def stop(self) -> list[int]:
        """Stop every worker in good order; their exit statuses."""
        self._stopped.set()
        self._thread.join()
        workers = self._workers
        for worker in workers:
            if worker.process.poll() is None:
                worker.signal(signal.SIGTERM)
        return [worker.wait(END_SECONDS) for worker in workers]

    def _choose(self, chance: Random) -> Worker:
        with self._lock:
            return chance.choice(self._workers)

    def _new(self) -> Worker:
        self._made += 1
        return self._make(self._made).start()

    def _keep_running(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            with self._lock:
                self._workers = [worker if worker.process.poll() is None else self._new() for worker in self._workers]

    def _sending(self) -> dict[int, set[str]]:
        """Process id to the PO numbers of the orders that SIPS has from it and has not answered yet."""
        with self._lock:
            masters = [worker.process.pid for worker in self._workers]
        port = int(self._sandbox.url.rsplit(":", 1)[1])
        ports = {pid: _ports_to(port, pid) for master in masters for pid in _children(master)}
        open_orders = [order for order in self._sandbox.orders() if not order["answered"]]
        return {pid: {order["poNumber"] for order in open_orders if order["clientPort"] in own} for pid, own in ports.items()}


def _children(pid: int) -> list[int]:
    """The processes that a process has started; none where it has ended."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    return []


def _ports_to(port: int, pid: int) -> set[int]:
    """The local ports of a process's established connections to a loopback port; none where it has ended."""
    with contextlib.suppress(OSError):
        own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
        return {local for inode, local in _connections_to(port) if f"socket:[{inode}]" in own}
    return set()


def _connections_to(port: int) -> list[tuple[str, int]]:
    """Inode and local port of each established connection to a loopback port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return [(row[9], _port(row[1])) for row in rows if row[3] == ESTABLISHED and _port(row[2]) == port]


def _port(address: str) -> int:
    return int(address.rsplit(":", 1)[1], 16)
