"""Processes that share a token, as a test handles them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.local.stack import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parent.parent.parent


class Process:
    """One `tests.fleet.caller`; what it writes is kept."""

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
    """Several of them, which are told the same."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self.all = list(processes)
        for process in self.all:
            process.answer()

    def anew(self, **settings: Any) -> None:
        """Begin again, without a token in any memory."""
        self.begin(anew=settings)
        for process in self.all:
            process.answer()

    def begin(self, **told: Any) -> None:
        """Have each do it, all at once."""
        for process in self.all:
            process.tell(**told)

    def ends(self) -> Counter[str]:
        """How the calls that were begun ended, in all processes together."""
        return sum((Counter(process.answer()) for process in self.all), Counter())

    def run(self, **told: Any) -> Counter[str]:
        """Both."""
        self.begin(**told)
        return self.ends()

    def close(self) -> None:
        """End all of them."""
        for process in self.all:
            process.close()
