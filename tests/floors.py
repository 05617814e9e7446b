"""The floors of the code: what each part may import, and a look at the imports that says where one goes up or sideways."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: The packages that are ours.
OWN = ("worker", "handlers")

#: Part to the parts that it may import beside itself; `worker` alone is the package's version. Highest floor first.
FLOORS: Mapping[str, tuple[str, ...]] = {
    "worker.__main__": ("worker.cli",),
    "worker.cli": (
        "worker",
        "worker.main",
        "worker.runtime",
        "worker.messaging",
        "worker.sips",
        "worker.store",
        "worker.blobs",
        "worker.webhook",
        "worker.ops",
        "worker.client",
        "worker.local",
        "worker.sandbox",
        "worker.settings",
    ),
    "worker.main": (
        "worker",
        "handlers",
        "worker.runtime",
        "worker.messaging",
        "worker.sips",
        "worker.store",
        "worker.blobs",
        "worker.webhook",
        "worker.ops",
        "worker.settings",
    ),
    "handlers": ("worker.runtime", "worker.messaging", "worker.sips"),
    "worker.runtime": (
        "worker",
        "worker.messaging",
        "worker.sips",
        "worker.store",
        "worker.blobs",
        "worker.ops",
        "worker.settings",
        "worker.seldom",
    ),
    "worker.messaging": ("worker", "worker.settings", "worker.nesting", "worker.seldom"),
    "worker.sips": ("worker", "worker.settings"),
    "worker.store": ("worker", "worker.settings"),
    "worker.blobs": ("worker", "worker.settings"),
    "worker.webhook": ("worker", "worker.settings", "worker.nesting"),
    "worker.ops": ("worker", "worker.settings"),
    "worker.client": ("worker", "worker.settings"),
    "worker.sandbox": ("worker.settings",),
    "worker.local": ("worker.settings",),
    "worker.settings": (),
    "worker.nesting": (),
    "worker.seldom": (),
    "worker": (),
}

#: Of some parts a floor above sees only these modules, and of each only these names (None: every one): a handler names its
#: queue, gets a SIPS client and knows SIPS' models, but never sees a channel, a header or a token.
NAMES: Mapping[tuple[str, str], Mapping[str, frozenset[str] | None]] = {
    ("handlers", "worker.messaging"): {
        "worker.messaging.topology": frozenset({"ORDERS", "QUERIES", "BULK", "WATCHES", "WEBHOOKS", "CONTROL"}),
    },
    ("handlers", "worker.sips"): {
        "worker.sips": frozenset({"Answer", "Executed", "Sips", "SipsError", "Unreadable"}),
        "worker.sips.models": None,
    },
}


def modules(root: Path) -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    files = [file for package in OWN for file in (root / package).rglob("*.py")]
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def part_of(module: str) -> str | None:
    """The part that a module belongs to, or None where nobody has said on which floor it stands."""
    parts = [part for part in FLOORS if module == part or (part != "worker" and module.startswith(f"{part}."))]
    return max(parts, key=len, default=None)


def violations(module: str, source: str, known: Mapping[str, object], *, is_package: bool = False) -> list[str]:
    """What a module imports and may not; one line each.

    Args:
        module: its dotted name.
        source: its text.
        known: names of all modules, to tell `from worker import settings` (a module) from `from worker import __version__`.
        is_package: whether it is a package's `__init__`, for relative imports.
    """
    part = part_of(module)
    if part is None:
        return [f"{module} stands on no floor"]
    found = []
    for target, name in _imports(module, ast.parse(source), known, is_package=is_package):
        other = part_of(target) or target
        seen = NAMES.get((part, other), {target: None})
        if other != part and (other not in FLOORS[part] or target not in seen):
            found.append(f"{module} imports {target}")
        elif other != part and (names := seen[target]) is not None and name not in names:
            found.append(f"{module} imports {name or 'all'} of {target}")
    return found


def _imports(module: str, tree: ast.Module, known: Mapping[str, object], *, is_package: bool) -> Iterator[tuple[str, str | None]]:
    """Modules of ours that are imported anywhere, also for annotations only, and the name that is taken of each."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name.split(".")[0] in OWN)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package=is_package)
            for alias in node.names if base.split(".")[0] in OWN else ():
                inner = f"{base}.{alias.name}"
                yield (inner, None) if inner in known else (base, alias.name)


def _absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    above = module.split(".")
    above = above[: len(above) - node.level + is_package]
    return ".".join([*above, *([node.module] if node.module else [])])
