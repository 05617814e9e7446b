"""The Dockerfile and its ignore file."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docker.dockerfile import DOCKERFILE, IGNORE_FILE, ROOT, is_ignored, read

HADOLINT = Path(sys.executable).with_name("hadolint")

PYTHON, BUILD, FINAL = read(DOCKERFILE.read_text(encoding="utf-8"))

#: Each line breaks a rule that people care about: an unpinned base, unpinned packages, root, no exec form.
CARELESS = """\
FROM python
RUN pip install requests
USER root
CMD run
"""


def lint(dockerfile: Path) -> tuple[int, str]:
    """The exit status of hadolint and what it found."""
    done = subprocess.run(
        [HADOLINT, "--no-color", "--disable-ignore-pragma", dockerfile], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_linter_finds_nothing() -> None:
    """With every rule on, whatever a comment in it says."""
    assert (0, "") == lint(DOCKERFILE)


def test_the_linter_finds_carelessness(tmp_path: Path) -> None:
    """Or its silence would mean nothing."""
    (tmp_path / "Dockerfile").write_text(CARELESS, encoding="ascii")

    status, found = lint(tmp_path / "Dockerfile")

    assert 1 == status
    assert all(rule in found for rule in ("DL3006", "DL3013", "DL3002", "DL3025"))


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    """A build would end at the COPY."""
    patterns = IGNORE_FILE.read_text(encoding="utf-8")
    sources = [source for copy in BUILD.copies() for source in copy.sources]

    assert sources
    assert [] == [source for source in sources if not (ROOT / source).exists() or is_ignored(source, patterns)]


@pytest.mark.parametrize(
    "path", [".env", ".git/config", ".venv/bin/python", "tests/conftest.py", "worker/__pycache__/main.pyc", "docker/Dockerfile"]
)
def test_what_is_no_part_of_the_image_stays_out_of_the_build(path: str) -> None:
    """Secrets, history and what is made anew anyway."""
    assert is_ignored(path, IGNORE_FILE.read_text(encoding="utf-8"))


def test_only_the_virtual_environment_is_taken_over_and_it_stays_where_it_was_made() -> None:
    """Its scripts name their interpreter by the whole path."""
    (copy,) = FINAL.copies()
    (path,) = [value for value in FINAL.values("ENV") if value.startswith("PATH=")]

    assert (BUILD.name, [copy.target]) == (copy.stage, copy.sources)
    assert any(f"python -m venv --without-pip {copy.target} " in command for command in BUILD.values("RUN"))
    assert path.startswith(f"PATH={copy.target}/bin:")
    assert PYTHON.name == BUILD.base == FINAL.base


def test_it_runs_as_a_numbered_user_and_gets_its_signals() -> None:
    """No root, and no shell between the engine and the worker."""
    (user,) = FINAL.values("USER")
    (entrypoint,), (command,) = FINAL.values("ENTRYPOINT"), FINAL.values("CMD")

    assert all(number.isdigit() and int(number) for number in user.split(":"))
    assert (["sips-worker"], ["run"]) == (json.loads(entrypoint), json.loads(command))


def test_the_build_tools_that_are_locked_are_those_that_the_project_names() -> None:
    """The lock for the image's build is made from a group of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert project["build-system"]["requires"] == project["dependency-groups"]["build"]
