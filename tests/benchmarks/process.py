"""A process that is measured with all that it starts: CPU time, memory, and when it began. Linux only."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from worker.local.processes import GuardedProcess
from worker.local.stack import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MeasuredProcess", "Memory", "family", "processor_seconds"]

ROOT = Path(__file__).parent.parent.parent

TICKS = os.sysconf("SC_CLK_TCK")

#: How the names of settings for proxies begin.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

#: Seconds for the guard to have started what it guards.
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the largest process: resident, and with what it shares with others counted in part; in MiB."""

    rss: float
    pss: float


class MeasuredProcess:
    """A program that ends with its owner, however that ends; its output goes to a file.

    Args:
        name: of the log.
        command: the program and its arguments.
        environment: what it gets beside that of this process, which it inherits as from a shell: requests, for one, looks
            through all of it for each call. What would lead its calls elsewhere is left out.
        folder: where it runs.
    """

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN + PROXIES)}
        self._guarded = GuardedProcess(command, inherited | {"PYTHONPATH": str(ROOT)} | dict(environment), folder, self.log)
        self.pid = self._first_child()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """SIGTERM, and wait until it has ended."""
        self._guarded.stop()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._guarded.is_running()

    def started_at(self) -> float:
        """When it began, on the clock of `time.clock_gettime(time.CLOCK_BOOTTIME)`."""
        return int(_stat(self.pid)[19]) / TICKS

    def processor_seconds(self) -> float:
        """CPU time, user and system, of it and all that it has started."""
        return processor_seconds(self.pid)

    def memory(self) -> Memory:
        """Of its largest process."""
        return max((_memory(pid) for pid in family(self.pid)), key=lambda memory: memory.rss)

    def _first_child(self) -> int:
        guard, deadline = self._guarded._guard.pid, time.monotonic() + START_SECONDS
        while not (children := family(guard)[1:]):
            if not self.is_running or time.monotonic() > deadline:
                raise OSError(f"{self.name} did not start; its log is {self.log}")
            time.sleep(0.001)
        return children[0]


def family(pid: int) -> list[int]:
    """A process and all its descendants that run now, it first."""
    parents = {int(entry.name): _parent(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found = [pid]
    for member in found:
        found += sorted(child for child, parent in parents.items() if parent == member)
    return found


def processor_seconds(pid: int) -> float:
    """CPU time of a process and its descendants, also of those that have ended and were waited for."""
    return sum(sum(map(int, _stat(member)[11:15])) for member in family(pid)) / TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, see proc(5); zeros for a process that has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return ["0"] * 50


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _memory(pid: int) -> Memory:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.endswith("kB")}
    return Memory(kib["Rss"] / 1024, kib["Pss"] / 1024)
