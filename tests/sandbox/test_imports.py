"""That the sandbox stands apart."""

from __future__ import annotations

import ast
from pathlib import Path

import worker.sandbox

FOLDER = Path(worker.sandbox.__file__).parent

ALLOWED = ("worker.sandbox", "worker.settings")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it and for whatever."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert 0 == node.level, f"{path.name} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_nothing_of_the_worker_is_imported_but_settings() -> None:
    """The client and the stand-in must be able to disagree, so they share no code and no model."""
    files = sorted(FOLDER.rglob("*.py"))
    ours = {
        (path.name, name) for path in files for name in imported(path) if name.split(".")[0] in {"worker", "handlers", "tests"}
    }
    assert ("__init__.py", "worker.sandbox.server.Sandbox") in ours
    assert set() == {(file, name) for file, name in ours if not f"{name}.".startswith(tuple(f"{module}." for module in ALLOWED))}
