"""Read a Dockerfile and its ignore file, as far as ours use what these can say."""

from __future__ import annotations

import fnmatch
import re
import shlex
from pathlib import Path, PurePosixPath
from typing import NamedTuple

__all__ = ["DOCKERFILE", "IGNORE_FILE", "ROOT", "Copy", "Instruction", "Stage", "is_ignored", "read"]

#: The root of the repository, which is the build's context.
ROOT = Path(__file__).parents[2]

DOCKERFILE = ROOT / "docker" / "Dockerfile"

#: BuildKit prefers it to a `.dockerignore` in the context.
IGNORE_FILE = DOCKERFILE.with_name("Dockerfile.dockerignore")


class Instruction(NamedTuple):
    """One instruction: its keyword, its options (`--from=…`) and the rest."""

    keyword: str
    options: dict[str, str]
    value: str


class Copy(NamedTuple):
    """A COPY: what, where to, and from which stage ("" = the context)."""

    sources: list[str]
    target: str
    stage: str


class Stage(NamedTuple):
    """A FROM and what follows it."""

    name: str
    base: str
    instructions: list[Instruction]

    def values(self, keyword: str) -> list[str]:
        """What each instruction of one kind says."""
        return [instruction.value for instruction in self.instructions if instruction.keyword == keyword]

    def copies(self) -> list[Copy]:
        """Each COPY."""
        return [as_copy(instruction) for instruction in self.instructions if instruction.keyword == "COPY"]


def as_copy(instruction: Instruction) -> Copy:
    """What a COPY says."""
    *sources, target = shlex.split(instruction.value)
    return Copy(sources, target, instruction.options.get("from", ""))


def read(text: str) -> list[Stage]:
    """The stages, in their order."""
    code = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, code.splitlines())):
        instruction = _instruction(line)
        if instruction.keyword == "FROM":
            base, _, name = instruction.value.partition(" AS ")
            stages.append(Stage(name, base, []))
        else:
            stages[-1].instructions.append(instruction)
    return stages


def _instruction(line: str) -> Instruction:
    keyword, _, rest = line.partition(" ")
    options = {}
    while option := re.match(r"\s*--([a-z]+)=(\S+)\s+", rest):
        options[option[1]] = option[2]
        rest = rest[option.end() :]
    return Instruction(keyword.upper(), options, rest.strip())


def is_ignored(path: str, patterns: str) -> bool:
    """Whether a path of the context stays out of the build: the last pattern that fits it or a folder above it decides."""
    lines = [line.strip() for line in patterns.splitlines()]
    names = PurePosixPath(path).parts
    ignored = False
    for line in (line for line in lines if line and not line.startswith("#")):
        pattern = line.removeprefix("!").strip("/")
        if any(_fits(names[:depth], pattern) for depth in range(1, len(names) + 1)):
            ignored = not line.startswith("!")
    return ignored


def _fits(names: tuple[str, ...], pattern: str) -> bool:
    """Whether a pattern means this path; `**/` at its start stands for any folders, or none."""
    expected = PurePosixPath(pattern.removeprefix("**/")).parts
    if pattern.startswith("**/"):
        names = names[-len(expected) :]
    return len(names) == len(expected) and all(map(fnmatch.fnmatchcase, names, expected))
