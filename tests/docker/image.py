"""The image without an engine: the Dockerfile's own steps on this machine's Python, in a folder that stands for its files."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.docker.dockerfile import DOCKERFILE, IGNORE_FILE, ROOT, as_copy, is_ignored, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.docker.dockerfile import Copy, Instruction

__all__ = ["Container", "Image"]


class Image:
    """What the Dockerfile makes, below `root`.

    The environment is this machine's while it is built (pip may need it to reach its index), and the image's alone afterwards.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wheels: list[Path] = []
        self._environment: dict[str, str] = {}
        self._folder = root
        _, self._build, self._final = read(DOCKERFILE.read_text(encoding="utf-8"))

    def build(self) -> Self:
        """Take the steps of the build stage; the final stage takes its result as it is."""
        subprocess.run([sys.executable, "-m", "venv", self.root / "python"], check=True)
        self._environment = {"PATH": f"{self.root}/python/bin:{os.environ['PATH']}"}
        for instruction in self._build.instructions:
            self._take(instruction)
        self.wheels = list(self._folder.glob("dist/*.whl"))
        self._environment = {"PATH": os.defpath}
        for value in self._final.values("ENV"):
            self._set(value)
        return self

    def command(self, arguments: list[str] | None) -> list[str]:
        """The command line of a container; without arguments, with the image's own."""
        (entrypoint,), (default,) = (self._final.values(keyword) for keyword in ("ENTRYPOINT", "CMD"))
        program, *first = json.loads(entrypoint)
        found = shutil.which(program, path=self._environment["PATH"])
        assert found is not None, f"{program} is not in the image"
        return [found, *first, *(json.loads(default) if arguments is None else arguments)]

    @property
    def environment(self) -> dict[str, str]:
        """What every container has in its environment."""
        return dict(self._environment)

    def _take(self, instruction: Instruction) -> None:
        match instruction.keyword:
            case "ENV":
                self._set(instruction.value)
            case "WORKDIR":
                self._folder = Path(self._here(instruction.value))
                self._folder.mkdir(parents=True)
            case "COPY":
                self._copy(as_copy(instruction))
            case "RUN":
                self._run(instruction.value)
            case keyword:
                raise AssertionError(f"a step that is not understood here: {keyword}")

    def _here(self, text: str) -> str:
        """The text with the image's own folders where they are on this machine."""
        for folder in (*self._build.values("WORKDIR"), "/opt"):
            text = text.replace(folder, f"{self.root}{folder}")
        return text

    def _set(self, value: str) -> None:
        for assignment in shlex.split(value):
            name, _, text = assignment.partition("=")
            self._environment[name] = self._here(text).replace("$PATH", self._environment["PATH"])

    def _copy(self, copy: Copy) -> None:
        """From the context, without what is ignored there."""
        patterns = IGNORE_FILE.read_text(encoding="utf-8")

        def ignored(folder: str, names: list[str]) -> set[str]:
            inside = Path(folder).relative_to(ROOT)
            return {name for name in names if is_ignored((inside / name).as_posix(), patterns)}

        for source in (name for name in copy.sources if not is_ignored(name, patterns)):
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, self._folder / copy.target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, self._folder / copy.target)

    def _run(self, command: str) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", self._here(command)],
            cwd=self._folder,
            env=os.environ | self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, f"{command}\n{done.stdout}"


class Container:
    """A process of the image, ended at the end of the block."""

    def __init__(self, image: Image, folder: Path, command: list[str] | None, environment: Mapping[str, str]) -> None:
        self.log = folder / "log"
        self._command = image.command(command)
        self._folder = folder
        self._environment = image.environment | dict(environment)
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def events(self) -> list[dict[str, Any]]:
        """The log lines so far."""
        assert self._process.poll() is None, self.log.read_text(encoding="utf-8")
        lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait(self, seconds: float) -> int:
        """Its exit status when it ends by itself."""
        return self._process.wait(seconds)

    def stop(self, seconds: float) -> int:
        """Its exit status after SIGTERM; an engine would kill it after `seconds`."""
        self._process.terminate()
        return self._process.wait(seconds)
