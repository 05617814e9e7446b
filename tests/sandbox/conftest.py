"""A sandbox in this process, and callers of its two ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox.calling import Caller, Control
from worker.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox without faults."""
    with Sandbox(seed=1) as started:
        yield started


@pytest.fixture
def sips(sandbox: Sandbox) -> Iterator[Caller]:
    """A caller of SIPS that has a token."""
    with Caller.of(sandbox) as caller:
        yield caller


@pytest.fixture
def control(sandbox: Sandbox) -> Control:
    """The control port."""
    return Control(sandbox.control_url)
