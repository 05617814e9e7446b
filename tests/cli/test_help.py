"""What the command line says of itself."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from worker import __version__
from worker.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")


def subcommands(group: click.Group) -> dict[str, click.Command]:
    """What can be typed after it; some are imported only when they are asked for."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    """Every command that can be typed."""
    for name, command in subcommands(group).items():
        yield (*before, name)
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)


def help_of(*arguments: str) -> str:
    """A help text, on a terminal of 80 columns."""
    result = CliRunner().invoke(cli, [*arguments, "--help"], terminal_width=80)
    assert (0, "") == (result.exit_code, result.stderr)
    return result.stdout


@pytest.mark.parametrize("arguments", [(), *commands(cli)])
def test_each_command_explains_itself(arguments: tuple[str, ...]) -> None:
    """In whole sentences; where it lists commands, none is cut off."""
    text = help_of(*arguments)

    assert re.search(r"^  [A-Z].+\.$", text, re.MULTILINE)
    assert "..." not in text.replace("COMMAND [ARGS]...", "")


@pytest.mark.parametrize("line", re.findall(r"^sips-worker ([a-z].*?)(?: +#.*)?$", README, re.MULTILINE))
def test_what_readme_shows_can_be_typed(line: str) -> None:
    """Each command, subcommand, argument and option of the block in `Running it`."""
    words = re.sub(r"[][]", "", line).split()
    path: list[str] = []
    command: click.Command = cli
    while isinstance(command, click.Group) and words and words[0] in subcommands(command):
        command = subcommands(command)[words[0]]
        path.append(words.pop(0))
    text = help_of(*path)

    for before, word in pairwise(("", *words)):
        if "|" in word:
            assert isinstance(command, click.Group)
            assert set(word.split("|")) == set(subcommands(command))
        elif word.startswith("--"):
            assert re.search(rf"{word}\b", text)
        elif before.startswith("--"):
            assert re.search(rf"{before} [A-Z<\[]", text)  # it takes a value
        else:
            assert word in text.splitlines()[0]


def test_the_installed_command_is_this_one() -> None:
    """What `pip install` puts beside Python."""
    installed = Path(sys.executable).with_name("sips-worker")

    assert f"sips-worker, version {__version__}\n" == subprocess.check_output([installed, "--version"], text=True)


@pytest.mark.parametrize("arguments", [["nonsense"], ["topology", "nonsense"], ["publish"], ["run", "--nonsense"]])
def test_a_slip_is_answered_with_the_way_to_the_help(arguments: list[str]) -> None:
    """And exit status 2."""
    result = CliRunner().invoke(cli, arguments, prog_name="sips-worker")

    assert (2, True) == (result.exit_code, "--help' for help." in result.stderr)
