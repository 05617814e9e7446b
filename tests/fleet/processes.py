"""Processes that share a token, as a test handles them."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.amqp import eventually
from worker.local.stack import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parent.parent.parent


class Process:
    """One `tests.fleet.caller`, started by another command where one is given; what it writes is kept."""

    def __init__(self, settings: Mapping[str, str], *before: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "tests.fleet.caller"],
            cwd=ROOT,
            env=inherited | dict(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def tell(self, **told: Any) -> None:
        """Have it do something."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """What it came to."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith('{"answer"'):
                return json.loads(line)["answer"]
        raise AssertionError(f"the process ended: {''.join(self.said[-20:])}")

    def close(self) -> None:
        """End it."""
        with self.process:
            self.process.kill()


class Processes:
    """Several of them, which are told the same.

    Attributes:
        calls: how all calls ended, by the first word.
        failed_at: when the first of them failed.
        longest: seconds that the longest took.
    """

    def __init__(self, processes: Sequence[Process]) -> None:
        self.all = list(processes)
        for process in self.all:
            process.answer()
        self.forget_calls()

    def forget_calls(self) -> None:
        """Begin to count anew."""
        self.calls: Counter[str] = Counter()
        self.failed_at, self.longest = math.inf, 0.0

    def anew(self, **settings: Any) -> None:
        """Begin again, without a token in any memory."""
        self._tell(anew=settings)
        for process in self.all:
            process.answer()

    def run(self, **told: Any) -> Counter[str]:
        """Have each make calls, all at once; how they ended, in all processes together."""
        self._tell(**told)
        return sum((self.ends(process) for process in self.all), Counter())

    @contextlib.contextmanager
    def load(self, **told: Any) -> Iterator[Counter[str]]:
        """The same for as long as a block is carried out; how the calls ended is known after it."""
        ends: Counter[str] = Counter()
        self._tell(**told)
        try:
            yield ends
        finally:
            self._tell(stop=True)
            for process in self.all:
                ends.update(self.ends(process))

    def go_on(self) -> None:
        """Wait under load until each thread of each process has begun another call and ended it."""
        for process, before in [(process, self._progress(process)) for process in self.all]:
            eventually(functools.partial(self._went_on, process, before), "every thread calls again")

    def ends(self, process: Process) -> Counter[str]:
        """How the calls of a process ended."""
        answer = process.answer()
        ends = Counter(answer["ends"])
        for end, number in ends.items():
            self.calls[end.partition(":")[0]] += number
        self.failed_at, self.longest = min(self.failed_at, answer["failed_at"]), max(self.longest, answer["longest"])
        return ends

    def close(self) -> None:
        """End all of them."""
        for process in self.all:
            process.close()

    def _tell(self, **told: Any) -> None:
        for process in self.all:
            process.tell(**told)

    def _progress(self, process: Process) -> list[int]:
        process.tell(progress=True)
        progress: list[int] = process.answer()
        return progress

    def _went_on(self, process: Process, before: list[int]) -> bool:
        # The call that was under way may have begun too early.
        return all(now >= then + 2 for now, then in zip(self._progress(process), before, strict=True))
