"""The front door of the package."""

from __future__ import annotations

import worker.sips


def test_what_is_exported_is_what_is_meant() -> None:
    """Each name exists, and no other one is offered."""
    names = {name for name in vars(worker.sips) if not name.startswith("_")}
    modules = {name for name in names if getattr(worker.sips, name).__class__.__name__ == "module"}
    assert set(worker.sips.__all__) == names - modules
