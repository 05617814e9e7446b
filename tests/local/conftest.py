"""A machine of the test's own: PATH is one folder of small scripts, and nothing that is installed here is seen."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from worker.local import install, packages, programs

if TYPE_CHECKING:
    from pathlib import Path

#: What the scripts themselves need.
TOOLS = ("sh", "env", "cat", "touch", "chmod")


class Machine:
    """Programs that can be added; each notes its calls in one log."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.units = folder / "units"
        self._log = folder / "calls"
        for created in (self.bin, self.units):
            created.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)

    def add(self, name: str, body: str = "") -> None:
        """Put a program on PATH that notes its name and arguments, then runs `body`, a shell script."""
        program = self.bin / name
        program.write_text(f'#!{self.bin}/sh\necho {name} "$@" >> {self._log}\n{body}\n')
        program.chmod(0o755)

    def installing(self, *names: str) -> str:
        """A script body that puts the programs `names` on PATH."""
        return "\n".join(f"touch {self.bin}/{name}; chmod 755 {self.bin}/{name}" for name in names)

    def calls(self) -> list[str]:
        """What was run so far, one line per call."""
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without any program of ours, on which this process is root and nobody sits at a terminal."""
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.delenv("AMQP_URL", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(programs, "RABBITMQ_FOLDERS", ())
    monkeypatch.setattr(programs, "POSTGRESQL_FOLDERS", ())
    monkeypatch.setattr(packages, "DEBIAN_PATH", str(made.bin))
    monkeypatch.setattr(packages, "DEBIAN_UNIT_FOLDERS", (str(made.units),))
    monkeypatch.setattr(install, "_on_a_terminal", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return made
